/* SPDX-License-Identifier: MIT */
#include "live/vm/shadow_command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "live/vm/options.h"
#include "live/vm/spec.h"

#define CONTROL_ID        "godwit-qmp" /* as live/vm/command.c names it */
#define BELOW             "sh-"        /* before a block node's name: the image below its overlay */
#define NODE_LENGTH       31           /* QEMU's limit for the name of a block node */
#define PROPERTY          4096
#define NO_SHADOW(b, ...) gw_fail((b)->error, ENOTSUP, __VA_ARGS__)

struct build {
	struct gw_shadow_command *out;
	const json_t *from; /* the destination's command line */
	const json_t *block;
	const char *backend;
	int control_fd;
	int next_fd; /* of the next overlay */
	int tap_fd; /* taps come after the disks: numbered from here */
	const char *option, *value;
	struct gw_error *error;
};

static void push(struct build *b, const char *option, const char *value)
{
	char dashed[64];

	(void)snprintf(dashed, sizeof(dashed), "-%s", option);
	json_array_append_new(b->out->argv, json_string(dashed));
	if (value)
		json_array_append_new(b->out->argv, json_string(value));
}

static int push_pairs(struct build *b, const char *option, const struct gw_options *o)
{
	_cleanup_free_ char *text = gw_options_text(o);

	if (!text)
		return gw_fail(b->error, ENOMEM, "Out of memory.");
	push(b, option, text);
	return 0;
}

/* Rows of key and value, ended by a NULL key. A NULL value drops the key. */
struct change {
	const char *key, *value;
};

static int change(struct build *b, struct gw_options *o, const struct change *changes)
{
	for (; changes->key; changes++) {
		if (!changes->value)
			gw_options_drop(o, changes->key);
		else if (gw_options_set(o, changes->key, changes->value) < 0)
			return gw_fail(b->error, ENOMEM, "Out of memory.");
	}
	return 0;
}

static bool is(const struct gw_options *o, const char *key, const char *value)
{
	const char *found = gw_options_get(o, key);

	return found && strcmp(found, value) == 0;
}

static bool is_on(const struct gw_options *o, const char *key)
{
	return is(o, key, "on") || is(o, key, "yes") || is(o, key, "true");
}

/* --- memory, control, devices without a host ------------------------------------------------ */

static int take_object(struct build *b, struct gw_options *o)
{
	static const struct change private[] = {{"share", "off"}, {NULL, NULL}};
	static const struct change own_noise[] = {
	        {"qom-type", "rng-builtin"}, {"filename", NULL}, {NULL, NULL}};
	int rc = 0;

	if (is(o, "qom-type", "memory-backend-file") && is(o, "id", b->backend))
		rc = change(b, o, private);
	else if (is(o, "qom-type", "rng-random"))
		rc = change(b, o, own_noise);
	return rc < 0 ? rc : push_pairs(b, b->option, o);
}

static int take_chardev(struct build *b, struct gw_options *o)
{
	char fd[16];
	const struct change inherited[] = {
	        {"fd", fd}, {"server", "off"}, {"path", NULL}, {"wait", NULL}, {NULL, NULL}};
	int rc = 0;

	if (is(o, "id", CONTROL_ID)) {
		(void)snprintf(fd, sizeof(fd), "%d", b->control_fd);
		rc = change(b, o, inherited);
	}
	return rc < 0 ? rc : push_pairs(b, b->option, o);
}

/* --- networks ------------------------------------------------------------------------------- */

static int isolate_tap(struct build *b, struct gw_options *o)
{
	const char *text = gw_options_get(o, "queues");
	unsigned long queues = text ? strtoul(text, NULL, 10) : 1;
	char fds[PROPERTY] = "";
	size_t used = 0;
	const struct change isolated[] = {
	        {"type", "tap"},
	        {"ifname", NULL},
	        {"script", NULL},
	        {"downscript", NULL},
	        {"vhost", "off"},
	        {"vnet_hdr", NULL},
	        {"br", NULL},
	        {"queues", NULL},
	        {"poll-us", NULL},
	        {"sndbuf", NULL},
	        {queues > 1 ? "fds" : "fd", fds},
	        {NULL, NULL},
	};

	if (is(o, "vnet_hdr", "off"))
		return NO_SHADOW(b, "its network %s has no vnet_hdr",
		                 gw_options_get(o, "id") ? gw_options_get(o, "id") : "card");
	if (b->out->tap_count == GW_SHADOW_TAPS || queues < 1 || queues > 32)
		return NO_SHADOW(b, "it has too many network cards, or queues");
	b->out->taps[b->out->tap_count++] = (unsigned)queues;
	for (unsigned long i = 0; i < queues; i++)
		used += (size_t)snprintf(fds + used, sizeof(fds) - used, "%s%d", i ? ":" : "",
		                         b->tap_fd++);
	return change(b, o, isolated);
}

static int take_network(struct build *b, struct gw_options *o)
{
	static const struct change alone[] = {{"restrict", "on"}, {NULL, NULL}};
	int rc = 0;

	if (is(o, "type", "tap") || is(o, "type", "bridge"))
		rc = isolate_tap(b, o);
	else if (is(o, "type", "user"))
		rc = change(b, o, alone);
	return rc < 0 ? rc : push_pairs(b, b->option, o);
}

/* --- disks ---------------------------------------------------------------------------------- */

/* The guest's disk behind a drive's id, a block node's name, or, with neither, a file. */
static const json_t *find_disk(const struct build *b, const char *name, const char *file)
{
	const json_t *one, *inserted;
	size_t i;

	json_array_foreach(b->block, i, one)
	{
		const char *device = json_string_value(json_object_get(one, "device"));
		const char *node, *path;

		inserted = json_object_get(one, "inserted");
		node = json_string_value(json_object_get(inserted, "node-name"));
		path = json_string_value(json_object_get(inserted, "file"));
		if (name ? (device && !strcmp(device, name)) || (node && !strcmp(node, name))
		         : path && file && !strcmp(path, file))
			return inserted;
	}
	return NULL;
}

/* Gives out a descriptor for an overlay and says so to QEMU; `path` is what it is opened by. */
static int add_overlay(struct build *b, const char *name, const char *file, char path[32])
{
	const json_t *image = json_object_get(find_disk(b, name, file), "image");
	json_int_t bytes = json_integer_value(json_object_get(image, "virtual-size"));
	struct gw_shadow_disk *disk = &b->out->disks[b->out->disk_count];
	char set[48];

	if (!name)
		name = file;
	if (bytes <= 0)
		return NO_SHADOW(b, "the size of its disk %.100s is not known", name);
	if (b->out->disk_count == GW_SHADOW_DISKS)
		return NO_SHADOW(b, "it has more than %d disks", GW_SHADOW_DISKS);
	b->out->disk_count++;
	(void)snprintf(disk->name, sizeof(disk->name), "%s", name);
	disk->bytes = (uint64_t)bytes;
	(void)snprintf(set, sizeof(set), "fd=%d,set=%d", b->next_fd, b->next_fd);
	(void)snprintf(path, 32, "/dev/fdset/%d", b->next_fd++);
	push(b, "add-fd", set);
	return 0;
}

static bool writes_through(const struct gw_options *o)
{
	return is(o, "cache", "writethrough") || is(o, "cache", "directsync") ||
	       is(o, "cache.writeback", "off");
}

static int share_drive(struct build *b, struct gw_options *o)
{
	static const struct change shared[] = {
	        {"read-only", "on"},     {"readonly", NULL}, {"force-share", "on"},
	        {"file.locking", "off"}, {"locking", NULL},  {"cache", NULL},
	        {"cache.direct", NULL},  {"aio", NULL},      {NULL, NULL}};

	return gw_options_get(o, "file") ? change(b, o, shared) : 0;
}

static int overlay_drive(struct build *b, struct gw_options *o)
{
	char path[32], below[PROPERTY], format[32] = "raw";
	const char *file = gw_options_get(o, "file"), *id = gw_options_get(o, "id"), *given;
	const struct change overlaid[] = {{"cache.writeback", writes_through(o) ? "off" : "on"},
	                                  {"file", NULL},
	                                  {"cache", NULL},
	                                  {"cache.direct", NULL},
	                                  {"cache.no-flush", NULL},
	                                  {"aio", NULL},
	                                  {"locking", NULL},
	                                  {"copy-on-read", NULL},
	                                  {"format", "qcow2"},
	                                  {"file.driver", "file"},
	                                  {"file.filename", path},
	                                  {"file.locking", "off"},
	                                  {"backing.driver", format},
	                                  {"backing.read-only", "on"},
	                                  {"backing.force-share", "on"},
	                                  {"backing.file.driver", "file"},
	                                  {"backing.file.filename", below},
	                                  {"backing.file.locking", "off"},
	                                  {NULL, NULL}};
	int rc;

	if (strncmp(file, "/dev/", 5) == 0)
		return NO_SHADOW(b, "its disk %.100s is a device of the host", file);
	given = json_string_value(json_object_get(find_disk(b, id, file), "drv"));
	(void)snprintf(format, sizeof(format), "%s", given ? given : "raw");
	(void)snprintf(below, sizeof(below), "%s", file);
	rc = add_overlay(b, id, below, path);
	return rc < 0 ? rc : change(b, o, overlaid);
}

static int take_drive(struct build *b, struct gw_options *o)
{
	bool written = gw_options_get(o, "file") && !is_on(o, "readonly") &&
	               !is_on(o, "read-only") && !is(o, "media", "cdrom");
	int rc = written ? overlay_drive(b, o) : share_drive(b, o);

	return rc < 0 ? rc : push_pairs(b, "drive", o);
}

/* -hda FILE and its like: a drive at a fixed place. */
static int take_letter(struct build *b, const char *value)
{
	_cleanup_options_ struct gw_options o = {0};
	bool cd = strcmp(b->option, "cdrom") == 0;
	char index[] = {cd ? '2' : (char)('0' + b->option[2] - 'a'), '\0'};
	const struct change drive[] = {
	        {"file", value}, {"index", index}, {"media", cd ? "cdrom" : "disk"}, {NULL, NULL}};
	int rc = change(b, &o, drive);

	return rc < 0 ? rc : take_drive(b, &o);
}

/* True if a device uses the block node of that name. */
static bool is_attached(const struct build *b, const char *node)
{
	for (size_t i = 1; i + 1 < json_array_size(b->from); i++) {
		_cleanup_options_ struct gw_options o = {0};

		if (strcmp(json_string_value(json_array_get(b->from, i)), "-device") == 0 &&
		    gw_options_parse(&o, json_string_value(json_array_get(b->from, i + 1)),
		                     "driver", NULL) == 0 &&
		    is(&o, "drive", node))
			return true;
	}
	return false;
}

/* "file", "backing", "backing.file": the last part is a child's name. */
static bool names_child(const char *key)
{
	const char *dot = strrchr(key, '.');
	const char *last = dot ? dot + 1 : key;

	return strcmp(last, "file") == 0 || strcmp(last, "backing") == 0;
}

static bool ends_with(const char *key, const char *end)
{
	size_t length = strlen(key), end_length = strlen(end);

	return length >= end_length && strcmp(key + length - end_length, end) == 0;
}

/* Renames the node and the nodes it names, and locks none of its files. */
static int put_below(struct build *b, struct gw_options *o)
{
	char text[64], lock[128];

	for (unsigned i = 0; i < o->count; i++) {
		const char *key = o->pair[i].key, *value = o->pair[i].value;
		int rc = 0;

		if (ends_with(key, "driver") && strcmp(value, "host_device") == 0)
			return NO_SHADOW(b, "one of its disks is a device of the host");
		if (strcmp(key, "node-name") == 0 || (names_child(key) && value[0])) {
			if (strlen(value) + strlen(BELOW) > NODE_LENGTH)
				return NO_SHADOW(b, "the name of its block node %.40s is too long",
				                 value);
			(void)snprintf(text, sizeof(text), BELOW "%s", value);
			rc = gw_options_set(o, key, text);
		} else if (ends_with(key, "driver") && strcmp(value, "file") == 0) {
			(void)snprintf(lock, sizeof(lock), "%.*slocking",
			               (int)(strlen(key) - strlen("driver")), key);
			rc = gw_options_set(o, lock, "off");
		}
		if (rc < 0)
			return gw_fail(b->error, ENOMEM, "Out of memory.");
	}
	return 0;
}

/* What the device sees under the node's own name: an overlay, or the image as it is. */
static int put_above(struct build *b, const char *name, bool read_only)
{
	_cleanup_options_ struct gw_options o = {0};
	char path[32], below[64];
	const struct change plain[] = {{"driver", "raw"},   {"node-name", name},
	                               {"read-only", "on"}, {"force-share", "on"},
	                               {"file", below},     {NULL, NULL}};
	const struct change overlaid[] = {{"driver", "qcow2"},
	                                  {"node-name", name},
	                                  {"file.driver", "file"},
	                                  {"file.filename", path},
	                                  {"file.locking", "off"},
	                                  {"backing", below},
	                                  {NULL, NULL}};
	int rc = read_only ? 0 : add_overlay(b, name, NULL, path);

	(void)snprintf(below, sizeof(below), BELOW "%s", name);
	if (rc == 0)
		rc = change(b, &o, read_only ? plain : overlaid);
	return rc < 0 ? rc : push_pairs(b, "blockdev", &o);
}

static int take_blockdev(struct build *b, struct gw_options *o)
{
	static const struct change shared[] = {{"read-only", "on"},   {"auto-read-only", NULL},
	                                       {"force-share", "on"}, {"cache.direct", NULL},
	                                       {"aio", NULL},         {NULL, NULL}};
	bool read_only = is_on(o, "read-only");
	char name[64];
	int rc;

	(void)snprintf(name, sizeof(name), "%s",
	               gw_options_get(o, "node-name") ? gw_options_get(o, "node-name") : "");
	rc = put_below(b, o);
	if (rc == 0)
		rc = change(b, o, shared);
	if (rc == 0)
		rc = push_pairs(b, "blockdev", o);
	return rc < 0 || !is_attached(b, name) ? rc : put_above(b, name, read_only);
}

/* --- the whole ------------------------------------------------------------------------------ */

static const struct row {
	const char *option, *implied;
	int (*take)(struct build *b, struct gw_options *o);
} rows[] = {
        {"object", "qom-type", take_object}, {"chardev", "backend", take_chardev},
        {"netdev", "type", take_network},    {"nic", "type", take_network},
        {"drive", NULL, take_drive},         {"blockdev", NULL, take_blockdev},
};

static int take(struct build *b)
{
	static const char *const letters[] = {"hda", "hdb", "hdc", "hdd", "cdrom"};
	_cleanup_options_ struct gw_options o = {0};
	int rc;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].option, b->option) != 0)
			continue;
		rc = gw_options_parse(&o, b->value, rows[i].implied, b->error);
		return rc < 0 ? rc : rows[i].take(b, &o);
	}
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (strcmp(letters[i], b->option) == 0)
			return take_letter(b, b->value);
	push(b, b->option, b->value);
	return 0;
}

/* Of those that live/vm/command.c lets through. */
static bool has_value(const char *option)
{
	static const char *const flags[] = {
	        "nodefaults", "no-user-config", "nouserconfig",  "no-hpet", "no-acpi",
	        "no-reboot",  "no-shutdown",    "no-fd-bootchk", "usb",     "S"};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(flags[i], option) == 0)
			return false;
	return true;
}

static int take_all(struct build *b)
{
	size_t count = json_array_size(b->from);
	int rc = 0;

	for (size_t i = 1; i < count && rc == 0; i++) {
		b->option = json_string_value(json_array_get(b->from, i)) + 1;
		b->value = has_value(b->option) ? json_string_value(json_array_get(b->from, ++i))
		                                : NULL;
		rc = take(b);
	}
	return rc;
}

/* The taps' numbers follow the disks', whose number is known when all have been taken. */
static int take_all_in_order(struct build *b, int first_fd)
{
	int rc;

	b->control_fd = first_fd;
	b->next_fd = first_fd + 1;
	rc = take_all(b);
	if (rc < 0)
		return rc;
	json_array_clear(b->out->argv);
	json_array_append(b->out->argv, json_array_get(b->from, 0));
	b->tap_fd = b->next_fd;
	b->next_fd = first_fd + 1;
	b->out->disk_count = b->out->tap_count = 0;
	return take_all(b);
}

int gw_shadow_command_make(struct gw_shadow_command *command, const json_t *spec,
                           const json_t *block, const char *ram_path, int first_fd,
                           struct gw_error *error)
{
	static const char *const anywhere[] = {"/", NULL};
	const struct gw_spec_host host = {.name = "shadow",
	                                  .qemu = "qemu",
	                                  .ram_path = ram_path,
	                                  .qmp_path = "/",
	                                  .image_dirs = anywhere};
	const char *accel = json_string_value(json_object_get(spec, "accel"));
	struct build b = {.out = command,
	                  .block = block,
	                  .backend = json_string_value(
	                          json_object_get(json_object_get(spec, "ram"), "backend")),
	                  .error = error};
	json_t *from;
	int rc = gw_spec_destination_argv(spec, &host, &from, error);

	*command = (struct gw_shadow_command){.kvm = accel && strcmp(accel, "kvm") == 0};
	if (rc < 0)
		return rc;
	b.from = from;
	command->argv = json_array();
	rc = take_all_in_order(&b, first_fd);
	json_decref(from);
	if (rc < 0)
		gw_shadow_command_clear(command);
	return rc;
}

void gw_shadow_command_clear(struct gw_shadow_command *command)
{
	json_decref(command->argv);
	*command = (struct gw_shadow_command){0};
}
