/* SPDX-License-Identifier: MIT */
/* file.h - what the two directions of port file share. Not installed. */
#ifndef FILE_H
#define FILE_H

#include "ports/port.h"
#include "ports/reactor.h"

enum {
	FILE_SECTOR_BYTES = 512,
	FILE_DIRECT_BYTES = 4096, /* what offsets and sizes of O_DIRECT are a multiple of */
};

/*
 * Open the regular file or block device @path; @bytes: how many it has. 0, or -errno and a text.
 */
int file_open(const char *path, int flags, int *fd, uint64_t *bytes);

/* -@error, and a text with the place in the file and what to do. */
int file_failed(const char *doing, uint64_t offset, int error);

#endif
