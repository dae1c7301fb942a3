// SPDX-License-Identifier: MIT
/* Links by name: a ring in memory to who has it here, else a port whose URI says the name. */
#include "rk_remote.h"
#include "ports/remote.h"
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URI_BYTES = 1024 };

static int open_named(struct rk_port **port, const char *address, const char *name,
		      enum rk_port_direction direction)
{
	char uri[URI_BYTES];
	int bytes = snprintf(uri, sizeof(uri), "%s,name=%s", address, name);
	int result = remote_name_check("name", name);

	if (!result && bytes >= URI_BYTES)
		result =
			rk_fail(EINVAL, "'%.80s...': longer than %d bytes", address, URI_BYTES - 1);
	return result ? result : rk_port_open(port, uri, direction, 0);
}

int rk_link_publish(struct rk_link **link, struct rk_actor *to, const char *name, const char *at,
		    const struct rk_link_opts *opts)
{
	struct rk_actor_info info;
	struct rk_link *made;
	struct rk_port *port;
	char *published;
	int result;

	rk_actor_info(to, &info);
	name = name ? name : info.name;
	published = strdup(name);
	if (!published)
		return rk_fail(ENOMEM, "'%s': no memory to publish it", name);
	result = open_named(&port, at, name, RK_PORT_IN);
	if (!result)
		result = rk_link_port_in(&made, port, to, opts);
	if (result) {
		free(published);
		return result;
	}
	pthread_mutex_lock(&to->runtime->mutex);
	made->published = published;
	pthread_mutex_unlock(&to->runtime->mutex);
	if (link)
		*link = made;
	return 0;
}

/* --- Finding a name --- */

/* Where a URI leads: the addresses between its first ':' and its options. */
static int parse_hosts(const char *uri, struct port_feeds *hosts)
{
	const char *what = strchr(uri, ':');
	char text[URI_BYTES];

	snprintf(text, sizeof(text), "%.*s", what ? (int)strcspn(what + 1, ",") : 0,
		 what ? what + 1 : "");
	return port_parse_feeds("address", text, hosts);
}

/* Is @uri, of a port that listens, one of @hosts? */
static bool is_among(const char *uri, const char *hosts)
{
	struct port_feeds at = {.count = 0}, among = {.count = 0};
	size_t kind_bytes = strcspn(uri, ":") + 1;

	if (strncmp(uri, hosts, kind_bytes) || parse_hosts(uri, &at) || parse_hosts(hosts, &among))
		return false;
	for (uint32_t i = 0; i < among.count; i++)
		if (among.at[i].ip == at.at[0].ip && among.at[i].port == at.at[0].port)
			return true;
	return false;
}

/* Note that @actor has the name that is looked for; false if another that runs has it too. */
static bool note_found(struct rk_actor **found, struct rk_actor *actor)
{
	if (actor_has_stopped(actor))
		return true;
	if (*found && *found != actor)
		return false;
	*found = actor;
	return true;
}

/* The actor of @runtime that has @name, at @hosts if not NULL: 0 also where none has. */
static int find_here(struct rk_runtime *runtime, const char *name, const char *hosts,
		     struct rk_actor **found)
{
	bool alone = true;

	pthread_mutex_lock(&runtime->mutex);
	*found = hosts ? NULL : names_find(runtime, name);
	if (*found) { /* registered: it alone is meant */
		pthread_mutex_unlock(&runtime->mutex);
		return 0;
	}
	for (struct rk_actor *actor = runtime->actors; actor && !hosts; actor = actor->next)
		if (!strcmp(actor->name, name))
			alone &= note_found(found, actor);
	for (struct rk_link *link = runtime->links; link; link = link->next)
		if (link->published && !strcmp(link->published, name) &&
		    (!hosts || is_among(rk_port_uri(link->in_port), hosts)))
			alone &= note_found(found, link->to);
	pthread_mutex_unlock(&runtime->mutex);
	return alone ? 0
		     : rk_fail(ENOTUNIQ,
			       "'%s': several actors here have this name: publish one of them by "
			       "another",
			       name);
}

int rk_link_name(struct rk_link **link, struct rk_actor *from, const char *name, const char *hosts,
		 const struct rk_link_opts *opts)
{
	struct rk_actor *to = NULL;
	struct rk_port *port;
	int result = find_here(from->runtime, name, hosts, &to);

	if (result)
		return result;
	if (to)
		return rk_link_actors(link, from, to, opts);
	if (!hosts)
		return rk_fail(ENOENT,
			       "'%s': no actor of this runtime has this name: spawn it first, or "
			       "give the hosts to ask",
			       name);
	result = open_named(&port, hosts, name, RK_PORT_OUT);
	return result ? result : rk_link_port_out(link, from, port, opts);
}
