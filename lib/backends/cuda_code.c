// SPDX-License-Identifier: MIT
/*
 * The machine code of persistent kernels. That of the shipped actors lies in the library, made by
 * nvcc where it was built; any other is compiled by NVRTC from the device sources, which the library
 * carries as text, and kept in a cache on disk.
 *
 * The cache: $XDG_CACHE_HOME/ringkernel or ~/.cache/ringkernel, a file for each source, architecture,
 * options and compiler, named by their hash (FNV-1a, 64 bits). It begins with what it was made from
 * and a hash of the code that follows: one that is torn, or not ours, is compiled anew.
 */
#include "backends/cuda.h"
#include "config.h"
#include "gpudirect/nvrtc.h"
#include "rk_error.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 512, LOG_BYTES = 600, RECIPE_BYTES = 256 << 10 };

RK_SOURCE(text_base, "lib/rk_base.h");
RK_SOURCE(text_msg, "lib/rk_msg.h");
RK_SOURCE(text_handler, "lib/rk_handler.h");
RK_SOURCE(text_hlc, "lib/rk_hlc.h");
RK_SOURCE(text_slot, "lib/ring/rk_slot.h");
RK_SOURCE(text_layout, "kernels/gpu_layout.h");
RK_SOURCE(text_lane, "kernels/gpu_lane.h");
RK_SOURCE(text_ptx, "kernels/gpu_ptx.cuh");
RK_SOURCE(text_ring, "kernels/gpu_ring.cuh");
RK_SOURCE(text_actor, "kernels/gpu_actor.cuh");
RK_SOURCE(text_cut, "kernels/gpu_cut.cuh");
RK_SOURCE(text_flow, "kernels/gpu_flow.cuh");
RK_SOURCE(text_control, "kernels/gpu_control.cuh");
RK_SOURCE(text_take, "kernels/gpu_take.cuh");
RK_SOURCE(text_gpu_io, "kernels/gpu_io.cuh");
RK_SOURCE(text_run, "kernels/gpu_run.cuh");
RK_SOURCE(text_calibrate, "kernels/gpu_calibrate.cuh");
RK_SOURCE(text_persistent, "kernels/persistent.cu");
RK_SOURCE(text_count, "kernels/count.c");
RK_SOURCE(text_count_h, "kernels/count.h");
RK_SOURCE(text_echo, "kernels/echo.c");
RK_SOURCE(text_echo_h, "kernels/echo.h");
RK_SOURCE(text_scan, "kernels/file_scan.c");
RK_SOURCE(text_scan_h, "kernels/file_scan.h");
RK_SOURCE(text_mdp3, "kernels/mdp3_book.c");
RK_SOURCE(text_mdp3_h, "kernels/mdp3_book.h");
RK_SOURCE(text_wire, "kernels/mdp3_wire.h");
RK_SOURCE(text_l2, "kernels/l2_forward.c");
RK_SOURCE(text_l2_h, "kernels/l2_forward.h");
RK_SOURCE(text_frame, "lib/rk_frame.h");
RK_SOURCE(text_packet, "lib/rk_packet.h");
RK_SOURCE(text_io, "lib/rk_io.h");
RK_SOURCE(text_pattern, "lib/rk_pattern.h");
RK_SOURCE(text_broadcast, "kernels/broadcast.c");
RK_SOURCE(text_broadcast_h, "kernels/broadcast.h");
RK_SOURCE(text_partition, "kernels/partition.c");
RK_SOURCE(text_partition_h, "kernels/partition.h");
RK_SOURCE(text_topic, "kernels/topic.c");
RK_SOURCE(text_topic_h, "kernels/topic.h");

#if RK_HAVE_NVCC
extern const char shipped_code[];
__asm__(".pushsection .rodata\n.balign 16\n.hidden shipped_code\n.globl shipped_code\n"
	"shipped_code:\n.incbin \"" RK_FATBIN "\"\n.popsection\n");
#endif

/* NVRTC has no C library: what the sources take of it. */
static const char text_stdint[] =
	"#pragma once\n"
	"typedef signed char int8_t; typedef short int16_t; typedef int int32_t;\n"
	"typedef long long int64_t; typedef unsigned char uint8_t; typedef unsigned short uint16_t;\n"
	"typedef unsigned int uint32_t; typedef unsigned long uint64_t;\n"
	"typedef unsigned long uintptr_t; typedef long intptr_t;\n"
	"#define INT32_MAX 2147483647\n#define UINT32_MAX 4294967295u\n"
	"#define INT64_MAX 9223372036854775807ll\n#define UINT64_MAX 18446744073709551615ull\n"
	"#define UINT16_MAX 65535\n#define UINT8_MAX 255\n";
static const char text_stddef[] = "#pragma once\n"
				  "typedef unsigned long size_t; typedef long ptrdiff_t;\n"
				  "#ifndef NULL\n#define NULL 0\n#endif\n"
				  "#define offsetof(type, member) __INTADDR__(&(((type *)0)->member))\n";

/* By the names under which the sources include each other. */
#define SOURCES(X)                       \
	X("stdint.h", text_stdint)       \
	X("stddef.h", text_stddef)       \
	X("rk_base.h", text_base)        \
	X("rk_msg.h", text_msg)          \
	X("rk_handler.h", text_handler)  \
	X("rk_hlc.h", text_hlc)          \
	X("rk_io.h", text_io)            \
	X("ring/rk_slot.h", text_slot)   \
	X("gpu_layout.h", text_layout)   \
	X("gpu_lane.h", text_lane)       \
	X("gpu_ptx.cuh", text_ptx)       \
	X("gpu_ring.cuh", text_ring)     \
	X("gpu_actor.cuh", text_actor)   \
	X("gpu_cut.cuh", text_cut)       \
	X("gpu_flow.cuh", text_flow)     \
	X("gpu_control.cuh", text_control) \
	X("gpu_take.cuh", text_take)     \
	X("gpu_io.cuh", text_gpu_io)     \
	X("gpu_run.cuh", text_run)       \
	X("gpu_calibrate.cuh", text_calibrate) \
	X("count.c", text_count)         \
	X("count.h", text_count_h)       \
	X("echo.c", text_echo)           \
	X("echo.h", text_echo_h)         \
	X("file_scan.c", text_scan)      \
	X("file_scan.h", text_scan_h)    \
	X("mdp3_book.c", text_mdp3)      \
	X("mdp3_book.h", text_mdp3_h)    \
	X("mdp3_wire.h", text_wire) \
	X("l2_forward.c", text_l2) \
	X("l2_forward.h", text_l2_h) \
	X("rk_frame.h", text_frame) \
	X("rk_packet.h", text_packet) \
	X("rk_pattern.h", text_pattern) \
	X("broadcast.c", text_broadcast) \
	X("broadcast.h", text_broadcast_h) \
	X("partition.c", text_partition) \
	X("partition.h", text_partition_h) \
	X("topic.c", text_topic) \
	X("topic.h", text_topic_h)

#define NAME(name, text) name,
#define TEXT(name, text) text,
static const char *const names[] = {SOURCES(NAME)};
static const char *const texts[] = {SOURCES(TEXT)};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

/* What a module is made from, beside the device sources. */
struct recipe {
	char text[RECIPE_BYTES];
	char arch[32];
	char key[128]; /* architecture, options and compiler, for the cache */
	uint64_t hash;
};

#define FNV_START 0xcbf29ce484222325ULL

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < count; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL;
	return hash;
}

static uint64_t hash_more(uint64_t hash, const char *text)
{
	return hash_bytes(hash, text, strlen(text));
}

/* --- The cache --- */

static int cache_path(char *path, const struct recipe *recipe, const char *suffix)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	const char *below = base && *base ? "" : "/.cache";
	char folder[PATH_BYTES - 64];

	if (below[0])
		base = home;
	if (!base || !*base ||
	    snprintf(folder, sizeof(folder), "%s%s", base, below) >= (int)sizeof(folder) - 16)
		return -ENOENT;
	mkdir(folder, 0777);
	strcat(folder, "/ringkernel");
	mkdir(folder, 0777);
	snprintf(path, PATH_BYTES, "%s/%016llx%s", folder, (unsigned long long)recipe->hash, suffix);
	return 0;
}

/* The front of a file; the code follows. */
struct cache_front {
	char key[128];
	uint64_t image_bytes;
	uint64_t image_hash;
};

static struct cache_front cache_front(const struct recipe *recipe, const void *image, size_t bytes)
{
	struct cache_front front = {.image_bytes = bytes,
				    .image_hash = hash_bytes(FNV_START, image, bytes)};

	memcpy(front.key, recipe->key, sizeof(front.key));
	return front;
}

/* The file's code; NULL when there is none, or it is not what was written. */
static void *cache_read(const struct recipe *recipe)
{
	struct cache_front front, wanted;
	char path[PATH_BYTES];
	struct stat status;
	void *image = NULL;
	FILE *file;

	if (cache_path(path, recipe, "") || !(file = fopen(path, "re")))
		return NULL;
	if (!fstat(fileno(file), &status) && status.st_size > (off_t)sizeof(front) &&
	    fread(&front, sizeof(front), 1, file) == 1 &&
	    front.image_bytes == (uint64_t)status.st_size - sizeof(front))
		image = malloc(front.image_bytes);
	if (image && fread(image, front.image_bytes, 1, file) == 1)
		wanted = cache_front(recipe, image, front.image_bytes);
	else
		wanted = (struct cache_front){0};
	fclose(file);
	if (image && memcmp(&front, &wanted, sizeof(front))) {
		free(image);
		image = NULL;
	}
	return image;
}

/* Whole or not at all: written beside, then renamed. A cache that cannot be written is no error. */
static void cache_write(const struct recipe *recipe, const void *image, size_t bytes)
{
	const struct cache_front front = cache_front(recipe, image, bytes);
	char path[PATH_BYTES], beside[PATH_BYTES], suffix[32];
	bool whole;
	FILE *file;

	snprintf(suffix, sizeof(suffix), ".%d", (int)getpid());
	if (cache_path(path, recipe, "") || cache_path(beside, recipe, suffix) ||
	    !(file = fopen(beside, "we")))
		return;
	whole = fwrite(&front, sizeof(front), 1, file) == 1 && fwrite(image, bytes, 1, file) == 1;
	whole &= !fclose(file);
	if (!whole || rename(beside, path))
		unlink(beside);
}

/* --- Compiling --- */

static int write_recipe(struct recipe *recipe, const struct rk_nvrtc *nvrtc,
			const struct cuda_gpu *gpu, const struct rk_actor_type *type)
{
	const char *source = type ? type->source : "";
	int used = 0;

	memset(recipe, 0, sizeof(*recipe));
	/* One file: what stands before the kernel's own text is the user's handler and the table. */
	if (type)
		used = snprintf(recipe->text, sizeof(recipe->text),
				"#include \"rk_handler.h\"\n#line 1 \"%s\"\n%s\n"
				"#define RK_HANDLERS(X) X(0, %s, %s)\n",
				type->name, source, type->function,
				type->batch ? type->batch_function : "nullptr");
	if (used < 0 || used + strlen(text_persistent) + 64 > sizeof(recipe->text))
		return rk_fail(EINVAL, "actor '%s': its source is longer than %zu bytes", type->name,
			       sizeof(recipe->text) - strlen(text_persistent) - 512);
	snprintf(recipe->text + used, sizeof(recipe->text) - (size_t)used,
		 "#line 1 \"persistent.cu\"\n%s", text_persistent);
	snprintf(recipe->arch, sizeof(recipe->arch), "--gpu-architecture=sm_%d%d", gpu->major,
		 gpu->minor);
	snprintf(recipe->key, sizeof(recipe->key), "ringkernel %d.%d.%d sm_%d%d nvrtc %d.%d",
		 RK_VERSION_MAJOR, RK_VERSION_MINOR, RK_VERSION_PATCH, gpu->major, gpu->minor,
		 nvrtc->major, nvrtc->minor);
	recipe->hash = hash_more(hash_more(FNV_START, recipe->key), recipe->text);
	for (unsigned int i = 0; i < TEXTS; i++)
		recipe->hash = hash_more(recipe->hash, texts[i]);
	return 0;
}

/* The first words of the compiler's log, in one line. */
static int refuse(const struct rk_nvrtc *nvrtc, struct rk_nvrtc_program *program, const char *name,
		  int error)
{
	size_t bytes = 0;
	char *log = NULL;
	int result;

	if (!nvrtc->log_bytes(program, &bytes) && bytes > 1 && (log = calloc(1, bytes + 1)))
		nvrtc->log(program, log);
	for (char *at = log; at && *at; at++)
		if (*at == '\n')
			*at = ' ';
	result = rk_fail(EINVAL, "actor '%s': its source does not compile for the GPU: %s: %.*s", name,
			 nvrtc->error_string(error), LOG_BYTES, log ? log : "");
	free(log);
	return result;
}

static int compile(struct cuda_code *code, const struct rk_nvrtc *nvrtc, const struct recipe *recipe,
		   const char *name)
{
	const char *const options[] = {recipe->arch, "--std=c++17"};
	struct rk_nvrtc_program *program = NULL;
	size_t bytes = 0;
	int error, result = 0;

	error = nvrtc->program_create(&program, recipe->text, "persistent.cu", TEXTS, texts, names);
	if (error)
		return rk_fail(EIO, "actor '%s': NVRTC: %s", name, nvrtc->error_string(error));
	error = nvrtc->compile(program, 2, options);
	if (!error)
		error = nvrtc->cubin_bytes(program, &bytes);
	if (!error) {
		code->image = malloc(bytes);
		error = code->image ? nvrtc->cubin(program, code->image) : RK_NVRTC_OUT_OF_MEMORY;
	}
	if (error)
		result = refuse(nvrtc, program, name, error);
	else
		cache_write(recipe, code->image, bytes);
	nvrtc->program_destroy(&program);
	return result;
}

int cuda_code_get(struct cuda_code *code, const struct cuda_gpu *gpu,
		  const struct rk_actor_type *type)
{
	const char *name = type ? type->name : "shipped";
	const struct rk_nvrtc *nvrtc;
	struct recipe *recipe;
	int result;

	*code = (struct cuda_code){0};
#if RK_HAVE_NVCC
	if (!type) {
		code->image = (void *)(uintptr_t)shipped_code;
		return 0;
	}
#endif
	if (type && (!type->source || !type->function))
		return rk_fail(ENOENT,
			       "actor '%s': no code for GPUs: give struct rk_actor_type its source and "
			       "function",
			       name);
	result = rk_nvrtc(&nvrtc);
	if (result)
		return rk_fail_within(result, "actor '%s'", name);
	recipe = malloc(sizeof(*recipe));
	if (!recipe)
		return rk_fail(ENOMEM, "actor '%s': no memory", name);
	result = write_recipe(recipe, nvrtc, gpu, type);
	if (!result) {
		code->compiled = true;
		code->image = cache_read(recipe);
		if (!code->image)
			result = compile(code, nvrtc, recipe, name);
	}
	free(recipe);
	return result;
}

void cuda_code_free(struct cuda_code *code)
{
	if (code->compiled)
		free(code->image);
}
