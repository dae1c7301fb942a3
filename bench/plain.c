// SPDX-License-Identifier: MIT
/*
 * RingKernel's ring as most programs have it: compiled with -O2 for any x86-64 (the Makefile gives
 * this file flags of its own), the codec chosen at run time.
 */
#include "ours.h"

#if defined(__AVX512VBMI__)
#error "this file measures programs compiled without AVX-512: compile it without -march"
#endif

#define CANDIDATE bench_ours_single_plain
#define LABEL	  "ringkernel, plain -O2"
#define KIND	  BENCH_SINGLE
#define RING	  struct ours
#define BATCH	  1
#define PUSH	  OURS_PUSH
#define POP	  OURS_POP
#define OPEN	  ours_open
#define CLOSE	  ours_close
#include "loops.h"

#define CANDIDATE bench_ours_batch_plain
#define LABEL	  "ringkernel, batch of 32, plain -O2"
#define KIND	  BENCH_BULK
#define RING	  struct ours
#define BATCH	  BENCH_BATCH
#define PUSH	  ours_send_batch
#define POP	  ours_recv_batch
#define OPEN	  ours_open
#define CLOSE	  ours_close
#include "loops.h"
