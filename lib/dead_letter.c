// SPDX-License-Identifier: MIT
/* Letters that workers have written: taken out of their rings, listed, sent again. */
#include "dead_letter.h"
#include "rk_error.h"
#include "runtime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct letter {
	struct letter *next;
	struct dead_end *end; /* that it came from */
	struct rk_dead_letter info;
	struct rk_msg cells[];
};

int dead_open(struct dead_end *host, struct cpu_dead *worker, uint64_t slots, const char *name)
{
	size_t bytes = rk_ring_bytes(slots);
	struct rk_ring ring;
	int result;

	host->memory = aligned_alloc(RK_PAGE_BYTES,
				     (bytes + RK_PAGE_BYTES - 1) / RK_PAGE_BYTES * RK_PAGE_BYTES);
	if (!host->memory)
		return rk_fail(ENOMEM, "link '%s': no memory for %" PRIu64 " slots of dead letters",
			       name, slots);
	result = rk_ring_format(&ring, host->memory, bytes, slots, 0, name);
	if (!result)
		result = rk_ring_tx_open(&worker->tx, &ring);
	if (!result)
		result = rk_ring_rx_open(&host->rx, &ring, NULL);
	worker->open = !result;
	host->slots = worker->open ? slots : 0;
	return result;
}

/* In memory of the host, all of it: so the actor may go to another GPU. */
int dead_open_gpu(struct dead_end *host, struct rk_gpu_flow *flow, const struct rk_actor *actor,
		  uint64_t slots, const char *name)
{
	int result = link_memory_open(&host->device, actor, NULL, slots, RK_PLACE_HOST, name);

	if (!result)
		result = rk_ring_rx_open(&host->rx, &host->device.ring, NULL);
	if (result)
		return result;
	host->slots = slots;
	flow->dead_slots = host->device.device.slots;
	flow->dead_credit = host->device.device.credit;
	flow->dead_capacity_log2 = host->device.device.capacity_log2;
	return 0;
}

/* --- Taking them out; mutex held --- */

static void describe(struct letter *letter, const struct rk_msg *front, struct rk_link *link)
{
	struct rk_dead_front from;

	memcpy(&from, front->body, sizeof(from));
	letter->info = (struct rk_dead_letter){.number = ++link->runtime->letters_found,
					       .time_ns = from.time_ns,
					       .why = (enum rk_drop)front->tag,
					       .link = link,
					       .from = link->from,
					       .to = link->to,
					       .type = letter->cells->type,
					       .flags = letter->cells->flags,
					       .slots = letter->cells->slots,
					       .tag = letter->cells->tag};
}

/* The next letter of @end; NULL: none is there yet, or there is no memory for it. */
static struct letter *take_out(struct dead_end *end, struct rk_link *link)
{
	struct rk_dead_front front;
	struct letter *letter;

	if (!end->begun && rk_ring_recv(&end->rx, &end->front, 1) <= 0)
		return NULL;
	end->begun = true;
	memcpy(&front, end->front.body, sizeof(front));
	letter = malloc(sizeof(*letter) + (size_t)front.slots * RK_CELL_BYTES);
	if (!letter || rk_ring_recv(&end->rx, letter->cells, front.slots) <= 0) {
		free(letter);
		return NULL;
	}
	end->begun = false;
	letter->next = NULL;
	letter->end = end;
	describe(letter, &end->front, link);
	return letter;
}

static struct letter **end_of_list(struct rk_runtime *runtime)
{
	struct letter **at = &runtime->letters;

	while (*at)
		at = &(*at)->next;
	return at;
}

/* What a replay has sent is no letter any more; the rest is, where it was before. */
static void settle(struct rk_link *link)
{
	struct dead_replay *replay = &link->replay;
	struct letter **at = &link->runtime->letters, *letter;

	for (uint32_t i = 0; (letter = replay->letters); i++) {
		replay->letters = letter->next;
		if (i < replay->order.sent) {
			letter->end->kept -= letter->info.slots;
			free(letter);
			continue;
		}
		while (*at && (*at)->info.number < letter->info.number)
			at = &(*at)->next;
		letter->next = *at;
		*at = letter;
	}
	free(replay->order.msgs);
	replay->order.msgs = NULL;
}

static bool is_over(const struct rk_link *link)
{
	if (link->replay.awaited)
		return false;
	return actor_has_obeyed(link->from, link->replay.told) || actor_has_stopped(link->from);
}

static void collect(struct rk_runtime *runtime)
{
	struct letter **last = end_of_list(runtime);

	for (struct rk_link *link = runtime->links; link; link = link->next) {
		if (link->replay.order.msgs && is_over(link)) {
			settle(link);
			last = end_of_list(runtime);
		}
		for (int i = 0; i < 2; i++) {
			struct dead_end *end = &link->dead[i];

			while (end->kept < end->slots &&
			       (*last = take_out(end, link))) {
				end->kept += (*last)->info.slots;
				last = &(*last)->next;
			}
		}
	}
}

void dead_close(struct rk_link *link)
{
	if (link->replay.order.msgs)
		settle(link);
	for (int i = 0; i < 2; i++) {
		free(link->dead[i].memory);
		link_memory_close(&link->dead[i].device);
	}
}

void dead_letters_free(struct rk_runtime *runtime)
{
	struct letter *letter;

	while ((letter = runtime->letters)) {
		runtime->letters = letter->next;
		free(letter);
	}
}

/* --- Filters --- */

static int check_filter(const struct rk_dead_filter *filter)
{
	if (!filter || filter->size == sizeof(*filter))
		return 0;
	return rk_fail(EINVAL,
		       "dead letters: a filter of %zu bytes: set size to %zu, the size of struct "
		       "rk_dead_filter",
		       filter->size, sizeof(*filter));
}

static bool passes(const struct rk_dead_letter *letter, const struct rk_dead_filter *filter)
{
	if (!filter)
		return true;
	return (!filter->number || filter->number == letter->number) &&
	       (!filter->actor || filter->actor == letter->from || filter->actor == letter->to) &&
	       (!filter->link || filter->link == letter->link) &&
	       (!filter->type || filter->type == letter->type) &&
	       (!filter->why || filter->why & 1u << letter->why) &&
	       letter->time_ns >= filter->since_ns &&
	       (!filter->until_ns || letter->time_ns < filter->until_ns);
}

/* --- Looking --- */

int rk_dead_letter_list(struct rk_runtime *runtime, const struct rk_dead_filter *filter,
			struct rk_dead_letter *letters, unsigned int most)
{
	int result = check_filter(filter);
	unsigned int found = 0;

	if (result)
		return result;
	pthread_mutex_lock(&runtime->mutex);
	collect(runtime);
	for (const struct letter *letter = runtime->letters; letter; letter = letter->next) {
		if (!passes(&letter->info, filter))
			continue;
		if (found < most)
			letters[found] = letter->info;
		found++;
	}
	pthread_mutex_unlock(&runtime->mutex);
	return (int)found;
}

/* Where letter @number is, or the end of the list. */
static struct letter **find(struct rk_runtime *runtime, uint64_t number)
{
	struct letter **at = &runtime->letters;

	while (*at && (*at)->info.number != number)
		at = &(*at)->next;
	return at;
}

int rk_dead_letter_read(struct rk_runtime *runtime, uint64_t number, struct rk_msg *msg,
			uint32_t cells)
{
	struct letter *letter;
	int result;

	pthread_mutex_lock(&runtime->mutex);
	collect(runtime);
	letter = *find(runtime, number);
	if (!letter)
		result = rk_fail(ENOENT, "dead letter %" PRIu64 ": there is none of that number",
				 number);
	else if (letter->info.slots > cells)
		result = rk_fail(EMSGSIZE,
				 "dead letter %" PRIu64 ": it has %u cells: give room for them",
				 number, letter->info.slots);
	else
		result = letter->info.slots;
	if (result > 0)
		memcpy(msg, letter->cells, (size_t)result * RK_CELL_BYTES);
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

int rk_dead_letter_discard(struct rk_runtime *runtime, const struct rk_dead_filter *filter)
{
	int result = check_filter(filter);

	if (result)
		return result;
	pthread_mutex_lock(&runtime->mutex);
	collect(runtime);
	for (struct letter **at = &runtime->letters, *letter; (letter = *at);) {
		if (!passes(&letter->info, filter)) {
			at = &letter->next;
			continue;
		}
		*at = letter->next;
		letter->end->kept -= letter->info.slots;
		free(letter);
		result++;
	}
	pthread_mutex_unlock(&runtime->mutex);
	return result;
}

/* --- Sending again --- */

static int check_link(const struct rk_link *link)
{
	const char *name = link->memory.ring.name;

	if (link->in_port || (link->from && link->from->gpu))
		return rk_fail(
			EOPNOTSUPP,
			"replay: on link '%s' %s sends: name one on which an actor on cpu or "
			"a thread of the host does",
			name, link->in_port ? "a port" : "an actor on a GPU");
	if (link->replay.order.msgs)
		return rk_fail(EBUSY,
			       "replay: link '%s': its sender has not come to an earlier one",
			       name);
	if (link->from && actor_has_stopped(link->from))
		return rk_fail(EPIPE, "replay: link '%s': its sender '%s' has stopped", name,
			       link->from->name);
	return 0;
}

/* Out of the list, those that pass @filter and came from @own, if that is given; mutex held. */
static int gather(struct rk_link *link, const struct rk_dead_filter *filter,
		  const struct rk_link *own)
{
	struct dead_replay *replay = &link->replay;
	struct letter **last = &replay->letters;
	uint32_t most = 0;

	for (const struct letter *letter = link->runtime->letters; letter; letter = letter->next)
		most++;
	replay->order = (struct cpu_replay){.tx = &link->tx};
	replay->order.msgs = malloc((most + 1) * sizeof(*replay->order.msgs));
	if (!replay->order.msgs)
		return rk_fail(ENOMEM, "replay: no memory for %u dead letters", most);
	for (struct letter **at = &link->runtime->letters, *letter; (letter = *at);) {
		if (!passes(&letter->info, filter) || (own && letter->info.link != own)) {
			at = &letter->next;
			continue;
		}
		*at = letter->next;
		*last = letter;
		last = &letter->next;
		*last = NULL;
		replay->order.msgs[replay->order.count++] = letter->cells;
	}
	return 0;
}

/* By the thread that sends on the link: an actor's worker, or this one. */
static int send_gathered(struct rk_link *link, uint64_t timeout_ns)
{
	struct dead_replay *replay = &link->replay;
	cpu_call_fn *call = cpu_replay;
	struct rk_msg msg = actor_order(CPU_CALL, *(void **)&call, &replay->order);

	if (link->from)
		return actor_command(link->from, &msg, timeout_ns, "replay");
	cpu_replay_here(&replay->order);
	return 0;
}

/* On one link, with the mutex, which is released meanwhile. Letters sent, or -errno, said. */
static int replay_on(struct rk_link *link, const struct rk_dead_filter *filter,
		     const struct rk_link *own, uint64_t timeout_ns)
{
	struct cpu_replay *order = &link->replay.order;
	int result = check_link(link), sent;

	if (!result)
		result = gather(link, filter, own);
	if (result)
		return result;
	link->replay.awaited = true;
	pthread_mutex_unlock(&link->runtime->mutex);
	result = send_gathered(link, timeout_ns);
	pthread_mutex_lock(&link->runtime->mutex);
	link->replay.awaited = false;
	if (result == -ETIMEDOUT) {
		link->replay.told = link->from->told;
		return result;
	}
	sent = (int)order->sent;
	if (!result && order->failed)
		result =
			rk_fail(-order->failed, "replay: link '%s' %s", link->memory.ring.name,
				order->failed == -EPIPE ? "is closed" : "takes no message so long");
	settle(link);
	return result ? result : sent;
}

/* Whether @link has letters that pass. Mutex held. */
static bool has_letters(const struct rk_link *link, const struct rk_dead_filter *filter)
{
	const struct letter *letter = link->runtime->letters;

	while (letter && (letter->info.link != link || !passes(&letter->info, filter)))
		letter = letter->next;
	return letter;
}

int rk_dead_letter_replay(struct rk_runtime *runtime, const struct rk_dead_filter *filter,
			  struct rk_link *link, uint64_t timeout_ns)
{
	int result = check_filter(filter), sent = 0;

	if (!result && link && link->runtime != runtime)
		result = rk_fail(EINVAL, "replay: link '%s' is of another runtime",
				 link->memory.ring.name);
	if (result)
		return result;
	pthread_mutex_lock(&runtime->mutex);
	collect(runtime);
	if (link)
		sent = result = replay_on(link, filter, NULL, timeout_ns);
	for (struct rk_link *own = link ? NULL : runtime->links; own && result >= 0;
	     own = own->next) {
		result = has_letters(own, filter) ? replay_on(own, filter, own, timeout_ns) : 0;
		sent += result;
	}
	pthread_mutex_unlock(&runtime->mutex);
	return result < 0 ? result : sent;
}
