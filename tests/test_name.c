// SPDX-License-Identifier: MIT
/*
 * Names of actors: the matcher against a plain one over all short patterns and names, registering,
 * looking up, what becomes of names whose actor stops, and watches under four threads.
 */
#include "actor_aid.h"

#include "rk_name.h"
#include "rk_remote.h"

static const struct placing relays = {.type = &relay_type};

/* --- Patterns --- */

/* As one would say it, at any cost. */
static bool plainly(const char *pattern, const char *name)
{
	if (!*pattern)
		return !*name;
	if (pattern[0] == '*' && pattern[1] == '*')
		return plainly(pattern + 2, name) || (*name && plainly(pattern, name + 1));
	if (*pattern == '*')
		return plainly(pattern + 1, name) ||
		       (*name && *name != '/' && plainly(pattern, name + 1));
	if (*pattern == '?')
		return *name && *name != '/' && plainly(pattern + 1, name + 1);
	return *name == *pattern && plainly(pattern + 1, name + 1);
}

/* The text of @length bytes whose number, to the base of the letters, is @number. */
static void spell(char *text, const char *letters, int length, unsigned int number)
{
	unsigned int base = (unsigned int)strlen(letters);

	for (int i = 0; i < length; i++, number /= base)
		text[i] = letters[number % base];
	text[length] = 0;
}

static unsigned int power(unsigned int base, int exponent)
{
	return exponent ? base * power(base, exponent - 1) : 1;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { LONGEST = 4 };
#else
enum { LONGEST = 5 };
#endif

static void check_names(const char *pattern)
{
	char name[LONGEST + 1];

	for (int length = 0; length <= LONGEST; length++) {
		for (unsigned int i = 0; i < power(3, length); i++) {
			spell(name, "ab/", length, i);
			if (rk_name_matches(pattern, name) != plainly(pattern, name))
				fail_msg("'%s' and '%s': %d", pattern, name,
					 rk_name_matches(pattern, name));
		}
	}
}

static void every_short_pattern_matches_what_it_says(void **unused)
{
	char pattern[LONGEST + 1];

	(void)unused;
	for (int length = 1; length <= LONGEST; length++)
		for (unsigned int i = 0; i < power(4, length); i++) {
			spell(pattern, "a*?/", length, i);
			check_names(pattern);
		}
}

static void patterns_escape_and_are_refused(void **unused)
{
	char many[600];

	(void)unused;
	assert_int_equal(rk_name_matches("a\\*b", "a*b"), 1);
	assert_int_equal(rk_name_matches("a\\*b", "aab"), 0);
	assert_int_equal(rk_name_matches("\\\\", "\\"), 1);
	assert_int_equal(rk_name_matches("", "a"), -EINVAL);
	assert_int_equal(rk_name_matches("ab\\", "ab"), -EINVAL);
	assert_non_null(strstr(rk_errmsg(), "byte 2"));
	memset(many, '*', sizeof(many));
	many[RK_NAME_BYTES] = 0;
	assert_int_equal(rk_name_matches(many, "a"), -EINVAL);
	/* What would take for ever by going back. */
	for (int i = 0; i < 254; i += 2)
		memcpy(many + i, "*a", 3);
	memset(many + 300, 'a', 254);
	many[300 + 254] = 0;
	many[300 + 253] = 'b';
	assert_int_equal(rk_name_matches(many, many + 300), 0);
}

/* --- Names --- */

static void names_are_registered_once_and_found(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *one = spawn(runtime, &relays, 0, 0),
			*other = spawn(runtime, &relays, 0, 0);
	struct rk_name_entry entries[2];
	struct rk_actor *found;

	(void)unused;
	ok(rk_name_register(one, "md/cme/book"));
	ok(rk_name_register(one, "md/cme"));
	ok(rk_name_register(other, "md/eurex/book"));
	assert_int_equal(rk_name_register(other, "md/cme"), -EEXIST);
	assert_non_null(strstr(rk_errmsg(), "'md/cme': actor '"));
	ok(rk_name_find(&found, runtime, "md/cme/book"));
	assert_ptr_equal(found, one);
	assert_int_equal(rk_name_find(&found, runtime, "md"), -ENOENT);
	assert_null(found);
	assert_int_equal(rk_name_list(runtime, "md/*", entries, 2), 1);
	assert_string_equal(entries[0].name, "md/cme");
	assert_int_equal(rk_name_list(runtime, "md/*/book", entries, 2), 2);
	assert_ptr_equal(entries[0].actor, one);
	assert_ptr_equal(entries[1].actor, other);
	assert_int_equal(rk_name_list(runtime, "**", entries, 2), 3);
	assert_int_equal(rk_name_list(runtime, "\\", entries, 2), -EINVAL);
	ok(rk_name_unregister(runtime, "md/cme"));
	assert_int_equal(rk_name_unregister(runtime, "md/cme"), -ENOENT);
	ok(rk_name_register(other, "md/cme"));
	close_runtime(runtime);
}

static void what_is_no_name_is_refused(void **unused)
{
	static const char *const bad[] = {"",	"/a",  "a/",   "a//b", "a*",
					  "a?", "a\\", "a\tb", "\x7f"};
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &relays, 0, 0);
	char many[RK_NAME_BYTES + 1];

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rk_name_register(actor, bad[i]), -EINVAL);
	memset(many, 'a', sizeof(many));
	many[RK_NAME_BYTES] = 0;
	assert_int_equal(rk_name_register(actor, many), -EINVAL);
	many[RK_NAME_BYTES - 1] = 0;
	ok(rk_name_register(actor, many));
	assert_int_equal(rk_name_list(runtime, "**", NULL, 0), 1);
	close_runtime(runtime);
}

static void names_link_actors(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *from = spawn(runtime, &relays, 0, 1), *to = spawn(runtime, &relays, 0, 2);
	const struct rk_link_opts link = slots(16);
	struct rk_ring_tx *tx;
	struct rk_ring_rx *rx;
	struct rk_msg msg;

	(void)unused;
	ok(rk_name_register(to, "second"));
	ok(rk_link_host_out(&rx, to, &link));
	ok(rk_link_name(NULL, from, "second", NULL, &link));
	ok(rk_link_host_in(&tx, from, &link));
	assert_int_equal(rk_link_name(NULL, from, "third", NULL, &link), -ENOENT);
	send_word(tx, 0, 10);
	assert_true(receive(rx, &msg, 1));
	assert_int_equal(word_of(&msg), 13);
	close_runtime(runtime);
}

/* --- Watches --- */

static void expect_event(struct rk_name_watch *watch, enum rk_name_news news, const char *name)
{
	struct rk_name_event event;

	assert_int_equal(rk_name_watch_next(watch, &event, LONG_NS), 0);
	assert_int_equal(event.news, news);
	assert_string_equal(event.entry.name, name);
	assert_int_equal(event.lost, 0);
}

static void a_watch_sees_what_comes_and_goes(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *one = spawn(runtime, &relays, 0, 0),
			*other = spawn(runtime, &relays, 0, 0);
	struct rk_name_watch *watch, *left;
	struct rk_name_event event;
	struct rk_actor *found;

	(void)unused;
	ok(rk_name_register(one, "a/b"));
	ok(rk_name_register(one, "c"));
	ok(rk_name_watch_open(&watch, runtime, "a/*"));
	ok(rk_name_watch_open(&left, runtime, "**"));
	expect_event(watch, RK_NAME_CAME, "a/b");
	assert_int_equal(rk_name_watch_next(watch, &event, 0), -ETIMEDOUT);
	ok(rk_name_register(other, "a/c"));
	ok(rk_name_register(other, "a/c/d"));
	ok(rk_name_unregister(runtime, "a/b"));
	expect_event(watch, RK_NAME_CAME, "a/c");
	expect_event(watch, RK_NAME_WENT, "a/b");
	/* By itself, while the watch waits. */
	ok(rk_actor_stop(other, RK_STOP_DRAIN, LONG_NS));
	expect_event(watch, RK_NAME_WENT, "a/c");
	assert_int_equal(rk_name_find(&found, runtime, "a/c/d"), -ENOENT);
	assert_int_equal(rk_name_register(other, "e"), -EPIPE);
	rk_name_watch_close(watch);
	rk_name_watch_close(NULL);
	close_runtime(runtime); /* and what is unread of the other */
}

enum { THREADS = 4, TIMES = 500 };

struct namer {
	struct rk_runtime *runtime;
	struct rk_actor *actor;
	unsigned int number;
	pthread_t thread;
};

/* Two names in turn, of which the second stays. */
static void *come_and_go(void *argument)
{
	struct namer *namer = argument;
	char name[32];

	for (unsigned int i = 0; i < TIMES; i++) {
		snprintf(name, sizeof(name), "%u/%u", namer->number, i % 2);
		ok(rk_name_register(namer->actor, name));
		if (i + 1 < TIMES)
			ok(rk_name_unregister(namer->runtime, name));
	}
	return NULL;
}

static void watches_lose_nothing_under_threads(void **unused)
{
	struct rk_runtime *runtime = open_runtime(1, 0);
	struct rk_actor *actor = spawn(runtime, &relays, 0, 0);
	uint64_t came[THREADS] = {0}, went[THREADS] = {0}, events = 0;
	struct namer namers[THREADS];
	struct rk_name_watch *watch;

	(void)unused;
	ok(rk_name_watch_open(&watch, runtime, "?/*"));
	for (unsigned int i = 0; i < THREADS; i++) {
		namers[i] = (struct namer){.runtime = runtime, .actor = actor, .number = i};
		pthread_create(&namers[i].thread, NULL, come_and_go, &namers[i]);
	}
	while (events < THREADS * (2 * TIMES - 1)) {
		struct rk_name_event event;
		unsigned int who;

		assert_int_equal(rk_name_watch_next(watch, &event, LONG_NS), 0);
		assert_int_equal(event.lost, 0);
		who = (unsigned int)(event.entry.name[0] - '0');
		assert_in_range(who, 0, THREADS - 1);
		/* Of one thread's names each goes before the next comes. */
		assert_int_equal(came[who] - went[who], event.news == RK_NAME_WENT);
		++*(event.news == RK_NAME_CAME ? &came[who] : &went[who]);
		events++;
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(namers[i].thread, NULL);
		assert_int_equal(came[i], TIMES);
		assert_int_equal(went[i], TIMES - 1);
	}
	assert_int_equal(rk_name_list(runtime, "?/1", NULL, 0), THREADS);
	rk_name_watch_close(watch);
	close_runtime(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_short_pattern_matches_what_it_says),
		cmocka_unit_test(patterns_escape_and_are_refused),
		cmocka_unit_test(names_are_registered_once_and_found),
		cmocka_unit_test(what_is_no_name_is_refused),
		cmocka_unit_test(names_link_actors),
		cmocka_unit_test(a_watch_sees_what_comes_and_goes),
		cmocka_unit_test(watches_lose_nothing_under_threads),
	};

	aid_watchdog(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
