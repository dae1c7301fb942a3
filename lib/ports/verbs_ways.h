/* SPDX-License-Identifier: MIT */
/*
 * verbs_ways.h - the ways in which the RDMA devices of this machine come to know memory, for
 * `ringkernel info`. Not installed.
 */
#ifndef VERBS_WAYS_H
#define VERBS_WAYS_H

#include "gpudirect/rk_region.h"

#include <stdbool.h>

enum { VERBS_WAY_TEXT_BYTES = 256 };

/**
 * struct verbs_way - one way of one device
 * @device: its name; "" if there is none
 * @name: short
 * @summary: one line
 * @absent: "", or why the device does not have it and what to do
 */
struct verbs_way {
	char device[64];
	const char *name;
	char summary[VERBS_WAY_TEXT_BYTES];
	char absent[VERBS_WAY_TEXT_BYTES];
};

/* Device by device, in the order in which they are tried; false past the last. Opens devices. */
bool verbs_way_at(unsigned int index, struct verbs_way *way);

/* Register @region, of a GPU, with device @index, and undo it: the way that served, or why none. */
bool verbs_trial_at(unsigned int index, const struct rk_region *region, struct verbs_way *way);

#endif
