/* SPDX-License-Identifier: MIT */
/*
 * rk_remote.h - links between actors by name, on this host or another.
 *
 *   there   rk_link_publish(NULL, to, "book", "verbs:10.0.0.2:7471", NULL);
 *   here    rk_link_name(NULL, from, "book", "verbs:10.0.0.2:7471", NULL);
 *
 * There is no service to run: whoever publishes listens, and whoever links asks the hosts it is
 * given, one after the other, over the connection itself. The same two calls join actors of one
 * runtime: the link is then a ring in memory. Otherwise it is a ring like any other whose slots
 * are written across the network by port verbs (RDMA) or ucx (rk_port.h), whose options may follow
 * the address. A ring has one producer: publish a name for each.
 */
#ifndef RK_REMOTE_H
#define RK_REMOTE_H

#include "rk_runtime.h"

RK_BEGIN_DECLS

/**
 * rk_link_publish() - give an actor an inbox that other actors find by name
 * @link: out; may be NULL
 * @to: gets an inbox
 * @name: to be found by; NULL: the actor's own
 * @at: "verbs:ADDR:PORT" or "ucx:ADDR:PORT", an address of this host, and options; names of one
 *	process may share an address
 * @opts: NULL for the default
 *
 * Context: any thread; sleeps.
 * Owner: the runtime.
 * Return: as rk_link_port_in(); -EADDRINUSE for a name that is published there already, or an
 * address of another process; -EOPNOTSUPP without the port's library or device; said in
 *rk_errmsg().
 */
RK_API int rk_link_publish(struct rk_link **link, struct rk_actor *to, const char *name,
			   const char *at, const struct rk_link_opts *opts);

/**
 * rk_link_name() - from an actor to one that is known by name, here or on another host
 * @link: out; may be NULL
 * @from: gets an outbox
 * @name: of the actor
 * @hosts: "verbs:ADDR:PORT+ADDR:PORT...", asked in this order until one has @name, and options;
 *	NULL: an actor of this runtime, by a name that is registered (rk_name.h), else by its own
 *	name or one that it is published by
 * @opts: NULL for the default
 *
 * Where this runtime itself publishes @name at one of @hosts, the link is a ring in memory, as
 * rk_link_actors() makes it. Otherwise it returns before anyone has answered: what is sent waits in
 * the link. If no host has the name within the port's retry=, rk_runtime_wait() returns the error.
 *
 * Context: any thread; sleeps.
 * Owner: the runtime.
 * Return: as rk_link_actors() or rk_link_port_out(); -ENOENT when nobody here has @name, and @hosts
 * is NULL; -ENOTUNIQ when several have; -EOPNOTSUPP without the port's library or device; said in
 * rk_errmsg().
 */
RK_API int rk_link_name(struct rk_link **link, struct rk_actor *from, const char *name,
			const char *hosts, const struct rk_link_opts *opts);

RK_END_DECLS

#endif
