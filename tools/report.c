// SPDX-License-Identifier: MIT
/* The counts that must agree, and the report as text. */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PORT_DROP(name)                                               \
	{                                                             \
#name, offsetof(struct rk_port_stats, dropped_##name) \
	}

const struct report_counter report_port_drops[] = {
	PORT_DROP(foreign), PORT_DROP(malformed), PORT_DROP(truncated),
	PORT_DROP(too_long), PORT_DROP(kernel),	  PORT_DROP(refused),
	PORT_DROP(closed),  PORT_DROP(checksum),  PORT_DROP(verdict),
	PORT_DROP(unconfirmed), {NULL, 0},
};

#define ACTOR_DROP(name)                                              \
	{                                                             \
#name, offsetof(struct rk_actor_info, dropped_##name) \
	}

const struct report_counter report_actor_drops[] = {
	ACTOR_DROP(no_outbox), ACTOR_DROP(closed),    ACTOR_DROP(bad),
	ACTOR_DROP(stopped),   ACTOR_DROP(no_memory), {NULL, 0},
};

static uint64_t sum(const void *of, const struct report_counter *counters)
{
	uint64_t total = 0;

	for (; counters->name; counters++)
		total += report_count(of, counters);
	return total;
}

const struct rk_mdp3_state *run_books(const struct run_pipeline *pipeline)
{
	for (unsigned int i = 0; i < pipeline->plan->actor_count; i++)
		if (pipeline->plan->actor[i].type->handle == rk_mdp3_book)
			return rk_actor_state(pipeline->actor[i]);
	return NULL;
}

/* --- Accounting --- */

uint64_t report_messages_in(const struct run_pipeline *pipeline)
{
	struct rk_port_stats stats;
	uint64_t messages = 0;

	for (unsigned int i = 0; i < pipeline->plan->from_count; i++) {
		rk_port_stats(pipeline->in[i].port, &stats);
		messages += stats.messages;
	}
	return messages;
}

uint64_t report_drops(const struct run_pipeline *pipeline)
{
	struct rk_port_stats stats;
	struct rk_actor_info info;
	uint64_t drops = 0;

	for (unsigned int i = 0; i < pipeline->plan->from_count; i++) {
		rk_port_stats(pipeline->in[i].port, &stats);
		drops += sum(&stats, report_port_drops);
	}
	for (unsigned int i = 0; i < pipeline->plan->actor_count; i++) {
		rk_actor_info(pipeline->actor[i], &info);
		drops += sum(&info, report_actor_drops);
	}
	rk_port_stats(pipeline->out.port, &stats);
	return drops + sum(&stats, report_port_drops);
}

/* What an mdp3_book did with its packets, and that all it wanted to send was sent or dropped. */
static unsigned int check_books(const struct rk_mdp3_state *state, const struct rk_actor_info *info,
				struct report_check *check)
{
	const struct rk_mdp3_counters *counters = &state->counters;
	const uint64_t *duplicates = counters->duplicates;

	snprintf(check[0].left_text, REPORT_SIDE_BYTES, "%s packets", info->name);
	check[0].left = counters->packets;
	snprintf(check[0].right_text, REPORT_SIDE_BYTES, "unique + duplicates + malformed + held");
	check[0].right = counters->unique + duplicates[0] + duplicates[1] + duplicates[2] +
			 counters->malformed[RK_MDP3_GOOD] + counters->held;
	snprintf(check[1].left_text, REPORT_SIDE_BYTES, "%s changes of a best + gaps", info->name);
	check[1].left = counters->bbo_updates + counters->gaps;
	snprintf(check[1].right_text, REPORT_SIDE_BYTES, "%s sent + dropped", info->name);
	check[1].right = info->sent + sum(info, report_actor_drops);
	return 2;
}

/* Slots that peers wrote into the ring of an actor on a GPU, where messages are not counted. */
static uint64_t uncounted_slots(const struct run_pipeline *pipeline)
{
	struct rk_port_stats stats;
	uint64_t slots = 0;

	for (unsigned int i = 0; i < pipeline->plan->from_count; i++) {
		rk_port_stats(pipeline->in[i].port, &stats);
		slots += stats.uncounted_slots;
	}
	return slots;
}

/* That the first actor has what the inputs gave: by slots where these alone are known. */
static unsigned int check_inputs(const struct run_pipeline *pipeline,
				 const struct rk_actor_info *info, struct report_check *check)
{
	uint64_t slots = uncounted_slots(pipeline);

	if (slots && pipeline->plan->from_count > 1)
		return 0; /* slots of one and messages of another have no sum */
	snprintf(check->left_text, REPORT_SIDE_BYTES, "inputs gave%s", slots ? " slots" : "");
	/* With the one that closed its inbox, which an actor counts among its slots. */
	check->left = slots ? slots + 1 : report_messages_in(pipeline);
	snprintf(check->right_text, REPORT_SIDE_BYTES, "%s received%s", info->name,
		 slots ? " slots" : "");
	check->right = slots ? info->received_slots : info->received;
	return 1;
}

unsigned int report_checks(const struct run_pipeline *pipeline,
			   struct report_check check[REPORT_CHECKS])
{
	struct rk_port_stats out;
	unsigned int count = 0;
	uint64_t flowing = report_messages_in(pipeline);
	char from[REPORT_SIDE_BYTES] = "inputs gave";

	for (unsigned int i = 0; i < pipeline->plan->actor_count; i++) {
		const void *state = rk_actor_state(pipeline->actor[i]);
		struct rk_actor_info info;

		rk_actor_info(pipeline->actor[i], &info);
		if (!i) {
			count += check_inputs(pipeline, &info, &check[count]);
		} else {
			check[count].left = flowing;
			memcpy(check[count].left_text, from, sizeof(from));
			check[count].right = info.received;
			snprintf(check[count].right_text, REPORT_SIDE_BYTES, "%s received",
				 info.name);
			count++;
		}
		if (state && pipeline->plan->actor[i].type->handle == rk_mdp3_book)
			count += check_books(state, &info, &check[count]);
		flowing = info.sent;
		snprintf(from, sizeof(from), "%s sent", info.name);
	}
	rk_port_stats(pipeline->out.port, &out);
	check[count].left = flowing;
	memcpy(check[count].left_text, from, sizeof(from));
	check[count].right = pipeline->latency.seen;
	snprintf(check[count].right_text, REPORT_SIDE_BYTES, "reached the output");
	count++;
	check[count].left = pipeline->latency.seen;
	snprintf(check[count].left_text, REPORT_SIDE_BYTES, "reached the output");
	check[count].right = out.messages + sum(&out, report_port_drops);
	snprintf(check[count].right_text, REPORT_SIDE_BYTES, "output took + dropped");
	return count + 1;
}

bool report_conserved(const struct run *run)
{
	struct report_check check[REPORT_CHECKS];

	for (unsigned int i = 0; i < run->pipelines; i++) {
		unsigned int count = report_checks(&run->pipeline[i], check);

		for (unsigned int j = 0; j < count; j++)
			if (check[j].left != check[j].right)
				return false;
	}
	return true;
}

double report_seconds(const struct run *run)
{
	return (double)(run->ended_ns - run->began_ns) / 1e9;
}

void report_totals(const struct run *run, struct report_totals *totals)
{
	struct rk_worker_info worker;

	memset(totals, 0, sizeof(*totals));
	for (unsigned int i = 0; i < run->pipelines; i++)
		totals->messages += report_messages_in(&run->pipeline[i]);
	for (unsigned int i = 0; !rk_runtime_worker(run->runtime, i, &worker); i++)
		totals->cpu_ns += worker.cpu_ns;
	totals->seconds = report_seconds(run);
	totals->per_second = (double)totals->messages / totals->seconds;
	totals->per_core_second =
		totals->cpu_ns ? (double)totals->messages * 1e9 / (double)totals->cpu_ns : 0;
}

void report_progress(const struct run *run, uint64_t *in, uint64_t *out, uint64_t *dropped)
{
	struct rk_port_stats stats;

	*in = *out = *dropped = 0;
	for (unsigned int i = 0; i < run->pipelines; i++) {
		rk_port_stats(run->pipeline[i].out.port, &stats);
		*in += report_messages_in(&run->pipeline[i]);
		*out += stats.messages;
		*dropped += report_drops(&run->pipeline[i]);
	}
}

const char *report_end(const struct run *run)
{
	switch (run->end) {
	case RUN_DURATION_OVER:
		return "the duration was over";
	case RUN_SIGNALLED:
		return "stopped by a signal";
	default:
		return "all inputs ended";
	}
}

const char *report_place(const struct plan_actor *plan, char text[REPORT_PLACE_BYTES])
{
	if (plan->backend == RK_BACKEND_CPU)
		return "cpu";
	snprintf(text, REPORT_PLACE_BYTES, "gpu%d %s", plan->gpu,
		 plan->group == RK_GROUP_BLOCK ? "block" : "warp");
	return text;
}

/* --- Text --- */

static void print_drops(const void *of, const struct report_counter *counters)
{
	printf("  dropped %" PRIu64, sum(of, counters));
	for (const char *before = ": "; counters->name; counters++) {
		if (!report_count(of, counters))
			continue;
		printf("%s%s %" PRIu64, before, counters->name, report_count(of, counters));
		before = ", ";
	}
	putchar('\n');
}

static void print_port(const char *way, const struct rk_port *port)
{
	struct rk_port_stats stats;

	rk_port_stats(port, &stats);
	printf("  %-5s %s\n        messages %" PRIu64 "  bytes %" PRIu64, way, rk_port_uri(port),
	       stats.messages, stats.bytes);
	if (way[0] == 'f')
		printf("  ring_full %" PRIu64, stats.ring_full);
	if (stats.uncounted_slots)
		printf("  uncounted_slots %" PRIu64, stats.uncounted_slots);
	print_drops(&stats, report_port_drops);
	if (*rk_port_note(port))
		printf("        note: %s\n", rk_port_note(port));
}

/* The type's own counters, those that are not 0. */
static void print_counters(const struct rk_actor_type *type, const void *state)
{
	const struct rk_counter_name *counter = type->counters;
	int column = 0;

	for (; state && counter && counter->name; counter++) {
		uint64_t value = *(const uint64_t *)((const char *)state + counter->offset);

		if (!value)
			continue;
		if (column > 64)
			column = 0;
		if (!column)
			column = printf("\n        ") - 1;
		column += printf("%s %" PRIu64 "  ", counter->name, value);
	}
	putchar('\n');
}

static void print_actor(const struct plan_actor *plan, const struct rk_actor *actor)
{
	char place[REPORT_PLACE_BYTES];
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	printf("  actor %s on %s\n        received %" PRIu64 "  sent %" PRIu64, info.name,
	       report_place(plan, place), info.received, info.sent);
	print_drops(&info, report_actor_drops);
	printf("        counters, where not 0:");
	print_counters(plan->type, rk_actor_state(actor));
}

static void print_checks(const struct run_pipeline *pipeline)
{
	struct report_check check[REPORT_CHECKS];
	unsigned int count = report_checks(pipeline, check);

	for (unsigned int i = 0; i < count; i++) {
		bool holds = check[i].left == check[i].right;

		printf("  %-9s %s %" PRIu64 " %s %s %" PRIu64 "\n",
		       holds ? "conserved" : "VIOLATED", check[i].left_text, check[i].left,
		       holds ? "=" : "but", check[i].right_text, check[i].right);
	}
}

static void print_pipeline(const struct run *run, unsigned int index)
{
	const struct run_pipeline *pipeline = &run->pipeline[index];
	const struct rk_mdp3_state *books = run_books(pipeline);

	printf("pipeline %u: %" PRIu64 " messages in, %.0f/s\n", index + 1,
	       report_messages_in(pipeline),
	       (double)report_messages_in(pipeline) / report_seconds(run));
	for (unsigned int i = 0; i < pipeline->plan->from_count; i++)
		print_port("from", pipeline->in[i].port);
	for (unsigned int i = 0; i < pipeline->plan->actor_count; i++)
		print_actor(&pipeline->plan->actor[i], pipeline->actor[i]);
	print_port("to", pipeline->out.port);
	print_checks(pipeline);
	if (books)
		books_print(stdout, books, &pipeline->gaps, &run->plan->books);
	putchar('\n');
}

static void print_latency(const struct run *run)
{
	struct rk_hist_series series[PLAN_PIPELINES];

	for (unsigned int i = 0; i < run->pipelines; i++)
		series[i] = (struct rk_hist_series){
			.label = run->pipeline[i].latency.label,
			.hist = run->pipeline[i].latency.hist,
			.drops = report_drops(&run->pipeline[i]),
		};
	rk_hist_write_table(stdout, series, run->pipelines);
	for (unsigned int i = 0; i < run->pipelines; i++) {
		const struct latency *latency = &run->pipeline[i].latency;

		printf("%s: from %s, to the output", latency->label, latency->origin);
		if (latency->untimed)
			printf("; %" PRIu64 " without a time", latency->untimed);
		if (latency->early)
			printf("; %" PRIu64 " from the future, counted as 0", latency->early);
		putchar('\n');
	}
	if (run->plan->hgrm)
		printf("distribution: %s\n", run->plan->hgrm);
	if (run->plan->log)
		printf("log: %s\n", run->plan->log);
	if (*run->plotted)
		printf("plot: %s\n", run->plotted);
	putchar('\n');
}

static void print_workers(const struct run *run, const struct report_totals *totals)
{
	struct rk_worker_info worker;

	for (unsigned int i = 0; !rk_runtime_worker(run->runtime, i, &worker); i++) {
		double cpu_s = (double)worker.cpu_ns / 1e9;

		printf("worker %u  ", i);
		if (worker.cpu >= 0)
			printf("CPU %d", worker.cpu);
		else
			printf("any CPU");
		printf("  used %.3f s of %.3f s (%.0f%%)  work in %.1f%% of looks  slept %" PRIu64
		       " times\n",
		       cpu_s, totals->seconds, 100 * cpu_s / totals->seconds,
		       worker.polls ? 100.0 * (double)worker.worked / (double)worker.polls : 0,
		       worker.sleeps);
	}
}

static void print_verified(const struct run *run)
{
	const struct truth_result *result = &run->verified;

	if (!run->plan->verify)
		return;
	printf("verify %s: %" PRIu64 " values compared, %" PRIu64 " differ", run->plan->verify,
	       result->compared, result->differences);
	if (result->not_proven)
		printf("; %" PRIu64 " levels not proven after gaps left out", result->not_proven);
	printf("\n%s", result->text);
}

void report_text(const struct run *run)
{
	struct report_totals totals;

	report_totals(run, &totals);
	for (unsigned int i = 0; i < run->pipelines; i++)
		print_pipeline(run, i);
	print_latency(run);
	print_workers(run, &totals);
	printf("in %.3f s (%s): %" PRIu64 " messages in, %.0f/s, %.0f/s per core\n", totals.seconds,
	       report_end(run), totals.messages, totals.per_second, totals.per_core_second);
	if (*rk_runtime_note(run->runtime))
		printf("note: %s\n", rk_runtime_note(run->runtime));
	print_verified(run);
}
