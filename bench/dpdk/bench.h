/* SPDX-License-Identifier: MIT */
/* bench.h - what the parts of ringkernel-bench-dpdk share: its options, its report, a forwarder. */
#ifndef BENCH_DPDK_BENCH_H
#define BENCH_DPDK_BENCH_H

#include "ports/dpdk/rk_dpdk.h"
#include "rk_runtime.h"

#include <rte_mbuf.h>

enum { BURST = 32, ROUNDS_MOST = 31, CPUS = 3, PATHS_MOST = 4 };

struct bench_options {
	bool json, gpu_alone;
	unsigned int rounds;
	uint64_t ns;
};

extern struct bench_options options;

/* Ends the program with rk_errmsg() if @result is an error. */
void check(int result, const char *what);

/* --- Report (report.c) --- */

struct series {
	double value[ROUNDS_MOST];
	unsigned int count;
};

void add(struct series *series, double value);
double median(const struct series *series);

/* A line for people; nothing with -j. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A figure and its goal: @sense 'g' at least, 'l' at most, '-' none. */
void judge(const char *name, double value, char sense, double goal);
/* One that cannot be measured here. */
void judge_not(const char *name, char sense, double goal);
void print_bars(void);

/*
 * A measurement begins, and has some seconds: if it has not ended then, or the next has not begun as
 * long after, its name is said, with the bars so far, and the program ends, whatever it waits for.
 */
void begin_row(const char *name);
/* It has ended; its line, for people. */
void end_row(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- A forwarder (forwarder.c): one port, one lcore, an actor behind each of its queues --- */

/**
 * struct forwarder_opts - what is measured
 * @vdev: the port's
 * @type: the actor's
 * @args: its arguments, of which there are @arg_count
 * @cpu: of the runtime's worker
 * @slots: of each ring
 * @paths: receive queues of the port, each with an actor of its own; 0: one
 * @heads: heads travel, not frames
 * @one_way: nothing comes back
 * @on_gpu: the first GPU runs the actor
 * @group: there
 */
struct forwarder_opts {
	const char *vdev;
	const struct rk_actor_type *type;
	const uint64_t *args;
	unsigned int arg_count;
	int cpu;
	uint64_t slots;
	uint16_t paths;
	bool heads, one_way, on_gpu;
	enum rk_group group;
};

/* From a receive queue of the port through an actor; what it did not take is @held. */
struct path {
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;
	struct rk_dpdk_queue *queue;
	struct rte_mbuf *held[BURST];
	uint16_t held_count;
};

struct forwarder {
	uint16_t port, paths;
	struct rk_dpdk_pool *pool;
	struct rte_mempool *mempool; /* of @pool */
	struct rk_runtime *runtime;
	struct path path[PATHS_MOST];
	struct rk_hist *cost; /* TSC cycles of a full burst both ways, the driver left out */
	uint64_t sent;
};

/* A started port of @f->paths receive queues with a pool of its own; @cuda: that GPUs reach. */
void forwarder_open_port(struct forwarder *f, const char *vdev, bool cuda);
void forwarder_close_port(struct forwarder *f);

void forwarder_open(struct forwarder *f, const struct forwarder_opts *opts);
/* Frames that left in @ns are in @f->sent then. */
void forwarder_run(struct forwarder *f, uint64_t ns);
/* No more frames; what is with the actor comes back, and it stops, within some seconds. */
void forwarder_drain(struct forwarder *f);
void forwarder_close(struct forwarder *f);

/* Transmit, or free what the peer does not take: testpmd drops then, too. Returns those sent. */
uint16_t forwarder_transmit(const struct forwarder *f, struct rte_mbuf **mbufs, uint16_t count);

/* Receive and transmit, and nothing between: the driver alone. */
double forwarder_bare_rate(const struct forwarder *f, uint64_t ns);

uint64_t cycles_of(uint64_t ns);
double ns_of(uint64_t cycles);

/* --- The GPU (gpu.c) --- */

#define GPU_DEVICE "net_null0,size=64"

void measure_gpu(const int *cpus);

/* A single frame in flight (gpu_trips.c), and lists of them (gpu_lists.c). */
void measure_trips(const int *cpus);

struct flow {
	struct series rate, us; /* frames a second, the median time from RX to TX */
};

void flow_of_lists(unsigned int burst, unsigned int blocks, struct flow *flow);

/* Of net_null, which makes frames of what lies in its pool: headers of its own in each buffer. */
void write_frames(struct rte_mempool *pool);

/* A forwarder of such frames through l2_forward, which does what flag_list.cu does. */
void open_l2(struct forwarder *f, const int *cpus, enum rk_group group, uint64_t slots,
	     uint16_t paths, bool heads);

/* The actor that verifies what comes in (handlers.c); what it found, once it has stopped. */
extern const struct rk_actor_type frame_check;

struct frame_check_result {
	uint64_t frames, good, sum;
};

struct frame_check_result frame_check_result(const void *state);

/* --- The flag list (flag_list.c): a persistent kernel as l2fwd-nv has it --- */

enum { FLAG_LIST_FRAMES = 1024 }; /* of one list, as gpudev's */

struct flag_lists;

/**
 * flag_lists_open() - start the kernel, of @blocks blocks, on the first GPU
 * @lists: out
 * @count: lists that it polls, in turn; a multiple of @blocks
 * @blocks: each polls its own lists
 * @pool: where frames lie
 *
 * Return: 0; -ENODEV without CUDA or NVRTC; what CUDA refuses, said.
 */
int flag_lists_open(struct flag_lists **lists, unsigned int count, unsigned int blocks,
		    const struct rk_dpdk_pool *pool);

/* Hand frames over by a list that is free: their addresses, then the flag. */
void flag_lists_give(struct flag_lists *lists, unsigned int index, struct rte_mbuf **mbufs,
		     unsigned int count);

/* Whether the kernel is done with a list; it is free then. */
bool flag_lists_done(struct flag_lists *lists, unsigned int index);

/* End the kernel; good frames that it saw are in @good. 0; -EIO, said. */
int flag_lists_close(struct flag_lists *lists, uint64_t *good);

#endif
