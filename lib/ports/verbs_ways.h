/* SPDX-License-Identifier: MIT */
/*
 * verbs_ways.h - the ways in which an RDMA device comes to know memory, for `ringkernel info`. Not
 * installed.
 */
#ifndef VERBS_WAYS_H
#define VERBS_WAYS_H

#include "rk_base.h"

#include <stdbool.h>

enum { VERBS_WAY_TEXT_BYTES = 256 };

/**
 * struct verbs_way - one way to register memory
 * @name: short
 * @summary: one line
 * @used: by this version
 * @absent: "", or why this machine does not have it and what to do
 */
struct verbs_way {
	const char *name;
	const char *summary;
	bool used;
	char absent[VERBS_WAY_TEXT_BYTES];
};

/* The ways in the order in which they would be tried; false past the last. Opens devices. */
bool verbs_way_at(unsigned int index, struct verbs_way *way);

#endif
