/* SPDX-License-Identifier: MIT */
/*
 * bench/fleet_scale.c - many hosts are emptied, in virtual time:
 * fleet_scale [VMS [HOSTS [SECONDS [WAY,...]]]]
 *
 *     one        each host one VM at a time, in the list's order, by pre-copy
 *     all        all VMs at once, by pre-copy; links share max-min fairly by themselves
 *     fair       as all, but four VMs of a host at a time
 *     planned    order, destination and policy as core/fleet/plan.h plans them, each source link
 *                divided by the bandwidth policy `deadline`
 *
 * 10,000 VMs of 1 GiB leave 100 hosts for 100 others over links of two tiers, 10 and 25 Gbit/s; one
 * in five writes a lot. In the first three ways a VM goes to the host across. On one core each;
 * versions of contents are off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/fleet/plan.h"
#include "sim/run.h"

#define SECOND  UINT64_C(1000000000)
#define GBIT    UINT64_C(125000000)
#define GIB     (UINT64_C(1) << 30)
#define HOT     5 /* one in so many */
#define SHARE   0.25
#define AT_ONCE 4

struct scale {
	size_t count, hosts;
	uint64_t deadline_ns;
	struct sim_vm *vms;
	struct sim_link_config *links; /* the sources', then the destinations' */
	char (*names)[16];
};

static uint64_t rate_of(size_t host)
{
	return (host % 2 ? 25 : 10) * GBIT;
}

static void describe_vm(const struct scale *s, size_t i)
{
	struct sim_vm *vm = &s->vms[i];
	bool hot = i % HOT == 0;

	*vm = (struct sim_vm){
	        .ram_pages = GIB / GW_PAGE_BYTES,
	        .vcpus = 1,
	        .populated_share = SHARE,
	        .state_bytes = 288000,
	        .path = {(unsigned)(i % s->hosts), (unsigned)(s->hosts + i % s->hosts)},
	        .path_count = 2,
	        .by_ns = s->deadline_ns,
	        .class = {.weight = 1}};
	(void)snprintf(vm->name, sizeof(vm->name), "vm%zu", i);
	(void)snprintf(vm->move.policy, sizeof(vm->move.policy), "precopy");
	vm->move.downtime_limit_ns = 300000000;
	vm->move.deadline_ns = 4 * s->deadline_ns;
	vm->workload = sim_workload_find("random")->defaults;
	vm->workload.set_pages = hot ? 16384 : 1024;
	vm->workload.write_pages_per_s = hot ? 30000 : 100;
	vm->workload.read_pages_per_s = 100;
}

static void describe(const struct scale *s)
{
	for (size_t i = 0; i < 2 * s->hosts; i++) {
		(void)snprintf(s->names[i], sizeof(s->names[i]), "link%zu", i);
		s->links[i] = (struct sim_link_config){.name = s->names[i],
		                                       .bytes_per_s = rate_of(i % s->hosts),
		                                       .latency_ns = 50000};
	}
	for (size_t i = 0; i < s->count; i++)
		describe_vm(s, i);
}

/* --- ways --------------------------------------------------------------------------------------
 */

/* So many of each host at a time: those behind begin when those before should be over. */
static void share(struct sim_scenario *scenario, const char *policy)
{
	if (gw_bandwidth_init(&scenario->sharing.policy, policy))
		abort();
	scenario->sharing.interval_ns = SECOND / 10;
}

static struct gw_fleet_vm planned_vm(const struct sim_vm *vm)
{
	const struct sim_workload_config *load = &vm->workload;
	double pages = load->write_pages_per_s < (double)load->set_pages ? load->write_pages_per_s
	                                                                 : (double)load->set_pages;

	return (struct gw_fleet_vm){
	        .memory_bytes = vm->ram_pages * GW_PAGE_BYTES,
	        .send_bytes =
	                (uint64_t)((double)vm->ram_pages * vm->populated_share) * GW_PAGE_BYTES,
	        .dirty_bytes_per_s = (uint64_t)(pages * GW_PAGE_BYTES),
	        .hot_bytes = load->set_pages * GW_PAGE_BYTES,
	        .downtime_limit_ns = vm->move.downtime_limit_ns,
	        .source = vm->path[0],
	        .may_pull = true,
	};
}

/* The VMs in the plan's order, each with its destination and policy. */
static void plan(const struct scale *s)
{
	struct gw_fleet_vm *vms = calloc(s->count, sizeof(*vms));
	struct gw_fleet_host *hosts = calloc(s->hosts, sizeof(*hosts));
	uint64_t *links = calloc(s->hosts, sizeof(*links));
	struct sim_vm *before = calloc(s->count, sizeof(*before));
	struct gw_schedule schedule = {.moves = calloc(s->count, sizeof(*schedule.moves))};
	struct gw_fleet fleet = {.vms = vms,
	                         .vm_count = s->count,
	                         .links = links,
	                         .link_count = s->hosts,
	                         .hosts = hosts,
	                         .host_count = s->hosts,
	                         .deadline_ns = s->deadline_ns,
	                         .stream_bytes_per_s = sim_costs_default.copy_bytes_per_s,
	                         .begin_ns = SECOND / 8,
	                         .gap_ns = SECOND / 50,
	                         .switch_ns = SECOND / 50};
	void *memory = malloc(gw_schedule_bytes(&fleet));

	if (!vms || !hosts || !links || !before || !schedule.moves || !memory)
		abort();
	for (size_t i = 0; i < s->hosts; i++) {
		links[i] = rate_of(i);
		hosts[i] = (struct gw_fleet_host){2 * GIB * s->count / s->hosts, rate_of(i), false};
	}
	for (size_t i = 0; i < s->count; i++)
		vms[i] = planned_vm(&s->vms[i]);
	gw_schedule_make(&fleet, memory, &schedule);
	memcpy(before, s->vms, s->count * sizeof(*before));
	for (size_t i = 0; i < s->count; i++) {
		const struct gw_plan_move *m = &schedule.moves[i];

		s->vms[i] = before[m->vm];
		s->vms[i].path[1] = (unsigned)(s->hosts + m->host);
		(void)snprintf(s->vms[i].move.policy, sizeof(s->vms[i].move.policy), "%s",
		               m->policy);
	}
	printf("         planned: empty after %.1f s (%.1f to %.1f), %zu late\n",
	       (double)schedule.end_ns / 1e9, (double)schedule.soonest_ns / 1e9,
	       (double)schedule.latest_ns / 1e9, schedule.late);
	free(vms);
	free(hosts);
	free(links);
	free(before);
	free(schedule.moves);
	free(memory);
}

/* --- what came of it ---------------------------------------------------------------------------
 */

static void play(const struct scale *s, const char *way, const struct sim_scenario *scenario)
{
	struct sim_outcome outcome;
	struct gw_error error = {{0}};
	clock_t begun = clock();
	uint64_t unavailable = 0, sent = 0, end = 0;
	size_t moved = 0, late = 0;

	if (sim_run(scenario, NULL, &outcome, &error)) {
		(void)fprintf(stderr, "fleet_scale: %s\n", error.text);
		exit(EXIT_FAILURE);
	}
	for (size_t i = 0; i < outcome.vm_count; i++) {
		const struct sim_vm_outcome *vm = &outcome.vms[i];

		end = vm->end_ns > end ? vm->end_ns : end;
		moved += vm->outcome == GW_COMPLETED;
		late += vm->outcome != GW_COMPLETED || vm->end_ns > s->deadline_ns;
		unavailable += vm->metrics.downtime_ns + vm->metrics.stall_ns;
		sent += vm->metrics.bytes_on_link;
	}
	printf("%-8s %zu of %zu moved, empty after %.1f s, %zu late, %.1f s unavailable in all, "
	       "%.0f GB sent%s; %.0f s of one core\n",
	       way, moved, outcome.vm_count, (double)end / 1e9, late, (double)unavailable / 1e9,
	       (double)sent / 1e9, outcome.violation, (double)(clock() - begun) / CLOCKS_PER_SEC);
	sim_outcome_clear(&outcome);
}

static size_t argument(int argc, char **argv, int n, size_t standard)
{
	return argc > n ? strtoul(argv[n], NULL, 10) : standard;
}

static bool asked(int argc, char **argv, const char *way)
{
	return argc <= 4 || strstr(argv[4], way);
}

int main(int argc, char **argv)
{
	struct scale s = {.count = argument(argc, argv, 1, 10000),
	                  .hosts = argument(argc, argv, 2, 100),
	                  .deadline_ns = argument(argc, argv, 3, 35) * SECOND};
	struct sim_scenario scenario = {.seed = 1, .costs = sim_costs_default};

	if (!s.count || !s.hosts || s.hosts > 2000)
		return 2;
	s.vms = calloc(s.count, sizeof(*s.vms));
	s.links = calloc(2 * s.hosts, sizeof(*s.links));
	s.names = calloc(2 * s.hosts, sizeof(*s.names));
	if (!s.vms || !s.links || !s.names)
		return EXIT_FAILURE;
	describe(&s);
	scenario.vms = s.vms;
	scenario.vm_count = s.count;
	scenario.links = s.links;
	scenario.link_count = 2 * s.hosts;
	if (asked(argc, argv, "all"))
		play(&s, "all", &scenario);
	share(&scenario, "fair");
	scenario.sharing.at_once = AT_ONCE;
	if (asked(argc, argv, "fair"))
		play(&s, "fair", &scenario);
	scenario.sharing.at_once = 1;
	if (asked(argc, argv, "one"))
		play(&s, "one", &scenario);
	share(&scenario, "deadline");
	scenario.sharing.at_once = 0;
	if (asked(argc, argv, "planned")) {
		plan(&s);
		play(&s, "planned", &scenario);
	}
	free(s.vms);
	free(s.links);
	free(s.names);
	return EXIT_SUCCESS;
}
