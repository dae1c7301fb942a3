// SPDX-License-Identifier: MIT
/* `ringkernel run`: starts pipelines, waits for their end or a signal, reports. */
#include "clock.h"
#include "actors.h"
#include "report.h"
#include "tool.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define LOOK_NS	  UINT64_C(20000000) /* how often signals and the clock are looked at */
#define DRAIN_NS  UINT64_C(800000000)
#define CUT_NS	  UINT64_C(100000000)

/* --- Starting --- */

static bool has_option(const char *uri, const char *option)
{
	size_t bytes = strlen(option);

	for (const char *at = strchr(uri, ','); at; at = strchr(at, ',')) {
		at++;
		if (!strncmp(at, option, bytes))
			return true;
	}
	return false;
}

/* What RK_MSG_F_TIME of an input's messages is. */
static const char *origin_of(const char *uri)
{
	if (!strncmp(uri, "udp:", 4))
		return has_option(uri, "stamp") ? "the sender's stamp (kernel receive time if none)"
						: "kernel receive time";
	if (!strncmp(uri, "dpdk:", 5))
		return "the receive time";
	if (has_option(uri, "rate=") ||
	    (has_option(uri, "speed=") && !has_option(uri, "speed=max")))
		return "the replay's schedule";
	return "the reading of the capture";
}

static void find_origin(struct run_pipeline *pipeline)
{
	char *text = pipeline->origin;

	for (unsigned int i = 0; i < pipeline->plan->from_count; i++) {
		const char *origin = origin_of(pipeline->plan->from[i].uri);
		size_t used = strlen(text);

		if (!strstr(text, origin))
			snprintf(text + used, RUN_ORIGIN_BYTES - used, "%s%s", used ? " or " : "",
				 origin);
	}
}

static int open_port(struct run_port *port, const struct plan_port *plan,
		     enum rk_port_direction direction)
{
	return rk_port_open(&port->port, plan->uri, direction, plan->feed);
}

/* Everything that can fail for reasons outside, before anything moves. */
static int prepare(struct run *run, unsigned int index)
{
	struct run_pipeline *pipeline = &run->pipeline[index];
	char label[LATENCY_LABEL_BYTES];
	int result = 0;

	pipeline->plan = &run->plan->pipeline[index];
	run->pipelines = index + 1;
	find_origin(pipeline);
	snprintf(label, sizeof(label), "pipeline-%u", index + 1);
	pipeline->gaps.gap = calloc(BOOKS_GAPS, sizeof(*pipeline->gaps.gap));
	if (!pipeline->gaps.gap)
		return rk_fail(ENOMEM, "no memory");
	result = latency_open(&pipeline->latency, label, pipeline->origin);
	for (unsigned int i = 0; !result && i < pipeline->plan->from_count; i++)
		result = open_port(&pipeline->in[i], &pipeline->plan->from[i], RK_PORT_IN);
	if (!result)
		result = open_port(&pipeline->out, &pipeline->plan->to, RK_PORT_OUT);
	return result;
}

/* Each message at the end of a pipeline. On a worker's thread. */
static void observe(void *observer, const struct rk_msg *msg)
{
	struct run_pipeline *pipeline = observer;

	latency_record(&pipeline->latency, msg);
	books_note_gap(&pipeline->gaps, msg);
}

static int spawn(struct run *run, struct run_pipeline *pipeline)
{
	for (unsigned int i = 0; i < pipeline->plan->actor_count; i++) {
		const struct plan_actor *plan = &pipeline->plan->actor[i];
		const struct rk_actor_opts opts = {.size = sizeof(opts),
						   .worker = plan->worker,
						   .args = plan->args,
						   .arg_count = plan->arg_count,
						   .backend = plan->backend,
						   .gpu = plan->gpu,
						   .group = plan->group};
		int result = rk_actor_spawn(&pipeline->actor[i], run->runtime, plan->type, &opts);

		if (result)
			return result;
	}
	return 0;
}

/* Links from the end to the beginning, so that nothing comes before all is there. */
static int link_all(struct run *run, struct run_pipeline *pipeline)
{
	const struct plan_pipeline *plan = pipeline->plan;
	struct rk_link_opts opts = {.size = sizeof(opts),
				    .slots = run->plan->slots,
				    .worker = plan->to.worker,
				    .observe = observe,
				    .observer = pipeline};
	int result;

	pipeline->out.given = true;
	if (!plan->actor_count) {
		if (opts.worker == RK_ANY_WORKER)
			opts.worker = plan->from[0].worker;
		pipeline->in[0].given = true;
		return rk_link_ports(NULL, run->runtime, pipeline->in[0].port, pipeline->out.port,
				     &opts);
	}
	result = rk_link_port_out(NULL, pipeline->actor[plan->actor_count - 1], pipeline->out.port,
				  &opts);
	opts.observe = NULL;
	for (unsigned int i = plan->actor_count; !result && --i;)
		result = rk_link_actors(NULL, pipeline->actor[i - 1], pipeline->actor[i], &opts);
	for (unsigned int i = 0; !result && i < plan->from_count; i++) {
		opts.worker = plan->from[i].worker;
		pipeline->in[i].given = true;
		result = rk_link_port_in(NULL, pipeline->in[i].port, pipeline->actor[0], &opts);
	}
	return result;
}

/* Last pipeline first: receivers listen before senders send. */
static int start(struct run *run)
{
	const struct rk_runtime_opts opts = {.size = sizeof(opts), .workers = run->plan->workers};
	int result = rk_runtime_open(&run->runtime, &opts);

	for (unsigned int i = 0; !result && i < run->pipelines; i++)
		result = spawn(run, &run->pipeline[i]);
	run->began_ns = clock_ns(CLOCK_MONOTONIC);
	run->began_real_ns = clock_ns(CLOCK_REALTIME);
	for (unsigned int i = run->pipelines; !result && i--;)
		result = link_all(run, &run->pipeline[i]);
	return result;
}

/* --- Waiting --- */

/* What is shown and written once a second. */
struct ticker {
	struct rk_hist_log *log;
	uint64_t next_ns;
	uint64_t logged_ns; /* CLOCK_REALTIME, end of the last interval */
	uint64_t in_before;
	bool progress;
};

static int write_log(struct run *run, struct ticker *ticker)
{
	uint64_t now_ns = clock_ns(CLOCK_REALTIME);
	int result = 0;

	if (now_ns < ticker->logged_ns) /* the clock was set back */
		now_ns = ticker->logged_ns;
	for (unsigned int i = 0; ticker->log && !result && i < run->pipelines; i++)
		result = latency_log(&run->pipeline[i].latency, ticker->log, ticker->logged_ns,
				     now_ns);
	ticker->logged_ns = now_ns;
	return result;
}

static int tick(struct run *run, struct ticker *ticker, uint64_t now_ns)
{
	uint64_t in, out, dropped;

	if (now_ns < ticker->next_ns)
		return 0;
	ticker->next_ns += SECOND_NS;
	if (ticker->progress) {
		report_progress(run, &in, &out, &dropped);
		fprintf(stderr,
			"\r%" PRIu64 " s  in %" PRIu64 " (%" PRIu64 "/s)  out %" PRIu64
			"  dropped %" PRIu64 "\033[K",
			(now_ns - run->began_ns) / SECOND_NS, in, in - ticker->in_before, out,
			dropped);
		ticker->in_before = in;
	}
	return write_log(run, ticker);
}

/* Inputs take nothing more, what is in the rings flows out; a second signal kills. */
static int drain(struct run *run, const sigset_t *signals)
{
	int result;

	sigprocmask(SIG_UNBLOCK, signals, NULL);
	result = rk_runtime_stop(run->runtime, RK_STOP_DRAIN, DRAIN_NS);
	if (result != -ETIMEDOUT)
		return result;
	run->cut = true;
	rk_runtime_stop(run->runtime, RK_STOP_NOW, CUT_NS);
	return rk_fail(ETIMEDOUT,
		       "what was in the rings did not flow out within %" PRIu64 " ms: an "
		       "output takes nothing, or an actor does not come back",
		       DRAIN_NS / 1000000);
}

static int wait_for_end(struct run *run, struct ticker *ticker, const sigset_t *signals)
{
	static const struct timespec no_time;
	uint64_t end_ns =
		run->plan->duration_ns ? run->began_ns + run->plan->duration_ns : UINT64_MAX;

	for (;;) {
		int result = rk_runtime_wait(run->runtime, LOOK_NS);
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

		if (!result)
			return 0;
		if (result != -ETIMEDOUT) /* a port failed: the rest must not go on without it */
			return drain(run, signals);
		if (sigtimedwait(signals, NULL, &no_time) > 0) {
			run->end = RUN_SIGNALLED;
			return drain(run, signals);
		}
		if (now_ns >= end_ns) {
			run->end = RUN_DURATION_OVER;
			return drain(run, signals);
		}
		result = tick(run, ticker, now_ns);
		if (result)
			return result;
	}
}

/* --- The end --- */

static int write_hgrm(const struct run *run, FILE *file)
{
	const struct run_pipeline *last = &run->pipeline[run->pipelines - 1];
	int result = rk_hist_write_hgrm(file, last->latency.hist, 1000);

	if (fclose(file) && !result)
		result = rk_fail(errno, "hgrm '%s': %s", run->plan->hgrm, strerror(errno));
	return result;
}

static int plot(const struct tool *tool, struct run *run)
{
	struct rk_hist_series series[PLAN_PIPELINES];
	int result;

	for (unsigned int i = 0; i < run->pipelines; i++)
		series[i] = (struct rk_hist_series){.label = run->pipeline[i].latency.label,
						    .hist = run->pipeline[i].latency.hist,
						    .drops = report_drops(&run->pipeline[i])};
	result = rk_hist_plot(run->plan->plot, tool->json ? NULL : stdout,
			      "RingKernel: latency from the intended time", series, run->pipelines);
	if (result == RK_HIST_PLOTTED_IMAGE)
		snprintf(run->plotted, sizeof(run->plotted), "%s", run->plan->plot);
	else if (result == RK_HIST_PLOTTED_TEXT)
		snprintf(run->plotted, sizeof(run->plotted),
			 "as text: gnuplot is not installed (apt-get install gnuplot-nox)");
	else
		snprintf(run->plotted, sizeof(run->plotted), "none: %s", rk_errmsg());
	/* Nothing to draw, or nobody who draws, is said and no failure. */
	return result == -ENODATA || result == -EOPNOTSUPP || result > 0 ? 0 : result;
}

static int verify(struct run *run)
{
	for (unsigned int i = 0; i < run->pipelines; i++) {
		const struct rk_mdp3_state *state = run_books(&run->pipeline[i]);

		if (state)
			return truth_verify(run->plan->verify, state, &run->pipeline[i].gaps,
					    &run->verified);
	}
	return rk_fail(EPIPE, "verify: no mdp3_book actor came to its end");
}

/* Print "ringkernel: run: " and why, unless @*code says that it was done. */
static void failed(int *code)
{
	tool_fail("run", TOOL_FAILED);
	*code = TOOL_FAILED;
}

/* Whatever failed before, all that can be told is told. */
static int conclude(const struct tool *tool, struct run *run, FILE *hgrm)
{
	int code = TOOL_OK;

	if (hgrm && write_hgrm(run, hgrm))
		failed(&code);
	if (run->plan->plot && plot(tool, run))
		failed(&code);
	if (run->plan->verify && verify(run))
		failed(&code);
	if (tool->json)
		report_json(run);
	else
		report_text(run);
	if (run->plan->verify && run->verified.differences) {
		rk_fail(EPROTO, "verify '%s': %" PRIu64 " values differ", run->plan->verify,
			run->verified.differences);
		failed(&code);
	}
	if (!report_conserved(run) && !run->cut) {
		rk_fail(EPROTO, "messages are not accounted for: see the violated line");
		failed(&code);
	}
	return code;
}

static int work(const struct tool *tool, struct run *run, struct ticker *ticker, FILE *hgrm)
{
	int code = TOOL_OK, result;
	sigset_t signals;

	/* Blocked before the workers start, so that only this thread takes them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	result = start(run);
	if (result)
		return tool_fail("run", TOOL_FAILED);
	ticker->next_ns = run->began_ns + SECOND_NS;
	ticker->logged_ns = run->began_real_ns;
	result = wait_for_end(run, ticker, &signals);
	run->ended_ns = clock_ns(CLOCK_MONOTONIC);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	if (ticker->progress)
		fputs("\r\033[K", stderr);
	if (result)
		failed(&code);
	if (write_log(run, ticker))
		failed(&code);
	return conclude(tool, run, hgrm) ? TOOL_FAILED : code;
}

/* Files that are named are opened before anything starts. */
static int open_files(const struct run *run, struct ticker *ticker, FILE **hgrm)
{
	const struct plan *plan = run->plan;

	if (plan->hgrm) {
		*hgrm = fopen(plan->hgrm, "we");
		if (!*hgrm)
			return rk_fail(errno, "hgrm '%s': %s", plan->hgrm, strerror(errno));
	}
	if (plan->verify && access(plan->verify, R_OK))
		return rk_fail(errno, "verify '%s': %s", plan->verify, strerror(errno));
	if (!plan->log)
		return 0;
	return rk_hist_log_open(&ticker->log, plan->log,
				"ringkernel run: latency from the intended time, ns",
				clock_ns(CLOCK_REALTIME));
}

static void release(struct run_pipeline *pipeline)
{
	for (unsigned int i = 0; i < PLAN_INPUTS; i++)
		if (!pipeline->in[i].given)
			rk_port_close(pipeline->in[i].port);
	if (!pipeline->out.given)
		rk_port_close(pipeline->out.port);
	latency_close(&pipeline->latency);
	free(pipeline->gaps.gap);
}

/* A plan that makes sense, from here on to the exit code. */
static int execute(const struct tool *tool, const struct plan *plan)
{
	struct ticker ticker = {.progress = !tool->quiet && isatty(STDERR_FILENO)};
	struct run *run = calloc(1, sizeof(*run));
	int code = TOOL_OK, result = 0;
	FILE *hgrm = NULL;

	if (!run) {
		rk_fail(ENOMEM, "no memory");
		return tool_fail("run", TOOL_FAILED);
	}
	run->plan = plan;
	for (unsigned int i = 0; !result && i < plan->pipeline_count; i++)
		result = prepare(run, i);
	if (result)
		code = tool_fail("run", result == -EINVAL ? TOOL_MISUSED : TOOL_FAILED);
	else if (open_files(run, &ticker, &hgrm))
		code = tool_fail("run", TOOL_FAILED);
	else
		code = work(tool, run, &ticker, hgrm);
	if (rk_runtime_close(run->runtime))
		failed(&code);
	if (rk_hist_log_close(ticker.log))
		failed(&code);
	for (unsigned int i = 0; i < run->pipelines; i++)
		release(&run->pipeline[i]);
	free(run);
	return code;
}

static int check_verify(const struct plan *plan)
{
	if (!plan->verify)
		return 0;
	if (!RK_HAVE_JANSSON)
		return tool_no_json("verify");
	for (unsigned int i = 0; i < plan->pipeline_count; i++)
		for (unsigned int j = 0; j < plan->pipeline[i].actor_count; j++)
			if (plan->pipeline[i].actor[j].type->handle == rk_mdp3_book)
				return 0;
	return rk_fail(EINVAL, "verify: no pipeline has an mdp3_book actor to compare");
}

static int run(const struct tool *tool, int count, char **words)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	int code, result;

	if (!plan)
		result = rk_fail(ENOMEM, "no memory");
	else if (count >= 2 && !strcmp(words[0], "file"))
		result = plan_from_file(plan, words[1], count - 2, words + 2);
	else
		result = plan_from_words(plan, count, words);
	if (!result)
		result = check_verify(plan);
	if (result)
		code = tool_fail("run", result == -EINVAL ? TOOL_MISUSED : TOOL_FAILED);
	else
		code = execute(tool, plan);
	if (plan)
		plan_free(plan);
	free(plan);
	return code;
}

static void print_kinds(void)
{
	const struct rk_actor_type *type;
	const struct rk_port_kind *kind;

	for (unsigned int i = 0; (kind = rk_port_kind_at(i)); i++) {
		printf("\n%s:  %s\n", kind->name, kind->absent ? kind->absent : kind->summary);
		for (const char *at = kind->options; *at; at += strspn(at, "\n")) {
			int bytes = (int)strcspn(at, "\n");

			printf("  %.*s\n", bytes, at);
			at += bytes;
		}
	}
	printf("\nActor types and their arguments:\n");
	for (uint32_t i = 0; (type = rk_actor_type_at(i)); i++) {
		printf("  %-10s %s", type->name, type->summary);
		for (unsigned int j = 0; type->args && type->args[j]; j++)
			printf("%s%s", j ? ", " : "\n             ", type->args[j]);
		putchar('\n');
	}
}

const struct tool_command cmd_run = {
	.name = "run",
	.summary = "run pipelines: port -> actor -> port",
	.help = "run [WORDS]... PIPELINE [-- PIPELINE]...\n"
		"       ringkernel [OPTIONS] run file FILE [NAME=VALUE]...\n"
		"\n"
		"PIPELINE := from PORT [on N] [from PORT [on N]]...\n"
		"            [actor TYPE[,ARG=VALUE]... [on N | on gpu[N] [warp | block]]]...\n"
		"            to PORT [on N]\n"
		"\n"
		"  on N             worker that does it, from 0\n"
		"  on gpuN          GPU that runs the actor, from 0: on one warp of it, or a block\n"
		"\n"
		"WORDS, before the first pipeline:\n"
		"  workers N        threads (default: one for each CPU)\n"
		"  slots N          of each ring, a power of two (default 1024)\n"
		"  duration SECONDS stop then (default: when all inputs end)\n"
		"  log FILE.hlog    latency, one interval a second, as an HdrHistogram log\n"
		"  hgrm FILE        latency of the last pipeline, by percentile\n"
		"  plot FILE.svg    latency as an image, or .png\n"
		"  books WHICH      SECURITY,... or all or how many (default 10)\n"
		"  verify FILE.json compare what mdp3_book found with this\n"
		"\n"
		"Pipelines are started last to first, so receivers listen before senders send.\n"
		"FILE has the same words, one pipeline a line; a backslash at the end joins "
		"lines,\n"
		"'#' begins a comment, and $NAME stands for VALUE.\n"
		"\n"
		"PORT is KIND:WHAT[,OPTION=VALUE]...; in WHAT a comma is written \"\\,\".\n",
	.more_help = print_kinds,
	.run = run,
};
