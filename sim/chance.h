/* SPDX-License-Identifier: MIT */
/*
 * sim/chance.h - random numbers from a seed, the same on every machine: integers only, no libm.
 *
 * splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
 */
#ifndef GW_SIM_CHANCE_H
#define GW_SIM_CHANCE_H

#include <stdint.h>

struct sim_chance {
	uint64_t state;
};

static inline uint64_t sim_chance_next(struct sim_chance *chance)
{
	uint64_t z = chance->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* A stream of its own for each purpose, so that one more draw here changes nothing there. */
static inline struct sim_chance sim_chance_of(uint64_t seed, uint64_t purpose)
{
	struct sim_chance chance = {seed ^ (purpose * 0xd1342543de82ef95u)};

	(void)sim_chance_next(&chance);
	return chance;
}

/* In [0, limit); 0 if limit is 0. The product's high half: Lemire 2019, without its rejection. */
static inline uint64_t sim_chance_below(struct sim_chance *chance, uint64_t limit)
{
	return (uint64_t)(((unsigned __int128)sim_chance_next(chance) * limit) >> 64);
}

#endif
