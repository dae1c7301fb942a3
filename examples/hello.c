// SPDX-License-Identifier: MIT
/* An actor that answers: a host thread sends a number, a handler that is already running doubles it. */
#include <ringkernel.h>
#include <stdio.h>
#include <string.h>

static void twice(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	uint64_t number;

	(void)state;
	if (msg->type < RK_MSG_USER)
		return; /* RK_MSG_START and RK_MSG_STOP need nothing here */
	memcpy(&number, rk_msg_payload(msg), sizeof(number));
	number *= 2;
	rk_send(ctx, 0, msg->type, msg->tag, &number, sizeof(number));
}

static const struct rk_actor_type type = {
	.name = "twice", .summary = "doubles a number", .handle = twice};

int main(void)
{
	struct rk_msg msg = {.type = RK_MSG_USER, .slots = 1, .body = {21}};
	struct rk_runtime *runtime = NULL;
	struct rk_actor *actor;
	struct rk_ring_tx *to;
	struct rk_ring_rx *from;

	if (rk_runtime_open(&runtime, NULL) || rk_actor_spawn(&actor, runtime, &type, NULL) ||
	    rk_link_host_out(&from, actor, NULL) || rk_link_host_in(&to, actor, NULL)) {
		fprintf(stderr, "hello: %s\n", rk_errmsg());
		rk_runtime_close(runtime);
		return 1;
	}
	rk_ring_send(to, &msg); /* eight stores; no lock, no system call while the actor is awake */
	while (!rk_ring_recv(from, &msg, 1))
		rk_ring_wait_recv(from, 1000000);
	printf("%d\n", msg.body[0]);
	return rk_runtime_close(runtime) != 0;
}
