/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What tests may ask of the stand-in for the GPU driver, over /dev/rk-standin.
 *
 * "GPU memory" is the memory BAR of QEMU's ivshmem-plain device: GPU address SI_GPU_BASE + n is
 * byte n of the BAR, which a process outside the VM sees too.
 */
#ifndef RK_STANDIN_H
#define RK_STANDIN_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SI_GPU_BASE	0x700000000000ull
#define SI_PAGE		65536u
#define SI_REUSED	0xdeadbeefdeadbeefull	/* what a new owner writes into freed memory */

/* What the next calls of the p2p interface do wrong. */
#define SI_FAIL_NONE		0u
#define SI_FAIL_GET		1u	/* get_pages returns -ENOMEM */
#define SI_FAIL_SHORT		2u	/* a table with one entry too few */
#define SI_FAIL_LONG		3u	/* one too many */
#define SI_FAIL_VERSION		4u	/* an unknown version */
#define SI_FAIL_PAGE_SIZE	5u	/* an unknown page size */
#define SI_FAIL_NULL_PAGE	6u	/* an entry without a page */
#define SI_FAIL_RAM		7u	/* an entry that is system memory */
#define SI_FAIL_ALIGN		8u	/* an entry between pages */
#define SI_FAIL_PUT		9u	/* put_pages returns -ENOMEM; nothing is put */
#define SI_FAIL_EARLY_FREE	10u	/* the memory is freed before get_pages has returned */
#define SI_FAIL_SLOW_PUT	11u	/* put_pages waits 50 ms before it takes its lock */
#define SI_FAIL_NO_TABLE	12u	/* success without a table */

struct si_mode {
	__u32 fail;
	__u32 page_size;	/* enum nv_p2p_page_size */
	__u32 scatter;	/* pages are swapped in pairs: no two are contiguous */
	__u32 reserved;
};

struct si_free {
	__u64 addr;
	__u64 bytes;
	__u32 pins;		/* out: how many were called back */
	__u32 reserved;
};

struct si_state {
	__u32 pins;		/* held now */
	__u32 persistent;	/* of these */
	__u32 callbacks;
	__u32 late_puts;	/* puts that lost to the callback */
	__u32 double_puts;	/* of a table put already */
	__u32 puts_in_callback;
	__u32 stuck;		/* gave up waiting for the driver's lock */
	__u32 imports;		/* dma-bufs attached now */
	__u32 moves;		/* move_notify calls */
	__u32 mapped;		/* imports that are mapped now */
	__u64 gets;
	__u64 puts;
};

#define SI_IMPORT_STATIC	0u	/* an old importer: cannot be told to let go */
#define SI_IMPORT_DYNAMIC	1u	/* follows move_notify, reaches peer memory */
#define SI_IMPORT_NO_PEER	2u	/* follows move_notify, no peer memory */
#define SI_IMPORT_LAZY		3u	/* hears move_notify, unmaps only when told to */

struct si_import {
	__s32 fd;
	__u32 how;
	__u32 id;		/* out */
	__u32 segments;		/* out */
	__u64 bytes;		/* out: sum of segments */
	__u64 first;		/* out: first 8 bytes at the first segment, read through it */
};

struct si_peek {
	__u64 offset;		/* in the BAR */
	__u64 value;		/* out */
};

#define SI_IOC_MODE	_IOW(0xD3, 0, struct si_mode)
#define SI_IOC_FREE	_IOWR(0xD3, 1, struct si_free)
#define SI_IOC_STATE	_IOR(0xD3, 2, struct si_state)
#define SI_IOC_IMPORT	_IOWR(0xD3, 3, struct si_import)
#define SI_IOC_UNIMPORT	_IOW(0xD3, 4, __u32)
#define SI_IOC_PEEK	_IOWR(0xD3, 5, struct si_peek)
#define SI_IOC_POKE	_IOW(0xD3, 6, struct si_peek)

#endif /* RK_STANDIN_H */
