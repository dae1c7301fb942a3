// SPDX-License-Identifier: MIT
/*
 * A GPU of fibers: each lane of a block is one, and a thread runs the block's lanes, in an order that
 * changes, each until it waits for others. So what lanes tell each other without a barrier between
 * them is sooner or later seen before it was said, and lanes that wait for different things are found
 * out. It is slow, and times nothing.
 */
#include "block.h"
#include "clock.h"

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>
#include <sched.h>
#include <time.h>

namespace {

using boost::context::fiber;

enum { STACK_BYTES = 128 << 10, LOOKS = 16, ROUNDS = 16 };
constexpr uint64_t LEAST_NAP_NS = 8000000;
enum { ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719 };

enum state { READY, MEETING, AT_BARRIER, ASLEEP, DONE };

struct warp;

struct lane {
	fiber own, back;
	enum state state;
	lanes_meeting meeting;
	uint32_t mask, from, index;
	void *at; /* which meeting */
	uint64_t said, heard, wake_ns;
	unsigned int looks;
	lanes_place place;
	struct warp *warp;
};

struct warp {
	lane lanes[LANES_WARP];
	uint32_t meeting; /* lanes that are */
	bool gave_way;
};

struct block {
	lanes_launch *launch;
	unsigned int index;
	std::vector<std::unique_ptr<warp>> warps;
	unsigned int alive, arrived, clusters_met;
	bool said, heard;
	lanes_barrier barrier;
	uint64_t random;
	sigjmp_buf fault;
};

thread_local block *here;
thread_local lane *now;

/* To the block's loop, and back when it is this lane's turn. */
void give_way()
{
	now->back = std::move(now->back).resume();
}

/* Where @at is in its module, for addr2line; cuda.cc keeps modules when asked to. */
unsigned long offset_of(void *at)
{
	Dl_info info;

	return dladdr(at, &info) ? (unsigned long)((char *)at - (char *)info.dli_fbase) : 0;
}

/* The kernel does what no kernel may. */
[[noreturn]] void broken(const char *why)
{
	fprintf(stderr, "lanes: block %u, warp %u, lane %u: %s\n", here->index,
		now->place.thread.x / LANES_WARP, now->index, why);
	for (const lane &lane : now->warp->lanes)
		fprintf(stderr, "  lane %u: state %d, meeting %d of %#x at %#lx\n", lane.index, lane.state,
			lane.meeting, lane.mask, offset_of(lane.at));
	abort();
}

uint64_t hear(const warp &warp, const lane &lane)
{
	uint64_t heard = 0;

	if (lane.meeting == LANES_SHUFFLE)
		return warp.lanes[lane.from % LANES_WARP].said;
	for (unsigned int i = 0; i < LANES_WARP; i++)
		if (lane.mask >> i & 1 &&
		    (lane.meeting == LANES_MATCH ? warp.lanes[i].said == lane.said : warp.lanes[i].said != 0))
			heard |= 1ull << i;
	return heard;
}

uint64_t meet(lanes_meeting meeting, uint32_t mask, uint64_t said, uint32_t from)
{
	lane &self = *now;
	warp &warp = *self.warp;

	if (!(mask >> self.index & 1))
		broken("it is not among those that it meets");
	self.meeting = meeting;
	self.at = __builtin_return_address(0);
	self.mask = mask;
	self.said = said;
	self.from = from;
	warp.meeting |= 1u << self.index;
	if ((warp.meeting & mask) != mask) {
		self.state = MEETING;
		give_way();
		return self.heard;
	}
	for (unsigned int i = 0; i < LANES_WARP; i++) {
		lane &other = warp.lanes[i];

		if (!(mask >> i & 1))
			continue;
		if (other.meeting != meeting || other.mask != mask)
			broken("the lanes that it meets are elsewhere");
		other.heard = hear(warp, other);
	}
	for (unsigned int i = 0; i < LANES_WARP; i++)
		if (mask >> i & 1)
			warp.lanes[i].state = READY;
	warp.meeting &= ~mask;
	return self.heard;
}

/* All of the block have come: those of the cluster's other blocks too, or the kernel is dead. */
void await_cluster()
{
	lanes_launch *launch = here->launch;
	std::atomic<unsigned> &arrived = launch->arrived[here->index / launch->cluster];
	unsigned int all = ++here->clusters_met * launch->cluster;

	arrived++;
	while (arrived < all && !launch->error)
		sched_yield();
}

void release_block()
{
	if (here->barrier == LANES_CLUSTER)
		await_cluster();
	here->heard = here->said;
	here->said = false;
	here->arrived = 0;
	for (auto &warp : here->warps)
		for (lane &lane : warp->lanes)
			if (lane.state == AT_BARRIER)
				lane.state = READY;
}

/* What was heard at one barrier is read before anyone leaves the next: all have to come there. */
bool barrier(lanes_barrier barrier, bool said)
{
	if (here->arrived && here->barrier != barrier)
		broken("the block is at another barrier");
	here->barrier = barrier;
	here->said |= said;
	if (++here->arrived == here->alive) {
		release_block();
	} else {
		now->state = AT_BARRIER;
		give_way();
	}
	return here->heard;
}

void look()
{
	if (++now->looks % LOOKS)
		return;
	now->warp->gave_way = true;
	give_way();
}

void sleep(uint64_t ns)
{
	now->wake_ns = now_ns() + (ns < LEAST_NAP_NS ? LEAST_NAP_NS : ns);
	now->state = ASLEEP;
	give_way();
}

const lanes_place *place()
{
	return &now->place;
}

uint32_t rank()
{
	return here->index % here->launch->cluster;
}

/* As addresses of shared memory: those of other blocks of the cluster have their rank, from 1 on, above. */
uint32_t address_in(uint32_t address, uint32_t rank)
{
	return (rank + 1) << 24 | address;
}

char *shared(uint32_t address, uint64_t bytes)
{
	unsigned int first = here->index / here->launch->cluster * here->launch->cluster;
	unsigned int block = address >> 24 ? first + (address >> 24) - 1 : here->index;

	address &= 0xffffff;
	if (block >= first + here->launch->cluster || address + bytes > LANES_SHARED_BYTES)
		broken("it reaches for shared memory of no block of its cluster");
	return here->launch->shared[block] + address;
}

/* --- The block --- */

/* In its own stack: a fault ends the block. */
void run_lane(lane &lane)
{
	now = &lane;
	lane.own = std::move(lane.own).resume();
	now = nullptr;
	if (lane.own)
		return;
	lane.state = DONE;
	here->alive--;
	if (here->arrived && here->arrived == here->alive)
		release_block();
}

/* One round of a warp: whether any lane of it had something to do. */
bool run_round(warp &warp, uint64_t time_ns, uint64_t &wake_ns)
{
	unsigned int first = (here->random = here->random * 6364136223846793005ull + 1442695040888963407ull) >> 59;
	bool any = false;

	for (unsigned int i = 0; i < LANES_WARP; i++) {
		lane &lane = warp.lanes[(first + i) % LANES_WARP];

		if (lane.state == ASLEEP && lane.wake_ns <= time_ns)
			lane.state = READY;
		else if (lane.state == ASLEEP && lane.wake_ns < wake_ns)
			wake_ns = lane.wake_ns;
		if (lane.state != READY)
			continue;
		any = true;
		run_lane(lane);
	}
	return any;
}

/* The same for a while, or until it waits for what others store. */
bool run_warp(warp &warp, uint64_t time_ns, uint64_t &wake_ns)
{
	bool any = false;

	warp.gave_way = false;
	for (int round = 0; round < ROUNDS && !warp.gave_way; round++) {
		if (!run_round(warp, time_ns, wake_ns))
			break;
		any = true;
	}
	return any;
}

/* No lane has anything to do before. */
void sleep_until(uint64_t wake_ns)
{
	struct timespec until = {(time_t)(wake_ns / 1000000000), (long)(wake_ns % 1000000000)};

	if (wake_ns == UINT64_MAX) {
		fprintf(stderr, "lanes: block %u: its lanes wait for each other\n", here->index);
		abort();
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

void run_block()
{
	while (here->alive && !here->launch->error) {
		uint64_t time_ns = now_ns(), wake_ns = UINT64_MAX;
		bool any = false;

		for (auto &warp : here->warps)
			any |= run_warp(*warp, time_ns, wake_ns);
		if (any)
			sched_yield();
		else
			sleep_until(wake_ns);
	}
}

/* A fault of the kernel; any other is that of who was there before. */
struct sigaction before_segv, before_ill;

void on_fault(int number)
{
	if (here && now) {
		here->launch->error = number == SIGSEGV ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
		siglongjmp(here->fault, 1);
	}
	sigaction(number, number == SIGSEGV ? &before_segv : &before_ill, nullptr);
}

void catch_faults()
{
	struct sigaction action = {};

	action.sa_handler = on_fault;
	action.sa_flags = SA_NODEFER;
	sigaction(SIGSEGV, &action, &before_segv);
	sigaction(SIGILL, &action, &before_ill);
}

void make_lanes(block &block, const lanes_launch &launch)
{
	for (unsigned int w = 0; w < launch.threads / LANES_WARP; w++) {
		block.warps.push_back(std::make_unique<warp>());
		for (unsigned int i = 0; i < LANES_WARP; i++) {
			lane &lane = block.warps[w]->lanes[i];

			lane.warp = block.warps[w].get();
			lane.index = i;
			lane.place = {{w * LANES_WARP + i, 0, 0},
				      {block.index, 0, 0},
				      {launch.threads, 1, 1}};
			lane.own = fiber(std::allocator_arg,
					 boost::context::fixedsize_stack(STACK_BYTES),
					 [&lane, &launch](fiber &&back) {
						 lane.back = std::move(back);
						 (*launch.kernel)();
						 return std::move(lane.back);
					 });
		}
	}
}

/* What a GPU leaves in shared memory is anything. */
void fill(char *memory)
{
	for (unsigned int i = 0; i < LANES_SHARED_BYTES; i++)
		memory[i] = (char)(0xa5 ^ i);
}

void run(lanes_launch *launch, unsigned int index)
{
	auto *own = new block();

	own->launch = launch;
	own->index = index;
	own->alive = launch->threads;
	own->random = index + 1;
	here = own;
	launch->shared[index] = (char *)launch->shared_memory();
	fill(launch->shared[index]);
	make_lanes(*own, *launch);
	if (!sigsetjmp(own->fault, 1))
		run_block();
	now = nullptr;
	here = nullptr;
	/* Fibers that were left in the middle of the kernel have nothing to go back to: they stay. */
	if (!own->alive)
		delete own;
	launch->running--;
}

} // namespace

const lanes_ops lanes_table = {meet, barrier, look, sleep, now_ns, place, rank, shared, address_in};

void lanes_launch::start()
{
	static std::once_flag once;

	std::call_once(once, catch_faults);
	shared.resize(blocks);
	arrived.reset(new std::atomic<unsigned>[blocks]());
	running = blocks;
	for (unsigned int i = 0; i < blocks; i++)
		workers.emplace_back(run, this, i);
}

void lanes_launch::end()
{
	for (auto &worker : workers)
		worker.join();
	workers.clear();
}
