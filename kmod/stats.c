// SPDX-License-Identifier: GPL-2.0
/*
 * Counters, one line each, in debugfs: ringkernel/counters.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "ringkernel.h"

atomic64_t rk_stats[RK_STAT_COUNT];

static const char * const stat_names[RK_STAT_COUNT] = {
	[RK_STAT_OPENS]			= "opens",
	[RK_STAT_CLOSES]		= "closes",
	[RK_STAT_PINS_HOST]		= "pins_host",
	[RK_STAT_PINS_GPU]		= "pins_gpu",
	[RK_STAT_UNPINS]		= "unpins",
	[RK_STAT_PINNED_PAGES]		= "pinned_pages_now",
	[RK_STAT_REVOKED_BY_DRIVER]	= "revoked_by_driver",
	[RK_STAT_FAULTS]		= "faults",
	[RK_STAT_FAULTS_DEAD]		= "faults_on_revoked",
	[RK_STAT_WC_REFUSED]		= "write_combining_refused",
	[RK_STAT_EXPORTS]		= "exports_now",
	[RK_STAT_DMA_MAPS]		= "dma_maps_now",
	[RK_STAT_BELLS]			= "bells_now",
	[RK_STAT_BELL_ARMS]		= "bell_arms",
	[RK_STAT_BELL_WAKES]		= "bell_wakes",
	[RK_STAT_POLLER_SCANS]		= "poller_scans",
	[RK_STAT_POLLER_NAPS]		= "poller_naps",
	[RK_STAT_POLLER_STOPS]		= "poller_stops",
	[RK_STAT_LINKS]			= "link_ends_now",
	[RK_STAT_PEER_DEATHS]		= "peer_deaths",
	[RK_STAT_OVER_QUOTA]		= "over_quota",
	[RK_STAT_PUT_FAILED]		= "put_pages_failed",
};

static struct dentry *stats_dir;

static int counters_show(struct seq_file *m, void *unused)
{
	int i;

	for (i = 0; i < RK_STAT_COUNT; i++)
		seq_printf(m, "%-24s %lld\n", stat_names[i], atomic64_read(&rk_stats[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

/* Counters are a help, not a need: without debugfs the module works the same. */
void rk_stats_init(void)
{
	stats_dir = debugfs_create_dir("ringkernel", NULL);
	debugfs_create_file("counters", 0444, stats_dir, NULL, &counters_fops);
}

void rk_stats_exit(void)
{
	debugfs_remove_recursive(stats_dir);
}
