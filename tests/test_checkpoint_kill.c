// SPDX-License-Identifier: MIT
/*
 * kill -9 of the whole process, at any moment: restored from the newest snapshot and replayed from
 * its positions, it comes to the same end as one that nothing disturbed.
 */
#include "checkpoint_aid.h"
#include "snapshot/format.h"

#include <sys/wait.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { KILLS = 8, LIFE_STEPS = 150 };
#else
enum { KILLS = 30, LIFE_STEPS = 400 };
#endif

/*
 * A life: from the newest snapshot, or from the beginning; snapshots all the while. What came out
 * is kept up to where a snapshot is, then the snapshot is. Ends when all is done.
 */
static int live(const char *folder, int file, uint32_t *puts)
{
	const struct rk_snapshot_store_opts store_opts = {
		.size = sizeof(store_opts), .chain = 4, .keep = 2};
	struct rk_snapshot_store *store;
	struct rk_snapshot *snapshot;
	struct pipeline p;

	ok(rk_snapshot_store_open(&store, folder, &store_opts));
	if (rk_snapshot_newest(&snapshot, folder)) {
		make_pipeline(&p, MESSAGES, RING_SLOTS);
	} else {
		struct rk_restore_opts opts;

		open_pipeline(&p, MESSAGES);
		opts = restoring(&p);
		ok(rk_snapshot_restore(p.actor, p.runtime, snapshot, &opts));
		rk_snapshot_free(snapshot);
	}
	p.file = file;
	p.steps = LIFE_STEPS;
	p.let = (uint32_t)(p.from * (LIFE_STEPS + 1) / p.count);
	begin_load(&p);
	while (!is_over(&p) && !rk_snapshot_take(&snapshot, p.actor, MOST_ACTORS, LONG_NS)) {
		for (uint32_t i = 0; i < snapshot->links; i++)
			while (snapshot->link[i].to == RK_SNAPSHOT_OUTSIDE &&
			       outs_of(&p) < snapshot->link[i].sent)
				usleep(20);
		ok(rk_snapshot_store_put(store, snapshot));
		rk_snapshot_free(snapshot);
		__atomic_fetch_add(puts, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&p.let, p.let + 1, __ATOMIC_RELEASE);
	}
	end_load(&p);
	for (int i = 0; i < MOST_ACTORS; i++)
		assert_int_equal(pwrite(file, rk_actor_state(p.actor[i]), sizeof(struct step_state),
					(off_t)(MESSAGES * sizeof(struct output) +
						(size_t)i * sizeof(struct step_state))),
				 sizeof(struct step_state));
	close_pipeline(&p);
	rk_snapshot_store_close(store);
	return 0;
}

static void expect_what_was_kept(int file, const struct pipeline *whole)
{
	struct output *out = malloc(MESSAGES * sizeof(*out));
	struct step_state state;

	assert_int_equal(pread(file, out, MESSAGES * sizeof(*out), 0), MESSAGES * sizeof(*out));
	expect_same_outputs(out, whole->out, MESSAGES);
	for (int i = 0; i < MOST_ACTORS; i++) {
		assert_int_equal(
			pread(file, &state, sizeof(state),
			      (off_t)(MESSAGES * sizeof(*out) + (size_t)i * sizeof(state))),
			sizeof(state));
		assert_memory_equal(&state, rk_actor_state(whole->actor[i]), sizeof(state));
	}
	free(out);
}

/* Kill it some snapshots later, at any moment; or it ends. Returns its status. */
static int kill_after_a_while(pid_t child, const uint32_t *puts, uint64_t *random)
{
	uint32_t until = __atomic_load_n(puts, __ATOMIC_RELAXED) + (uint32_t)aid_below(random, 8);
	int status;

	while (__atomic_load_n(puts, __ATOMIC_RELAXED) < until) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(50);
	}
	usleep((useconds_t)aid_below(random, 2000));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void after_a_kill_it_goes_on_as_if_nothing_had_been(void **unused)
{
	uint32_t *puts =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t random = aid_choose_seed(5);
	char folder[SNAPSHOT_FOLDER_BYTES];
	struct pipeline whole;
	int file = fileno(tmpfile()), lives = 0, restored = 0, status;

	(void)unused;
	aid_folder(folder);
	do {
		pid_t child = fork();

		if (!child)
			_exit(live(folder, file, puts));
		restored += *puts > 0;
		if (lives++ < KILLS)
			status = kill_after_a_while(child, puts, &random);
		else
			assert_int_equal(waitpid(child, &status, 0), child);
	} while (!WIFEXITED(status));
	assert_int_equal(status, 0);
	print_message("# %d lives, %d of them from a snapshot, %u snapshots\n", lives, restored,
		      *puts);
	assert_true(restored > 0);
	make_pipeline(&whole, MESSAGES, RING_SLOTS);
	begin_load(&whole);
	end_load(&whole);
	expect_what_was_kept(file, &whole);
	close_pipeline(&whole);
	munmap(puts, 4096);
	aid_remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_a_kill_it_goes_on_as_if_nothing_had_been),
	};

	aid_watchdog(300);
	if (snapshot_supported()) {
		printf("1..0 # SKIP %s\n", rk_errmsg());
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
