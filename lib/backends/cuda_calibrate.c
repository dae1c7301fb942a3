// SPDX-License-Identifier: MIT
/*
 * How far the pages of near memory are from each multiprocessor, measured once before a kernel runs
 * (gpu_calibrate.cuh), and the nearest free page for the ring of an actor.
 */
#include "backends/cuda.h"
#include "rk_error.h"

#include <stdlib.h>
#include <string.h>

static int run(struct cuda_gpu *gpu, const struct cuda_part *pages, const struct cuda_part *host,
	       const struct cuda_part *cycles)
{
	const struct rk_cuda *cuda = gpu->gpu.cuda;
	uint64_t memory = pages->gpu_addr, page_bytes = gpu->calibration.page_bytes;
	uint64_t out = cycles->gpu_addr, host_addr = host->gpu_addr;
	uint32_t count = gpu->calibration.pages;
	void *arguments[] = {&memory, &page_bytes, &count, &host_addr, &out};
	int most = rk_cuda_gpu_attribute(&gpu->gpu, RK_CUDA_ATTR_SHARED_PER_BLOCK_OPTIN);
	struct rk_cuda_function *function;
	struct rk_cuda_module *module = NULL;
	struct cuda_code code;
	int error, result = cuda_code_get(&code, gpu, NULL);

	if (result)
		return result;
	error = cuda->module_load(&module, code.image, 0, NULL, NULL);
	if (!error)
		error = cuda->module_function(&function, module, "rk_calibrate");
	/* All of a multiprocessor's shared memory, so that each gets one block. */
	if (!error)
		error = cuda->function_set_attribute(
			function, RK_CUDA_FUNC_MAX_DYNAMIC_SHARED_BYTES, most);
	if (!error)
		error = cuda->launch(function, (unsigned int)gpu->multiprocessors, 1, 1,
				     RK_GPU_WARP_LANES, 1, 1, (unsigned int)most, gpu->copies,
				     arguments, NULL);
	if (!error)
		error = cuda->stream_synchronize(gpu->copies);
	if (module)
		cuda->module_unload(module);
	cuda_code_free(&code);
	return error ? rk_cuda_fail(cuda, error, "GPU %d: calibrate", gpu->gpu.ordinal) : 0;
}

static uint32_t *row_of(const struct cuda_calibration *calibration, unsigned int sm)
{
	return &calibration->cycles[(size_t)sm * (calibration->pages + 1)];
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Least, median and most of all that was measured. */
static int summarise(struct cuda_calibration *calibration)
{
	size_t count = (size_t)calibration->sms * calibration->pages, used = 0;
	uint32_t *sorted = malloc(count * sizeof(*sorted));

	if (!sorted)
		return rk_fail(ENOMEM, "calibration: no memory");
	for (unsigned int sm = 0; sm < calibration->sms; sm++)
		for (unsigned int page = 0; page < calibration->pages; page++)
			if (row_of(calibration, sm)[page])
				sorted[used++] = row_of(calibration, sm)[page];
	qsort(sorted, used, sizeof(*sorted), compare);
	if (used) {
		calibration->least = sorted[0];
		calibration->median = sorted[used / 2];
		calibration->most = sorted[used - 1];
	}
	free(sorted);
	return 0;
}

int cuda_calibrate(struct cuda_gpu *gpu)
{
	struct cuda_calibration *calibration = &gpu->calibration;
	struct cuda_part cycles = {0}, host = {0};
	size_t bytes;
	int result;

	calibration->sms = (unsigned int)gpu->multiprocessors;
	calibration->pages = CUDA_CALIBRATED;
	calibration->page_bytes = RK_PAGE_BYTES;
	bytes = (size_t)calibration->sms * (calibration->pages + 1) * sizeof(uint32_t);
	calibration->cycles = calloc(1, bytes);
	if (!calibration->cycles)
		return rk_fail(ENOMEM, "GPU %d: no memory to calibrate", gpu->gpu.ordinal);
	result = cuda_take(gpu, CUDA_NEAR, (uint64_t)CUDA_CALIBRATED * RK_PAGE_BYTES,
			   "calibrated pages", &calibration->part);
	if (!result)
		result = cuda_take(gpu, CUDA_HOST, RK_SLOT_BYTES, "calibration", &host);
	if (!result)
		result = cuda_take(gpu, CUDA_DEEP, bytes, "calibration", &cycles);
	if (!result)
		result = cuda_zero(gpu, &cycles);
	if (!result)
		result = rk_cuda_enter(&gpu->gpu);
	if (result)
		return result;
	result = run(gpu, &calibration->part, &host, &cycles);
	rk_cuda_leave(&gpu->gpu);
	if (!result)
		result = cuda_copy_out(gpu, calibration->cycles, cycles.gpu_addr, bytes);
	cuda_give(gpu, &cycles);
	cuda_give(gpu, &host);
	return result ? result : summarise(calibration);
}

uint32_t cuda_distance(const struct cuda_gpu *gpu, unsigned int sm)
{
	const struct cuda_calibration *calibration = &gpu->calibration;
	uint32_t nearest = UINT32_MAX;

	if (!calibration->cycles || sm >= calibration->sms)
		return 0;
	for (unsigned int page = 0; page < calibration->pages; page++)
		if (row_of(calibration, sm)[page] < nearest)
			nearest = row_of(calibration, sm)[page];
	return nearest + row_of(calibration, sm)[calibration->pages];
}

int cuda_take_nearest(struct cuda_gpu *gpu, unsigned int sm, struct cuda_part *part)
{
	struct cuda_calibration *calibration = &gpu->calibration;
	const uint32_t *cycles;
	int best = -1;

	if (!calibration->cycles || sm >= calibration->sms)
		return -ENOSPC;
	cycles = row_of(calibration, sm);
	pthread_mutex_lock(&gpu->mutex);
	for (unsigned int page = 0; page < calibration->pages; page++)
		if (!calibration->taken[page] && cycles[page] &&
		    (best < 0 || cycles[page] < cycles[best]))
			best = (int)page;
	if (best >= 0)
		calibration->taken[best] = true;
	pthread_mutex_unlock(&gpu->mutex);
	if (best < 0)
		return -ENOSPC;
	part->kind = CUDA_NEAREST;
	part->at = (uint64_t)best;
	part->bytes = calibration->page_bytes;
	part->host = (char *)calibration->part.host + part->at * calibration->page_bytes;
	part->gpu_addr = calibration->part.gpu_addr + part->at * calibration->page_bytes;
	memset(part->host, 0, part->bytes);
	rk_codec_flush();
	return 0;
}
