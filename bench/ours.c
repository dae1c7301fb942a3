// SPDX-License-Identifier: MIT
/* RingKernel's ring as a program compiled for this CPU has it, with and without the touch. */
#include "ours.h"

static int open_no_touch(void **out, uint32_t capacity)
{
	return ours_open_with(out, capacity, true);
}

#define CANDIDATE bench_ours_single
#define LABEL	  "ringkernel"
#define KIND	  BENCH_SINGLE
#define RING	  struct ours
#define BATCH	  1
#define PUSH	  OURS_PUSH
#define POP	  OURS_POP
#define OPEN	  ours_open
#define CLOSE	  ours_close
#include "loops.h"

#define CANDIDATE bench_ours_batch
#define LABEL	  "ringkernel, batch of 32"
#define KIND	  BENCH_BULK
#define RING	  struct ours
#define BATCH	  BENCH_BATCH
#define PUSH	  ours_send_batch
#define POP	  ours_recv_batch
#define OPEN	  ours_open
#define CLOSE	  ours_close
#include "loops.h"

#define CANDIDATE bench_ours_single_no_touch
#define LABEL	  "ringkernel, no touch"
#define KIND	  BENCH_SINGLE
#define RING	  struct ours
#define BATCH	  1
#define PUSH	  OURS_PUSH
#define POP	  OURS_POP
#define OPEN	  open_no_touch
#define CLOSE	  ours_close
#include "loops.h"

#define CANDIDATE bench_ours_batch_no_touch
#define LABEL	  "ringkernel, batch of 32, no touch"
#define KIND	  BENCH_BULK
#define RING	  struct ours
#define BATCH	  BENCH_BATCH
#define PUSH	  ours_send_batch
#define POP	  ours_recv_batch
#define OPEN	  open_no_touch
#define CLOSE	  ours_close
#include "loops.h"
