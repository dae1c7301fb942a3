// SPDX-License-Identifier: MIT
/* Port tcp, the kind, and what its two directions share: connecting and listening. */
#include "ports/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

int tcp_parse_frame(const char *value, uint64_t *bytes)
{
	int result = port_parse_count("frame", value, 2, 4, bytes);

	return result || *bytes == 3 ? rk_fail(EINVAL, "frame=%s: write 2 or 4", value) : 0;
}

static int connect_to(int fd, const struct sockaddr_in *name, const char *what)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t bytes = sizeof(int);
	int error = 0;

	if (!connect(fd, (const struct sockaddr *)name, sizeof(*name)))
		return 0;
	if (errno == EINPROGRESS) {
		if (!poll(&wait, 1, TCP_CONNECT_MS))
			return rk_fail(ETIMEDOUT, "connect %s: no answer in %d s", what,
				       TCP_CONNECT_MS / 1000);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
		errno = error;
	}
	return errno ? rk_fail(errno, "connect %s: %s%s", what, strerror(errno),
			       errno == ECONNREFUSED ? ": nobody listens there: start that side "
						       "first"
						     : "")
		     : 0;
}

static int listen_at(int fd, const struct sockaddr_in *name, const char *what)
{
	int yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (const struct sockaddr *)name, sizeof(*name)))
		return rk_fail(errno, "bind %s: %s", what, strerror(errno));
	if (listen(fd, TCP_CONNECTIONS))
		return rk_fail(errno, "listen %s: %s", what, strerror(errno));
	return 0;
}

int tcp_open(struct tcp_socket *tcp, const char *what)
{
	struct port_feeds address = {.count = 0};
	struct sockaddr_in name = {.sin_family = AF_INET};
	int yes = 1, result = port_parse_feeds("address", what, &address);

	if (result)
		return result;
	if (address.count != 1)
		return rk_fail(EINVAL, "'%s': one address stands here: open a port for each", what);
	name.sin_port = htons(address.at[0].port);
	name.sin_addr.s_addr = htonl(address.at[0].ip);
	tcp->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (tcp->fd < 0)
		return rk_fail(errno, "socket: %s", strerror(errno));
	/* What is gathered is sent at once. Connections that are accepted inherit it. */
	setsockopt(tcp->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return tcp->listen ? listen_at(tcp->fd, &name, what) : connect_to(tcp->fd, &name, what);
}

#define OPTIONS                                                                              \
	"listen             wait for connections (64 at most) instead of making one\n"       \
	"frame=N            a length of N bytes, 2 or 4, big-endian, before each message;\n" \
	"                   without it a message of an input is what came at once\n"         \
	"count=N            in: end after N messages\n"                                      \
	"zerocopy           out: send without a copy; pays for large messages over a NIC"

const struct port_kind port_tcp = {
	.about = {"tcp", "in: receives from connections; out: sends to all its connections",
		  OPTIONS, NULL},
	.in = &port_tcp_in,
	.out = &port_tcp_out,
};
