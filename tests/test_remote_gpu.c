// SPDX-License-Identifier: MIT
/*
 * Memory of a GPU written by a NIC, with stand-ins for both: in which order it is registered and
 * what is said of each refusal, when writes are flushed, and rings that peers write there, or not.
 */
#include "fake_aid.h"
#include "remote_aid.h"
#include "gpu_region_aid.h"
#include "gpudirect/rk_region_share.h"
#include "ports/verbs_memory.h"

static int reset(void **unused)
{
	(void)unused;
	*fake = (struct fake_cuda){.version = 13030, .gpus = 1, .fail_with = 999};
	*vulkan = (struct fake_vulkan){.fail_with = -3};
	unreachable = NULL;
	return 0;
}

static struct rk_region *open_on_gpu(const char *provider, size_t bytes)
{
	const struct rk_region_opts opts = {
		.size = sizeof(opts), .provider = provider, .on_gpu = true};

	return aid_open(bytes, &opts);
}

static void expect_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("'%s' does not say '%s'", text, words);
}

/* --- Registering --- */

#if RK_HAVE_VERBS

/* A device that refuses what it is told to, and notes what it was asked for. */
static struct {
	int refuse_dmabuf, refuse_mr; /* errno; 0: takes it */
	int dmabufs, mrs, live;
	uint64_t offset, addr;
	struct ibv_mr mr;
	struct ibv_context context;
	struct ibv_pd pd;
} nic;

static struct ibv_mr *registered(int error)
{
	errno = error;
	nic.live += !error;
	return error ? NULL : &nic.mr;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *addr, size_t bytes, int access)
{
	(void)pd;
	(void)bytes;
	(void)access;
	nic.mrs++;
	nic.addr = (uintptr_t)addr;
	return registered(nic.refuse_mr);
}

/* What the descriptor is of must be the memory that is meant. */
static struct ibv_mr *reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t bytes, uint64_t iova,
				    int fd, int access)
{
	char *map = mmap(NULL, offset + bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)pd;
	(void)access;
	assert_true(map != MAP_FAILED);
	map[offset] = 77;
	assert_int_equal(*(volatile char *)(uintptr_t)iova, 77);
	munmap(map, offset + bytes);
	nic.dmabufs++;
	nic.offset = offset;
	nic.addr = iova;
	return registered(nic.refuse_dmabuf);
}

static int dereg_mr(struct ibv_mr *mr)
{
	assert_ptr_equal(mr, &nic.mr);
	nic.live--;
	return 0;
}

static struct ibv_context *open_device(struct ibv_device *device)
{
	(void)device;
	nic.live++;
	return &nic.context;
}

static int close_device(struct ibv_context *context)
{
	(void)context;
	nic.live--;
	return 0;
}

static struct ibv_pd *alloc_pd(struct ibv_context *context)
{
	(void)context;
	nic.live++;
	return &nic.pd;
}

static int dealloc_pd(struct ibv_pd *pd)
{
	(void)pd;
	nic.live--;
	return 0;
}

static const char *device_name(struct ibv_device *device)
{
	(void)device;
	return "nic0";
}

static const struct verbs_lib lib = {
	.ibv_reg_mr = reg_mr,
	.ibv_reg_dmabuf_mr = reg_dmabuf_mr,
	.ibv_dereg_mr = dereg_mr,
	.ibv_open_device = open_device,
	.ibv_close_device = close_device,
	.ibv_alloc_pd = alloc_pd,
	.ibv_dealloc_pd = dealloc_pd,
	.ibv_get_device_name = device_name,
};

/* The second page of a region, of which a dma-buf is the whole. */
static struct remote_memory second_page(struct rk_region *region)
{
	rk_region_take(region, 4096);
	return (struct remote_memory){rk_region_take(region, 4096), 4096, region};
}

static void dma_buf_comes_first(void **unused)
{
	struct rk_region *region = open_on_gpu("dmabuf", 3 * 4096);
	struct remote_memory memory = second_page(region);
	struct verbs_memory out;

	(void)unused;
	nic = (__typeof__(nic)){.refuse_mr = EFAULT};
	assert_int_equal(verbs_register(&lib, &nic.pd, &memory, &out), 0);
	assert_int_equal(nic.dmabufs, 1);
	assert_int_equal(nic.mrs, 0);
	assert_int_equal(nic.offset, 4096);
	assert_true(out.addr == rk_region_gpu_addr(region, memory.addr));
	assert_string_equal(out.how, "memory of the GPU by its dma-buf");
	rk_region_close(region);
}

/* By the address on the GPU, not by that of the CPU's mapping; and why it came to that. */
static void peermem_comes_second(void **unused)
{
	struct rk_region *region = open_on_gpu("dmabuf", 3 * 4096);
	struct remote_memory memory = second_page(region);
	struct verbs_memory out;

	(void)unused;
	nic = (__typeof__(nic)){.refuse_dmabuf = EOPNOTSUPP};
	assert_int_equal(verbs_register(&lib, &nic.pd, &memory, &out), 0);
	assert_int_equal(nic.dmabufs, 1);
	assert_int_equal(nic.mrs, 1);
	assert_true(nic.addr == rk_region_gpu_addr(region, memory.addr));
	assert_true(out.addr == nic.addr);
	expect_says(out.how, "by its address (ibv_reg_dmabuf_mr: Operation not supported)");
	rk_region_close(region);
}

static void both_refusals_are_said(void **unused)
{
	struct rk_region *region = open_on_gpu("dmabuf", 4096);
	struct remote_memory memory = {rk_region_take(region, 4096), 4096, region};
	char how[REMOTE_TEXT_BYTES];

	(void)unused;
	nic = (__typeof__(nic)){.refuse_dmabuf = EOPNOTSUPP, .refuse_mr = EFAULT};
	assert_int_equal(verbs_try(&lib, NULL, &memory, how), -EFAULT);
	expect_says(rk_errmsg(),
		    "nic0: ibv_reg_dmabuf_mr: Operation not supported; ibv_reg_mr: Bad "
		    "address: modprobe nvidia-peermem");
	assert_int_equal(nic.live, 0);
	/* A driver that exports no dma-buf is no reason to stop. */
	fake->fail_at = 2;
	fake->fail_with = 801;
	nic.refuse_mr = 0;
	assert_int_equal(verbs_try(&lib, NULL, &memory, how), 0);
	expect_says(how, "by its address (cuda: dmabuf: export");
	assert_int_equal(nic.live, 0);
	rk_region_close(region);
}

/* Host memory, and the host memory that stands in for a GPU's, goes by its pages. */
static void host_memory_goes_by_its_pages(void **unused)
{
	struct rk_region *region = open_on_gpu("pinned", 4096);
	struct remote_memory memory = {rk_region_take(region, 4096), 4096, region};
	struct verbs_memory out;

	(void)unused;
	nic = (__typeof__(nic)){.refuse_dmabuf = EOPNOTSUPP};
	assert_int_equal(verbs_register(&lib, &nic.pd, &memory, &out), 0);
	assert_true(out.addr == (uintptr_t)memory.addr);
	memory.region = NULL;
	assert_int_equal(verbs_register(&lib, &nic.pd, &memory, &out), 0);
	assert_int_equal(nic.mrs, 2);
	assert_int_equal(nic.dmabufs, 0);
	assert_string_equal(out.how, "");
	rk_region_close(region);
}

#endif

/* --- Order --- */

/* What a NIC wrote is flushed where the GPU does not order it, and refused where nobody can. */
static void writes_are_flushed_where_the_gpu_orders_none(void **unused)
{
	struct rk_region *region = open_on_gpu("dmabuf", 4096);

	(void)unused;
	fake->ordering = RK_CUDA_FLUSH_TO_OWNER;
	assert_int_equal(rk_region_settle(region), 0);
	fake->ordering = RK_CUDA_FLUSH_TO_ALL;
	assert_int_equal(rk_region_settle(region), 0);
	assert_int_equal(fake->flushes, 0);
	fake->ordering = 0;
	assert_int_equal(rk_region_settle(region), -EOPNOTSUPP);
	expect_says(rk_errmsg(), "let it write into host memory");
	fake->flushing = RK_CUDA_FLUSH_BY_HOST;
	assert_int_equal(rk_region_settle(region), 0);
	assert_int_equal(fake->flushes, 1);
	fake->fail_at = 2;
	assert_int_equal(rk_region_settle(region), -EIO);
	rk_region_close(region);
	region = open_on_gpu("pinned", 4096);
	fake->flushing = 0;
	assert_int_equal(rk_region_settle(region), 0);
	rk_region_close(region);
	assert_int_equal(fake->flushes, 1);
}

/* --- Rings --- */

/* A ring whose consumer is a GPU: @ends->rx is its end, as it sees it; @ends->tx is the host's. */
struct gpu_ends {
	struct rk_region *near, *host;
	struct ends *ends;
};

static struct gpu_ends make_gpu_ring(uint64_t capacity)
{
	const struct rk_region_opts host = {.size = sizeof(host), .cuda = true};
	const struct rk_ring_rx_opts opts = {.size = sizeof(opts), .no_touch = true};
	struct rk_ring_parts parts = {.size = sizeof(parts), .device = true, .slots_far = true};
	struct gpu_ends gpu = {.ends = calloc(1, sizeof(*gpu.ends))};
	struct rk_ring seen;

	assert_non_null(gpu.ends);
	gpu.near = open_on_gpu("dmabuf", capacity * RK_SLOT_BYTES);
	gpu.host = aid_open(2 * RK_PAGE_BYTES, &host);
	parts.slots = rk_region_take(gpu.near, capacity * RK_SLOT_BYTES);
	parts.credit = rk_region_take(gpu.host, sizeof(struct rk_ring_credit));
	parts.sleep = rk_region_take(gpu.host, sizeof(struct rk_ring_sleep));
	assert_int_equal(rk_ring_place(&gpu.ends->ring, &parts, capacity, 0, "gpu"), 0);
	seen = gpu.ends->ring;
	seen.slots_far = false;
	seen.slots = (struct rk_slot *)(uintptr_t)rk_region_gpu_addr(gpu.near, parts.slots);
	assert_int_equal(rk_ring_tx_open(&gpu.ends->tx, &gpu.ends->ring), 0);
	assert_int_equal(rk_ring_rx_open(&gpu.ends->rx, &seen, &opts), 0);
	return gpu;
}

static void free_gpu_ring(struct gpu_ends *gpu)
{
	rk_region_close(gpu->near);
	rk_region_close(gpu->host);
	free(gpu->ends);
}

/* Peers, one killed amid its messages and one that ends, write a GPU's ring; then the host does. */
static void peers_write_a_ring_in_its_memory(void **unused)
{
	struct gpu_ends gpu = make_gpu_ring(RING_SLOTS);
	struct rk_port *in = open_port(true, "direct", ""), *out;
	struct rk_port_stats stats;
	struct tally tally = {0};
	uint64_t sent = 0;

	(void)unused;
	assert_int_equal(rk_port_lend(in, &gpu.ends->ring, gpu.near), 1);
	expect_says(rk_port_note(in), "direct: the peer writes memory of a GPU");
	set_chaos(true);
	out = open_port(false, "linger", "0");
	while (sent < 500)
		turn(in, out, gpu.ends, &tally, &sent, 500);
	break_connections(out);
	close_while_polled(out, in, gpu.ends, &tally);
	out = open_out();
	while (tally.next < 1000)
		turn(in, out, gpu.ends, &tally, &sent, 1000);
	set_chaos(false);
	assert_true(tally.lost <= RING_SLOTS);
	assert_int_equal(tally.received + tally.lost, 1000);
	assert_int_equal(close_while_polled(out, in, gpu.ends, &tally), 0);
	while (!turn(in, NULL, gpu.ends, &tally, &sent, 0))
		;
	rk_port_take_back(in, &gpu.ends->tx);
	assert_int_equal(gpu.ends->tx.closed, RK_CLOSE_DONE);
	/* None is read across the bus to be counted: the slots are. */
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 0);
	assert_int_equal(stats.uncounted_slots, rk_ring_rx_position(&gpu.ends->rx));
	assert_int_equal(rk_port_close(in), 0);
	free_gpu_ring(&gpu);
}

/* Where no device can, the port fills the ring across the bus, and its note keeps the reason. */
static void what_no_device_can_write_the_port_fills(void **unused)
{
	struct gpu_ends gpu = make_gpu_ring(64);
	struct rk_port *in = open_port(true, "direct", ""), *out = open_out();
	struct rk_port_stats stats;
	struct tally tally = {0};
	uint64_t sent = 0;

	(void)unused;
	unreachable = "nic0: no way";
	assert_int_equal(rk_port_lend(in, &gpu.ends->ring, gpu.near), 0);
	expect_says(rk_port_note(in), "direct: nic0: no way: messages pass a ring in host memory");
	while (tally.next < 1000)
		turn(in, out, gpu.ends, &tally, &sent, 1000);
	assert_int_equal(tally.lost, 0);
	expect_says(rk_port_note(in), "nic0: no way");
	rk_port_stats(in, &stats);
	assert_int_equal(stats.messages, 1000);
	assert_int_equal(close_while_polled(out, in, gpu.ends, &tally), 0);
	assert_int_equal(rk_port_close(in), 0);
	free_gpu_ring(&gpu);
}

int main(int count, char **arguments)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
#if RK_HAVE_VERBS
		TEST(dma_buf_comes_first),
		TEST(peermem_comes_second),
		TEST(both_refusals_are_said),
		TEST(host_memory_goes_by_its_pages),
#endif
		TEST(writes_are_flushed_where_the_gpu_orders_none),
		TEST(peers_write_a_ring_in_its_memory),
		TEST(what_no_device_can_write_the_port_fills),
	};

	(void)count;
	fake_find(arguments);
	if (!fake || !vulkan)
		return fake_missing();
	return cmocka_run_group_tests_name("remote_gpu", tests, setup, NULL);
}
