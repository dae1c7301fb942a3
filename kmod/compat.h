/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The age of the kernel, all of it.
 *
 * The rest of the module is written for the current kernel; what 6.1 and later ones lack or do
 * differently is bridged here.  Oldest kernel: 6.1.
 */
#ifndef RK_COMPAT_H
#define RK_COMPAT_H

#include <linux/dma-buf.h>
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "ringkernel needs Linux 6.1 or later"
#endif

/* 6.13 made the name of a symbol namespace a string. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define RK_IMPORT_DMA_BUF MODULE_IMPORT_NS("DMA_BUF")
#else
#define RK_IMPORT_DMA_BUF MODULE_IMPORT_NS(DMA_BUF)
#endif

/* 6.8 dropped the count, which was always one here. */
static inline void rk_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* 6.3 made vm_flags read-only and gave it helpers. */
static inline void rk_vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/**
 * rk_follow_prot() - protection bits of the page table entry at an address
 * @vma: area with a special mapping that holds @addr
 * @addr: user address
 * @prot: result
 *
 * Context: mmap lock of vma->vm_mm held for reading.
 * Return: 0, or -EINVAL if nothing is mapped there.
 */
static inline int rk_follow_prot(struct vm_area_struct *vma, unsigned long addr, pgprot_t *prot)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	*prot = args.pgprot;
	follow_pfnmap_end(&args);
#else
	spinlock_t *ptl; /* of the page table */
	pte_t *pte;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	int err = follow_pte(vma, addr, &pte, &ptl);
#else
	int err = follow_pte(vma->vm_mm, addr, &pte, &ptl);
#endif

	if (err)
		return err;
	__acquire(ptl); /* follow_pte() took it, which sparse cannot see */
	*prot = pte_pgprot(*pte);
	pte_unmap_unlock(pte, ptl);
#endif
	return 0;
}

#endif /* RK_COMPAT_H */
