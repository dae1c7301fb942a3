/* SPDX-License-Identifier: MIT */
/*
 * actors.h - the actors that RingKernel ships, by name. Host only.
 */
#ifndef RK_ACTORS_H
#define RK_ACTORS_H

#include "rk_handler.h"

RK_BEGIN_DECLS

/**
 * rk_actor_type_at() - the shipped actors one by one
 * @index: from 0
 *
 * Context: any thread; never sleeps.
 * Return: static storage; NULL beyond the last.
 */
RK_API const struct rk_actor_type *rk_actor_type_at(uint32_t index);

/**
 * rk_actor_type_find() - a shipped actor by its name
 * @name: struct rk_actor_type::name
 *
 * Context: any thread; never sleeps.
 * Return: static storage; NULL if there is none, and rk_errmsg() then lists those there are.
 */
RK_API const struct rk_actor_type *rk_actor_type_find(const char *name);

RK_END_DECLS

#endif
