/* SPDX-License-Identifier: MIT */
/* What a native guest says of itself, what it refuses, and how it ends. */
#include "tests/live/vm/native_rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL "pages=64 vcpus=2 writes=max reads=max populate=20"

static void send_whole(int fd, const uint8_t *bytes, size_t size)
{
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static size_t save_bytes(struct rig_guest *guest, uint8_t *bytes, size_t space)
{
	size_t size = 0;
	ssize_t got;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gw_vm_save(guest->vm, ends[0], NULL), 0);
	while ((got = recv(ends[1], bytes + size, space - size, 0)) > 0)
		size += (size_t)got;
	assert_int_equal(got, 0);
	close(ends[1]);
	(void)rig_expect(guest, GW_VM_SAVED);
	return size;
}

static struct gw_vm_event load_bytes(struct rig_guest *guest, const uint8_t *bytes, size_t size,
                                     enum gw_vm_event_kind expected)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gw_vm_load(guest->vm, ends[0], NULL), 0);
	send_whole(ends[1], bytes, size);
	close(ends[1]);
	return rig_expect(guest, expected);
}

static void refuses_a_cut_or_damaged_state(void **state)
{
	struct rig_guest source = rig_start(SMALL, false), twin = rig_twin(&source);
	uint8_t bytes[4096];
	struct gw_vm_event event;
	size_t size;

	(void)state;
	rig_run_on(&source, 100, 100);
	rig_stop(&source);
	size = save_bytes(&source, bytes, sizeof(bytes));
	for (size_t cut = 0; cut < size; cut += 37)
		(void)load_bytes(&twin, bytes, cut, GW_VM_REFUSED);
	event = load_bytes(&twin, bytes, size - 1, GW_VM_REFUSED);
	assert_non_null(strstr(event.text, "the device state ends after"));
	for (size_t at = 0; at < size; at += 7) {
		bytes[at] ^= 0x20;
		event = load_bytes(&twin, bytes, size, GW_VM_REFUSED);
		bytes[at] ^= 0x20;
	}
	assert_non_null(strstr(event.text, "checksum"));
	/* None of that has changed the twin. */
	rig_copy_ram(&source, &twin);
	(void)load_bytes(&twin, bytes, size, GW_VM_LOADED);
	rig_cont(&twin);
	rig_run_on(&twin, 100, 100);
	assert_int_equal(rig_verify(&twin).different, 0);
	assert_int_equal(rig_status(&twin).errors, 0);
	rig_end(&source);
	rig_end(&twin);
}

static void refuses_the_state_of_another_guest(void **state)
{
	struct rig_guest source = rig_start(SMALL " seed=3", false);
	struct rig_guest other = rig_start(SMALL " seed=4", true);
	struct rig_guest larger = rig_start("pages=65 seed=3", true);
	uint8_t bytes[4096];
	size_t size;

	(void)state;
	rig_stop(&source);
	size = save_bytes(&source, bytes, sizeof(bytes));
	assert_non_null(strstr(load_bytes(&other, bytes, size, GW_VM_REFUSED).text, "\"seed\""));
	assert_non_null(strstr(load_bytes(&larger, bytes, size, GW_VM_REFUSED).text, "bytes long"));
	rig_end(&source);
	rig_end(&other);
	rig_end(&larger);
}

static void expect_refusal(struct rig_guest *guest, const char *request, const char *words)
{
	struct gw_error error;

	assert_int_equal(gw_native_command(guest->vm, request, NULL, 0, &error), -EPERM);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" says nothing of \"%s\"", error.text, words);
}

static void refuses_what_is_out_of_turn(void **state)
{
	struct rig_guest running = rig_start(SMALL, false), incoming = rig_start(SMALL, true);
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gw_vm_save(running.vm, ends[0], NULL), 0);
	assert_non_null(strstr(rig_expect(&running, GW_VM_REFUSED).text, "not stopped"));
	assert_int_equal(gw_vm_load(running.vm, ends[1], NULL), 0);
	assert_non_null(
	        strstr(rig_expect(&running, GW_VM_REFUSED).text, "not started as incoming"));
	expect_refusal(&incoming, "cont", "no device state");
	expect_refusal(&incoming, "stop", "does not run");
	expect_refusal(&incoming, "verify", "must not touch memory");
	expect_refusal(&incoming, "poweroff", "does not run");
	expect_refusal(&running, "fly", "no request \"fly\"");
	expect_refusal(&running, "save", "needs a stream socket");
	rig_run_on(&running, 100, 100);
	rig_end(&running);
	rig_end(&incoming);
}

static void touches_no_memory_before_cont(void **state)
{
	struct rig_guest source = rig_start(SMALL, false), twin = rig_twin(&source);
	struct stat status;

	(void)state;
	rig_stop(&source);
	rig_hand_over(&source, &twin);
	assert_int_equal(fstat(twin.ram_fd, &status), 0);
	assert_int_equal(status.st_blocks, 0);
	rig_cont(&twin);
	rig_run_on(&twin, 1, 0);
	assert_int_equal(fstat(twin.ram_fd, &status), 0);
	assert_true(status.st_blocks > 0);
	rig_end(&source);
	rig_end(&twin);
}

/* More state than a socket holds, and nobody reads it yet: the guest still answers. */
static void answers_while_it_saves(void **state)
{
	struct rig_guest source = rig_start("pages=262144 pattern=idle", false);
	static uint8_t bytes[65536];
	size_t size = 0;
	ssize_t got;
	int ends[2];

	(void)state;
	rig_stop(&source);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gw_vm_save(source.vm, ends[0], NULL), 0);
	assert_false(rig_status(&source).running);
	expect_refusal(&source, "cont", "busy");
	while ((got = recv(ends[1], bytes, sizeof(bytes), 0)) > 0)
		size += (size_t)got;
	close(ends[1]);
	assert_true(size > 262144 * sizeof(uint32_t));
	(void)rig_expect(&source, GW_VM_SAVED);
	rig_end(&source);
}

/* A peer that goes away in the middle of the state: the source is told, and goes on. */
static void survives_a_reader_that_leaves(void **state)
{
	struct rig_guest source = rig_start("pages=262144 writes=max", false);
	int ends[2];

	(void)state;
	rig_stop(&source);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	close(ends[1]);
	assert_int_equal(gw_vm_save(source.vm, ends[0], NULL), 0);
	assert_non_null(strstr(rig_expect(&source, GW_VM_REFUSED).text, "could not be written"));
	rig_cont(&source);
	rig_run_on(&source, 100, 0);
	rig_end(&source);
}

/* A rollback in the middle of a save: `cont` waits for the save's end, and nothing else is told. */
static void runs_on_when_a_save_is_dropped(void **state)
{
	struct rig_guest source = rig_start("pages=262144 writes=max", false);
	int ends[2];

	(void)state;
	rig_stop(&source);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gw_vm_save(source.vm, ends[0], NULL), 0);
	assert_false(rig_status(&source).running);
	assert_int_equal(gw_vm_cont(source.vm, NULL), 0);
	assert_false(rig_status(&source).running);
	close(ends[1]);
	(void)rig_expect(&source, GW_VM_RUNNING);
	rig_run_on(&source, 100, 0);
	rig_end(&source);
}

static void tells_that_it_was_killed(void **state)
{
	struct rig_guest guest = rig_start(SMALL, false);

	(void)state;
	assert_int_equal(kill(guest.vm->pid, SIGKILL), 0);
	assert_non_null(strstr(rig_expect(&guest, GW_VM_DIED).text, "signal 9"));
	assert_int_equal(gw_vm_stop(guest.vm, NULL), -EPIPE);
	rig_end(&guest);
}

static void ask(struct rig_guest *guest, const char *request)
{
	struct gw_error error;

	if (gw_native_command(guest->vm, request, NULL, 0, &error))
		fail_msg("%s", error.text);
}

static void powers_itself_off(void **state)
{
	struct rig_guest guest = rig_start(SMALL, false);

	(void)state;
	ask(&guest, "poweroff");
	(void)rig_expect(&guest, GW_VM_SHUTDOWN);
	assert_non_null(strstr(rig_expect(&guest, GW_VM_DIED).text, "status 0"));
	rig_end(&guest);
}

static void resets_and_runs_on(void **state)
{
	struct rig_guest guest = rig_start(SMALL, false);

	(void)state;
	rig_run_on(&guest, 100, 100);
	ask(&guest, "reset");
	(void)rig_expect(&guest, GW_VM_RESET);
	rig_run_on(&guest, 100, 100);
	assert_int_equal(rig_verify(&guest).different, 0);
	rig_end(&guest);
}

/* It stands where it panicked, and so does its twin. */
static void panics_and_stands(void **state)
{
	struct rig_guest guest = rig_start(SMALL, false), twin = rig_twin(&guest);
	uint64_t writes;

	(void)state;
	ask(&guest, "panic");
	(void)rig_expect(&guest, GW_VM_PANICKED);
	writes = rig_status(&guest).writes;
	rig_stop(&guest);
	rig_copy_ram(&guest, &twin);
	rig_hand_over(&guest, &twin);
	rig_cont(&twin);
	assert_true(rig_status(&twin).panicked);
	rig_cont(&guest);
	assert_int_equal(rig_verify(&guest).different, 0);
	assert_int_equal(rig_status(&guest).writes, writes);
	assert_int_equal(rig_status(&twin).writes, writes);
	rig_end(&guest);
	rig_end(&twin);
}

static void says_who_it_is(void **state)
{
	struct rig_guest guest = rig_start(SMALL, false), twin = rig_twin(&guest);
	char *spec = gw_native_spec(guest.vm, NULL), *copy = gw_native_spec(twin.vm, NULL);
	char path[64];

	(void)state;
	assert_string_equal(spec, copy);
	assert_string_equal(guest.vm->name, "test");
	assert_string_equal(guest.vm->kind->name, "native");
	assert_int_equal(guest.vm->vcpus, 2);
	assert_false(guest.vm->paused);
	assert_false(twin.vm->paused); /* it is to run once it is loaded */
	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)guest.vm->pid,
		               (int)guest.vm->vcpu_threads[i]);
		assert_int_equal(access(path, F_OK), 0);
		assert_int_not_equal(guest.vm->vcpu_threads[i], guest.vm->pid);
	}
	free(spec);
	free(copy);
	rig_end(&guest);
	rig_end(&twin);
}

/* Replaces `from` by `to` in a good description and expects it to be refused with these words. */
static void expect_bad_spec(const char *good, const char *from, const char *to, const char *words)
{
	struct gw_native_config config;
	struct gw_error error = {""};
	char bad[2048], name[64];
	const char *at = strstr(good, from);

	assert_non_null(at);
	(void)snprintf(bad, sizeof(bad), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	assert_int_equal(gw_native_parse_spec(bad, strlen(bad), &config, name, &error), -EINVAL);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" says nothing of \"%s\"", error.text, words);
}

static void refuses_a_hostile_description(void **state)
{
	struct rig_guest guest = rig_start(SMALL, false);
	char *spec = gw_native_spec(guest.vm, NULL);
	struct gw_native_config config;
	char name[64];

	(void)state;
	assert_int_equal(gw_native_parse_spec(spec, strlen(spec), &config, name, NULL), 0);
	assert_int_equal(config.writes, GW_NATIVE_RATE_MAX);
	expect_bad_spec(spec, "{", "[", "not a JSON object");
	expect_bad_spec(spec, "{", "{\"binary\":\"/bin/sh\",", "\"binary\"");
	expect_bad_spec(spec, "{", "{\"ram\":\"/etc/passwd\",", "\"ram\"");
	expect_bad_spec(spec, "{", "{\"\\u001b[2J\":1,", "\"?[2J\"");
	expect_bad_spec(spec, "{", "{\"pages\":7,", "not a JSON object");
	expect_bad_spec(spec, "\"native\"", "\"qemu\"", "\"kind\"");
	expect_bad_spec(spec, "vm/1", "vm/2", "\"schema\"");
	expect_bad_spec(spec, "\"test\"", "\"../test\"", "\"name\"");
	expect_bad_spec(spec, "\"test\"", "\"--incoming x\"", "\"name\"");
	expect_bad_spec(spec, "\"pages\":64", "\"pages\":-64", "\"pages\"");
	expect_bad_spec(spec, "\"pages\":64", "\"pages\":1e3", "\"pages\"");
	expect_bad_spec(spec, "\"pages\":64", "\"pages\":9000000000", "pages must be from");
	expect_bad_spec(spec, "\"pages\":64", "\"pages\":1", "more vCPUs than pages");
	expect_bad_spec(spec, "\"pages\":64", "\"pages\":\"64 --ram /x\"", "\"pages\"");
	expect_bad_spec(spec, "\"vcpus\":2", "\"vcpus\":65", "vcpus must be from");
	expect_bad_spec(spec, "\"random\"", "\"worst\"", "no pattern");
	expect_bad_spec(spec, "\"set\":0", "\"set\":65", "working set");
	expect_bad_spec(spec, "\"set\":0,", "", "members");
	free(spec);
	rig_end(&guest);
}

/* What cannot start says why. */
static void says_why_it_did_not_start(void **state)
{
	const struct gw_native_config config = rig_config(SMALL);
	struct gw_native_start start = {
	        .binary = getenv("GW_NATIVE_GUEST"), .dir = "/nonexistent", .ram_path = "/dev/shm"};
	struct gw_error error;
	struct gw_vm *vm = NULL;

	(void)state;
	assert_int_equal(gw_native_start(&vm, &start, "test", &config, &error), -ECHILD);
	assert_non_null(strstr(error.text, "/nonexistent"));
	start.binary = "/nonexistent/native-guest";
	assert_int_equal(gw_native_start(&vm, &start, "test", &config, &error), -ECHILD);
	assert_non_null(strstr(error.text, "cannot be run"));
	assert_int_equal(gw_native_open(&vm, "/nonexistent", &error), -ENOENT);
	assert_null(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(refuses_a_cut_or_damaged_state),
	        cmocka_unit_test(refuses_the_state_of_another_guest),
	        cmocka_unit_test(refuses_what_is_out_of_turn),
	        cmocka_unit_test(touches_no_memory_before_cont),
	        cmocka_unit_test(answers_while_it_saves),
	        cmocka_unit_test(survives_a_reader_that_leaves),
	        cmocka_unit_test(runs_on_when_a_save_is_dropped),
	        cmocka_unit_test(tells_that_it_was_killed),
	        cmocka_unit_test(powers_itself_off),
	        cmocka_unit_test(resets_and_runs_on),
	        cmocka_unit_test(panics_and_stands),
	        cmocka_unit_test(says_who_it_is),
	        cmocka_unit_test(refuses_a_hostile_description),
	        cmocka_unit_test(says_why_it_did_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
