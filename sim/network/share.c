/* SPDX-License-Identifier: MIT */
#include "sim/network/share.h"

/* What rises together, and how far: the guarantees of all, or the limits of one priority. */
struct stage {
	bool guarantees;
	unsigned priority;
};

struct share {
	struct sim_sharer *const *sharers;
	size_t count;
	struct sim_pipe *pipes;
	size_t pipe_count;
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t goal(const struct sim_sharer *sharer, struct stage stage)
{
	return stage.guarantees ? least(sharer->guaranteed, sharer->limit) : sharer->limit;
}

static void begin(const struct share *share, struct stage stage)
{
	for (size_t i = 0; i < share->count; i++) {
		struct sim_sharer *sharer = share->sharers[i];

		sharer->done = (!stage.guarantees && sharer->priority != stage.priority) ||
		               sharer->rate >= goal(sharer, stage);
	}
}

static void weigh(const struct share *share)
{
	for (size_t i = 0; i < share->pipe_count; i++)
		share->pipes[i].weight = 0;
	for (size_t i = 0; i < share->count; i++) {
		const struct sim_sharer *sharer = share->sharers[i];

		for (size_t k = 0; !sharer->done && k < sharer->link_count; k++)
			share->pipes[sharer->links[k]].weight += sharer->flows * sharer->weight;
	}
}

static bool stuck(const struct share *share, const struct sim_sharer *sharer)
{
	for (size_t k = 0; k < sharer->link_count; k++) {
		const struct sim_pipe *pipe = &share->pipes[sharer->links[k]];

		if (pipe->left < pipe->weight)
			return true;
	}
	return false;
}

/* How far all can rise till the next one is at its goal, or the next link full; 0: nobody can. */
static uint64_t headroom(const struct share *share, struct stage stage)
{
	uint64_t rise = 0;

	for (size_t i = 0; i < share->count; i++) {
		struct sim_sharer *sharer = share->sharers[i];

		if (sharer->done)
			continue;
		if (stuck(share, sharer)) {
			sharer->done = true;
			continue;
		}
		uint64_t missing = goal(sharer, stage) - sharer->rate;
		uint64_t own = (missing + sharer->weight - 1) / sharer->weight;

		rise = rise ? least(rise, own) : own;
	}
	for (size_t i = 0; rise && i < share->pipe_count; i++) {
		const struct sim_pipe *pipe = &share->pipes[i];

		if (pipe->weight && pipe->left >= pipe->weight)
			rise = least(rise, pipe->left / pipe->weight);
	}
	return rise;
}

static void lift(const struct share *share, struct stage stage, uint64_t rise)
{
	for (size_t i = 0; i < share->count; i++) {
		struct sim_sharer *sharer = share->sharers[i];

		if (sharer->done)
			continue;
		uint64_t missing = goal(sharer, stage) - sharer->rate;
		uint64_t more =
		        (missing - 1) / sharer->weight < rise ? missing : rise * sharer->weight;

		sharer->rate += more;
		sharer->done = more == missing;
		for (size_t k = 0; k < sharer->link_count; k++)
			share->pipes[sharer->links[k]].left -= more * sharer->flows;
	}
}

static void fill(const struct share *share, struct stage stage)
{
	uint64_t rise;

	begin(share, stage);
	weigh(share);
	while ((rise = headroom(share, stage))) {
		lift(share, stage, rise);
		weigh(share);
	}
}

/* The lowest priority number that is at least `from`. */
static bool next_priority(const struct share *share, uint64_t from, unsigned *priority)
{
	bool found = false;

	for (size_t i = 0; i < share->count; i++) {
		unsigned own = share->sharers[i]->priority;

		if (own < from || (found && own >= *priority))
			continue;
		*priority = own;
		found = true;
	}
	return found;
}

void sim_share(struct sim_sharer *const *sharers, size_t count, struct sim_pipe *pipes,
               size_t pipe_count)
{
	struct share share = {sharers, count, pipes, pipe_count};
	bool guarantees = false;
	unsigned priority = 0;

	for (size_t i = 0; i < pipe_count; i++)
		pipes[i].left = pipes[i].rate;
	for (size_t i = 0; i < count; i++) {
		sharers[i]->rate = 0;
		guarantees |= sharers[i]->guaranteed > 0;
	}
	if (guarantees)
		fill(&share, (struct stage){.guarantees = true});
	for (uint64_t from = 0; next_priority(&share, from, &priority); from = priority + 1ull)
		fill(&share, (struct stage){.priority = priority});
}
