/* SPDX-License-Identifier: MIT */
/*
 * bench/sim_giants.c - what it costs to simulate the very large: sim_giants CASE [VMS [AT_ONCE]]
 *
 *     precopy    1 TiB, a working set of 1 %, pre-copied to the end
 *     postcopy   the same VM, pulled
 *     fleet      10,000 VMs (or VMS) of 8 GiB over one link of 100 Gbit/s: all, or AT_ONCE at a
 * time
 *
 * On one core; the machine should be idle. Agents and hypervisors take no time, so that the link
 * sets the pace. Versions of contents are off, as they must be for these.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "sim/run.h"

#define TIB_PAGES  (UINT64_C(1) << 28)
#define VM_PAGES   (UINT64_C(8) << 18)
#define LINK_BYTES UINT64_C(12500000000) /* 100 Gbit/s */
#define FLEET_VMS  10000u

static double cpu_s(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double peak_gib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_maxrss / 1048576;
}

/* `writes` pages a second, in 1 % of memory. */
static void describe(struct sim_scenario *scenario, struct sim_vm *vms, size_t count,
                     struct sim_link_config *link, uint64_t pages, double writes,
                     const char *policy)
{
	*link = (struct sim_link_config){
	        .name = "link", .bytes_per_s = LINK_BYTES, .latency_ns = 50000};
	*scenario = (struct sim_scenario){
	        .seed = 1, .links = link, .link_count = 1, .vms = vms, .vm_count = count};
	for (size_t i = 0; i < count; i++) {
		struct sim_vm *vm = &vms[i];
		struct sim_workload_config *load = &vm->workload;

		*vm = (struct sim_vm){.ram_pages = pages,
		                      .vcpus = count > 1 ? 2 : 16,
		                      .populated_share = 1,
		                      .state_bytes = 288000,
		                      .path_count = 1,
		                      .class = {.weight = 1}};
		(void)snprintf(vm->name, sizeof(vm->name), "vm%zu", i);
		(void)snprintf(vm->move.policy, sizeof(vm->move.policy), "%s", policy);
		(void)snprintf(vm->move.order, sizeof(vm->move.order), "linear");
		vm->move.downtime_limit_ns = 300000000;
		*load = sim_workload_find("locality")->defaults;
		load->set_pages = pages / 100;
		load->write_pages_per_s = writes;
		load->read_pages_per_s = 0;
	}
}

static int play(struct sim_scenario *scenario)
{
	double begun = cpu_s(), seconds;
	struct sim_outcome outcome;
	struct gw_error error;
	uint64_t pages = 0, completed = 0;

	if (sim_run(scenario, NULL, &outcome, &error)) {
		(void)fprintf(stderr, "sim_giants: %s\n", error.text);
		return EXIT_FAILURE;
	}
	seconds = cpu_s() - begun;
	for (size_t i = 0; i < outcome.vm_count; i++) {
		pages += outcome.vms[i].metrics.pages_sent;
		completed += outcome.vms[i].outcome == GW_COMPLETED;
	}
	printf("%" PRIu64 " of %zu moved in %.1f s of virtual time: %" PRIu64 " pages sent, %s%s\n",
	       completed, outcome.vm_count, (double)outcome.end_ns / 1e9, pages,
	       outcome.vms[0].reason, outcome.violation);
	printf("%.1f s of one core, %.2f million pages/s, %.2f GiB at most, %.1f KiB and %.2f ms a "
	       "VM\n",
	       seconds, (double)pages / seconds / 1e6, peak_gib(),
	       peak_gib() * 1048576 / (double)outcome.vm_count,
	       seconds * 1e3 / (double)outcome.vm_count);
	sim_outcome_clear(&outcome);
	return completed == scenario->vm_count ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	bool fleet = !strcmp(what, "fleet"), post = !strcmp(what, "postcopy");
	size_t count = fleet ? FLEET_VMS : 1;
	struct sim_link_config link;
	struct sim_scenario scenario;
	struct sim_vm *vms;
	int status;

	if (!fleet && !post && strcmp(what, "precopy") != 0) {
		(void)fprintf(stderr, "usage: sim_giants precopy|postcopy|fleet [VMS [AT_ONCE]]\n");
		return 2;
	}
	if (fleet && argc > 2)
		count = strtoul(argv[2], NULL, 10);
	vms = calloc(count, sizeof(*vms));
	if (!vms)
		return EXIT_FAILURE;
	describe(&scenario, vms, count, &link, fleet ? VM_PAGES : TIB_PAGES, fleet ? 10 : 200000,
	         post ? "postcopy" : "precopy");
	if (fleet && argc > 3)
		scenario.at_once = (unsigned)strtoul(argv[3], NULL, 10);
	status = play(&scenario);
	free(vms);
	return status;
}
