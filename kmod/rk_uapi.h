/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What /dev/ringkernel offers, and its manual.
 *
 * The module gives a process what user space alone cannot have: host pages that stay where they
 * are, GPU memory mapped for the CPU, doorbells that wake a sleeper without a system call by the
 * ringer, and notice of a dead peer.  The data path never enters the module: a message is a store
 * through a mapping.
 *
 * Life of things.  Everything is made on one open file and dies with it.  Only the process that
 * opened the file (same thread group, same address space) may use it: a child that inherited the
 * descriptor, or a program after exec, gets -EPERM for everything but RK_IOC_VERSION.  When the
 * opener exits, all its objects go, even while a child still holds the descriptor.  Memory is
 * shared by RK_IOC_EXPORT: the dma-buf descriptor may be passed on, mapped by others (mmap) and
 * imported by drivers.
 *
 * Revocation.  Memory is revoked by RK_IOC_UNPIN, by the end of the opener and, for GPU memory, by
 * the GPU driver.  From then on every access through any mapping of it raises SIGBUS and importers
 * have been told to stop; it never shows what the memory is used for next.  Bells are the
 * module's own pages and are not revoked: a store to the bell of a dead process goes nowhere.
 *
 * Rules of all calls.  A call returns 0 or fails with -1 and errno; output fields are written only
 * on success (RK_IOC_VERSION excepted).  Reserved fields must be zero going in, flags must be from
 * the F_ALL set.  Sizes, offsets and addresses are bytes.  Structs are the same for 32-bit and
 * 64-bit callers, though a 32-bit one can map only its first 15 objects (mmap offsets of 44 bits).
 *
 * errno common to all calls:
 *   EFAULT   the argument struct cannot be read or written
 *   EINVAL   a field is out of range, misaligned, or reserved and not zero; the kernel log has a
 *            rate-limited line that names the field
 *   ENOENT   no such handle, bell or link on this file
 *   ENOTTY   the command is unknown to this module
 *   EPERM    the caller is not the process that opened the file
 *   ENOMEM   no kernel memory
 */
#ifndef RK_UAPI_H
#define RK_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define RK_DEVICE_PATH	"/dev/ringkernel"

/* Major in the upper 16 bits: changes when an old program would break. */
#define RK_UAPI_VERSION	0x00010000u

#define RK_IOC_TYPE	0xD2

/* Kinds of memory, as reported by RK_IOC_MEM_INFO. */
#define RK_MEM_HOST	1u	/* the caller's own pages, pinned */
#define RK_MEM_GPU	2u	/* GPU memory behind a PCI BAR */
#define RK_MEM_BELLS	3u	/* pages of doorbells, the module's own */

/* Memory types found in a page table entry. */
#define RK_TYPE_NONE	0u	/* not mapped at that address (yet) */
#define RK_TYPE_WB	1u	/* write-back: cached */
#define RK_TYPE_WC	2u	/* write-combining */
#define RK_TYPE_UC	3u	/* uncached, no combining: works, slowly */

/**
 * struct rk_version - RK_IOC_VERSION: do caller and module understand each other?
 * @version: in: the caller's RK_UAPI_VERSION; out: the module's
 * @oldest: in: oldest module version the caller accepts; out: oldest caller the module accepts
 * @features: in: 0; out: RK_FEAT_* that work at this moment
 * @reserved: 0
 *
 * Anyone holding the descriptor may ask.  The fields are filled in also when the answer is no.
 *
 * errno: EPROTONOSUPPORT one side is too old for the other.
 */
struct rk_version {
	__u32 version;
	__u32 oldest;
	__u64 features;
	__u64 reserved[2];
};

#define RK_FEAT_P2P		(1ull << 0)	/* a driver offers nvidia_p2p_get_pages */
#define RK_FEAT_P2P_PERSISTENT	(1ull << 1)	/* and its persistent variant */

/**
 * struct rk_pin_host - RK_IOC_PIN_HOST: keep a piece of the caller's memory where it is
 * @addr: in: first byte, page aligned
 * @bytes: in: size, a multiple of the page size, not 0
 * @flags: in: 0
 * @handle: out: names the memory on this file, never 0
 * @mmap_offset: out: offset for mmap() on this file
 * @reserved: 0
 *
 * The pages are counted against RLIMIT_MEMLOCK (seen as VmPin in /proc/PID/status; CAP_IPC_LOCK
 * lifts it) and against the user's quota.  The memory must be writable by the caller.
 *
 * errno: EFAULT part of the range is not mapped or not writable; EDQUOT a quota of the user would
 * be passed (module parameters max_pinned_mib, max_objects); ENOMEM also: RLIMIT_MEMLOCK would be
 * passed; EOVERFLOW @addr + @bytes wraps; EINTR a fatal signal arrived.
 */
struct rk_pin_host {
	__u64 addr;
	__u64 bytes;
	__u32 flags;
	__u32 handle;
	__u64 mmap_offset;
	__u64 reserved[2];
};

/**
 * struct rk_pin_gpu - RK_IOC_PIN_GPU: keep GPU memory where it is, reachable for the CPU
 * @addr: in: GPU virtual address as CUDA gives it, 64 KiB aligned
 * @bytes: in: size, a multiple of 64 KiB, not 0
 * @flags: in: RK_PIN_GPU_F_*
 * @handle: out: names the memory on this file, never 0
 * @mmap_offset: out: offset for mmap() on this file
 * @page_bytes: out: size of the GPU's pages
 * @runs: out: physically contiguous runs; each needs its own mmap(), see RK_IOC_RUN
 * @wc_runs: out: runs for which write-combining could be reserved
 * @reserved_out: out: 0
 * @reserved: 0
 *
 * The caller must be the process in which the CUDA context lives.  With
 * RK_PIN_GPU_F_PERSISTENT the memory outlives its cudaFree until it is unpinned; without, the
 * driver revokes it when it is freed or its context dies.
 *
 * errno: ENODEV no driver offers the p2p interface; EOPNOTSUPP it has no persistent variant; EIO
 * it returned a page table that cannot be right; EDQUOT, EOVERFLOW as for struct rk_pin_host; and
 * whatever nvidia_p2p_get_pages() returns (EINVAL for an address that is not GPU memory).
 */
struct rk_pin_gpu {
	__u64 addr;
	__u64 bytes;
	__u32 flags;
	__u32 handle;
	__u64 mmap_offset;
	__u32 page_bytes;
	__u32 runs;
	__u32 wc_runs;
	__u32 reserved_out;
	__u64 reserved[2];
};

#define RK_PIN_GPU_F_PERSISTENT	(1u << 0)
#define RK_PIN_GPU_F_ALL	RK_PIN_GPU_F_PERSISTENT

/*
 * mmap() of @mmap_offset + n, on this file or (offset n) on an exported dma-buf: MAP_SHARED, not
 * executable, within the memory and, for GPU memory, within one run.  GPU memory is mapped
 * write-combined (or cached, where the driver says that it is coherent).  The mapping is not
 * inherited by fork, cannot be grown, moved or unmapped in part, and is no memory for O_DIRECT or
 * registered buffers (EFAULT): use the original address for that.  First touch maps up to 2 MiB.
 *
 * errno: EINVAL not shared, executable, outside the memory, crosses runs; ENODEV revoked.
 */

/**
 * struct rk_unpin - RK_IOC_UNPIN: revoke memory or bells and give them back
 * @handle: in: as given by RK_IOC_PIN_HOST, RK_IOC_PIN_GPU or RK_IOC_BELLS
 * @reserved: 0
 *
 * Mappings of pinned memory raise SIGBUS afterwards.  Pages in use by an importer of an exported
 * dma-buf stay pinned, and charged to the user, until it lets go.
 */
struct rk_unpin {
	__u32 handle;
	__u32 reserved;
};

/**
 * struct rk_run - RK_IOC_RUN: one physically contiguous run of GPU memory
 * @handle: in
 * @index: in: 0 to runs - 1
 * @offset: out: where the run begins in the memory
 * @bytes: out: its size
 * @reserved: 0
 *
 * Host memory and bells are one run: cached memory needs no contiguity to be mapped at once.
 *
 * errno: ENOENT also: no run of that index.
 */
struct rk_run {
	__u32 handle;
	__u32 index;
	__u64 offset;
	__u64 bytes;
	__u64 reserved[2];
};

/**
 * struct rk_mem_info - RK_IOC_MEM_INFO: what became of a piece of memory
 * @handle: in
 * @flags: in: 0
 * @addr: in: 0, or an address inside a mapping of this memory in the caller
 * @bytes: out: size
 * @kind: out: RK_MEM_*
 * @revoked: out: 1 once revoked, else 0
 * @mem_type: out: RK_TYPE_* found in the page table at @addr; RK_TYPE_NONE if untouched so far
 * @runs: out: contiguous runs
 * @wc_runs: out: runs for which write-combining could be reserved
 * @reserved_out: out: 0
 * @reserved: 0
 *
 * errno: EINVAL also: @addr is not inside a mapping of this memory.
 */
struct rk_mem_info {
	__u32 handle;
	__u32 flags;
	__u64 addr;
	__u64 bytes;
	__u32 kind;
	__u32 revoked;
	__u32 mem_type;
	__u32 runs;
	__u32 wc_runs;
	__u32 reserved_out;
	__u64 reserved[2];
};

/**
 * struct rk_export - RK_IOC_EXPORT: a dma-buf of a piece of memory or of bells
 * @handle: in
 * @flags: in: 0 or O_CLOEXEC
 * @fd: out: the descriptor
 * @reserved_in: in: 0
 * @reserved: 0
 *
 * GPU memory goes only to importers that can reach peer memory, and, unless it is persistent, only
 * to importers that can be told to let go (move_notify).  On kernels built without
 * CONFIG_DMABUF_MOVE_NOTIFY there are none of these: there the import of memory that is not
 * persistent fails with EOPNOTSUPP.
 *
 * errno: ENODEV revoked; EMFILE no free descriptor.
 */
struct rk_export {
	__u32 handle;
	__u32 flags;
	__s32 fd;
	__u32 reserved_in;
	__u64 reserved[2];
};

/*
 * Doorbells.  A bell is 64 bytes: eight 64-bit words.  Words 0 to 6 belong to up to seven writers,
 * one word each, handed out by the owner of the bell as he likes.  A writer rings by storing a
 * larger number into its own word; its count of rings is the number it stored, so nothing is lost
 * however many write at once, and a device can do it.  The last word is the module's.
 *
 * The count of a bell is the sum of words 0 to 6 plus the count in the module's word.  A waiter
 * remembers the count it has dealt with.  To sleep: RK_IOC_BELL_ARM with that count; if it is no
 * longer true the call says so at once and nothing was armed, else poll() the bound eventfd, which
 * becomes readable when the count changes.  However many rings there were, that is one wake: the
 * difference of counts tells how many.  A wake disarms.
 *
 * While a bell is armed the module watches it: without pause for spin_us after the last ring seen,
 * then with a timer of poll_min_us growing to poll_max_us (module parameters).  It does not run at
 * all when no bell is armed.
 */
#define RK_BELL_BYTES		64u
#define RK_BELL_WRITERS		7u
#define RK_BELL_MODULE_WORD	7u
#define RK_BELL_REASON_BITS	8u	/* module's word: count << 8 | reason */
#define RK_BELLS_MAX		4096u

/* Why the module itself rang last. */
#define RK_REASON_NONE		0u	/* it did not */
#define RK_REASON_PEER_CAME	1u	/* the other end of a link has joined */
#define RK_REASON_PEER_LEFT	2u	/* the other end left by RK_IOC_LINK_LEAVE */
#define RK_REASON_PEER_DEAD	3u	/* the other end's process or file is gone */

/**
 * struct rk_bells - RK_IOC_BELLS: make doorbells
 * @count: in: 1 to RK_BELLS_MAX
 * @flags: in: 0
 * @handle: out: names the bells on this file
 * @reserved_out: out: 0
 * @mmap_offset: out: offset for mmap(); bell i is at 64 * i
 * @bytes: out: size of the mapping
 * @reserved: 0
 *
 * errno: EDQUOT a quota of the user would be passed (max_bells, max_objects).
 */
struct rk_bells {
	__u32 count;
	__u32 flags;
	__u32 handle;
	__u32 reserved_out;
	__u64 mmap_offset;
	__u64 bytes;
	__u64 reserved[2];
};

/**
 * struct rk_bell_bind - RK_IOC_BELL_BIND: which eventfd a bell wakes
 * @handle: in: of the bells
 * @index: in: which bell
 * @eventfd: in: the descriptor, or -1 to unbind (which disarms)
 * @reserved: 0
 *
 * errno: EBADF not a descriptor; EINVAL not an eventfd.
 */
struct rk_bell_bind {
	__u32 handle;
	__u32 index;
	__s32 eventfd;
	__u32 reserved;
};

/**
 * struct rk_bell_arm - RK_IOC_BELL_ARM: wake me when the count is no longer this
 * @handle: in: of the bells
 * @index: in: which bell
 * @seen: in: the count the caller has dealt with
 * @count: out: the count now
 * @reason: out: RK_REASON_* of the module's last ring
 * @armed: out: 1 if the bell was armed, 0 if @count already differs from @seen
 * @reserved: 0
 *
 * errno: ENXIO no eventfd is bound.
 */
struct rk_bell_arm {
	__u32 handle;
	__u32 index;
	__u64 seen;
	__u64 count;
	__u32 reason;
	__u32 armed;
	__u64 reserved[2];
};

/**
 * struct rk_link_join - RK_IOC_LINK_JOIN: take one end of a ring
 * @token: in: 128 random bits that both ends know and nobody else, not all 0
 * @end: in: 0 or 1
 * @handle: in: of the bells
 * @index: in: the bell that the module rings when the other end comes, leaves or dies
 * @link: out: names this end on this file
 * @peer: out: 1 if the other end is there already
 * @reserved_in: in: 0
 * @reserved: 0
 *
 * The death of the other end rings at once, without the poller, and tells the bound eventfd whether
 * the bell is armed or not.
 *
 * errno: EBUSY that end is taken; EDQUOT max_objects.
 */
struct rk_link_join {
	__u64 token[2];
	__u32 end;
	__u32 handle;
	__u32 index;
	__u32 link;
	__u32 peer;
	__u32 reserved_in;
	__u64 reserved[2];
};

/**
 * struct rk_link_leave - RK_IOC_LINK_LEAVE: give an end back in order
 * @link: in: as given by RK_IOC_LINK_JOIN
 * @reserved: 0
 */
struct rk_link_leave {
	__u32 link;
	__u32 reserved;
};

#define RK_IOC_VERSION		_IOWR(RK_IOC_TYPE, 0x00, struct rk_version)
#define RK_IOC_PIN_HOST		_IOWR(RK_IOC_TYPE, 0x01, struct rk_pin_host)
#define RK_IOC_PIN_GPU		_IOWR(RK_IOC_TYPE, 0x02, struct rk_pin_gpu)
#define RK_IOC_UNPIN		_IOW(RK_IOC_TYPE, 0x03, struct rk_unpin)
#define RK_IOC_RUN		_IOWR(RK_IOC_TYPE, 0x04, struct rk_run)
#define RK_IOC_MEM_INFO		_IOWR(RK_IOC_TYPE, 0x05, struct rk_mem_info)
#define RK_IOC_EXPORT		_IOWR(RK_IOC_TYPE, 0x06, struct rk_export)
#define RK_IOC_BELLS		_IOWR(RK_IOC_TYPE, 0x10, struct rk_bells)
#define RK_IOC_BELL_BIND	_IOW(RK_IOC_TYPE, 0x11, struct rk_bell_bind)
#define RK_IOC_BELL_ARM		_IOWR(RK_IOC_TYPE, 0x12, struct rk_bell_arm)
#define RK_IOC_LINK_JOIN	_IOWR(RK_IOC_TYPE, 0x20, struct rk_link_join)
#define RK_IOC_LINK_LEAVE	_IOW(RK_IOC_TYPE, 0x21, struct rk_link_leave)

#endif /* RK_UAPI_H */
