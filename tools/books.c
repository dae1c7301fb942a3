// SPDX-License-Identifier: MIT
#include "books.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	PRICE_UNIT = 10000000, /* mantissas have the exponent -7 */
	SHOWN_GAPS = 5,
};

void books_note_gap(struct books_gaps *gaps, const struct rk_msg *msg)
{
	struct rk_mdp3_gap gap;

	if (msg->type != RK_MDP3_GAP || rk_msg_payload_bytes(msg) < sizeof(gap))
		return;
	memcpy(&gap, rk_msg_payload(msg), sizeof(gap));
	gaps->seen++;
	if (gaps->count < BOOKS_GAPS)
		gaps->gap[gaps->count++] = (struct books_gap){gap.first, gap.last};
}

const char *books_price(char text[BOOKS_PRICE_BYTES], int64_t mantissa)
{
	uint64_t size = mantissa < 0 ? -(uint64_t)mantissa : (uint64_t)mantissa;
	int bytes = snprintf(text, BOOKS_PRICE_BYTES, "%s%" PRIu64 ".%07" PRIu64,
			     mantissa < 0 ? "-" : "", size / PRICE_UNIT, size % PRICE_UNIT);

	while (text[bytes - 1] == '0' && text[bytes - 3] != '.')
		text[--bytes] = 0;
	return text;
}

const struct rk_mdp3_security *books_find(const struct rk_mdp3_state *state, int32_t id)
{
	const struct rk_mdp3_security *security;

	for (uint32_t i = 0; (security = rk_mdp3_security_at(state, i)); i++)
		if (security->id == id)
			return security;
	return NULL;
}

const struct rk_mdp3_security *books_wanted(const struct rk_mdp3_state *state,
					    const struct plan_books *wanted, uint32_t index,
					    struct rk_mdp3_bbo *best)
{
	static const struct rk_mdp3_security nothing;
	const struct rk_mdp3_security *security = NULL;

	memset(best, 0, sizeof(*best));
	if (wanted->count) {
		if (index >= wanted->count)
			return NULL;
		security = books_find(state, wanted->id[index]);
		best->security_id = wanted->id[index];
		if (!security)
			return &nothing;
	} else {
		uint32_t found = 0;

		/* Only implied entries make no book of this kind. */
		for (uint32_t i = 0; index < wanted->first; i++) {
			security = rk_mdp3_security_at(state, i);
			if (!security || (security->has_explicit && found++ == index))
				break;
		}
	}
	if (security)
		rk_mdp3_best_now(state, security, best);
	return security;
}

static void print_side(FILE *file, const struct rk_mdp3_bbo *best, bool bid)
{
	uint32_t there = bid ? RK_MDP3_BBO_F_BID : RK_MDP3_BBO_F_OFFER;
	uint32_t stale = bid ? RK_MDP3_BBO_F_BID_STALE : RK_MDP3_BBO_F_OFFER_STALE;
	int64_t price = bid ? best->bid_price : best->offer_price;
	const char *mark = best->flags & stale ? "?" : " ";
	char text[BOOKS_PRICE_BYTES];

	if (best->flags & there)
		fprintf(file, "  %14s%s %13" PRId64 " %7d %6d", books_price(text, price), mark,
			price, bid ? best->bid_size : best->offer_size,
			bid ? best->bid_orders : best->offer_orders);
	else
		fprintf(file, "  %14s%s %13s %7s %6s", "-", mark, "-", "-", "-");
}

static void print_gaps(FILE *file, const struct rk_mdp3_state *state, const struct books_gaps *gaps)
{
	const struct rk_mdp3_counters *counters = &state->counters;

	fprintf(file, "  gaps %" PRIu64 ", %" PRIu64 " packets missing on both feeds",
		counters->gaps, counters->packets_missing);
	for (uint64_t i = 0; i < gaps->count && i < SHOWN_GAPS; i++)
		fprintf(file, "%s%u-%u", i ? ", " : ": ", gaps->gap[i].first, gaps->gap[i].last);
	fprintf(file, "%s\n", gaps->seen > SHOWN_GAPS ? ", ..." : "");
}

void books_print(FILE *file, const struct rk_mdp3_state *state, const struct books_gaps *gaps,
		 const struct plan_books *wanted)
{
	const struct rk_mdp3_security *security;
	struct rk_mdp3_bbo best;
	bool stale = false;

	print_gaps(file, state, gaps);
	for (uint32_t i = 0; (security = books_wanted(state, wanted, i, &best)); i++) {
		if (!i)
			fprintf(file, "  %-10s  %14s  %13s %7s %6s  %14s  %13s %7s %6s\n",
				"security", "best bid", "mantissa", "size", "orders", "best offer",
				"mantissa", "size", "orders");
		fprintf(file, "  %-10d", best.security_id);
		print_side(file, &best, true);
		print_side(file, &best, false);
		fputc('\n', file);
		stale |= best.flags & (RK_MDP3_BBO_F_BID_STALE | RK_MDP3_BBO_F_OFFER_STALE);
	}
	if (stale)
		fputs("  ? not proven: the feed was joined late, or a gap may have hidden a "
		      "change\n",
		      file);
}

#if RK_HAVE_JANSSON

static json_t *side_json(const struct rk_mdp3_bbo *best, bool bid)
{
	int64_t price = bid ? best->bid_price : best->offer_price;
	uint32_t stale = bid ? RK_MDP3_BBO_F_BID_STALE : RK_MDP3_BBO_F_OFFER_STALE;
	char text[BOOKS_PRICE_BYTES];

	if (!(best->flags & (bid ? RK_MDP3_BBO_F_BID : RK_MDP3_BBO_F_OFFER)))
		return json_pack("{s:n,s:b}", "price", "stale", (best->flags & stale) != 0);
	return json_pack("{s:s,s:I,s:i,s:i,s:b}", "price", books_price(text, price), "mantissa",
			 (json_int_t)price, "size", bid ? best->bid_size : best->offer_size,
			 "orders", bid ? best->bid_orders : best->offer_orders, "stale",
			 (best->flags & stale) != 0);
}

json_t *books_json(const struct rk_mdp3_state *state, const struct plan_books *wanted)
{
	json_t *books = json_array();
	struct rk_mdp3_bbo best;

	for (uint32_t i = 0; books_wanted(state, wanted, i, &best); i++)
		json_array_append_new(
			books, json_pack("{s:i,s:o,s:o}", "security", best.security_id, "bid",
					 side_json(&best, true), "offer", side_json(&best, false)));
	return books;
}

json_t *books_gaps_json(const struct books_gaps *gaps)
{
	json_t *array = json_array();

	for (uint64_t i = 0; i < gaps->count; i++)
		json_array_append_new(array, json_pack("[II]", (json_int_t)gaps->gap[i].first,
						       (json_int_t)gaps->gap[i].last));
	return array;
}

#endif
