/* SPDX-License-Identifier: MIT */
/* What is estimated of a VM here goes by this host: its hypervisor, and the room for a copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/plan.h"
#include "live/host/room.h"

static struct sim_vm vm_of(uint64_t ram_pages, const char *hypervisor, struct sim_costs *costs)
{
	struct sim_vm vm = {.ram_pages = ram_pages};
	struct sim_scenario scenario = {.vms = &vm, .vm_count = 1};

	gw_plan_here(&scenario, hypervisor);
	*costs = scenario.costs;
	return vm;
}

static void costs_are_the_hypervisors(void **state)
{
	struct sim_costs native, qemu, wanted = sim_costs_of("native");

	(void)state;
	(void)vm_of(16384, "native", &native);
	(void)vm_of(16384, "qemu", &qemu);
	assert_memory_equal(&native, &wanted, sizeof(wanted));
	assert_memory_equal(&qemu, &sim_costs_default, sizeof(qemu));
}

/* Half of the VM's memory and 256 MiB, as the shadow's own limit. */
static void a_copy_takes_what_its_limit_is(void **state)
{
	struct sim_costs ignored;
	struct sim_vm vm = vm_of(16384, "qemu", &ignored);
	uint64_t most = (UINT64_C(32) << 20) + (UINT64_C(256) << 20);

	(void)state;
	assert_int_equal(sim_copy_bytes(&vm), most);
	assert_true(vm.shadow.memory_pages * GW_PAGE_BYTES <= most);
	if (gw_room_memory() / 4 > most)
		assert_int_equal(vm.shadow.memory_pages * GW_PAGE_BYTES, most);
}

/* There is no host with room for the copy of a VM of 64 TiB: it is not to be chosen. */
static void a_copy_that_does_not_fit_is_limited(void **state)
{
	struct sim_costs ignored;
	struct sim_vm vm = vm_of(UINT64_C(1) << 34, "qemu", &ignored);

	(void)state;
	assert_true(vm.shadow.memory_pages * GW_PAGE_BYTES < sim_copy_bytes(&vm));
	assert_true(vm.shadow.memory_pages > 0 || vm.shadow.fails);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(costs_are_the_hypervisors),
	        cmocka_unit_test(a_copy_takes_what_its_limit_is),
	        cmocka_unit_test(a_copy_that_does_not_fit_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
