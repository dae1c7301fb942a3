// SPDX-License-Identifier: MIT
/* A compiler of CUDA 12 that compiles nothing: to see which one is chosen. */
#include "gpudirect/nvrtc.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define STUB(name, symbol, type, parameters)                                                       \
	__attribute__((weak, visibility("default"))) type symbol parameters;                       \
	__attribute__((weak)) type symbol parameters                                               \
	{                                                                                          \
		return (type)0;                                                                    \
	}
RK_NVRTC_FUNCTIONS(STUB)
