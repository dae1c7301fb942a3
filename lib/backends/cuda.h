/* SPDX-License-Identifier: MIT */
/*
 * cuda.h - the cuda backend: persistent kernels and the actors at their seats; private.
 *
 *   struct cuda_gpu      one GPU: three pieces of memory, kernels, and a thread that watches
 *     struct cuda_kernel   one launch: a module with a table of handlers, and a grid of seats
 *       struct cuda_actor    what sits at one seat, or at all seats of a block
 *
 * All memory is allocated before the first launch, for an allocation may wait behind a kernel:
 *   near   of the GPU, mapped here: the host writes, the GPU polls (control, slots to the GPU)
 *   host   of the host, registered with the GPU: the GPU writes, the host polls
 *   deep   of the GPU alone: states, what waits, rings between its actors
 */
#ifndef RK_BACKENDS_CUDA_H
#define RK_BACKENDS_CUDA_H

#include "backends/arena.h"
#include "gpu_layout.h"
#include "gpudirect/cuda.h"
#include "gpudirect/rk_region.h"
#include "ring/rk_ring.h"
#include "rk_handler.h"

#include <pthread.h>
#include <stdbool.h>

RK_STATIC_ASSERT(offsetof(struct rk_ring_credit, forgotten) == RK_GPU_FORGOTTEN_AT, "as the GPU has it");

#define CUDA_GPUS 16 /* ordinals from 0 */
#define CUDA_NOTE_BYTES 1024

struct cuda_kernel;

/* One kind of memory: where the host and the GPU see it. */
struct cuda_memory {
	struct rk_region *region; /* NULL: the GPU's alone */
	char *host;
	uint64_t gpu_addr;
	struct arena arena;
};

enum cuda_kind { CUDA_NEAR, CUDA_HOST, CUDA_DEEP, CUDA_KINDS, CUDA_NEAREST };

/* A part of a GPU's memory. */
struct cuda_part {
	enum cuda_kind kind;
	uint64_t at;
	uint64_t bytes;
	void *host; /* NULL for CUDA_DEEP */
	uint64_t gpu_addr;
};

/**
 * struct cuda_gpu_opts - zero is the default
 * @ordinal: as CUDA counts
 * @blocks: of each kernel; 0: CUDA_BLOCKS
 * @nap_ns: of an empty seat between two looks; 0: by where it looks
 * @stuck_ns: a seat that does not come round for so long is lost; 0: CUDA_STUCK_NS
 * @provider: of the near memory; NULL: the first that works
 * @near_bytes: 0: CUDA_NEAR_BYTES; likewise the next two
 * @calibrate: measure where latency is lowest
 */
struct cuda_gpu_opts {
	int ordinal;
	unsigned int blocks;
	uint32_t nap_ns;
	uint64_t stuck_ns;
	const char *provider;
	size_t near_bytes;
	size_t host_bytes;
	size_t deep_bytes;
	bool calibrate;
};

#define CUDA_BLOCKS 4
#define CUDA_STUCK_NS 2000000000ULL
#define CUDA_NEAR_BYTES ((size_t)64 << 20)
#define CUDA_HOST_BYTES ((size_t)64 << 20)
#define CUDA_DEEP_BYTES ((size_t)256 << 20)
#define CUDA_CALIBRATED 256 /* pages of near memory that are measured */

/* What calibration found: cycles from an SM to a page, at the least over some loads. */
struct cuda_calibration {
	unsigned int sms;
	unsigned int pages;
	uint64_t page_bytes;
	uint32_t *cycles; /* [sm * (pages + 1) + page], last to the host; NULL: not measured */
	struct cuda_part part;
	bool taken[CUDA_CALIBRATED];
	uint32_t least;
	uint32_t median;
	uint32_t most;
};

struct cuda_gpu {
	struct rk_cuda_gpu gpu;
	char name[64];
	int major;
	int minor;
	int multiprocessors;
	struct cuda_memory memory[CUDA_KINDS];
	struct rk_cuda_stream *copies;
	struct cuda_calibration calibration;
	struct cuda_part clock_part;	 /* struct rk_gpu_clock_line; written, never read */
	unsigned int blocks; /* of a kernel to come */
	uint32_t nap_ns;     /* of its empty seats */
	uint64_t stuck_ns;
	char note[CUDA_NOTE_BYTES];

	pthread_mutex_t mutex; /* guards all below, and the arenas */
	struct cuda_kernel *kernels;
	struct cuda_actor *done; /* finished; their owners are not told yet */
	unsigned int blocks_taken;
	int failed; /* negative errno: a kernel died, and all that ran on this GPU with it */
	char failure[CUDA_NOTE_BYTES];
	pthread_t watcher;
	bool watching;
	bool ending;
};

/* --- The GPU (cuda_gpu.c) --- */

/*
 * Open GPU @opts->ordinal: memory, and the watcher's thread. No kernel runs yet.
 * 0; -ENODEV without a driver or such a GPU, or one that is too old; -EBUSY while a kernel of an
 * earlier opening does not end; -ENOMEM; said in rk_errmsg().
 */
int cuda_gpu_open(struct cuda_gpu **gpu, const struct cuda_gpu_opts *opts);

/*
 * End the kernels: all actors have stopped, or are let go. The driver frees no memory that is
 * registered with the GPU beside a kernel that runs. False when one does not end.
 */
bool cuda_gpu_halt(struct cuda_gpu *gpu);

/* Free everything. */
void cuda_gpu_close(struct cuda_gpu *gpu);

/*
 * A part of the memory; zeroed where the host sees it. 0; -ENOMEM, said in rk_errmsg() with @what.
 * Mutex not held.
 */
int cuda_take(struct cuda_gpu *gpu, enum cuda_kind kind, uint64_t bytes, const char *what,
	      struct cuda_part *part);
void cuda_give(struct cuda_gpu *gpu, const struct cuda_part *part);

/* Zero a part that the host does not see. 0 or -errno, said in rk_errmsg(). */
int cuda_zero(struct cuda_gpu *gpu, const struct cuda_part *part);

/* Copy device memory here, or there, beside running kernels. 0 or -errno, said in rk_errmsg(). */
int cuda_copy_in(struct cuda_gpu *gpu, uint64_t to, const void *from, size_t bytes);
int cuda_copy_out(struct cuda_gpu *gpu, void *to, uint64_t from, size_t bytes);

/* Measure SMs against pages of near memory. 0 or -errno, said in rk_errmsg(). (cuda_calibrate.c) */
int cuda_calibrate(struct cuda_gpu *gpu);

/* How far @sm is from the host and from its nearest page, in cycles; 0 where not measured. */
uint32_t cuda_distance(const struct cuda_gpu *gpu, unsigned int sm);

/* The free calibrated page that is nearest to @sm, zeroed; given back by cuda_give(). 0 or -ENOSPC. */
int cuda_take_nearest(struct cuda_gpu *gpu, unsigned int sm, struct cuda_part *part);

/* --- Kernels (cuda_kernel.c) --- */

struct cuda_seat {
	struct cuda_kernel *kernel;
	unsigned int index;
	struct cuda_actor *actor; /* who sits here; a block actor at each seat of its block */
	struct rk_ring_tx control;
	uint64_t told;
	uint32_t hurry; /* enum rk_gpu_hurry, of @actor */
	uint64_t beat; /* as last seen, and when it last changed */
	uint64_t beat_ns;
	struct rk_ring_sleep sleep;
};

struct cuda_kernel {
	struct cuda_gpu *gpu;
	struct cuda_kernel *next;
	const struct rk_actor_type *type; /* NULL: the shipped ones */
	struct rk_cuda_module *module;
	struct rk_cuda_stream *stream;
	unsigned int blocks;	/* that host actors: the first ones in @order, nearest first */
	unsigned int grid;	/* of the launch: where calibrated, all that fit; the others end at once */
	unsigned int *order;
	unsigned int cluster; /* blocks of a cluster */
	unsigned int pool_bytes; /* shared memory of a block for rings */
	unsigned int shared_bytes;
	uint64_t scratch_bytes;
	uint64_t parcel_bytes; /* of what an actor takes along to another seat */
	struct rk_cuda_function *function;
	struct cuda_part image_part; /* of its blocks' shared memory, while it is paused */
	struct cuda_part seats_part;
	struct cuda_part markers_part;
	struct cuda_part status_part;
	struct rk_gpu_seat *seats;	  /* written, never read */
	struct rk_gpu_marker *markers;	  /* read after a fault only */
	struct rk_gpu_status *status;
	struct cuda_seat *seat; /* grid * RK_GPU_WARPS */
	struct arena *pool;	/* of each block's shared memory */
	int failed;		/* it did not start */
};

/*
 * The kernel that has @type in its table; launched if there is none. While that happens the other
 * kernels are paused, for the driver loads no code beside one that runs: for some milliseconds, and
 * nothing is lost. Callers take turns. 0; -ENOENT when the type has no code for GPUs; -EBUSY when the grid does not fit beside what runs; -EINVAL with
 * the compiler's words; said in rk_errmsg().
 */
int cuda_kernel_for(struct cuda_gpu *gpu, const struct rk_actor_type *type,
		    struct cuda_kernel **kernel, uint32_t *handler);

/* Write what the host has to say to a seat. Callers take turns. */
void cuda_seat_say(struct cuda_kernel *kernel, unsigned int index);

/* End all kernels. True when all have ended. */
bool cuda_kernels_end(struct cuda_gpu *gpu);

/* End them, and free them if all have ended, for the driver frees no code beside one that runs. */
bool cuda_kernels_close(struct cuda_gpu *gpu);

/* The machine code of a module: in the library, or compiled for @type. 0 or -errno, said. */
struct cuda_code {
	void *image; /* given to the driver; freed by cuda_code_free() when @compiled */
	bool compiled;
};
int cuda_code_get(struct cuda_code *code, const struct cuda_gpu *gpu,
		  const struct rk_actor_type *type);
void cuda_code_free(struct cuda_code *code);

/* --- Actors (cuda_actor.c) --- */

enum cuda_where {
	CUDA_ANYWHERE,
	CUDA_BESIDE,  /* at a seat of the same block as another actor */
	CUDA_CLUSTER, /* in another block of the same cluster */
	CUDA_APART,   /* in a block of another cluster, or in none of its cluster */
};

struct cuda_actor_opts {
	enum rk_gpu_group group;
	uint32_t tenant; /* whose it is; 0: nobody's */
	enum cuda_where where;
	const struct cuda_actor *other;
	void (*stopped)(void *owner); /* its handler had RK_MSG_STOP, or it failed */
	bool (*failed)(void *owner);  /* it failed: close its links; false: call again */
	void (*done)(void *owner);    /* the seat is empty again, or lost */
	void (*answered)(void *owner); /* more was obeyed */
	void *owner;
};

struct cuda_actor {
	struct cuda_gpu *gpu;
	const struct rk_actor_type *type;
	char *name;
	struct cuda_seat *at; /* the first of its seats; atomic, for it may be moved */
	uint64_t serial;
	uint32_t handler; /* in its kernel's table */
	struct cuda_actor_opts opts;
	struct cuda_part state;
	struct cuda_part scratch;
	struct cuda_part parcel; /* once it was moved: what it takes along */
	void *state_copy; /* once asked for */
	struct rk_gpu_counters counters; /* once done */
	struct cuda_actor *next_done; /* in the GPU's list of those that the owner must be told of */
	uint32_t answered; /* of what it has obeyed, the owner knows */
	uint64_t cut;	   /* likewise the last snapshot */
	bool told_stopped;
	bool told_finished;
	bool closed; /* failed, and its links are closed */
	bool done;
	bool failed;
};

/*
 * Spawn an actor at a free seat. 0; -EBUSY when all seats are taken; what cuda_kernel_for() and
 * cuda_take() return; said in rk_errmsg(). @state: to go on with, or NULL. @actor is freed by
 * cuda_actor_free().
 */
int cuda_actor_open(struct cuda_actor **actor, struct cuda_gpu *gpu,
		    const struct rk_actor_type *type, const char *name, const void *state,
		    const struct cuda_actor_opts *opts);

/* Where it sits. Any thread. */
static inline struct cuda_seat *cuda_seat_of(const struct cuda_actor *actor)
{
	/* A12: pairs with R12 in cuda_actor.c: the seat of another kernel is as that made it. */
	return __atomic_load_n(&actor->at, __ATOMIC_ACQUIRE);
}

/* One control message. As cuda_actor_hurry(), callers take turns. 0; -EAGAIN when its ring is full; -EPIPE once stopped. */
int cuda_actor_tell(struct cuda_actor *actor, const struct rk_msg *msg);

/* Whether its seat has taken all that it was told. Callers take turns. */
bool cuda_actor_has_taken(struct cuda_actor *actor);

/* Control messages that it has obeyed, of those it was told; probes do not count. Any thread. */
uint32_t cuda_actor_obeyed(const struct cuda_actor *actor);

/*
 * Room for its state in @part, taken if that has none, with @state in it if that is not NULL: for
 * RK_GPU_RESTORE, RK_GPU_COPY and RK_GPU_CUT, until that is done. 0 or -errno, said.
 */
int cuda_actor_room(struct cuda_actor *actor, struct cuda_part *part, const void *state,
		    uint64_t *gpu_addr);

/* What RK_GPU_COPY put there, once that was obeyed. 0 or -errno, said. */
int cuda_actor_copied(struct cuda_actor *actor, const struct cuda_part *part, void *state,
		      struct rk_gpu_copied *copied);

/* Whether RK_GPU_CUT of snapshot @epoch is done, or given up. Any thread. */
bool cuda_actor_has_cut(const struct cuda_actor *actor, uint32_t epoch);

/* What that put into @part, room that cuda_actor_room() took. 0 or -errno, said. */
int cuda_actor_cut(struct cuda_actor *actor, const struct cuda_part *part, void *state,
		   struct rk_gpu_ends *ends);

/* Put cells where RK_GPU_REFILL looks for them. It is dormant. 0 or -errno, said. */
int cuda_actor_put(struct cuda_actor *actor, const void *cells, uint32_t count);

void cuda_actor_hurry(struct cuda_actor *actor, enum rk_gpu_hurry hurry);

/* enum rk_gpu_phase; RK_GPU_EMPTY before the seat took it. Any thread. */
enum rk_gpu_phase cuda_actor_phase(const struct cuda_actor *actor);

/* The multiprocessor that it runs on. */
unsigned int cuda_actor_sm(const struct cuda_actor *actor);

void cuda_actor_counters(const struct cuda_actor *actor, struct rk_gpu_counters *counters);

/* Its state once it has stopped, copied here; NULL before, and after a failure. Callers take turns. */
const void *cuda_actor_state(struct cuda_actor *actor);

/*
 * A free seat of @kernel, as @opts want it, kept for @actor. Callers take turns. 0; -EBUSY; said.
 * Ends in cuda_actor_settle(), or in cuda_seat_release().
 */
int cuda_actor_reserve(struct cuda_actor *actor, struct cuda_kernel *kernel,
		       const struct cuda_actor_opts *opts, struct cuda_seat **seat);
void cuda_seat_release(struct cuda_actor *actor, struct cuda_seat *seat);

/* Where RK_GPU_MOVE is to put what it takes along to another seat of its GPU. 0; -ENOMEM, said. */
int cuda_actor_parcel(struct cuda_actor *actor, const struct cuda_kernel *kernel,
		      uint64_t *gpu_addr);

/* It has obeyed RK_GPU_MOVE, and cannot go on: it has failed. */
void cuda_actor_lose(struct cuda_actor *actor);

/*
 * It has obeyed RK_GPU_MOVE: let it go on at @seat, with handler @handler of that kernel and what
 * @type and its state are now. 0; -EIO when it does not sit down, and then it has failed; said.
 */
int cuda_actor_settle(struct cuda_actor *actor, struct cuda_seat *seat, uint32_t handler);

/* --- Two GPUs (cuda_peer.c) --- */

/* Let kernels of each reach the other's memory. 0; -EOPNOTSUPP when they cannot; said. */
int cuda_join_peers(struct cuda_gpu *one, struct cuda_gpu *other);

/* Whether kernels of @gpu reach what another, or the host, has at that address. */
bool cuda_reaches(struct cuda_gpu *gpu, uint64_t gpu_addr);

/* What an actor has on one GPU. */
struct cuda_home {
	struct cuda_gpu *gpu; /* NULL: nothing */
	struct cuda_part state;
	struct cuda_part scratch;
	struct cuda_part parcel;
};

/*
 * Room for what @actor has on the GPU of @kernel, which its own reaches from then on. 0; -EOPNOTSUPP;
 * -ENOMEM; said. To be given also after a failure.
 */
int cuda_home_take(struct cuda_home *home, const struct cuda_actor *actor,
		   const struct cuda_kernel *kernel);
void cuda_home_give(const struct cuda_home *home);

/*
 * @actor has obeyed RK_GPU_MOVE: what it has is copied to @home, and is its own from then on; @home
 * is what it had. Callers take turns. 0 or -errno, said, and then nothing has changed.
 */
int cuda_actor_carry(struct cuda_actor *actor, struct cuda_home *home);

/* --- Watching --- */

/* What happened since the last call, each told once. The watcher's; mutex held. */
enum { CUDA_STOPPED = 1, CUDA_FAILED = 2, CUDA_FINISHED = 4, CUDA_ANSWERED = 8 };
unsigned int cuda_actor_watch(struct cuda_actor *actor);

/* Free the seats of actors that are done; the watcher tells their owners. Mutex held. */
void cuda_actors_reap(struct cuda_kernel *kernel);

void cuda_actor_free(struct cuda_actor *actor);

#endif
