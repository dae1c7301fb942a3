/* SPDX-License-Identifier: MIT */
/*
 * rk_base.h - the few things every file of RingKernel stands on: the version, visibility,
 * host/device markers and compile-time checks. Compiles as C11, C++17 and CUDA.
 */
#ifndef RK_BASE_H
#define RK_BASE_H

#include <stddef.h>
#include <stdint.h>

/* The one place that knows the version; the Makefile reads it from here. */
#define RK_VERSION_MAJOR 0
#define RK_VERSION_MINOR 1
#define RK_VERSION_PATCH 0

#ifdef __cplusplus
#define RK_BEGIN_DECLS extern "C" {
#define RK_END_DECLS }
#define RK_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define RK_BEGIN_DECLS
#define RK_END_DECLS
#define RK_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/* Symbols are hidden unless marked; lib/ringkernel.map lists the same names. */
#ifdef __CUDACC_RTC__
#define RK_API /* device code compiled at run time: nothing to export */
#else
#define RK_API __attribute__((visibility("default")))
#endif

/* RK_HD marks an inline function that host and device code share. */
#ifdef __CUDACC__
#define RK_HD static __host__ __device__ __forceinline__
#else
#define RK_HD static inline __attribute__((always_inline, unused))
#endif

/* Between `struct` and its name. */
#ifdef __CUDACC_RTC__
#define RK_ALIGNED(bytes) __align__(bytes)
#else
#define RK_ALIGNED(bytes) __attribute__((aligned(bytes)))
#endif

#define RK_CACHE_LINE_BYTES 64
#define RK_PAGE_BYTES 4096

#define rk_likely(x) __builtin_expect(!!(x), 1)
#define rk_unlikely(x) __builtin_expect(!!(x), 0)

#ifndef __CUDACC_RTC__
RK_BEGIN_DECLS

/**
 * rk_version() - version of the library that is loaded
 *
 * Context: any thread; never sleeps.
 * Return: "MAJOR.MINOR.PATCH", static storage.
 */
RK_API const char *rk_version(void);

RK_END_DECLS
#endif

#endif
