// SPDX-License-Identifier: MIT
/*
 * The memory of a link's ring. By the law: slots with the consumer, credit with the producer. Between
 * the host and a GPU each lies in memory that its owner polls near and the other writes across the
 * bus; where the GPU's memory has no CPU mapping, `near` is the host's and the GPU reads across, as
 * it does where that is asked for.
 */
#include "link_memory.h"
#include "runtime.h"
#include "rk_error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_PART, CREDIT_PART, SLEEP_PART };
enum { SHARED_SLOTS = 128 };

static int take(struct link_memory *memory, int index, struct cuda_gpu *gpu, enum cuda_kind kind,
		uint64_t bytes)
{
	memory->owner[index] = gpu;
	return cuda_take(gpu, kind, bytes, "a ring", &memory->parts[index]);
}

static bool is_far(const struct cuda_gpu *gpu)
{
	return rk_region_info(gpu->memory[CUDA_NEAR].region)->write_combined;
}

static void describe(struct link_memory *memory, uint64_t slots)
{
	memory->device.slots = memory->parts[SLOTS_PART].gpu_addr;
	memory->device.credit = memory->parts[CREDIT_PART].gpu_addr;
	memory->device.capacity_log2 = (uint32_t)__builtin_ctzll(slots);
	memory->device.place = RK_GPU_GLOBAL;
}

/*
 * Between the host and a GPU, whose @actor is the consumer, or NULL; what the GPU polls lies in its
 * @near memory, or in the host's, which all GPUs reach.
 */
static int across(struct link_memory *memory, struct cuda_gpu *from, struct cuda_gpu *to,
		  const struct cuda_actor *actor, uint64_t slots, enum cuda_kind near,
		  const char *name)
{
	struct cuda_gpu *gpu = to ? to : from;
	bool far = near == CUDA_NEAR && is_far(gpu);
	struct rk_ring_parts parts = {.size = sizeof(parts), .device = true};
	int result = -ENOSPC;

	/* A short ring fits the page that is nearest to where the actor sits. */
	if (actor && near == CUDA_NEAR && slots * RK_SLOT_BYTES <= RK_PAGE_BYTES) {
		memory->owner[SLOTS_PART] = gpu;
		result = cuda_take_nearest(gpu, cuda_actor_sm(actor), &memory->parts[SLOTS_PART]);
	}
	if (result)
		result = take(memory, SLOTS_PART, gpu, to ? near : CUDA_HOST,
			      slots * RK_SLOT_BYTES);
	if (!result)
		result = take(memory, CREDIT_PART, gpu, to ? CUDA_HOST : near,
			      sizeof(struct rk_ring_credit));
	if (!result)
		result = take(memory, SLEEP_PART, gpu, CUDA_HOST, sizeof(struct rk_ring_sleep));
	if (result)
		return result;
	parts.slots = memory->parts[SLOTS_PART].host;
	parts.credit = memory->parts[CREDIT_PART].host;
	parts.sleep = memory->parts[SLEEP_PART].host;
	parts.slots_far = to && far;
	parts.credit_far = !to && far;
	describe(memory, slots);
	return rk_ring_place(&memory->ring, &parts, slots, memory->device.position, name);
}

static int put(struct link_memory *memory, int index, const void *from)
{
	const struct cuda_part *part = &memory->parts[index];

	if (!part->host)
		return cuda_copy_in(memory->owner[index], part->gpu_addr, from, part->bytes);
	memcpy(part->host, from, part->bytes);
	rk_codec_flush();
	return 0;
}

/* A new ring where no CPU has an end, and may not reach: laid out here, and brought there. */
static int put_new(struct link_memory *memory, uint64_t slots, const char *name)
{
	const size_t bytes = slots * RK_SLOT_BYTES, credit_bytes = sizeof(struct rk_ring_credit);
	struct rk_ring_parts parts = {.size = sizeof(parts)};
	struct rk_ring ring;
	char *image;
	int result;

	image = aligned_alloc(RK_CACHE_LINE_BYTES,
			      bytes + credit_bytes + sizeof(struct rk_ring_sleep));
	if (!image)
		return rk_fail(ENOMEM, "link to actor '%s': no memory", name);
	parts.slots = image;
	parts.credit = image + bytes;
	parts.sleep = image + bytes + credit_bytes;
	result = rk_ring_place(&ring, &parts, slots, memory->device.position, name);
	if (!result)
		result = put(memory, SLOTS_PART, parts.slots);
	if (!result)
		result = put(memory, CREDIT_PART, parts.credit);
	free(image);
	return result;
}

/* Between two actors on GPUs, in memory of the consumer's GPU, or of the host. */
static int between(struct link_memory *memory, struct cuda_gpu *from, struct cuda_gpu *to,
		   uint64_t slots, enum cuda_kind kind, const char *name)
{
	int result = take(memory, SLOTS_PART, to, kind, slots * RK_SLOT_BYTES);

	if (!result)
		result = take(memory, CREDIT_PART, from, kind, sizeof(struct rk_ring_credit));
	if (!result)
		result = put_new(memory, slots, name);
	if (!result && from != to && kind == CUDA_DEEP)
		result = cuda_join_peers(from, to);
	if (!result)
		describe(memory, slots);
	return result;
}

static struct cuda_kernel *kernel_of(const struct cuda_actor *actor)
{
	return cuda_seat_of(actor)->kernel;
}

static unsigned int block_of(const struct cuda_actor *actor)
{
	return cuda_seat_of(actor)->index / RK_GPU_WARPS;
}

/* In the shared memory of the blocks; -ENOSPC when their pools have no room. */
static int shared(struct link_memory *memory, const struct cuda_actor *from,
		  const struct cuda_actor *to, uint64_t slots)
{
	struct arena *slots_pool = &kernel_of(to)->pool[block_of(to)];
	struct arena *credit_pool = &kernel_of(from)->pool[block_of(from)];

	if (arena_take(slots_pool, slots * RK_SLOT_BYTES, &memory->device.slots))
		return -ENOSPC;
	memory->pool[SLOTS_PART] = slots_pool;
	memory->parts[SLOTS_PART].bytes = slots * RK_SLOT_BYTES;
	if (arena_take(credit_pool, sizeof(struct rk_ring_credit), &memory->device.credit)) {
		arena_give(slots_pool, memory->parts[SLOTS_PART].bytes, memory->device.slots);
		memory->pool[SLOTS_PART] = NULL;
		return -ENOSPC;
	}
	memory->pool[CREDIT_PART] = credit_pool;
	memory->parts[CREDIT_PART].bytes = sizeof(struct rk_ring_credit);
	memory->device.capacity_log2 = (uint32_t)__builtin_ctzll(slots);
	memory->device.place = RK_GPU_SHARED;
	memory->producer_rank = (uint16_t)(block_of(from) % kernel_of(from)->cluster);
	memory->consumer_rank = (uint16_t)(block_of(to) % kernel_of(to)->cluster);
	return 0;
}

/* The nearest memory that both reach. */
static enum rk_ring_place nearest(const struct cuda_actor *from, const struct cuda_actor *to)
{
	if (kernel_of(from) != kernel_of(to))
		return RK_PLACE_GPU;
	if (block_of(from) == block_of(to))
		return RK_PLACE_BLOCK;
	if (block_of(from) / kernel_of(from)->cluster == block_of(to) / kernel_of(to)->cluster)
		return RK_PLACE_CLUSTER;
	return RK_PLACE_GPU;
}

static const char *const places[] = {"nearest", "block", "cluster", "gpu", "host"};

static int on_gpus(struct link_memory *memory, const struct cuda_actor *from,
		   const struct cuda_actor *to, uint64_t slots, enum rk_ring_place place)
{
	enum rk_ring_place near = nearest(from, to), wanted = place ? place : near;
	uint64_t in_shared = slots ? slots : SHARED_SLOTS;

	if (!slots)
		slots = RK_LINK_SLOTS;
	if (wanted < near)
		return rk_fail(EINVAL,
			       "link from actor '%s' to '%s': place %s: they share no such memory: the "
			       "nearest is %s",
			       from->name, to->name, places[wanted], places[near]);
	if (wanted <= RK_PLACE_CLUSTER) {
		int result = shared(memory, from, to, in_shared);

		if (!result || place)
			return result ? rk_fail(ENOMEM,
						"link from actor '%s' to '%s': no room for %" PRIu64
						" slots in shared memory: give fewer",
						from->name, to->name, in_shared) :
					0;
	}
	return between(memory, from->gpu, to->gpu, slots,
		       wanted == RK_PLACE_HOST ? CUDA_HOST : CUDA_DEEP, to->name);
}

static int on_host(struct link_memory *memory, uint64_t slots, const char *name)
{
	int result = rk_region_open(&memory->region, rk_ring_bytes(slots), NULL);

	if (result)
		return rk_fail_within(result, "link '%s'", name);
	return rk_ring_format(&memory->ring, rk_region_info(memory->region)->host_addr,
			      rk_ring_bytes(slots), slots, memory->device.position, name);
}

int link_memory_open(struct link_memory *memory, const struct rk_actor *from,
		     const struct rk_actor *to, uint64_t slots, enum rk_ring_place place,
		     const char *name)
{
	struct cuda_gpu *from_gpu = from ? from->gpu : NULL, *to_gpu = to ? to->gpu : NULL;

	if (slots && !rk_ring_bytes(slots))
		return rk_fail(EINVAL,
			       "link '%s': capacity %" PRIu64 " slots: give a power of two from "
			       "%d to %llu",
			       name, slots, RK_RING_MIN_CAPACITY, RK_RING_MAX_CAPACITY);
	if ((from_gpu || to_gpu) && slots >> RK_GPU_CAPACITY_LOG2 > 1)
		return rk_fail(EINVAL, "link '%s': capacity %" PRIu64 " slots: with a GPU at an end at "
			       "most %d", name, slots, 1 << RK_GPU_CAPACITY_LOG2);
	if (from_gpu && to_gpu)
		return on_gpus(memory, actor_cuda_of(from), actor_cuda_of(to), slots, place);
	if (place && (place != RK_PLACE_HOST || (!from_gpu && !to_gpu)))
		return rk_fail(EINVAL, "link '%s': place %s: for links between actors on GPUs; host "
			       "also for one between an actor there and the host", name,
			       places[place]);
	if (!slots)
		slots = RK_LINK_SLOTS;
	return from_gpu || to_gpu ? across(memory, from_gpu, to_gpu,
					   to_gpu ? actor_cuda_of(to) : NULL, slots,
					   place ? CUDA_HOST : CUDA_NEAR, name) :
				    on_host(memory, slots, name);
}

const struct rk_region *link_memory_region(const struct link_memory *memory)
{
	const struct cuda_gpu *gpu = memory->owner[SLOTS_PART];

	return gpu ? gpu->memory[memory->parts[SLOTS_PART].kind == CUDA_HOST ? CUDA_HOST : CUDA_NEAR]
			     .region :
		     NULL;
}

void link_memory_close(struct link_memory *memory)
{
	for (int i = 0; i < 3; i++) {
		if (memory->owner[i])
			cuda_give(memory->owner[i], &memory->parts[i]);
	}
	if (memory->pool[SLOTS_PART])
		arena_give(memory->pool[SLOTS_PART], memory->parts[SLOTS_PART].bytes,
			   memory->device.slots);
	if (memory->pool[CREDIT_PART])
		arena_give(memory->pool[CREDIT_PART], memory->parts[CREDIT_PART].bytes,
			   memory->device.credit);
	rk_region_close(memory->region);
}
