// SPDX-License-Identifier: MIT
#include "clock.h"
#include "latency.h"

#include <stdio.h>
#include <string.h>

int latency_open(struct latency *latency, const char *label, const char *origin)
{
	int result;

	memset(latency, 0, sizeof(*latency));
	snprintf(latency->label, sizeof(latency->label), "%s", label);
	latency->origin = origin;
	result = rk_hist_open(&latency->hist, 0);
	if (!result)
		result = rk_hist_open(&latency->before, 0);
	if (!result)
		result = rk_hist_open(&latency->interval, 0);
	return result;
}

static void count(uint64_t *counter)
{
	/* Relaxed: one writer, and readers take it for what it is. */
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

void latency_record(struct latency *latency, const struct rk_msg *msg)
{
	uint64_t received_ns, meant_ns;

	count(&latency->seen);
	if (!(msg->flags & RK_MSG_F_TIME)) {
		count(&latency->untimed);
		return;
	}
	received_ns = now_ns();
	memcpy(&meant_ns, msg->body, sizeof(meant_ns));
	if (meant_ns > received_ns) {
		count(&latency->early);
		meant_ns = received_ns;
	}
	rk_hist_record(latency->hist, received_ns - meant_ns);
}

int latency_log(struct latency *latency, struct rk_hist_log *log, uint64_t start_ns,
		uint64_t end_ns)
{
	struct rk_hist *now = latency->interval;
	int result = rk_hist_copy(now, latency->hist);

	if (!result)
		result = rk_hist_subtract(now, latency->before);
	if (!result && rk_hist_count(now))
		result = rk_hist_log_write(log, latency->label, start_ns, end_ns, now);
	if (!result)
		rk_hist_add(latency->before, now);
	return result;
}

void latency_close(struct latency *latency)
{
	rk_hist_close(latency->hist);
	rk_hist_close(latency->before);
	rk_hist_close(latency->interval);
}
