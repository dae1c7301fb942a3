// SPDX-License-Identifier: MIT
/* What both ends of a ring across hosts share: lines, the death of a peer, what is said of it. */
#include "ports/remote.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { DEFAULT_TIMEOUT_MS = 2000, DEFAULT_RETRY_MS = 10000, LINES_A_TIMEOUT = 8 };

int remote_set_name(struct remote_end *end, const char *value)
{
	int result = remote_name_check("name", value);

	if (!result)
		strncpy(end->name, value, sizeof(end->name) - 1);
	return result;
}

int remote_set_timeout(struct remote_end *end, const char *value)
{
	return port_parse_count("timeout", value, REMOTE_MIN_TIMEOUT_MS, REMOTE_MAX_TIMEOUT_MS,
				&end->timeout_ms);
}

int remote_set_retry(struct remote_end *end, const char *value)
{
	end->retry_given = true;
	return port_parse_count("retry", value, 0, UINT32_MAX, &end->retry_ms);
}

struct sockaddr_in remote_address(struct frame_address address)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(address.port),
				    .sin_addr.s_addr = htonl(address.ip)};
}

uint64_t remote_id(void)
{
	uint64_t id = 0;

	while (!id)
		if (getrandom(&id, sizeof(id), 0) != sizeof(id))
			id = now_ns();
	return id;
}

int remote_make(struct remote_end *end, const struct remote_transport *transport)
{
	/* Not pinned: who moves it registers it, and a transport that does not need not. */
	const struct rk_region_opts opts = {
		.size = sizeof(opts), .provider = "host", .small_pages = true, .unlocked = true};
	pthread_condattr_t clock;
	int result = rk_region_open(&end->lines, RK_PAGE_BYTES, &opts);

	if (result)
		return result;
	end->inbox = rk_region_take(end->lines, sizeof(*end->inbox));
	end->transport = transport;
	end->timeout_ms = end->timeout_ms ? end->timeout_ms : DEFAULT_TIMEOUT_MS;
	end->retry_ms = end->retry_given ? end->retry_ms : DEFAULT_RETRY_MS;
	end->outbox.beat = remote_id();
	pthread_mutex_init(&end->mutex, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&end->changed, &clock);
	pthread_condattr_destroy(&clock);
	end->made = true;
	return 0;
}

void remote_unmake(struct remote_end *end)
{
	if (!end->made)
		return;
	pthread_cond_destroy(&end->changed);
	pthread_mutex_destroy(&end->mutex);
	rk_region_close(end->lines);
	end->made = false;
}

void remote_say(struct remote_end *end, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(end->why, sizeof(end->why), format, args);
	va_end(args);
	end->why_new = true;
}

void remote_note(struct remote_end *end, struct rk_port *port)
{
	if (!end->why_new)
		return;
	snprintf(port->note, sizeof(port->note), "%s%s%s", end->memory,
		 *end->memory && *end->why ? "; " : "", end->why);
	end->why_new = false;
}

int remote_hear(const struct remote_transport *transport, struct remote_conn *conn)
{
	int result = transport->progress(conn);

	/* A broken connection may have brought a last word before. */
	if (conn->heard_bytes)
		return 1;
	return result;
}

static uint64_t beat_of(const struct remote_end *end)
{
	/* Relaxed: a beat publishes nothing. */
	return __atomic_load_n(&end->inbox->beat, __ATOMIC_RELAXED);
}

void remote_joined(struct remote_end *end, struct remote_conn *conn,
		   const struct remote_hello *peer)
{
	uint64_t shorter = peer->timeout_ms < end->timeout_ms ? peer->timeout_ms : end->timeout_ms;

	end->conn = conn;
	end->beat_seen = beat_of(end);
	end->beat_seen_ns = now_ns();
	end->alone_since_ns = 0;
	end->interval_ns = shorter * REMOTE_MS / LINES_A_TIMEOUT;
	end->line_sent_ns = 0;
	end->transport->aim_line(conn, &peer->line);
	if (end->peers++) {
		char last[REMOTE_WHY_BYTES];

		memcpy(last, end->why, sizeof(last));
		remote_say(end, "connected %" PRIu64 " times; before: %.180s", end->peers, last);
	}
}

void remote_parted(struct remote_end *end)
{
	remote_say(end, "%.200s", rk_errmsg());
	end->broken = end->conn;
	end->conn = NULL;
	end->alone_since_ns = now_ns();
	pthread_cond_signal(&end->changed);
}

void remote_sweep(struct remote_end *end)
{
	if (end->broken)
		end->transport->close(end->broken);
	end->broken = NULL;
}

void remote_put_line(struct remote_end *end, uint64_t now)
{
	int put;

	end->outbox.beat++;
	put = end->transport->put_line(end->conn, &end->outbox);
	if (put < 0)
		remote_parted(end);
	else if (put)
		end->line_sent_ns = now;
}

/* Has the peer sent a line within the timeout? */
static bool is_alive(struct remote_end *end, uint64_t now)
{
	uint64_t beat = beat_of(end);

	if (beat != end->beat_seen) {
		end->beat_seen = beat;
		end->beat_seen_ns = now;
	}
	return now - end->beat_seen_ns <= end->timeout_ms * REMOTE_MS;
}

uint64_t remote_keep(struct remote_end *end)
{
	uint64_t now = now_ns();
	int result = end->transport->progress(end->conn);

	if (!result)
		result = end->transport->up(end->conn);
	if (result >= 0 && !is_alive(end, now))
		result = rk_fail(ETIMEDOUT,
				 "no sign of the peer for %" PRIu64 " ms (timeout=%" PRIu64 ")",
				 (now - end->beat_seen_ns) / REMOTE_MS, end->timeout_ms);
	if (result < 0)
		remote_parted(end);
	else if (now - end->line_sent_ns >= end->interval_ns)
		remote_put_line(end, now);
	return now + end->interval_ns / 2;
}

int remote_check_alone(struct remote_end *end)
{
	uint64_t alone_ns = end->alone_since_ns ? now_ns() - end->alone_since_ns : 0;
	char last[REMOTE_WHY_BYTES];

	if (end->dead || !end->retry_ms || alone_ns < end->retry_ms * REMOTE_MS)
		return end->dead;
	memcpy(last, end->why, sizeof(last));
	remote_say(end, "no peer for %" PRIu64 " ms (retry=%" PRIu64 "): %.180s",
		   alone_ns / REMOTE_MS, end->retry_ms, last);
	end->dead = -ENOTCONN;
	return end->dead;
}

void remote_wait(struct remote_end *end, uint64_t due_ns)
{
	struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000),
			       .tv_nsec = (long)(due_ns % 1000000000)};

	pthread_cond_timedwait(&end->changed, &end->mutex, &due);
}

const struct port_kind *remote_kind_load(struct remote_kind *kind)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&mutex);
	if (!kind->kind.in) {
		kind->in = remote_in_ops;
		kind->out = remote_out_ops;
		kind->kind.in = &kind->in;
		kind->kind.out = &kind->out;
	}
	kind->kind.about.absent = NULL;
	if (kind->transport->ready()) {
		snprintf(kind->absent, sizeof(kind->absent), "%s", rk_errmsg());
		kind->kind.about.absent = kind->absent;
	}
	pthread_mutex_unlock(&mutex);
	return &kind->kind;
}
