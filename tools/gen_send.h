/* SPDX-License-Identifier: MIT */
/* gen_send.h - a generated feed sent through a port, each datagram at its time. */
#ifndef GEN_SEND_H
#define GEN_SEND_H

#include "gen.h"

struct gen_send;

/* Is @path the URI of a port that sends, not the name of a file? */
int gen_send_is_uri(const char *path);

/* 0; -errno of rk_port_open(), said in rk_errmsg(). gen_send_close() frees @out. */
int gen_send_open(struct gen_send **out, const char *uri);

/*
 * Wait until @packet is due, as long after the first as the feed has it, and send it. Lateness is
 * not made up for in the message: its time is when it was due.
 *
 * Return: 0; -errno of the port, said in rk_errmsg(); -ETIMEDOUT when it takes nothing for 10 s.
 */
int gen_send_packet(struct gen_send *send, const struct gen_packet *packet);

/* Send what is left. 0, -errno or -ETIMEDOUT as above; datagrams refused by the outside count. */
int gen_send_close(struct gen_send *send);

#endif
