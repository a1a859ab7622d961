/* SPDX-License-Identifier: MIT */
/*
 * The bare guest under KVM (under TCG where there is none), which writes all the time, and what is
 * said of its writes: counted, over many scans, against all of its memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/memory/digest.h"
#include "live/memory/tracker.h"
#include "live/vm/kvm.h"
#include "tests/live/memory/qemu_rig.h"
#include "tests/live/memory/stand_in.h"

#define STOPS   40
#define SCANS   5 /* between two stops */
#define SCAN_MS 8
#define QBOOT   "/usr/share/qemu/qboot.rom" /* boots at once where instructions are emulated */
#define MAGIC   0x42574721u                 /* at STATUS in the guest's memory, once it works */
#define STATUS  0x6000

struct run {
	struct qemu vm;
	struct gw_tracker tracker;
	struct gw_set found, named; /* by one scan; since the last stop */
	struct gw_set populated;
	uint8_t *copy;              /* as a destination has it */
	uint64_t *before;           /* digests at the last stop */
	uint64_t changed, reported; /* in all */
};

static const char *accelerator(void)
{
	return gw_kvm_works() ? "kvm" : "tcg,thread=multi";
}

static bool is_up(const struct run *r)
{
	uint32_t magic;

	return pread(r->vm.ram.fd, &magic, sizeof(magic), STATUS) == sizeof(magic) &&
	       magic == MAGIC;
}

static int start(void **state)
{
	const char *args[] = {"-smp",    "2",
	                      "-kernel", getenv("GW_BARE_GUEST"),
	                      "-append", "cpus=2 ws=8M hot=1M rate=4000 sweep=1000",
	                      "-bios",   QBOOT,
	                      NULL};
	struct run *r = calloc(1, sizeof(*r));
	unsigned tries = 0;

	*state = r;
	if (access(QBOOT, R_OK) != 0)
		args[6] = NULL;
	if (qemu_start(&r->vm, accelerator(), args) < 0)
		return -1;
	while (!is_up(r) && tries++ < QEMU_WAITS * 100)
		sleep_ms(10);
	gw_set_init(&r->found, calloc(gw_set_words(r->vm.ram.pages), 8), r->vm.ram.pages);
	gw_set_init(&r->named, calloc(gw_set_words(r->vm.ram.pages), 8), r->vm.ram.pages);
	gw_set_init(&r->populated, calloc(gw_set_words(r->vm.ram.pages), 8), r->vm.ram.pages);
	r->copy = calloc(r->vm.ram.pages, GW_PAGE_BYTES);
	r->before = calloc(r->vm.ram.pages, sizeof(*r->before));
	return is_up(r) ? 0 : -1;
}

static int end(void **state)
{
	struct run *r = *state;

	qemu_end(&r->vm);
	free(r->found.words);
	free(r->named.words);
	free(r->populated.words);
	free(r->copy);
	free(r->before);
	free(r);
	return 0;
}

static void copy_found(struct run *r)
{
	for (uint64_t page = gw_set_next(&r->found, 0); page < r->found.pages;
	     page = gw_set_next(&r->found, page + 1))
		memcpy(r->copy + page * GW_PAGE_BYTES, r->vm.ram.map + page * GW_PAGE_BYTES,
		       GW_PAGE_BYTES);
	gw_set_union(&r->named, &r->found);
	gw_set_clear(&r->found);
}

static void scan(struct run *r, bool final)
{
	struct gw_error error = {""};

	if (gw_tracker_scan(&r->tracker, &r->found, final, &error) < 0)
		fail_msg("%s", error.text);
	copy_found(r);
}

/* The VM stands: every page is as it was copied, and whatever changed was named. */
static void compare(struct run *r)
{
	struct gw_error error;
	uint64_t stale = 0, unnamed = 0;

	assert_int_equal(gw_ram_populated(&r->vm.ram, &r->populated, &error), 0);
	for (uint64_t page = gw_set_next(&r->populated, 0); page < r->populated.pages;
	     page = gw_set_next(&r->populated, page + 1)) {
		const uint8_t *is = r->vm.ram.map + page * GW_PAGE_BYTES;
		uint64_t digest = gw_page_digest(is);
		bool changed = r->before[page] && r->before[page] != digest;

		stale += memcmp(is, r->copy + page * GW_PAGE_BYTES, GW_PAGE_BYTES) != 0;
		unnamed += changed && !gw_set_has(&r->named, page);
		r->changed += changed;
		r->before[page] = digest;
	}
	r->reported += gw_set_count(&r->named);
	gw_set_clear(&r->named);
	if (stale || unnamed)
		fail_msg("%llu pages went stale, %llu changed unnamed", (unsigned long long)stale,
		         (unsigned long long)unnamed);
}

static void stop_and_compare(struct run *r)
{
	assert_true(qemu_ask(&r->vm, "{'execute':'stop'}\n", "return"));
	scan(r, true);
	compare(r);
}

static void prepare_saves(struct run *r)
{
	assert_true(qemu_ask(&r->vm,
	                     "{'execute':'migrate-set-capabilities','arguments':{'capabilities':["
	                     "{'capability':'x-ignore-shared','state':true},"
	                     "{'capability':'events','state':true}]}}\n",
	                     "return"));
}

/* Neither QEMU nor KVM writes to memory by saving what else the VM is. */
static void save_and_compare(struct run *r)
{
	assert_true(qemu_ask(&r->vm,
	                     "{'execute':'migrate','arguments':{'uri':'exec:cat >/dev/null'}}\n",
	                     "\"completed\""));
	scan(r, true);
	assert_true(gw_set_empty(&r->named));
	compare(r);
}

/* For a moment after a save it may not. */
static void go_on(struct run *r)
{
	for (unsigned tries = 0; !qemu_ask(&r->vm, "{'execute':'cont'}\n", "return"); tries++) {
		assert_true(tries < 1000);
		sleep_ms(1);
	}
}

static void nothing_is_missed(void **state)
{
	struct run *r = *state;
	struct gw_error error = {""};

	prepare_saves(r);
	assert_int_equal(gw_tracker_open(&r->tracker, "pagemap", &r->vm.ram, false, &error), 0);
	assert_int_equal(gw_tracker_start(&r->tracker, &r->found, &error), 0);
	copy_found(r);
	for (unsigned stop = 0; stop < STOPS; stop++) {
		for (unsigned i = 0; i < SCANS; i++) {
			sleep_ms(SCAN_MS);
			scan(r, false);
		}
		stop_and_compare(r);
		save_and_compare(r);
		go_on(r);
	}
	gw_tracker_close(&r->tracker);
	(void)printf("%s: %d stops, %d scans: %llu pages named, %llu changed, none missed\n",
	             accelerator(), STOPS, STOPS * (SCANS + 2), (unsigned long long)r->reported,
	             (unsigned long long)r->changed);
	assert_true(r->changed > STOPS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_missed)};

	need("pagemap");
	if (access(QEMU, X_OK) != 0) {
		(void)printf("skipped: there is no " QEMU "\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, start, end);
}
