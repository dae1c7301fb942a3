// SPDX-License-Identifier: MIT
/* Kernels written by hand: compiled for the GPU at hand, loaded, and a stream that does not block.
 */
#include "bench/gpu/module.h"
#include "gpudirect/nvrtc.h"
#include "rk_handler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOG_BYTES = 500 };

RK_SOURCE(flag_text, "bench/gpu/flag.cuh");

static int compile(const struct rk_nvrtc *nvrtc, const char *text, const char *name,
		   const char *arch, void **image)
{
	const char *const options[] = {arch, "--std=c++17"};
	const char *const header_text = flag_text, *const header_name = "bench/gpu/flag.cuh";
	struct rk_nvrtc_program *program = NULL;
	char log[LOG_BYTES * 8] = "";
	size_t bytes = 0;
	int error = nvrtc->program_create(&program, text, name, 1, &header_text, &header_name);

	if (error)
		return rk_fail(EIO, "%s: NVRTC: %s", name, nvrtc->error_string(error));
	error = nvrtc->compile(program, 2, options);
	if (!error)
		error = nvrtc->cubin_bytes(program, &bytes);
	*image = error ? NULL : malloc(bytes);
	if (!error)
		error = *image ? nvrtc->cubin(program, *image) : RK_NVRTC_OUT_OF_MEMORY;
	if (error && !nvrtc->log_bytes(program, &bytes) && bytes < sizeof(log))
		nvrtc->log(program, log);
	nvrtc->program_destroy(&program);
	return error ? rk_fail(EINVAL, "%s: %s: %.*s", name, nvrtc->error_string(error), LOG_BYTES,
			       log)
		     : 0;
}

static int load(struct bench_module *module, const char *text)
{
	const struct rk_nvrtc *nvrtc;
	void *image = NULL;
	char arch[40];
	int error, result = rk_nvrtc(&nvrtc);

	if (result)
		return result;
	snprintf(arch, sizeof(arch), "--gpu-architecture=sm_%d%d",
		 rk_cuda_gpu_attribute(&module->gpu, RK_CUDA_ATTR_COMPUTE_MAJOR),
		 rk_cuda_gpu_attribute(&module->gpu, RK_CUDA_ATTR_COMPUTE_MINOR));
	result = compile(nvrtc, text, module->name, arch, &image);
	if (result) {
		free(image);
		return result;
	}
	error = module->gpu.cuda->module_load(&module->module, image, 0, NULL, NULL);
	free(image);
	if (!error)
		error = module->gpu.cuda->stream_create(&module->stream,
							RK_CUDA_STREAM_NON_BLOCKING, 0);
	return error ? rk_cuda_fail(module->gpu.cuda, error, "%s", module->name) : 0;
}

int bench_module_open(struct bench_module *module, const char *text, const char *name, int ordinal)
{
	int result;

	*module = (struct bench_module){.name = name};
	result = rk_cuda_gpu_open(&module->gpu, ordinal);
	if (result)
		return result;
	result = rk_cuda_enter(&module->gpu);
	if (result) {
		rk_cuda_gpu_close(&module->gpu);
		return result;
	}
	result = load(module, text);
	if (result)
		bench_module_close(module);
	return result;
}

void bench_module_close(struct bench_module *module)
{
	const struct rk_cuda *cuda = module->gpu.cuda;

	if (module->stream)
		cuda->stream_destroy(module->stream);
	if (module->module)
		cuda->module_unload(module->module);
	rk_cuda_leave(&module->gpu);
	rk_cuda_gpu_close(&module->gpu);
}

int bench_module_function(struct bench_module *module, const char *name,
			  struct rk_cuda_function **function)
{
	int error = module->gpu.cuda->module_function(function, module->module, name);

	return error ? rk_cuda_fail(module->gpu.cuda, error, "%s: %s", module->name, name) : 0;
}
