/* SPDX-License-Identifier: MIT */
/* sim/world/pool.c - memory in powers of two that is taken and given back a million times a second.
 */
#include "sim/world/inside.h"

#include <stdlib.h>

#define LEAST 6 /* 64 bytes */

struct block {
	struct block *all;
	size_t class;
	struct block *spare; /* while nobody has it; else the first of his bytes */
	size_t unused;
};

#define HEAD offsetof(struct block, spare)

void *sim_need(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);

	if (!memory)
		abort();
	return memory;
}

static struct block *new_block(struct sim_world *w, size_t class)
{
	struct block *block = malloc(HEAD + ((size_t)1 << class));

	if (!block)
		abort();
	block->class = class;
	block->all = w->blocks;
	w->blocks = block;
	return block;
}

void *sim_take(struct sim_world *w, size_t bytes)
{
	size_t class = LEAST;
	struct block *block;

	if (bytes > (size_t)1 << LEAST)
		class = 64u - (size_t)__builtin_clzll(bytes - 1);
	block = w->spare[class];
	if (block)
		w->spare[class] = block->spare;
	else
		block = new_block(w, class);
	return (char *)block + HEAD;
}

void sim_give(struct sim_world *w, void *memory)
{
	struct block *block;

	if (!memory)
		return;
	block = (struct block *)(void *)((char *)memory - HEAD);
	block->spare = w->spare[block->class];
	w->spare[block->class] = block;
}

void sim_pool_reset(struct sim_world *w)
{
	struct block *block;
	size_t i;

	for (i = 0; i < SIM_POOL_CLASSES; i++)
		w->spare[i] = NULL;
	for (block = w->blocks; block; block = block->all) {
		block->spare = w->spare[block->class];
		w->spare[block->class] = block;
	}
}

void sim_pool_free(struct sim_world *w)
{
	while (w->blocks) {
		struct block *next = w->blocks->all;

		free(w->blocks);
		w->blocks = next;
	}
}
