/* SPDX-License-Identifier: MIT */
/*
 * bench/plan_fleet.c - what it costs to plan: plan_fleet [VMS [SOURCES [HOSTS]]]
 *
 * 10,000 VMs leave 100 hosts of two link tiers (10 and 25 Gbit/s) for 100 others, in groups of
 * three that are kept apart, by a deadline. On one core.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/fleet/plan.h"

#define GIB    (UINT64_C(1) << 30)
#define SECOND UINT64_C(1000000000)

static uint64_t seed = 1;

static uint64_t below(uint64_t limit)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % limit;
}

static double cpu_s(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static size_t argument(int argc, char **argv, int n, size_t standard)
{
	return argc > n ? strtoul(argv[n], NULL, 10) : standard;
}

int main(int argc, char **argv)
{
	size_t count = argument(argc, argv, 1, 10000), links = argument(argc, argv, 2, 100);
	size_t hosts = argument(argc, argv, 3, 100);
	struct gw_fleet_vm *vms = calloc(count + 1, sizeof(*vms));
	struct gw_fleet_host *to = calloc(hosts + 1, sizeof(*to));
	uint64_t *rates = calloc(links + 1, sizeof(*rates));
	struct gw_schedule plan = {.moves = calloc(count + 1, sizeof(*plan.moves))};
	struct gw_fleet fleet = {.vms = vms,
	                         .vm_count = count,
	                         .links = rates,
	                         .link_count = links,
	                         .hosts = to,
	                         .host_count = hosts,
	                         .groups = (unsigned)(count / 3 + 1),
	                         .deadline_ns = 1800 * SECOND,
	                         .begin_ns = SECOND / 5,
	                         .switch_ns = SECOND / 5};
	void *memory = malloc(gw_schedule_bytes(&fleet));
	double begun;

	if (!vms || !to || !rates || !plan.moves || !memory || !links || !hosts)
		return EXIT_FAILURE;
	for (size_t i = 0; i < count; i++)
		vms[i] = (struct gw_fleet_vm){.memory_bytes = (below(16) + 1) * GIB,
		                              .send_bytes = (below(4) + 1) * GIB / 4,
		                              .dirty_bytes_per_s = below(200000000),
		                              .hot_bytes = GIB / 8,
		                              .downtime_limit_ns = SECOND / 3,
		                              .group = (unsigned)(i / 3 + 1),
		                              .source = (unsigned)(i % links),
		                              .may_pull = i % 2};
	for (size_t i = 0; i < hosts; i++)
		to[i] = (struct gw_fleet_host){1024 * GIB, i % 2 ? 3125000000 : 1250000000, false};
	for (size_t i = 0; i < links; i++)
		rates[i] = i % 2 ? 3125000000 : 1250000000;
	begun = cpu_s();
	gw_schedule_make(&fleet, memory, &plan);
	printf("%zu VMs from %zu hosts to %zu: %.3f s of one core; %zu moved, %zu late, %zu left; "
	       "empty after %" PRIu64 " s (%" PRIu64 " to %" PRIu64 ")\n",
	       count, links, hosts, cpu_s() - begun, plan.moved, plan.late, plan.left,
	       plan.end_ns / SECOND, plan.soonest_ns / SECOND, plan.latest_ns / SECOND);
	free(vms);
	free(to);
	free(rates);
	free(plan.moves);
	free(memory);
	return EXIT_SUCCESS;
}
