/* SPDX-License-Identifier: MIT */
#include "guest/native/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <xxhash.h>

#include "base/cleanup.h"

#define VCPU_WORDS 9u

struct head {
	char magic[8];
	uint64_t bytes;
	char boot_id[40]; /* clocks may be compared only within one boot */
	uint64_t config[GW_NATIVE_KEYS];
	uint64_t panicked;
};

static const char magic[8] = {'G', 'W', 'N', 'A', 'T', 'I', 'V', '1'};

static size_t state_bytes(const struct gw_machine *machine)
{
	return sizeof(struct head) + machine->config.vcpus * VCPU_WORDS * sizeof(uint64_t) +
	       machine->config.pages * sizeof(uint32_t) + sizeof(uint64_t);
}

static void read_boot_id(char id[40])
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(id, 0, 40);
	if (fd >= 0)
		(void)!read(fd, id, 36);
}

static void fill_head(const struct gw_machine *machine, struct head *head)
{
	memset(head, 0, sizeof(*head));
	memcpy(head->magic, magic, sizeof(magic));
	head->bytes = state_bytes(machine);
	read_boot_id(head->boot_id);
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++)
		head->config[i] = gw_native_get(&machine->config, &gw_native_keys[i]);
	head->panicked = machine->panicked;
}

/* In the order of the stream. */
static void vcpu_fields(struct gw_vcpu_state *state, _Atomic uint64_t *field[VCPU_WORDS])
{
	_Atomic uint64_t *const all[VCPU_WORDS] = {
	        &state->random, &state->write_cursor, &state->read_cursor,
	        &state->writes, &state->reads,        &state->errors,
	        &state->ran_ns, &state->last_ns,      &state->longest_gap_ns,
	};

	memcpy(field, all, sizeof(all));
}

static void pack(struct gw_machine *machine, uint8_t *bytes)
{
	uint8_t *at = bytes + sizeof(struct head);
	_Atomic uint64_t *field[VCPU_WORDS];
	struct head head;
	uint64_t sum;

	fill_head(machine, &head);
	memcpy(bytes, &head, sizeof(head));
	for (uint64_t i = 0; i < machine->config.vcpus; i++) {
		struct gw_vcpu *vcpu = &machine->vcpus[i];

		vcpu_fields(&vcpu->state, field);
		for (size_t j = 0; j < VCPU_WORDS; j++, at += sizeof(uint64_t)) {
			uint64_t value = atomic_load(field[j]);
			memcpy(at, &value, sizeof(value));
		}
		memcpy(at, vcpu->stamps, vcpu->own * sizeof(uint32_t));
		at += vcpu->own * sizeof(uint32_t);
	}
	sum = XXH3_64bits(bytes, (size_t)(at - bytes));
	memcpy(at, &sum, sizeof(sum));
}

/* The bytes are known to be good. */
static void unpack(struct gw_machine *machine, const uint8_t *bytes)
{
	const uint8_t *at = bytes + sizeof(struct head);
	_Atomic uint64_t *field[VCPU_WORDS];
	struct head head;
	char boot_id[40];

	memcpy(&head, bytes, sizeof(head));
	read_boot_id(boot_id);
	machine->panicked = head.panicked;
	for (uint64_t i = 0; i < machine->config.vcpus; i++) {
		struct gw_vcpu *vcpu = &machine->vcpus[i];

		vcpu_fields(&vcpu->state, field);
		for (size_t j = 0; j < VCPU_WORDS; j++, at += sizeof(uint64_t)) {
			uint64_t value;

			memcpy(&value, at, sizeof(value));
			atomic_store(field[j], value);
		}
		if (memcmp(boot_id, head.boot_id, sizeof(boot_id)) != 0)
			atomic_store(&vcpu->state.last_ns, 0);
		memcpy(vcpu->stamps, at, vcpu->own * sizeof(uint32_t));
		at += vcpu->own * sizeof(uint32_t);
	}
}

static int check(const struct gw_machine *machine, const uint8_t *bytes, size_t size,
                 struct gw_error *error)
{
	struct head head;
	uint64_t sum;

	memcpy(&head, bytes, sizeof(head));
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++)
		if (head.config[i] != gw_native_get(&machine->config, &gw_native_keys[i]))
			return gw_fail(
			        error, EINVAL,
			        "the device state is of a guest with another \"%s\" (%" PRIu64
			        "); start this one from the other's description",
			        gw_native_keys[i].name, head.config[i]);
	memcpy(&sum, bytes + size - sizeof(sum), sizeof(sum));
	if (sum != XXH3_64bits(bytes, size - sizeof(sum)))
		return gw_fail(error, EBADMSG,
		               "the device state was damaged on its way: its checksum is wrong");
	return 0;
}

/* The agent's end may be non-blocking, and so, then, is ours. */
static int wait_for(int fd, short events)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	while (poll(&poll_fd, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int send_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t done = send(fd, bytes, size, MSG_NOSIGNAL);

		if (done >= 0) {
			bytes += done;
			size -= (size_t)done;
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLOUT))
				return -errno;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Returns how many bytes came before the end. */
static ssize_t receive_all(int fd, uint8_t *bytes, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t done = recv(fd, bytes + got, size - got, 0);

		if (done > 0)
			got += (size_t)done;
		else if (!done)
			break;
		else if (errno == EAGAIN) {
			if (wait_for(fd, POLLIN))
				return -errno;
		} else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)got;
}

int gw_state_save(struct gw_machine *machine, int fd, struct gw_error *error)
{
	const size_t size = state_bytes(machine);
	_cleanup_close_ int owned = fd;
	_cleanup_free_ uint8_t *bytes = malloc(size);
	int result;

	if (!bytes)
		return gw_fail(error, ENOMEM, "no memory for %zu bytes of device state", size);
	pack(machine, bytes);
	result = send_all(owned, bytes, size);
	if (result)
		return gw_fail(error, -result, "the device state could not be written: %s",
		               strerror(-result));
	(void)shutdown(owned, SHUT_WR);
	return 0;
}

static int receive(int fd, uint8_t *bytes, size_t have, size_t size, struct gw_error *error)
{
	ssize_t got = receive_all(fd, bytes + have, size - have);

	if (got < 0)
		return gw_fail(error, (int)-got, "the device state could not be read: %s",
		               strerror((int)-got));
	if ((size_t)got < size - have)
		return gw_fail(error, EPIPE, "the device state ends after %zu of %zu bytes",
		               have + (size_t)got, size);
	return 0;
}

int gw_state_load(struct gw_machine *machine, int fd, struct gw_error *error)
{
	const size_t size = state_bytes(machine);
	_cleanup_close_ int owned = fd;
	_cleanup_free_ uint8_t *bytes = malloc(size);
	struct head head;
	int result;

	if (!bytes)
		return gw_fail(error, ENOMEM, "no memory for %zu bytes of device state", size);
	result = receive(owned, bytes, 0, sizeof(head), error);
	if (result)
		return result;
	memcpy(&head, bytes, sizeof(head));
	if (memcmp(head.magic, magic, sizeof(magic)) != 0)
		return gw_fail(error, EINVAL, "these bytes are no native guest's device state");
	if (head.bytes != size)
		return gw_fail(error, EINVAL,
		               "the device state is %" PRIu64 " bytes long, where this guest's has "
		               "%zu; start this one from the other's description",
		               head.bytes, size);
	result = receive(owned, bytes, sizeof(head), size, error);
	if (!result)
		result = check(machine, bytes, size, error);
	if (!result)
		unpack(machine, bytes);
	return result;
}
