// SPDX-License-Identifier: MIT
/* The table of kinds, opening a port from its URI, and the way from the interface to a kind. */
#include "ports/port.h"

#include <stdlib.h>
#include <string.h>

static const struct port_kind *const kinds[] = {
	&port_pcap, &port_udp,  &port_tcp,   &port_file, &port_io,
	&port_dpdk, &port_verbs, &port_ucx, &port_null,
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), LIST_BYTES = 128 };

/* A kind that lives in a library of its own is looked for when first asked for. */
static const struct port_kind *kind_at(unsigned int index)
{
	return kinds[index]->load ? kinds[index]->load() : kinds[index];
}

const struct rk_port_kind *rk_port_kind_at(unsigned int index)
{
	return index < KINDS ? &kind_at(index)->about : NULL;
}

/* Appends @word to the enumeration in @list, which stays short enough to be cut nowhere. */
static void enumerate(char list[LIST_BYTES], const char *word)
{
	size_t used = strlen(list);

	if (used + strlen(word) + 3 <= LIST_BYTES) {
		if (used)
			strcat(list, ", ");
		strcat(list, word);
	}
}

/* The kind that @uri begins with; @what is set behind its ':'. */
static int find_kind(const char *uri, const struct port_kind **kind, const char **what)
{
	const char *colon = strchr(uri, ':');
	char list[LIST_BYTES] = "";

	for (uint32_t i = 0; i < KINDS; i++) {
		const char *name = kinds[i]->about.name;

		if (colon && strlen(name) == (size_t)(colon - uri) &&
		    !strncmp(uri, name, (size_t)(colon - uri))) {
			*kind = kind_at(i);
			*what = colon + 1;
			return 0;
		}
		enumerate(list, name);
	}
	return rk_fail(EINVAL, "port '%s': no kind of port: begin with one of %s and a ':'", uri,
		       list);
}

/* Cut the part of @at up to the next comma, "\," becoming ","; returns what follows, or NULL. */
static char *cut(char *at)
{
	char *to = at;

	while (*at && *at != ',') {
		if (at[0] == '\\' && at[1] == ',')
			at++;
		*to++ = *at++;
	}
	if (!*at) {
		*to = 0;
		return NULL;
	}
	*to = 0;
	return at + 1;
}

static int no_such_option(const struct port_ops *ops, const char *key)
{
	char list[LIST_BYTES] = "";

	for (const struct port_option *option = ops->options; option->key; option++)
		enumerate(list, option->key);
	return rk_fail(EINVAL, "no option '%s' in this direction: it takes %s", key,
		       *list ? list : "none");
}

/* Set the option "key=value" or "flag" at @text; @seen has a bit for each one given before. */
static int set_option(struct rk_port *port, char *text, uint32_t *seen)
{
	const struct port_option *option = port->ops->options;
	char *value = strchr(text, '=');
	uint32_t bit;

	if (value)
		*value++ = 0;
	while (option->key && strcmp(option->key, text))
		option++;
	if (!option->key)
		return no_such_option(port->ops, text);
	bit = 1U << (option - port->ops->options);
	if (*seen & bit)
		return rk_fail(EINVAL, "%s: given twice: once is enough", text);
	*seen |= bit;
	if (option->flag && value)
		return rk_fail(EINVAL, "%s=%s: takes no value: write %s", text, value, text);
	if (!option->flag && (!value || !*value))
		return rk_fail(EINVAL, "%s: a value is missing: write %s=VALUE", text, text);
	return option->set(port, option->flag ? "" : value);
}

/* Set the options behind @what, which is changed. */
static int set_options(struct rk_port *port, char *what)
{
	char *next = cut(what);
	uint32_t seen = 0;

	while (next) {
		char *text = next;
		int result;

		next = cut(text);
		result = set_option(port, text, &seen);
		if (result)
			return result;
	}
	return 0;
}

static int make(struct rk_port **out, const struct port_ops *ops, const char *uri, const char *what,
		uint16_t feed)
{
	struct rk_port *port = calloc(1, ops->bytes);
	char *scratch = strdup(what);
	int result = 0;

	if (port)
		port->uri = strdup(uri);
	if (!port || !scratch || !port->uri) {
		result = rk_fail(ENOMEM, "port '%s': no memory", uri);
		goto fail;
	}
	port->ops = ops;
	port->feed = feed;
	result = set_options(port, scratch);
	if (!result) {
		result = ops->open(port, scratch);
		if (result)
			ops->close(port);
	}
	if (result) {
		rk_fail_within(result, "port '%s'", uri);
		goto fail;
	}
	free(scratch);
	*out = port;
	return 0;
fail:
	if (port)
		free(port->uri);
	free(port);
	free(scratch);
	return result;
}

int rk_port_open(struct rk_port **port, const char *uri, enum rk_port_direction direction,
		 uint16_t feed)
{
	const struct port_kind *kind = NULL;
	const struct port_ops *ops;
	const char *what = NULL;
	int result = find_kind(uri, &kind, &what);

	if (result)
		return result;
	if (kind->about.absent)
		return rk_fail(EOPNOTSUPP, "port '%s': %s", uri, kind->about.absent);
	ops = direction == RK_PORT_IN ? kind->in : kind->out;
	if (!ops)
		return rk_fail(EOPNOTSUPP, "port '%s': a %s port is no %s", uri, kind->about.name,
			       direction == RK_PORT_IN ? "input" : "output");
	return make(port, ops, uri, what, feed);
}

int rk_port_own_io(const struct rk_port *port, uint64_t *gpu_io, int *gpu)
{
	if (!port->ops->gpu_io)
		return 0;
	*gpu_io = port->ops->gpu_io(port, gpu);
	return 1;
}

int rk_port_lends(const struct rk_port *port, int *for_gpu)
{
	*for_gpu = port->lends_gpu;
	return port->lends;
}

int rk_port_lend(struct rk_port *port, const struct rk_ring *ring, const struct rk_region *region)
{
	return port->ops->lend ? port->ops->lend(port, ring, region) : 0;
}

void rk_port_take_back(struct rk_port *port, struct rk_ring_tx *tx)
{
	port->ops->take_back(port, tx);
}

int rk_port_poll_in(struct rk_port *port, struct rk_ring_tx *tx, uint32_t budget)
{
	return port->ops->poll_in(port, tx, budget);
}

int rk_port_write(struct rk_port *port, const struct rk_msg *msg)
{
	return port->ops->write(port, msg);
}

int rk_port_flush(struct rk_port *port)
{
	return port->ops->flush(port);
}

int rk_port_fd(const struct rk_port *port)
{
	return port->ops->fd(port);
}

uint64_t rk_port_due_ns(const struct rk_port *port)
{
	return port->ops->due_ns(port);
}

void rk_port_stats(const struct rk_port *port, struct rk_port_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&port->stats;
	uint64_t *to = (uint64_t *)stats;

	RK_STATIC_ASSERT(sizeof(*stats) % sizeof(*to) == 0, "all counters are u64");
	/* Relaxed: a count says nothing about another. */
	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

const char *rk_port_uri(const struct rk_port *port)
{
	return port->uri;
}

const char *rk_port_note(const struct rk_port *port)
{
	return port->note;
}

int rk_port_close(struct rk_port *port)
{
	int result;

	if (!port)
		return 0;
	result = port->ops->close(port);
	if (result)
		rk_fail_within(result, "port '%s'", port->uri);
	if (result == -EBUSY)
		return result;
	free(port->uri);
	free(port);
	return result;
}
