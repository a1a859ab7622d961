/* SPDX-License-Identifier: MIT */
/* The command line of a shadow, and the empty layer that its disks write to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/vm/overlay.h"
#include "live/vm/shadow_command.h"
#include "tests/live/keeper.h"

#define FIRST_FD 4

static char image[64];

static int make_image(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(image, sizeof(image), "/tmp/godwit-image-XXXXXX");
	fd = mkstemp(image);
	keep(image);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int remove_image(void **state)
{
	(void)state;
	return unlink(image);
}

/* "@" in a word stands for the image. */
static json_t *spec_of(const char *const *words)
{
	json_t *argv = json_pack("[s]", "qemu-system-x86_64");
	char text[512];

	json_array_append_new(argv, json_string("-object"));
	json_array_append_new(argv, json_string("memory-backend-file,id=ram0,size=64M,"
	                                        "mem-path=/dev/shm/x,share=on,prealloc=on"));
	for (; *words; words++) {
		const char *at = strchr(*words, '@');

		(void)snprintf(text, sizeof(text), "%.*s%s%s", at ? (int)(at - *words) : 511,
		               *words, at ? image : "", at ? at + 1 : "");
		json_array_append_new(argv, json_string(text));
	}
	return json_pack("{s:s, s:o, s:s, s:{s:i, s:s}}", "machine", "pc-q35-7.2", "argv", argv,
	                 "accel", "tcg", "ram", "bytes", 64 << 20, "backend", "ram0");
}

static json_t *block_of(void)
{
	return json_pack("[{s:s, s:{s:s, s:s, s:s, s:{s:i}}}, {s:s, s:{s:s, s:s, s:s, s:{s:i}}}]",
	                 "device", "drive0", "inserted", "node-name", "#block1", "file", image,
	                 "drv", "raw", "image", "virtual-size", 1 << 20, "device", "", "inserted",
	                 "node-name", "d1", "file", image, "drv", "qcow2", "image", "virtual-size",
	                 2 << 20);
}

static int make(struct gw_shadow_command *command, const char *const *words, struct gw_error *error)
{
	json_t *spec = spec_of(words), *block = block_of();
	int rc = gw_shadow_command_make(command, spec, block, "/dev/shm/y", FIRST_FD, error);

	json_decref(spec);
	json_decref(block);
	return rc;
}

/* The value of the first option of that name whose value begins so. */
static const char *option(const struct gw_shadow_command *command, const char *name,
                          const char *begins)
{
	for (size_t i = 1; i + 1 < json_array_size(command->argv); i++) {
		const char *value = json_string_value(json_array_get(command->argv, i + 1));

		if (!strcmp(json_string_value(json_array_get(command->argv, i)), name) &&
		    !strncmp(value, begins, strlen(begins)))
			return value;
	}
	fail_msg("there is no %s %s", name, begins);
	return "";
}

static bool has(const char *text, const char *part)
{
	char padded[1024], wanted[256];

	(void)snprintf(padded, sizeof(padded), ",%s,", text);
	(void)snprintf(wanted, sizeof(wanted), ",%s,", part);
	return strstr(padded, wanted) != NULL;
}

static void memory_and_control(void **state)
{
	static const char *const words[] = {"-object", "rng-random,id=r,filename=/dev/hwrng",
	                                    "-serial", "file:/tmp/out", NULL};
	struct gw_shadow_command c;

	(void)state;
	assert_int_equal(make(&c, words, NULL), 0);
	assert_true(has(option(&c, "-object", "qom-type=memory-backend-file"), "share=off"));
	assert_true(
	        has(option(&c, "-object", "qom-type=memory-backend-file"), "mem-path=/dev/shm/y"));
	assert_false(strstr(option(&c, "-object", "qom-type=memory"), "prealloc") != NULL);
	assert_true(has(option(&c, "-chardev", "backend=socket"), "fd=4"));
	assert_true(has(option(&c, "-chardev", "backend=socket"), "server=off"));
	assert_string_equal(option(&c, "-serial", ""), "null");
	assert_string_equal(option(&c, "-object", "qom-type=rng"), "qom-type=rng-builtin,id=r");
	gw_shadow_command_clear(&c);
}

static void disks_and_taps(void **state)
{
	static const char *const words[] = {
	        "-netdev",   "tap,id=n0,ifname=tap7,script=no,downscript=no,vhost=on,queues=2",
	        "-drive",    "file=@,if=none,id=drive0,format=raw,cache=none,aio=native",
	        "-blockdev", "driver=file,node-name=f1,filename=@,cache.direct=on",
	        "-blockdev", "driver=qcow2,node-name=d1,file=f1",
	        "-device",   "virtio-blk-pci,drive=d1",
	        "-netdev",   "user,id=n1",
	        NULL};
	struct gw_shadow_command c;
	const char *drive;

	(void)state;
	assert_int_equal(make(&c, words, NULL), 0);
	assert_int_equal(c.disk_count, 2);
	assert_string_equal(c.disks[0].name, "drive0");
	assert_int_equal(c.disks[0].bytes, 1 << 20);
	assert_string_equal(c.disks[1].name, "d1");
	assert_int_equal(c.disks[1].bytes, 2 << 20);
	assert_int_equal(c.tap_count, 1);
	assert_int_equal(c.taps[0], 2);
	/* 4 is the control socket, 5 and 6 the overlays, then the taps. */
	assert_string_equal(option(&c, "-netdev", "type=tap"), "type=tap,id=n0,vhost=off,fds=7:8");
	assert_true(has(option(&c, "-netdev", "type=user"), "restrict=on"));
	(void)option(&c, "-add-fd", "fd=5,set=5");
	(void)option(&c, "-add-fd", "fd=6,set=6");
	drive = option(&c, "-drive", "");
	assert_true(has(drive, "format=qcow2") && has(drive, "file.filename=/dev/fdset/5") &&
	            has(drive, "backing.driver=raw") && has(drive, "backing.read-only=on") &&
	            has(drive, "backing.force-share=on") && has(drive, "backing.file.locking=off"));
	assert_null(strstr(drive, "cache=none"));
	drive = option(&c, "-blockdev", "driver=file");
	assert_true(has(drive, "node-name=sh-f1") && has(drive, "read-only=on") &&
	            has(drive, "locking=off") && has(drive, "force-share=on"));
	assert_null(strstr(drive, "cache.direct"));
	assert_true(has(option(&c, "-blockdev", "driver=qcow2,node-name=sh-d1"), "file=sh-f1"));
	drive = option(&c, "-blockdev", "driver=qcow2,node-name=d1");
	assert_true(has(drive, "file.filename=/dev/fdset/6") && has(drive, "backing=sh-d1"));
	gw_shadow_command_clear(&c);
}

/* Nothing that is read-only gets an overlay, and nothing else is opened for writing. */
static void read_only_disks(void **state)
{
	static const char *const words[] = {
	        "-drive",    "file=@,if=none,id=cd,media=cdrom",
	        "-blockdev", "driver=file,node-name=f1,filename=@,read-only=on",
	        "-device",   "virtio-blk-pci,drive=f1",
	        NULL};
	struct gw_shadow_command c;

	(void)state;
	assert_int_equal(make(&c, words, NULL), 0);
	assert_int_equal(c.disk_count, 0);
	assert_true(has(option(&c, "-drive", ""), "read-only=on"));
	assert_true(has(option(&c, "-drive", ""), "file.locking=off"));
	assert_true(has(option(&c, "-blockdev", "driver=raw,node-name=f1"), "read-only=on"));
	gw_shadow_command_clear(&c);
}

static void refused(const char *const *words, const char *why)
{
	struct gw_shadow_command c;
	struct gw_error error;

	assert_true(make(&c, words, &error) < 0);
	if (!strstr(error.text, why))
		fail_msg("the sentence is: %s", error.text);
}

static void what_has_no_shadow(void **state)
{
	static const char *const device[] = {"-blockdev",
	                                     "driver=host_device,node-name=d1,filename=@", NULL};
	static const char *const unknown[] = {"-blockdev", "driver=file,node-name=other,filename=@",
	                                      "-device", "virtio-blk-pci,drive=other", NULL};
	static const char *const plain[] = {
	        "-netdev", "tap,id=n0,ifname=t,script=no,downscript=no,vnet_hdr=off", NULL};
	static const char *const vfio[] = {"-device", "vfio-pci,host=01:00.0", NULL};
	static const char *const shared[] = {"-netdev", "vhost-user,id=n0,chardev=c0", NULL};

	(void)state;
	refused(device, "a device of the host");
	refused(unknown, "the size of its disk other is not known");
	refused(plain, "has no vnet_hdr");
	refused(vfio, "vfio-pci");
	refused(shared, "vhost-user");
}

static void an_overlay(void **state)
{
	static const uint64_t sizes[] = {512, 1 << 20, 3ull << 40};
	struct gw_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char command[160];
		int fd = gw_overlay_make(sizes[i], &error);

		assert_true(fd >= 0);
		(void)snprintf(command, sizeof(command),
		               "qemu-img check -q /proc/%d/fd/%d && "
		               "qemu-img info /proc/%d/fd/%d | grep -q '(%llu bytes)'",
		               (int)getpid(), fd, (int)getpid(), fd, (unsigned long long)sizes[i]);
		assert_int_equal(system(command), 0);
		close(fd);
	}
	assert_int_equal(gw_overlay_make(0, &error), -ENOTSUP);
	assert_int_equal(gw_overlay_make(1ull << 50, &error), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(memory_and_control), cmocka_unit_test(disks_and_taps),
	        cmocka_unit_test(read_only_disks),    cmocka_unit_test(what_has_no_shadow),
	        cmocka_unit_test(an_overlay),
	};

	return cmocka_run_group_tests(tests, make_image, remove_image);
}
