/* SPDX-License-Identifier: MIT */
/*
 * nvrtc.h - CUDA's run-time compiler, opened at run time; private to the library. As cuda.h: one
 * table, held against nvrtc.h by tests/driver_abi.sh. It needs neither a driver nor a GPU.
 */
#ifndef RK_GPUDIRECT_NVRTC_H
#define RK_GPUDIRECT_NVRTC_H

#include "rk_error.h"

#include <stddef.h>
#include <stdint.h>

#define RK_NVRTC_PATH_BYTES 256

struct rk_nvrtc_program;

/* nvrtcResult: what this library tells apart. */
enum {
	RK_NVRTC_OK = 0,
	RK_NVRTC_OUT_OF_MEMORY = 1,
	RK_NVRTC_INVALID_OPTION = 5,
	RK_NVRTC_COMPILATION = 6,
};

/* X(name here, symbol there, type, parameters). */
/* clang-format off */
#define RK_NVRTC_FUNCTIONS(X)                                                                      \
	X(error_string, nvrtcGetErrorString, const char *, (int error))                            \
	X(version, nvrtcVersion, int, (int *major, int *minor))                                    \
	X(arch_count, nvrtcGetNumSupportedArchs, int, (int *count))                                \
	X(archs, nvrtcGetSupportedArchs, int, (int *archs))                                        \
	X(program_create, nvrtcCreateProgram, int,                                                 \
	  (struct rk_nvrtc_program **program, const char *source, const char *name, int headers,   \
	   const char *const *header_texts, const char *const *header_names))                      \
	X(program_destroy, nvrtcDestroyProgram, int, (struct rk_nvrtc_program **program))          \
	X(compile, nvrtcCompileProgram, int,                                                       \
	  (struct rk_nvrtc_program *program, int count, const char *const *options))               \
	X(log_bytes, nvrtcGetProgramLogSize, int,                                                  \
	  (struct rk_nvrtc_program *program, size_t *bytes))                                       \
	X(log, nvrtcGetProgramLog, int, (struct rk_nvrtc_program *program, char *text))            \
	X(cubin_bytes, nvrtcGetCUBINSize, int, (struct rk_nvrtc_program *program, size_t *bytes))  \
	X(cubin, nvrtcGetCUBIN, int, (struct rk_nvrtc_program *program, char *cubin))              \
	X(ptx_bytes, nvrtcGetPTXSize, int, (struct rk_nvrtc_program *program, size_t *bytes))      \
	X(ptx, nvrtcGetPTX, int, (struct rk_nvrtc_program *program, char *ptx))
/* clang-format on */

struct rk_nvrtc {
	int major;
	int minor;
	char path[RK_NVRTC_PATH_BYTES]; /* as it was found */
#define RK_NVRTC_MEMBER(name, symbol, type, parameters) type(*name) parameters;
	RK_NVRTC_FUNCTIONS(RK_NVRTC_MEMBER)
#undef RK_NVRTC_MEMBER
};

/*
 * The compiler, opened by the first call. Where several are installed: the newest whose code the
 * driver loads, by its major version; the newest of all where there is no driver. It is looked for
 * where the linker looks, then in the toolkit (CUDA_HOME, CUDA_PATH, /usr/local/cuda). Any thread.
 * 0; -ENOENT with what to install; said in rk_errmsg().
 */
int rk_nvrtc(const struct rk_nvrtc **nvrtc);

#endif
