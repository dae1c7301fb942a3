/* SPDX-License-Identifier: MIT */
/*
 * rk_region_share.h - one region in several processes, by a descriptor that may be passed on.
 *
 * Regions of provider `kmod` are pinned and owned by the process that opened them. The descriptor
 * is a dma-buf: another process maps it here, and drivers (verbs) import it. When the owner closes
 * the region or dies, every access by others raises SIGBUS; so link the two ends by a doorbell
 * (rk_doorbell.h) and stop when told.
 *
 * Memory of a GPU is exported likewise, for drivers to import: port verbs does, so that a NIC
 * writes slots there. Slots validate themselves. Who lets a NIC write other things into such a
 * region, and names them in a message, calls rk_region_settle() in between.
 */
#ifndef RK_REGION_SHARE_H
#define RK_REGION_SHARE_H

#include "gpudirect/rk_region.h"

RK_BEGIN_DECLS

/**
 * rk_region_export() - a descriptor of a region for others
 * @region: open, of provider `kmod`, or on a GPU and not `pinned`
 *
 * Context: any thread; sleeps.
 * Owner: the caller closes the descriptor; send it by SCM_RIGHTS.
 * Return: the descriptor; -EOPNOTSUPP for another provider; -EMFILE; what CUDA says where it
 * exports no such memory; said in rk_errmsg().
 */
RK_API int rk_region_export(const struct rk_region *region);

/**
 * rk_region_settle() - let a GPU see what a NIC has written into its memory
 * @region: that was written
 *
 * Between the NIC's completion and the message that names what it wrote. Of GPUs that order such
 * writes by themselves (`ringkernel info`: rdma_writes) nothing is asked, nor where the memory is
 * the host's.
 *
 * Context: any thread of the host; some microseconds where the driver is called.
 * Return: 0; -EOPNOTSUPP where neither the GPU orders nor the host can; -EIO; said in rk_errmsg().
 */
RK_API int rk_region_settle(const struct rk_region *region);

/**
 * rk_region_import() - map a region of another process
 * @region: out
 * @fd: as made by rk_region_export(); stays the caller's and may be closed at once
 *
 * Context: any thread; sleeps.
 * Owner: rk_region_close() unmaps it; the memory stays its owner's.
 * Return: 0; -EINVAL for a descriptor that is no dma-buf; -ENODEV when its owner is gone; -ENOMEM;
 * said in rk_errmsg().
 */
RK_API int rk_region_import(struct rk_region **region, int fd);

RK_END_DECLS

#endif
