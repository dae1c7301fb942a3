/* SPDX-License-Identifier: MIT */
/* block.h - one launch of a kernel: a thread for each block, which runs its lanes. */
#ifndef LANES_BLOCK_H
#define LANES_BLOCK_H

#include "lanes.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

extern const lanes_ops lanes_table;

struct lanes_launch {
	std::unique_ptr<lanes_kernel> kernel;
	void *(*shared_memory)(); /* of the thread that asks */
	unsigned int blocks;
	unsigned int threads; /* of a block, a multiple of LANES_WARP */
	unsigned int cluster; /* blocks */
	const void *stream;

	std::vector<char *> shared;			  /* of each block, once it runs */
	std::unique_ptr<std::atomic<unsigned>[]> arrived; /* blocks of each cluster, at all barriers so far */
	std::atomic<unsigned> running{0};
	std::atomic<int> error{0}; /* CUresult */
	std::vector<std::thread> workers;

	void start();
	void end(); /* wait for it */
};

#endif
