// SPDX-License-Identifier: MIT
/* Every function of the table, so that the library finds it; those that matter are in cuda.c. */
#include "gpudirect/cuda.h"

#ifdef FAKE_OLD /* a driver that lacks what came with CUDA 11.8 */
#define cuLaunchKernelEx cuNotThere
#endif

#define STUB(name, symbol, parameters)                                                             \
	__attribute__((weak, visibility("default"))) int symbol parameters;                        \
	__attribute__((weak)) int symbol parameters                                                \
	{                                                                                          \
		return RK_CUDA_NOT_SUPPORTED;                                                      \
	}
#pragma GCC diagnostic ignored "-Wunused-parameter"
RK_CUDA_FUNCTIONS(STUB)
