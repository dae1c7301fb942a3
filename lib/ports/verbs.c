// SPDX-License-Identifier: MIT
/* Port verbs: the data path of a connection, and the kind. */
#include "ports/verbs.h"

#include <string.h>

#if RK_HAVE_VERBS

static struct verbs_conn *conn_of(struct remote_conn *conn)
{
	return (struct verbs_conn *)conn;
}

/* --- Posting --- */

/* Is a completion due? So often that neither the send queue nor the staging ring runs dry. */
static bool signal_due(const struct verbs_conn *conn, uint64_t position)
{
	return conn->unsignalled >= VERBS_SIGNAL ||
	       position - conn->unsignalled_from >= conn->conn.capacity / 4;
}

/* Note in @wr that its completion is asked for, and what it will mean. */
static void ask_signal(struct verbs_conn *conn, struct ibv_send_wr *wr)
{
	wr->send_flags |= IBV_SEND_SIGNALED;
	conn->signals[conn->signal_head++ % VERBS_DEPTH] =
		(struct verbs_signal){conn->position, conn->unsignalled};
	conn->unsignalled = 0;
	conn->unsignalled_from = conn->position;
}

static int post(struct verbs_conn *conn, struct ibv_send_wr *first)
{
	struct ibv_send_wr *bad;
	int error = ibv_post_send(conn->id->qp, first, &bad);

	return error ? verbs_gone(conn, "ibv_post_send: %s", strerror(error)) : 0;
}

/* Room for more requests, @kept being left. */
static uint32_t room(const struct verbs_conn *conn, uint32_t kept)
{
	return conn->posted + kept < VERBS_DEPTH ? VERBS_DEPTH - kept - conn->posted : 0;
}

static int put(struct remote_conn *remote, const struct remote_run *runs, uint32_t count,
	       uint64_t position)
{
	struct verbs_conn *conn = conn_of(remote);
	struct ibv_send_wr wrs[REMOTE_MAX_RUNS];
	struct ibv_sge sges[REMOTE_MAX_RUNS];
	uint32_t most = room(conn, VERBS_LINES);
	int result;

	for (uint32_t i = count; i > most; i--)
		position -= runs[i - 1].bytes / RK_SLOT_BYTES;
	count = count < most ? count : most;
	if (!count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		sges[i] = (struct ibv_sge){(uintptr_t)conn->stage + runs[i].offset, runs[i].bytes,
					   conn->stage_mr->lkey};
		wrs[i] = (struct ibv_send_wr){
			.sg_list = &sges[i],
			.num_sge = 1,
			.next = i + 1 < count ? &wrs[i + 1] : NULL,
			.opcode = IBV_WR_RDMA_WRITE,
			.send_flags = runs[i].bytes <= conn->inline_bytes ? IBV_SEND_INLINE : 0,
			.wr.rdma = {conn->to.addr + runs[i].offset, (uint32_t)conn->to.key}};
	}
	conn->posted += count;
	conn->unsignalled += count;
	conn->position = position;
	if (signal_due(conn, position))
		ask_signal(conn, &wrs[count - 1]);
	result = post(conn, wrs);
	return result ? result : (int)count;
}

/* Post one request whose completion is always asked for; 1, 0 no room now, or -errno. */
static int post_one(struct verbs_conn *conn, struct ibv_send_wr *wr, struct ibv_sge *sge)
{
	int result;

	if (!room(conn, 0))
		return 0;
	sge->lkey = conn->hello_mr->lkey;
	wr->sg_list = sge;
	wr->num_sge = 1;
	conn->posted++;
	conn->unsignalled++;
	ask_signal(conn, wr);
	result = post(conn, wr);
	return result ? result : 1;
}

static int put_line(struct remote_conn *remote, const struct remote_line *line)
{
	struct verbs_conn *conn = conn_of(remote);
	struct remote_line *from = &conn->buffers->line;
	struct ibv_sge sge = {.addr = (uintptr_t)from, .length = sizeof(*from)};
	struct ibv_send_wr wr = {.opcode = IBV_WR_RDMA_WRITE,
				 .wr.rdma = {conn->line_to.addr, (uint32_t)conn->line_to.key}};

	/* Without inline a line under way may change: each word is whole, and newer is as good. */
	if (conn->inline_bytes >= sge.length)
		wr.send_flags = IBV_SEND_INLINE;
	*from = *line;
	return post_one(conn, &wr, &sge);
}

static int tell(struct remote_conn *remote, const struct remote_hello *hello)
{
	struct verbs_conn *conn = conn_of(remote);
	struct ibv_sge sge = {.addr = (uintptr_t)&conn->buffers->told, .length = sizeof(*hello)};
	struct ibv_send_wr wr = {.opcode = IBV_WR_SEND};
	int told;

	conn->buffers->told = *hello;
	told = post_one(conn, &wr, &sge);
	return told == 1 ? 0 : told ? told : -EAGAIN;
}

/* --- Completions --- */

static void complete(struct verbs_conn *conn, const struct ibv_wc *wc)
{
	if (wc->status) {
		verbs_gone(conn, "%s", conn->lib->ibv_wc_status_str(wc->status));
	} else if (wc->opcode == IBV_WC_RECV) {
		conn->conn.heard_bytes = wc->byte_len;
	} else {
		const struct verbs_signal *signal =
			&conn->signals[conn->signal_tail++ % VERBS_DEPTH];

		conn->posted -= signal->requests;
		conn->conn.completed = signal->position;
	}
}

int verbs_progress(struct remote_conn *remote)
{
	struct verbs_conn *conn = conn_of(remote);
	struct ibv_wc wcs[16];
	int count;

	do {
		count = ibv_poll_cq(conn->cq, 16, wcs);
		for (int i = 0; i < count; i++)
			complete(conn, &wcs[i]);
	} while (count == 16);
	if (count < 0)
		return verbs_gone(conn, "ibv_poll_cq failed");
	return conn->state == VERBS_GONE ? verbs_gone(conn, "%s", "") : 0;
}

/* --- Memory --- */

static int offer(struct verbs_conn *conn, const struct remote_memory *memory,
		 struct verbs_memory *registered, struct remote_window *window)
{
	int result = verbs_register(conn->lib, conn->pd, memory, registered);

	if (!result)
		*window = (struct remote_window){registered->addr, memory->bytes,
						 registered->mr->rkey};
	return result;
}

static int offer_slots(struct remote_conn *remote, const struct remote_memory *memory,
		       struct remote_window *window)
{
	struct verbs_conn *conn = conn_of(remote);

	return offer(conn, memory, &conn->slots, window);
}

static int offer_line(struct remote_conn *remote, struct remote_line *line,
		      struct remote_window *window)
{
	const struct remote_memory memory = {.addr = line, .bytes = sizeof(*line)};
	struct verbs_conn *conn = conn_of(remote);

	return offer(conn, &memory, &conn->line, window);
}

static int aim(struct remote_conn *remote, struct rk_slot *slots, const struct remote_window *to)
{
	struct verbs_conn *conn = conn_of(remote);

	conn->stage_mr = conn->lib->ibv_reg_mr(conn->pd, slots, to->bytes, 0);
	if (!conn->stage_mr)
		return rk_fail(errno, "ibv_reg_mr of %llu bytes: %s: see `ulimit -l`",
			       (unsigned long long)to->bytes, strerror(errno));
	conn->stage = slots;
	conn->to = *to;
	conn->position = conn->unsignalled_from = remote->completed;
	return 0;
}

static void aim_line(struct remote_conn *remote, const struct remote_window *to)
{
	conn_of(remote)->line_to = *to;
}

static int ready(void)
{
	return verbs_lib() ? 0 : -EOPNOTSUPP;
}

/* --- The kind --- */

static const struct remote_transport transport = {
	.name = "verbs",
	.one_sided = true,
	.ready = ready,
	.listen = verbs_listen,
	.accept = verbs_accept,
	.unlisten = verbs_unlisten,
	.listen_fd = verbs_listen_fd,
	.reach = verbs_reach,
	.connect = verbs_connect,
	.up = verbs_up,
	.tell = tell,
	.offer_slots = offer_slots,
	.offer_line = offer_line,
	.aim = aim,
	.aim_line = aim_line,
	.put = put,
	.put_line = put_line,
	.progress = verbs_progress,
	.close = verbs_close,
};

static struct remote_kind kind = {
	.kind.about = {"verbs",
		       "in: a ring that a remote host writes by RDMA; out: writes such a ring",
		       REMOTE_OPTIONS, NULL},
	.transport = &transport,
};

static const struct port_kind *load(void)
{
	return remote_kind_load(&kind);
}

const struct port_kind port_verbs = {.load = load, .about.name = "verbs"};

#else

const struct port_kind port_verbs = {
	.about = {"verbs", "in: a ring that a remote host writes by RDMA; out: writes such a ring",
		  REMOTE_OPTIONS,
		  "built without <rdma/rdma_cma.h>: apt-get install librdmacm-dev, then make"},
};

#endif
