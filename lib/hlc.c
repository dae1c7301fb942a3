// SPDX-License-Identifier: MIT
/* The hybrid logical clock by the host's clock. */
#include "rk_hlc.h"
#include "clock.h"
#include "rk_error.h"

#include <errno.h>
#include <inttypes.h>

int rk_hlc_init(struct rk_hlc *clock, uint64_t max_drift_ns)
{
	if (max_drift_ns > RK_HLC_MAX_DRIFT_NS)
		return rk_fail(EINVAL,
			       "clock: a drift of %" PRIu64 " ns is no bound: at most %" PRIu64
			       " ns (an hour)",
			       max_drift_ns, (uint64_t)RK_HLC_MAX_DRIFT_NS);
	*clock = (struct rk_hlc){.max_drift_ns = max_drift_ns};
	return 0;
}

uint64_t rk_hlc_now(struct rk_hlc *clock)
{
	return rk_hlc_now_at(clock, clock_ns(CLOCK_REALTIME));
}

uint64_t rk_hlc_receive(struct rk_hlc *clock, uint64_t stamp)
{
	uint64_t physical = clock_ns(CLOCK_REALTIME);
	uint64_t given = rk_hlc_receive_at(clock, stamp, physical);

	if (!given)
		rk_fail(ERANGE,
			"clock: a stamp is %" PRIu64 " ns ahead of this host, more than %" PRIu64
			" ns: synchronise the clocks (NTP, PTP), or allow more drift",
			stamp - physical, clock->max_drift_ns);
	return given;
}
