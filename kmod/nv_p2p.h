/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of the NVIDIA driver's p2p interface that pin_gpu.c uses.
 *
 * Declared here, so that the module builds where no NVIDIA driver is; the layout is the driver's
 * ABI, version 2 of its page table.  The functions are looked up when first needed (symbol_get).
 */
#ifndef RK_NV_P2P_H
#define RK_NV_P2P_H

#include <linux/types.h>

#define NV_P2P_TABLE_MAJOR(version)	((version) >> 16)
#define NV_P2P_TABLE_MAJOR_KNOWN	2u
#define NV_P2P_TABLE_CACHEABLE		0x1u	/* coherent platform: map cached */

enum nv_p2p_page_size {
	NV_P2P_PAGE_4K,
	NV_P2P_PAGE_64K,
	NV_P2P_PAGE_128K,
};

struct nvidia_p2p_page {
	u64 physical_address;
	u32 registers[6];
};

struct nvidia_p2p_page_table {
	u32 version;
	u32 page_size;
	struct nvidia_p2p_page **pages;
	u32 entries;
	u8 *gpu_uuid;
	u32 flags;
};

int nvidia_p2p_get_pages(u64 token, u32 va_space, u64 addr, u64 bytes,
			 struct nvidia_p2p_page_table **table,
			 void (*free_callback)(void *data), void *data);
int nvidia_p2p_put_pages(u64 token, u32 va_space, u64 addr, struct nvidia_p2p_page_table *table);
int nvidia_p2p_get_pages_persistent(u64 addr, u64 bytes, struct nvidia_p2p_page_table **table,
				    u32 flags);
int nvidia_p2p_put_pages_persistent(u64 addr, struct nvidia_p2p_page_table *table, u32 flags);

#endif /* RK_NV_P2P_H */
