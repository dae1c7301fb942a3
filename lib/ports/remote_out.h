/* SPDX-License-Identifier: MIT */
/* remote_out.h - the producer's end of a ring across hosts. Not installed. */
#ifndef REMOTE_OUT_H
#define REMOTE_OUT_H

#include "ports/remote_stage.h"

/**
 * struct remote_out - an output
 * @stage: where the port's thread writes; NULL before the first peer
 * @next: made by the keeper for a new ring, to be moved to; guarded by the mutex
 * @old: moved away from, for the keeper to free; guarded by the mutex
 * @gathered: messages written and not put yet
 */
struct remote_out {
	struct rk_port port;
	struct remote_end end;
	struct remote_stage *stage;
	struct remote_stage *next;
	struct remote_stage *old;
	uint32_t gathered;
	uint64_t session;
	uint64_t linger_ms;
	bool linger_given;
	bool started;
	bool draining;
	bool lost;	   /* what was unconfirmed when the port died is counted */
	unsigned int host; /* of @end.hosts, to be asked */
	pthread_t keeper;
};

/* The keeper's thread: connects, again and again, and keeps the connection. (remote_out_keep.c) */
void *remote_out_keep(void *out);

#endif
