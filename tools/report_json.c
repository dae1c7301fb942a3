// SPDX-License-Identifier: MIT
/* The report as JSON: the same facts as the text, with every counter, 0 or not. */
#include "report.h"
#include "tool.h"

#if RK_HAVE_JANSSON

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *counters_json(const void *of, const struct report_counter *counters)
{
	json_t *all = json_object();

	for (; counters->name; counters++)
		json_object_set_new(all, counters->name, number(report_count(of, counters)));
	return all;
}

static json_t *port_json(const struct rk_port *port)
{
	struct rk_port_stats stats;

	rk_port_stats(port, &stats);
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "port", rk_port_uri(port),
			 "messages", number(stats.messages), "bytes", number(stats.bytes),
			 "uncounted_slots", number(stats.uncounted_slots), "ring_full",
			 number(stats.ring_full), "calls", number(stats.calls), "dropped",
			 counters_json(&stats, report_port_drops), "note", rk_port_note(port));
}

static json_t *actor_json(const struct plan_actor *plan, const struct rk_actor *actor)
{
	const struct rk_counter_name *counter = plan->type->counters;
	const char *state = rk_actor_state(actor);
	json_t *counters = json_object();
	char place[REPORT_PLACE_BYTES];
	struct rk_actor_info info;

	rk_actor_info(actor, &info);
	for (; state && counter && counter->name; counter++)
		json_object_set_new(counters, counter->name,
				    number(*(const uint64_t *)(state + counter->offset)));
	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o}", "actor", info.name, "type",
			 plan->type->name, "on", report_place(plan, place),
			 "received", number(info.received), "sent", number(info.sent), "dropped",
			 counters_json(&info, report_actor_drops), "counters", counters);
}

static json_t *checks_json(const struct run_pipeline *pipeline)
{
	struct report_check check[REPORT_CHECKS];
	unsigned int count = report_checks(pipeline, check);
	json_t *all = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(
			all, json_pack("{s:s,s:o,s:s,s:o,s:b}", "left", check[i].left_text,
				       "left_count", number(check[i].left), "right",
				       check[i].right_text, "right_count", number(check[i].right),
				       "holds", check[i].left == check[i].right));
	return all;
}

/* null where a value cannot be known. */
static json_t *percentile_json(const struct rk_hist *hist, double percentile)
{
	uint64_t value_ns = rk_hist_percentile(hist, percentile);

	return value_ns == RK_HIST_OVER || !rk_hist_count(hist) ? json_null() : number(value_ns);
}

static json_t *latency_json(const struct run_pipeline *pipeline)
{
	static const struct {
		const char *name;
		double percentile;
	} columns[] = {{"min_ns", 0},	   {"p50_ns", 50},	 {"p90_ns", 90}, {"p99_ns", 99},
		       {"p99_9_ns", 99.9}, {"p99_99_ns", 99.99}, {"max_ns", 100}};
	const struct latency *latency = &pipeline->latency;
	json_t *all =
		json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "series", latency->label, "from",
			  latency->origin, "count", number(rk_hist_count(latency->hist)), "over",
			  number(rk_hist_over(latency->hist)), "untimed", number(latency->untimed),
			  "early", number(latency->early), "drops", number(report_drops(pipeline)));

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		json_object_set_new(all, columns[i].name,
				    percentile_json(latency->hist, columns[i].percentile));
	return all;
}

static json_t *pipeline_json(const struct run *run, const struct run_pipeline *pipeline)
{
	const struct rk_mdp3_state *books = run_books(pipeline);
	json_t *from = json_array(), *actors = json_array(), *all;

	for (unsigned int i = 0; i < pipeline->plan->from_count; i++)
		json_array_append_new(from, port_json(pipeline->in[i].port));
	for (unsigned int i = 0; i < pipeline->plan->actor_count; i++)
		json_array_append_new(actors,
				      actor_json(&pipeline->plan->actor[i], pipeline->actor[i]));
	all = json_pack("{s:o,s:f,s:o,s:o,s:o,s:o,s:o}", "messages",
			number(report_messages_in(pipeline)), "messages_per_second",
			(double)report_messages_in(pipeline) / report_seconds(run), "from", from,
			"actors", actors, "to", port_json(pipeline->out.port), "conservation",
			checks_json(pipeline), "latency", latency_json(pipeline));
	if (books) {
		json_object_set_new(all, "gaps", books_gaps_json(&pipeline->gaps));
		json_object_set_new(all, "books", books_json(books, &run->plan->books));
	}
	return all;
}

static json_t *workers_json(const struct run *run)
{
	struct rk_worker_info worker;
	json_t *all = json_array();

	for (unsigned int i = 0; !rk_runtime_worker(run->runtime, i, &worker); i++)
		json_array_append_new(all, json_pack("{s:i,s:o,s:o,s:o,s:o}", "cpu", worker.cpu,
						     "cpu_ns", number(worker.cpu_ns), "polls",
						     number(worker.polls), "worked",
						     number(worker.worked), "sleeps",
						     number(worker.sleeps)));
	return all;
}

static json_t *verified_json(const struct run *run)
{
	const struct truth_result *result = &run->verified;

	if (!run->plan->verify)
		return json_null();
	return json_pack("{s:s,s:o,s:o,s:o,s:s}", "file", run->plan->verify, "compared",
			 number(result->compared), "not_proven", number(result->not_proven),
			 "differences", number(result->differences), "first", result->text);
}

void report_json(const struct run *run)
{
	json_t *pipelines = json_array(), *all;
	struct report_totals totals;

	report_totals(run, &totals);
	for (unsigned int i = 0; i < run->pipelines; i++)
		json_array_append_new(pipelines, pipeline_json(run, &run->pipeline[i]));
	all = json_pack("{s:s,s:f,s:s,s:o,s:f,s:f,s:b,s:o,s:o,s:o,s:s,s:s?,s:s?,s:s}", "version",
			rk_version(), "seconds", totals.seconds, "end", report_end(run), "messages",
			number(totals.messages), "messages_per_second", totals.per_second,
			"messages_per_core_second", totals.per_core_second, "conserved",
			report_conserved(run), "pipelines", pipelines, "workers", workers_json(run),
			"verify", verified_json(run), "plot", run->plotted, "log", run->plan->log,
			"hgrm", run->plan->hgrm, "note", rk_runtime_note(run->runtime));
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(all);
}

#else

/* Never reached: main() refuses -j in a build without jansson. */
void report_json(const struct run *run)
{
	report_text(run);
}

#endif
