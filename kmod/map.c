// SPDX-License-Identifier: GPL-2.0
/*
 * Memory in the page tables of user space, and out of them again.
 *
 * Pages are inserted by the fault handler only, never by mmap: an area is not yet findable by a
 * zap while mmap runs.  The handler holds mem->lock for reading across its look at mem->dead and
 * the insertion; revoking sets mem->dead under the same lock and zaps afterwards, so nothing can be
 * inserted behind the zap.
 *
 * On x86 write-combining of a BAR page is granted only where it has been reserved; asking for it in
 * the page protection alone gives an uncached page without a word.  So it is reserved for each
 * contiguous piece, and RK_IOC_MEM_INFO reads back what the page table holds.
 */
#include <linux/io.h>
#include <linux/sizes.h>

#include "ringkernel.h"

/* One fault fills as much as one upper-level page table entry spans. */
#define FAULT_SPAN	SZ_2M

static unsigned long pfn_at(const struct rk_mem *mem, u64 offset)
{
	const struct rk_extent *extent;

	if (mem->pages)
		return page_to_pfn(mem->pages[offset >> PAGE_SHIFT]);
	extent = rk_mem_extent(mem, offset);
	return (extent->phys + (offset - extent->offset)) >> PAGE_SHIFT;
}

/* Fills the part of the area around the fault; only the faulting page must succeed. */
static vm_fault_t insert_around(struct rk_mem *mem, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	u64 base = (u64)(vma->vm_pgoff & RK_PGOFF_MASK) << PAGE_SHIFT;
	unsigned long span = ALIGN_DOWN(vmf->address, FAULT_SPAN);
	unsigned long addr = max(vma->vm_start, span);
	unsigned long end = min(vma->vm_end, span + FAULT_SPAN);
	unsigned long here = vmf->address & PAGE_MASK;
	vm_fault_t ret;

	ret = vmf_insert_pfn(vma, here, pfn_at(mem, base + (here - vma->vm_start)));
	if (ret != VM_FAULT_NOPAGE)
		return ret;
	for (; addr < end; addr += PAGE_SIZE) {
		if (addr == here)
			continue;
		if (vmf_insert_pfn(vma, addr, pfn_at(mem, base + (addr - vma->vm_start))) !=
		    VM_FAULT_NOPAGE)
			break;
	}
	return VM_FAULT_NOPAGE;
}

static vm_fault_t rk_vm_fault(struct vm_fault *vmf)
{
	struct rk_mem *mem = vmf->vma->vm_private_data;
	vm_fault_t ret;

	down_read(&mem->lock);
	ret = mem->dead ? VM_FAULT_SIGBUS : insert_around(mem, vmf);
	up_read(&mem->lock);
	rk_stat_add(ret == VM_FAULT_SIGBUS ? RK_STAT_FAULTS_DEAD : RK_STAT_FAULTS, 1);
	return ret;
}

static void rk_vm_open(struct vm_area_struct *vma)
{
	rk_mem_get(vma->vm_private_data);
}

static void rk_vm_close(struct vm_area_struct *vma)
{
	rk_mem_put(vma->vm_private_data);
}

static int rk_vm_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static int rk_vm_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static const struct vm_operations_struct rk_vm_ops = {
	.open = rk_vm_open,
	.close = rk_vm_close,
	.may_split = rk_vm_may_split,
	.mremap = rk_vm_mremap,
	.fault = rk_vm_fault,
};

static bool range_ok(const struct rk_mem *mem, u64 offset, u64 bytes)
{
	const struct rk_extent *extent;

	if (offset >= mem->bytes || bytes > mem->bytes - offset)
		return false;
	if (!mem->extents)
		return true;
	extent = rk_mem_extent(mem, offset);
	return extent && bytes <= extent->bytes - (offset - extent->offset);
}

/**
 * rk_mem_mmap() - prepare an area; pages come with the first access
 * @mem: what to map
 * @vma: the area, of the owner's file or of an exported dma-buf
 * @pgoff: page of @mem at which the area starts
 *
 * Return: 0, -EINVAL for an area that cannot be, -ENODEV if @mem is revoked.
 */
int rk_mem_mmap(struct rk_mem *mem, struct vm_area_struct *vma, unsigned long pgoff)
{
	u64 bytes = vma->vm_end - vma->vm_start;
	bool dead;

	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC)) {
		rk_refuse("mmap", "flags", vma->vm_flags);
		return -EINVAL;
	}
	if (pgoff > RK_PGOFF_MASK || !range_ok(mem, (u64)pgoff << PAGE_SHIFT, bytes)) {
		rk_refuse("mmap", "range", bytes);
		return -EINVAL;
	}
	down_read(&mem->lock);
	dead = mem->dead;
	up_read(&mem->lock);
	if (dead)
		return -ENODEV;
	rk_vm_flags_mod(vma, VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP | VM_IO,
			VM_MAYEXEC);
	if (mem->page_prot_wc)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	/* An offset in the opener's address space also for areas of a dma-buf: one zap for all. */
	vma->vm_pgoff = pgoff + ((unsigned long)mem->handle << (RK_OFFSET_BITS - PAGE_SHIFT));
	vma->vm_private_data = mem;
	vma->vm_ops = &rk_vm_ops;
	rk_mem_get(mem);
	return 0;
}

/* Reserves write-combining for what will be mapped so. */
void rk_wc_reserve(struct rk_mem *mem)
{
	u32 i;

	if (!mem->page_prot_wc)
		return;
	for (i = 0; i < mem->nr_extents; i++) {
		struct rk_extent *extent = &mem->extents[i];

		extent->wc = !arch_io_reserve_memtype_wc(extent->phys, extent->bytes);
		if (extent->wc)
			mem->nr_wc++;
		else
			rk_stat_add(RK_STAT_WC_REFUSED, 1);
	}
	atomic_set(&mem->wc_held, 1);
}

static void wc_free(struct rk_mem *mem)
{
	u32 i;

	if (!atomic_xchg(&mem->wc_held, 0))
		return;
	for (i = 0; i < mem->nr_extents; i++)
		if (mem->extents[i].wc)
			arch_io_free_memtype_wc(mem->extents[i].phys, mem->extents[i].bytes);
}

/**
 * rk_mem_revoke() - nobody reaches the memory any more when this returns
 * @mem: memory; bells only stop ringing, their pages are the module's own and stay
 *
 * May be called more than once and from several sides at a time: each call returns only when the
 * zap is done, whoever did it.
 *
 * Context: process; the GPU driver's lock may be held.
 */
void rk_mem_revoke(struct rk_mem *mem)
{
	if (mem->kind == RK_MEM_BELLS) {
		rk_bells_silence(mem);
		return;
	}
	down_write(&mem->lock);
	mem->dead = true;
	up_write(&mem->lock);
	/* Without a handle it has never been mapped nor exported. */
	if (mem->handle)
		unmap_mapping_range(mem->ctx->inode->i_mapping,
				    (loff_t)mem->handle << RK_OFFSET_BITS, mem->bytes, 1);
	rk_exports_invalidate(mem);
	wc_free(mem);
}

static u32 type_of(pgprot_t prot)
{
#ifdef CONFIG_X86
	const pgprotval_t none = 0;
	pgprotval_t bits = pgprot_val(prot) & _PAGE_CACHE_MASK;

	if (bits == (pgprot_val(pgprot_noncached(__pgprot(none))) & _PAGE_CACHE_MASK))
		return RK_TYPE_UC;
	if (bits == (pgprot_val(pgprot_writecombine(__pgprot(none))) & _PAGE_CACHE_MASK))
		return RK_TYPE_WC;
	return bits == 0 ? RK_TYPE_WB : RK_TYPE_UC;
#else
	if (pgprot_val(prot) == pgprot_val(pgprot_writecombine(prot)))
		return RK_TYPE_WC;
	return pgprot_val(prot) == pgprot_val(pgprot_noncached(prot)) ? RK_TYPE_UC : RK_TYPE_WB;
#endif
}

/**
 * rk_mem_type_at() - memory type in the caller's page table
 * @mem: memory
 * @addr: address in a mapping of it
 * @err: set to -EINVAL if it is not, else untouched
 *
 * Return: RK_TYPE_*.
 */
u32 rk_mem_type_at(struct rk_mem *mem, unsigned long addr, int *err)
{
	struct vm_area_struct *vma;
	u32 type = RK_TYPE_NONE;
	pgprot_t prot;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (!vma || vma->vm_ops != &rk_vm_ops || vma->vm_private_data != mem) {
		rk_refuse("MEM_INFO", "addr", addr);
		*err = -EINVAL;
	} else if (!rk_follow_prot(vma, addr, &prot)) {
		type = type_of(prot);
	}
	mmap_read_unlock(current->mm);
	return type;
}
