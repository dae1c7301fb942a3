// SPDX-License-Identifier: MIT
/* The EAL of a program that is no DPDK application: started by its first port dpdk. */
#include "ports/dpdk/device.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "ringkernel-"

enum { WORDS_MAX = 64, WORDS_BYTES = 2048 };

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* It does nothing before it is started, and its count of lcores is 0 until then. */
static bool running(void)
{
	return rte_lcore_count() > 0;
}

static bool huge_pages_free(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long pages = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Free: %lu", &pages) == 1)
			break;
	if (file)
		fclose(file);
	return pages > 0;
}

/* What a program that is no DPDK application wants: no lcores, few words, a place of its own. */
static void default_words(char words[WORDS_BYTES], bool huge, const char *device)
{
	unsigned int domain, bus, slot, function;
	bool pci = sscanf(device, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4 ||
		   sscanf(device, "%x:%x.%x", &bus, &slot, &function) == 3;
	cpu_set_t cpus;
	int cpu = 0;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET((size_t)cpu, &cpus))
			cpu++;
	/* No other NIC of the machine is touched. */
	snprintf(words, WORDS_BYTES, "-l %d --log-level=error --file-prefix=" PREFIX "%ld%s%s%.*s",
		 cpu, (long)getpid(), huge ? "" : " --no-huge -m 64", pci ? " -a " : " --no-pci",
		 pci ? (int)strcspn(device, ",") : 0, device);
}

/*
 * rte_eal_init() pins the thread that calls it, which is none of its lcores here, and starts threads
 * of its own, which are to leave the program's signals alone.
 */
static int start(char *words)
{
	char *arguments[WORDS_MAX + 1] = {(char *)"ringkernel"}, *save = NULL;
	sigset_t all, signals;
	cpu_set_t cpus;
	int count = 1, result;

	for (char *word = strtok_r(words, " ", &save); word && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		arguments[count++] = word;
	pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &signals);
	result = rte_eal_init(count, arguments);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	return result < 0 ? -rte_errno : 0;
}

/* The EAL leaves its files behind; a place that no other process ever looks at goes, too. */
static void remove_place(const char *place)
{
	DIR *directory = opendir(place);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(place);
}

static void clean_up(void)
{
	char place[PATH_MAX];

	snprintf(place, sizeof(place), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	if (strstr(place, PREFIX))
		remove_place(place);
}

static void leave(void *unused)
{
	(void)unused;
	rte_thread_unregister();
}

static void make_key(void)
{
	pthread_key_create(&key, leave);
}

int dpdk_eal_start(const char *words, const char *device, char *note, size_t note_bytes)
{
	char copy[WORDS_BYTES];
	bool huge = huge_pages_free();
	int result;

	if (running())
		return words ? rk_fail(EINVAL,
				       "eal=%s: the EAL runs already: give this to the first dpdk "
				       "port",
				       words)
			     : 0;
	default_words(copy, huge, device);
	if (words)
		snprintf(copy, sizeof(copy), "%s", words);
	else if (!huge)
		snprintf(note, note_bytes,
			 "EAL without huge pages: none is free; as root: sysctl vm.nr_hugepages=N");
	result = start(copy);
	if (result)
		return rk_fail(-result, "rte_eal_init: %s: see what the EAL printed, and eal=",
			       rte_strerror(-result));
	atexit(clean_up);
	return 0;
}

void dpdk_thread_enter(void)
{
	static __thread bool entered;

	if (rk_likely(entered))
		return;
	entered = true;
	pthread_once(&once, make_key);
	/* Without a number of its own a thread works too, only slower. */
	if (rte_lcore_id() == LCORE_ID_ANY && !rte_thread_register())
		pthread_setspecific(key, &entered);
}
