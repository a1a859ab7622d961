/* SPDX-License-Identifier: MIT */
#include "tests/live/vm/native_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/live/keeper.h"

#define PATIENCE_MS 30000

struct gw_native_config rig_config(const char *text)
{
	struct gw_native_config config;
	struct gw_error error;
	char copy[512], *at = copy, *word;

	gw_native_config_init(&config);
	(void)snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&at, " "))) {
		const char *value = strchr(word, '=');
		const struct gw_native_key *key;

		assert_non_null(value);
		key = gw_native_key(word, (size_t)(value - word));
		assert_non_null(key);
		assert_int_equal(gw_native_set_text(&config, key, value + 1, &error), 0);
	}
	return config;
}

struct place {
	char dir[64], ram[64], control[96];
};

static void make_place(struct place *place)
{
	static unsigned count;

	(void)snprintf(place->dir, sizeof(place->dir), "/tmp/godwit-native-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->ram, sizeof(place->ram), "/dev/shm/godwit-native-%d-%u",
	               (int)getpid(), count++);
	keep(place->dir);
	keep(place->ram);
	(void)snprintf(place->control, sizeof(place->control), "%s/%s", place->dir,
	               GW_NATIVE_CONTROL);
}

static struct gw_native_start start_of(const struct place *place, bool incoming)
{
	return (struct gw_native_start){
	        .binary = getenv("GW_NATIVE_GUEST"),
	        .dir = place->dir,
	        .ram_path = place->ram,
	        .incoming = incoming,
	        .with_parent = true,
	};
}

/* Maps the RAM, and takes the names away. */
static void take_in(struct rig_guest *guest, const struct place *place, int result,
                    const struct gw_error *error)
{
	guest->ram_fd = open(place->ram, O_RDWR | O_CLOEXEC);
	(void)unlink(place->ram);
	(void)unlink(place->control);
	(void)rmdir(place->dir);
	if (result)
		fail_msg("%s", error->text);
	assert_true(guest->ram_fd >= 0);
	guest->ram = mmap(NULL, guest->vm->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
	                  guest->ram_fd, 0);
	assert_ptr_not_equal(guest->ram, MAP_FAILED);
}

struct rig_guest rig_start(const char *config_text, bool incoming)
{
	const struct gw_native_config config = rig_config(config_text);
	struct rig_guest guest = {.ram_fd = -1};
	struct gw_native_start start;
	struct gw_error error;
	struct place place;
	int result;

	make_place(&place);
	start = start_of(&place, incoming);
	assert_non_null(start.binary);
	result = gw_native_start(&guest.vm, &start, "test", &config, &error);
	take_in(&guest, &place, result, &error);
	return guest;
}

struct rig_guest rig_twin(struct rig_guest *source)
{
	struct rig_guest guest = {.ram_fd = -1};
	struct gw_native_start start;
	struct gw_error error;
	struct place place;
	char *spec = gw_native_spec(source->vm, &error);
	int result;

	assert_non_null(spec);
	make_place(&place);
	start = start_of(&place, true);
	result = gw_native_start_from_spec(&guest.vm, &start, spec, strlen(spec), &error);
	free(spec);
	take_in(&guest, &place, result, &error);
	return guest;
}

void rig_end(struct rig_guest *guest)
{
	struct gw_error error;

	assert_int_equal(munmap(guest->ram, guest->vm->ram_bytes), 0);
	close(guest->ram_fd);
	if (gw_vm_quit(guest->vm, &error))
		fail_msg("%s", error.text);
	gw_vm_close(guest->vm);
}

struct gw_vm_event rig_expect(struct rig_guest *guest, enum gw_vm_event_kind kind)
{
	struct pollfd poll_fd = {.fd = gw_vm_fd(guest->vm), .events = POLLIN};
	struct gw_vm_event event;
	int result;

	while (!(result = gw_vm_next(guest->vm, &event)))
		if (poll(&poll_fd, 1, PATIENCE_MS) <= 0)
			fail_msg("no event came, where %d was expected", (int)kind);
	assert_int_equal(result, 1);
	if (event.kind != kind)
		fail_msg("event %d (%s) came, where %d was expected", (int)event.kind, event.text,
		         (int)kind);
	return event;
}

struct gw_native_status rig_status(struct rig_guest *guest)
{
	struct gw_native_status status;
	struct gw_error error;

	if (gw_native_get_status(guest->vm, &status, &error))
		fail_msg("%s", error.text);
	return status;
}

void rig_run_on(struct rig_guest *guest, uint64_t writes, uint64_t reads)
{
	const struct gw_native_status start = rig_status(guest);

	for (int i = 0; i < PATIENCE_MS; i++) {
		const struct timespec pause = {.tv_nsec = 1000000};
		const struct gw_native_status now = rig_status(guest);

		if (now.writes >= start.writes + writes && now.reads >= start.reads + reads)
			return;
		(void)nanosleep(&pause, NULL);
	}
	fail_msg("the guest does not work on");
}

void rig_stop(struct rig_guest *guest)
{
	assert_int_equal(gw_vm_stop(guest->vm, NULL), 0);
	(void)rig_expect(guest, GW_VM_STOPPED);
}

void rig_cont(struct rig_guest *guest)
{
	assert_int_equal(gw_vm_cont(guest->vm, NULL), 0);
	(void)rig_expect(guest, GW_VM_RUNNING);
}

struct gw_native_verdict rig_verify(struct rig_guest *guest)
{
	struct gw_native_verdict verdict;
	struct gw_error error;

	if (gw_native_verify(guest->vm, &verdict, &error))
		fail_msg("%s", error.text);
	assert_int_equal(verdict.compared, guest->vm->ram_bytes / GW_NATIVE_PAGE_BYTES);
	return verdict;
}

void rig_copy_ram(const struct rig_guest *from, struct rig_guest *to)
{
	assert_int_equal(from->vm->ram_bytes, to->vm->ram_bytes);
	memcpy(to->ram, from->ram, from->vm->ram_bytes);
}

void rig_hand_over(struct rig_guest *from, struct rig_guest *to)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gw_vm_load(to->vm, ends[1], NULL), 0);
	assert_int_equal(gw_vm_save(from->vm, ends[0], NULL), 0);
	(void)rig_expect(from, GW_VM_SAVED);
	(void)rig_expect(to, GW_VM_LOADED);
}
