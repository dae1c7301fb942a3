/* SPDX-License-Identifier: MIT */
/*
 * gpu_region_aid.h - what must hold of every region that GPUs reach, whoever provides it: the tests
 * with stand-ins for the drivers and those on a GPU share it.
 */
#ifndef GPU_REGION_AID_H
#define GPU_REGION_AID_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gpudirect/cuda.h"
#include "gpudirect/rk_region.h"
#include "ring/rk_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AID static inline __attribute__((unused))

AID struct rk_region *aid_open(size_t bytes, const struct rk_region_opts *opts)
{
	struct rk_region *region = NULL;

	if (rk_region_open(&region, bytes, opts))
		fail_msg("%s", rk_errmsg());
	return region;
}

/* CUDA copies @bytes between @host and @gpu_addr, of which it finds out itself where they lie. */
AID void aid_copy(int ordinal, uint64_t gpu_addr, void *host, size_t bytes, bool to_gpu)
{
	uint64_t host_addr = (uint64_t)(uintptr_t)host;
	struct rk_cuda_stream *stream;
	struct rk_cuda_gpu gpu;

	assert_int_equal(rk_cuda_gpu_open(&gpu, ordinal), 0);
	assert_int_equal(rk_cuda_enter(&gpu), 0);
	assert_int_equal(gpu.cuda->stream_create(&stream, RK_CUDA_STREAM_NON_BLOCKING, 0), 0);
	assert_int_equal(gpu.cuda->copy_async(to_gpu ? gpu_addr : host_addr,
					      to_gpu ? host_addr : gpu_addr, bytes, stream),
			 0);
	assert_int_equal(gpu.cuda->stream_synchronize(stream), 0);
	gpu.cuda->stream_destroy(stream);
	rk_cuda_leave(&gpu);
	rk_cuda_gpu_close(&gpu);
}

AID unsigned char aid_byte(size_t i, unsigned int salt)
{
	return (unsigned char)((i * 131 + i / 251 + salt) ^ (i >> 12));
}

AID void aid_expect_bytes(const unsigned char *seen, size_t bytes, unsigned int salt)
{
	for (size_t i = 0; i < bytes; i++)
		if (seen[i] != aid_byte(i, salt))
			fail_msg("byte %zu is %#x, not %#x", i, seen[i], aid_byte(i, salt));
}

/* Zeroed; what the CPU stores is what the GPU has, and the other way round, everywhere. */
AID void aid_check_region(struct rk_region *region, int ordinal)
{
	const struct rk_region_info *info = rk_region_info(region);
	unsigned char *bytes = malloc(info->bytes), *map = info->host_addr;

	assert_non_null(bytes);
	assert_true(info->gpu_addr != 0);
	assert_int_equal(info->bytes % info->page_bytes, 0);
	aid_copy(ordinal, info->gpu_addr, bytes, info->bytes, false);
	for (size_t i = 0; i < info->bytes; i++)
		assert_int_equal(bytes[i], 0);
	for (size_t i = 0; i < info->bytes; i++)
		bytes[i] = aid_byte(i, 1);
	memcpy(map, bytes, info->bytes);
	rk_codec_flush();
	memset(bytes, 0, info->bytes);
	aid_copy(ordinal, info->gpu_addr, bytes, info->bytes, false);
	aid_expect_bytes(bytes, info->bytes, 1);
	for (size_t i = 0; i < info->bytes; i++)
		bytes[i] = aid_byte(i, 2);
	aid_copy(ordinal, info->gpu_addr, bytes, info->bytes, true);
	memset(bytes, 0, info->bytes);
	memcpy(bytes, map, info->bytes);
	aid_expect_bytes(bytes, info->bytes, 2);
	free(bytes);
}

/* Parts are where both sides expect them, and nowhere else. */
AID void aid_check_parts(struct rk_region *region)
{
	const struct rk_region_info *info = rk_region_info(region);
	char *first = rk_region_take(region, 64), *second = rk_region_take(region, 64);

	assert_ptr_equal(first, info->host_addr);
	assert_true(rk_region_gpu_addr(region, first) == info->gpu_addr);
	assert_true(rk_region_gpu_addr(region, second + 63) == info->gpu_addr + 4096 + 63);
	assert_true(rk_region_gpu_addr(region, first + info->bytes) == 0);
	assert_true(rk_region_gpu_addr(region, first - 1) == 0);
}

#endif
