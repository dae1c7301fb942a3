// SPDX-License-Identifier: MIT
/* `ringkernel gen`: a feed of gen.h to a capture file, and what it must lead to beside it. */
#include "clock.h"
#include "config.h"
#include "gen.h"
#include "gen_send.h"
#include "tool.h"
#include "truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The words, read. */
struct request {
	struct gen_opts opts;
	const char *path;
	const char *truth;
};

/* What was written. */
struct written {
	uint64_t packets;
	uint64_t bytes;
};

static int set_key(struct request *request, char *word)
{
	char *value = strchr(word, '=');
	int result;

	if (!value)
		return tool_unknown(word, "KEY=VALUE, to");
	*value = 0;
	result = gen_opts_set(&request->opts, word, value + 1);
	*value = '=';
	return result;
}

static int read_words(struct request *request, int count, char **words)
{
	int at = 0, result = 0;

	gen_opts_init(&request->opts);
	while (!result && at < count && strcmp(words[at], "to"))
		result = set_key(request, words[at++]);
	if (result)
		return result;
	if (at == count)
		return tool_unknown(NULL, "KEY=VALUE, to");
	if (++at == count)
		return rk_fail(EINVAL, "to: a value is missing: write to FILE.pcap");
	request->path = words[at++];
	if (at == count)
		return 0;
	if (strcmp(words[at], "truth"))
		return tool_unknown(words[at], "truth");
	if (++at == count)
		return rk_fail(EINVAL, "truth: a value is missing: write truth FILE.json");
	request->truth = words[at++];
	return at == count ? 0 : tool_unknown(words[at], "the end");
}

static uint64_t seconds(void)
{
	return now_ns() / 1000000000;
}

/* Once a second at most. */
static void show_progress(const struct request *request, const struct gen *gen, uint64_t *shown)
{
	uint64_t now = seconds();

	if (now == *shown)
		return;
	*shown = now;
	fprintf(stderr, "\rringkernel: gen: %" PRIu64 " of %" PRIu64 " packets ",
		gen_truth(gen)->delivered[0], request->opts.packets);
}

/* Where the feed goes: one of the two. */
struct sink {
	struct gen_pcap *pcap;
	struct gen_send *send;
};

static int open_sink(struct sink *sink, const char *path)
{
	if (gen_send_is_uri(path))
		return gen_send_open(&sink->send, path);
	return gen_pcap_open(&sink->pcap, path);
}

static int close_sink(struct sink *sink)
{
	return sink->send ? gen_send_close(sink->send) : gen_pcap_close(sink->pcap);
}

static int write_feed(struct gen *gen, struct sink *sink, const struct request *request,
		      bool progress, struct written *written)
{
	uint64_t shown = seconds();
	struct gen_packet packet;
	int more;

	while ((more = gen_next(gen, &packet)) > 0) {
		int result = 0;

		if (sink->send)
			result = gen_send_packet(sink->send, &packet);
		else
			gen_pcap_write(sink->pcap, &packet);
		if (result)
			return result;
		written->packets++;
		written->bytes += packet.bytes;
		if (progress && !(written->packets & 1023))
			show_progress(request, gen, &shown);
	}
	if (progress)
		fputs("\r\033[K", stderr);
	return more;
}

static void print(FILE *file, const struct request *request, const struct gen_truth *truth,
		  const struct written *written)
{
	fprintf(file, "%s: %" PRIu64 " datagrams, %" PRIu64 " bytes, seed %" PRIu64 "\n",
		request->path, written->packets, written->bytes, request->opts.feed.seed);
	for (int i = 0; i < 2; i++)
		fprintf(file,
			"feed %c  delivered %" PRIu64 "  lost %" PRIu64 "  twice %" PRIu64
			"  late %" PRIu64 "\n",
			'A' + i, truth->delivered[i], truth->lost[i], truth->duplicated[i],
			truth->late[i]);
	fprintf(file,
		"sent %" PRIu64 " packets, %" PRIu64 " messages, %" PRIu64 " entries over %" PRIu64
		" securities; unique %" PRIu64 "; missing on both %" PRIu64 " in %" PRIu64
		" gaps\n",
		truth->sent.packets, truth->sent.messages, truth->sent.entries, truth->securities,
		truth->unique, truth->missing_packets, truth->missing_ranges);
	if (request->truth)
		fprintf(file, "%s: what a receiver must find\n", request->truth);
}

#if RK_HAVE_JANSSON

static json_t *pair(const uint64_t values[2])
{
	return json_pack("[II]", (json_int_t)values[0], (json_int_t)values[1]);
}

static void print_json(const struct request *request, const struct gen_truth *truth,
		       const struct written *written)
{
	json_t *all = json_pack(
		"{s:s,s:s?,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "file",
		request->path, "truth", request->truth, "seed", (json_int_t)request->opts.feed.seed,
		"datagrams", (json_int_t)written->packets, "bytes", (json_int_t)written->bytes,
		"delivered", pair(truth->delivered), "lost", pair(truth->lost), "duplicated",
		pair(truth->duplicated), "late", pair(truth->late), "sent",
		(json_int_t)truth->sent.packets, "messages", (json_int_t)truth->sent.messages,
		"entries", (json_int_t)truth->sent.entries, "securities",
		(json_int_t)truth->securities, "unique", (json_int_t)truth->unique,
		"missing_packets", (json_int_t)truth->missing_packets, "gaps",
		(json_int_t)truth->missing_ranges);

	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

#else

static void print_json(const struct request *request, const struct gen_truth *truth,
		       const struct written *written)
{
	print(stdout, request, truth, written);
}

#endif

static int generate(const struct tool *tool, const struct request *request, struct gen *gen)
{
	bool progress = !tool->quiet && isatty(STDERR_FILENO);
	bool to_stdout = !strcmp(request->path, "-");
	struct written written = {0, 0};
	struct sink sink = {NULL, NULL};
	int result, closed;

	result = open_sink(&sink, request->path);
	if (result)
		return result;
	result = write_feed(gen, &sink, request, progress, &written);
	closed = close_sink(&sink);
	if (!result)
		result = closed;
	if (!result && request->truth)
		result = truth_write(request->truth, gen, &request->opts);
	if (result)
		return result;
	if (tool->json && !to_stdout)
		print_json(request, gen_truth(gen), &written);
	else
		print(to_stdout ? stderr : stdout, request, gen_truth(gen), &written);
	return 0;
}

static int run(const struct tool *tool, int count, char **words)
{
	struct request request = {0};
	struct gen *gen = NULL;
	int result = read_words(&request, count, words);

	if (result)
		return tool_fail("gen", TOOL_MISUSED);
	if (request.truth && !RK_HAVE_JANSSON) {
		tool_no_json("truth");
		return tool_fail("gen", TOOL_FAILED);
	}
	result = gen_open(&gen, &request.opts);
	if (result)
		return tool_fail("gen", result == -EINVAL ? TOOL_MISUSED : TOOL_FAILED);
	result = generate(tool, &request, gen);
	gen_close(gen);
	return result ? tool_fail("gen", TOOL_FAILED) : TOOL_OK;
}

static void print_keys(void)
{
	const struct gen_key *key;

	for (uint32_t i = 0; (key = gen_key_at(i)); i++)
		printf("  %-16s %s (%s)\n", key->name, key->help, key->preset);
}

const struct tool_command cmd_gen = {
	.name = "gen",
	.summary = "generate a market-data feed: MDP 3.0, feeds A and B, to a file or by UDP",
	.help = "gen [KEY=VALUE]... to FILE.pcap|udp:URI [truth FILE.json]\n"
		"\n"
		"Equal values give equal bytes on every machine. `truth` writes what a receiver "
		"must\n"
		"find, for `ringkernel run verify FILE.json`. FILE.pcap may be -, for standard "
		"output. A udp: port sends it, each datagram at its time: A to the first address, B "
		"to\n"
		"the second: udp:ADDR:PORT,feeds=ADDR:PORT,iface=lo,stamp\n"
		"Keys:\n",
	.more_help = print_keys,
	.run = run,
};
