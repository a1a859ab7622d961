/* SPDX-License-Identifier: MIT */
/* A peer's command line, honest and hostile, and what the destination makes of it. */
#include "tests/live/vm/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live/vm/options.h"
#include "live/vm/spec.h"

#define RAM "memory-backend-file,id=ram0,size=64M,mem-path=/dev/shm/x,share=on"

struct table {
	const char *option, *value; /* value may be NULL */
	const char *expect;         /* found among the arguments; NULL: only not refused */
	const char *absent;         /* found in no argument */
};

/* IMAGE and its directory are replaced by a real file's. */
static const struct table fine[] = {
        {"-machine", "q35,usb=off,accel=kvm", "usb=off", "accel="},
        {"-m", "64", "65536K", NULL},
        {"-cpu", "qemu64,+ssse3", "qemu64,+ssse3", NULL},
        {"-netdev", "tap,id=n0,ifname=tap0,script=/bin/evil,downscript=/bin/evil",
         "type=tap,id=n0,ifname=tap7,script=no,downscript=no", "evil"},
        {"-netdev", "tap,id=n0,ifname=tap0", "type=tap,id=n0,ifname=tap7,script=no,downscript=no",
         NULL},
        {"-netdev", "{\"type\": \"tap\", \"id\": \"n0\", \"ifname\": \"tap0\"}", "ifname=tap7",
         NULL},
        {"-netdev", "bridge,id=n0,br=br0", "type=bridge,id=n0,br=br7", NULL},
        {"-nic", "none", "none", NULL},
        {"-device", "virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56,romfile=", "romfile=", NULL},
        {"-device", "{\"driver\": \"virtio-rng-pci\", \"rng\": \"r0\"}",
         "driver=virtio-rng-pci,rng=r0", NULL},
        {"-drive", "file=IMAGE,format=raw,if=virtio,cache=none", "file=IMAGE,", NULL},
        {"-drive", "file=/old/disk,format=raw,if=virtio", "file=IMAGE,", "/old/disk"},
        {"-blockdev",
         "{\"driver\": \"raw\", \"node-name\": \"d\", \"file\": {\"driver\": \"file\", "
         "\"filename\": \"/old/disk\"}, \"cache\": {\"direct\": true}}",
         "file.filename=IMAGE,cache.direct=on", "/old/disk"},
        {"-serial", "stdio", "null", "stdio"},
        {"-serial", "file:/etc/passwd", "null", "passwd"},
        {"-chardev", "socket,id=c0,path=/tmp/x,server=on", "backend=null,id=c0", "/tmp/x"},
        {"-chardev", "file,id=c0,path=/etc/passwd", "backend=null,id=c0", "passwd"},
        {"-chardev", "pipe,id=c0,path=/etc/passwd", "backend=null,id=c0", "passwd"},
        {"-qmp", "tcp:0.0.0.0:4444,server", NULL, "4444"},
        {"-monitor", "tcp:0.0.0.0:4444,server", "none", "4444"},
        {"-pidfile", "/etc/passwd", NULL, "passwd"},
        {"-D", "/etc/passwd", NULL, "passwd"},
        {"-daemonize", NULL, NULL, "-daemonize"},
        {"-incoming", "exec:evil", "defer", "evil"},
        {"-vnc", ":1", "none", ":1"},
        {"-object", "rng-random,id=r0,filename=/etc/shadow", "filename=/dev/urandom", "shadow"},
        {"-object", "iothread,id=io0", "iothread", NULL},
        {"--append", "console=ttyS0,a=b", "console=ttyS0,a=b", NULL},
        {"-accel", "tcg,tb-size=64", "tcg,thread=multi", "tb-size"},
        {"-accel", "kvm", "kvm", "irqchip"},
        {"-accel", "kvm,kernel-irqchip=split,dirty-ring-size=4096", "kvm,kernel-irqchip=split",
         "dirty-ring"},
        {"-overcommit", "mem-lock=on,cpu-pm=on", "cpu-pm=on", "mem-lock"},
        {"-overcommit", "mem-lock=on", NULL, "-overcommit"},
};

static const struct table hostile[] = {
        {"-accel", "kvm,kernel-irqchip=evil", "evil", NULL},
        {"-netdev", "user,id=n0,guestfwd=tcp:10.0.2.1:80-cmd:evil", "guestfwd", NULL},
        {"-netdev", "user,id=n0,smb=/etc", "smb", NULL},
        {"-netdev", "user,id=n0,tftp=/etc", "tftp", NULL},
        {"-netdev", "user,id=n0,hostfwd=tcp::22-:22", "hostfwd", NULL},
        {"-netdev", "socket,id=n0,listen=:1234", "socket", NULL},
        {"-netdev", "vhost-user,id=n0,chardev=c0", "vhost-user", NULL},
        {"-netdev", "tap,id=n0,ifname=tap0,helper=/bin/evil", "helper", NULL},
        {"-netdev", "tap,id=n0,fd=3", "fd", NULL},
        {"-netdev", "tap,id=n0,ifname=../../evil", "interface", NULL},
        {"-netdev", "bridge,id=n0,br=br0,helper=/bin/evil", "helper", NULL},
        {"-netdev", "tap,id=n0,ifname=tap0,ifname=eth0", "twice", NULL},
        {"-netdev", "{\"type\": \"tap\", \"id\": \"n0\", \"script\": [\"/bin/evil\"]}", "netdev",
         NULL},
        {"-device", "loader,file=/etc/shadow,addr=0", "loader", NULL},
        {"-device", "vfio-pci,host=01:00.0", "vfio-pci", NULL},
        {"-device", "vhost-user-fs-pci,chardev=c0", "vhost-user-fs-pci", NULL},
        {"-device", "ivshmem-plain,memdev=m", "ivshmem", NULL},
        {"-device", "virtio-net-pci,romfile=/etc/shadow", "romfile", NULL},
        /* To QEMU "x,,romfile=" is three pairs. */
        {"-device", "virtio-net-pci,x,,romfile=/etc/shadow", "romfile", NULL},
        {"-global", "virtio-net-pci.romfile=/etc/shadow", "romfile", NULL},
        {"-object", "memory-backend-file,id=evil,size=1M,mem-path=/etc/evil,share=on",
         "memory-backend-file", NULL},
        {"-object", "secret,id=s,file=/etc/shadow", "secret", NULL},
        {"-object", "filter-dump,id=f,netdev=n0,file=/etc/evil", "filter-dump", NULL},
        {"-drive", "file=/etc/shadow,format=raw", "/etc/shadow", NULL},
        {"-drive", "file=DIR/../../etc/shadow,format=raw", "/etc/shadow", NULL},
        {"-drive", "file=LINK,format=raw", "outside", NULL},
        {"-drive", "file=nbd:evil:10809,format=raw", "absolute", NULL},
        {"-drive", "file=IMAGE,snapshot=on", "snapshot", NULL},
        {"-drive", "file.driver=ssh,file.host=evil", "file.driver", NULL},
        {"-drive", "file=json:{},format=raw", "absolute", NULL},
        {"-blockdev", "driver=file,node-name=d,filename=/etc/shadow", "/etc/shadow", NULL},
        {"-blockdev",
         "{\"driver\": \"nbd\", \"node-name\": \"d\", \"server\": {\"type\": \"inet\"}}", "nbd",
         NULL},
        {"-hda", "/etc/shadow", "hda", NULL},
        {"-kernel", "/etc/shadow", "kernel", NULL},
        {"-kernel", "IMAGE-that-is-not-there", "reached", NULL},
        {"-loadvm", "x", "loadvm", NULL},
        {"-readconfig", "/etc/evil", "readconfig", NULL},
        {"-writeconfig", "/etc/evil", "writeconfig", NULL},
        {"-plugin", "/tmp/evil.so", "plugin", NULL},
        {"-fsdev", "local,path=/,id=f", "fsdev", NULL},
        {"-virtfs", "local,path=/", "virtfs", NULL},
        {"-snapshot", NULL, "snapshot", NULL},
        {"-runas", "root", "runas", NULL},
        {"-gdb", "tcp::1234", "gdb", NULL},
        {"-L", "/tmp/evil", "-L", NULL},
        {"-set", "drive.d.file=/etc/shadow", "-set", NULL},
        {"-tpmdev", "passthrough,id=t", "tpmdev", NULL},
        {"-machine", "q35,dumpdtb=/etc/evil", "dumpdtb", NULL},
        {"-machine", "q35,kernel=/etc/shadow", "kernel", NULL},
        {"-m", "64,slots=2,maxmem=1G", "slots", NULL},
        {"-fw_cfg", "name=opt/x,file=/etc/shadow", "file", NULL},
        {"-smbios", "type=11,path=/etc/shadow", "smbios", NULL},
        {"-boot", "splash=/etc/shadow", "splash", NULL},
        {"/etc/shadow", NULL, "bare", NULL},
        {"-serial", NULL, "no value", NULL},
};

struct fixture {
	struct rig *rig;
	char dir[128], image[160], link[160], map[3][256];
	const char *maps[4], *dirs[2];
	struct gw_spec_host host;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *rig = NULL;

	if (!f || rig_setup(&rig)) {
		free(f);
		return -1;
	}
	*state = f;
	f->rig = rig;
	(void)snprintf(f->dir, sizeof(f->dir), "%s/images", f->rig->dir);
	(void)snprintf(f->image, sizeof(f->image), "%s/disk", f->dir);
	(void)snprintf(f->link, sizeof(f->link), "%s/link", f->dir);
	if (mkdir(f->dir, 0700) < 0 || symlink("/etc/passwd", f->link) < 0)
		return -1;
	close(open(f->image, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	(void)snprintf(f->map[0], sizeof(f->map[0]), "/old/disk=%s", f->image);
	(void)snprintf(f->map[1], sizeof(f->map[1]), "tap0=tap7");
	(void)snprintf(f->map[2], sizeof(f->map[2]), "br0=br7");
	for (int i = 0; i < 3; i++)
		f->maps[i] = f->map[i];
	f->dirs[0] = f->dir;
	f->host = (struct gw_spec_host){.name = "here",
	                                .qemu = "/usr/bin/our-qemu",
	                                .ram_path = "/dev/shm/ours,with=comma",
	                                .qmp_path = "/run/ours.sock",
	                                .maps = f->maps,
	                                .image_dirs = f->dirs};
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *rig = f->rig;

	free(f);
	return rig_teardown(&rig);
}

static void replace(char *text, size_t room, const char *from, const char *word, const char *by)
{
	const char *at = strstr(from, word);

	if (at)
		(void)snprintf(text, room, "%.*s%s%s", (int)(at - from), from, by,
		               at + strlen(word));
	else
		(void)snprintf(text, room, "%s", from);
}

static void fill_in(const struct fixture *f, char *text, size_t room, const char *from)
{
	char a[1024], b[1024];

	replace(a, sizeof(a), from, "IMAGE", f->image);
	replace(b, sizeof(b), a, "LINK", f->link);
	replace(text, room, b, "DIR", f->dir);
}

static json_t *spec_with(const struct fixture *f, const struct table *row)
{
	bool kvm = strcmp(row->option, "-accel") == 0 && strncmp(row->value, "kvm", 3) == 0;
	json_t *argv = json_pack("[s, s, s, s, s]", "/bin/evil", "-object", RAM, "-machine",
	                         "q35,memory-backend=ram0");
	char value[1024];

	json_array_append_new(argv, json_string(row->option));
	fill_in(f, value, sizeof(value), row->value ? row->value : "");
	if (row->value)
		json_array_append_new(argv, json_string(value));
	return json_pack("{s:s, s:s, s:[iii], s:s, s:o, s:{s:i, s:s}, s:i, s:s, s:s, s:[], s:[]}",
	                 "schema", "godwit.vm/1", "name", "web", "qemu", 7, 2, 0, "machine",
	                 "pc-q35-7.2", "argv", argv, "ram", "bytes", 64 << 20, "backend", "ram0",
	                 "vcpus", 1, "cpu", "qemu64-x86_64-cpu", "accel", kvm ? "kvm" : "tcg",
	                 "disks", "nets");
}

static bool contains(const json_t *argv, const char *text)
{
	for (size_t i = 0; i < json_array_size(argv); i++)
		if (strstr(json_string_value(json_array_get(argv, i)), text))
			return true;
	return false;
}

static void test_fine(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		json_t *spec = spec_with(f, &fine[i]), *argv;
		char expect[1024];

		if (gw_spec_destination_argv(spec, &f->host, &argv, &f->rig->error) < 0)
			fail_msg("%s %s: %s", fine[i].option, fine[i].value, f->rig->error.text);
		fill_in(f, expect, sizeof(expect), fine[i].expect ? fine[i].expect : "");
		if (!contains(argv, expect))
			fail_msg("%s %s: no %s", fine[i].option, fine[i].value, expect);
		if (fine[i].absent && contains(argv, fine[i].absent))
			fail_msg("%s %s: has %s", fine[i].option, fine[i].value, fine[i].absent);
		assert_string_equal(json_string_value(json_array_get(argv, 0)),
		                    "/usr/bin/our-qemu");
		assert_true(contains(argv, "mem-path=/dev/shm/ours,,with=comma,share=on"));
		assert_true(contains(argv, "path=/run/ours.sock"));
		assert_true(contains(argv, "type=pc-q35-7.2,memory-backend=ram0"));
		assert_false(contains(argv, "/dev/shm/x"));
		json_decref(argv);
		json_decref(spec);
	}
}

static void test_hostile(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		json_t *spec = spec_with(f, &hostile[i]), *argv;

		f->rig->error.text[0] = '\0';
		if (gw_spec_destination_argv(spec, &f->host, &argv, &f->rig->error) == 0)
			fail_msg("%s %s was taken", hostile[i].option, hostile[i].value);
		assert_null(argv);
		if (!strstr(f->rig->error.text, hostile[i].expect))
			fail_msg("%s %s: \"%s\" does not name %s", hostile[i].option,
			         hostile[i].value, f->rig->error.text, hostile[i].expect);
		json_decref(spec);
	}
}

static void test_parse_is_strict(void **state)
{
	static const char *const bad[] = {"", "[]", "{}", "{\"schema\": \"godwit.vm/2\"}",
	                                  "{\"schema\": \"godwit.vm/1\", \"name\": \"../x\"}"};
	struct fixture *f = *state;
	struct table none = {.option = "-nodefaults"};
	json_t *spec = spec_with(f, &none), *again;
	char *text;
	static const char *const keys[] = {"machine", "argv",  "ram",  "vcpus", "qemu",
	                                   "cpu",     "disks", "nets", "name"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(gw_spec_parse(bad[i], strlen(bad[i]), &again, NULL), -EPROTO);
	text = json_dumps(spec, 0);
	assert_done(f->rig, gw_spec_parse(text, strlen(text), &again, &f->rig->error));
	json_decref(again);
	free(text);
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *lame = json_copy(spec);

		json_object_set_new(lame, keys[i], json_string("-evil,x=y"));
		text = json_dumps(lame, 0);
		if (strcmp(keys[i], "cpu") != 0)
			assert_int_equal(gw_spec_parse(text, strlen(text), &again, NULL), -EPROTO);
		json_object_del(lame, keys[i]);
		free(text);
		text = json_dumps(lame, 0);
		assert_int_equal(gw_spec_parse(text, strlen(text), &again, NULL), -EPROTO);
		free(text);
		json_decref(lame);
	}
	json_decref(spec);
}

static void test_options_round_trip(void **state)
{
	_cleanup_options_ struct gw_options o = {0};
	char *text;

	(void)state;
	assert_int_equal(gw_options_parse(&o, "tap,id=a,path=x,,y,,,flag", "type", NULL), 0);
	assert_string_equal(gw_options_get(&o, "type"), "tap");
	assert_string_equal(gw_options_get(&o, "path"), "x,y,");
	assert_string_equal(gw_options_get(&o, "flag"), "on");
	text = gw_options_text(&o);
	assert_string_equal(text, "type=tap,id=a,path=x,,y,,,flag=on");
	free(text);
	assert_int_equal(gw_options_size("512M", 1), 512 << 20);
	assert_int_equal(gw_options_size("64", 1 << 20), 64 << 20);
	assert_int_equal(gw_options_size("-1", 1), 0);
	assert_int_equal(gw_options_size("99999999999999T", 1), 0);
}

#define spec_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        spec_test(test_fine),
	        spec_test(test_hostile),
	        spec_test(test_parse_is_strict),
	        spec_test(test_options_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
