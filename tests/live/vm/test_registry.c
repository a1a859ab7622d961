/* SPDX-License-Identifier: MIT */
/* VMs by name: run, find again, describe, start at the destination from the description, refuse. */
#include "tests/live/vm/rig.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/vm/checks.h"
#include "live/vm/registry.h"
#include "live/vm/spec.h"

#define QEMU "qemu-system-x86_64"

static int setup(void **state)
{
	int rc = rig_setup(state);

	if (rc == 0)
		rc = setenv("GODWIT_DIR", ((struct rig *)*state)->dir, 1);
	return rc;
}

static void test_names(void **state)
{
	static const char *const bad[] = {"",    ".",   "..",       ".x", "a/b",
	                                  "a b", "a\n", "\xc3\xa4", "a,b"};
	char name[66];

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(gw_name_check(bad[i], NULL), -EINVAL);
	memset(name, 'a', sizeof(name));
	name[63] = '\0';
	assert_int_equal(gw_name_check(name, NULL), 0);
	name[63] = 'a';
	name[64] = '\0';
	assert_int_equal(gw_name_check(name, NULL), -EINVAL);
	assert_int_equal(gw_name_check("Web-1_a.b", NULL), 0);
}

static void test_lock(void **state)
{
	struct rig *rig = *state;
	int one, two;

	assert_done(rig, gw_registry_lock("web", &one, &rig->error));
	assert_int_equal(gw_registry_lock("web", &two, &rig->error), -EBUSY);
	assert_done(rig, gw_registry_lock("other", &two, &rig->error));
	close(two);
	close(one);
	assert_done(rig, gw_registry_lock("web", &one, &rig->error));
	close(one);
}

/* Somebody holds the lock, removes the VM if asked to, and lets go. */
static pid_t hold(const char *name, bool removes)
{
	int ready[2], fd;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (gw_registry_lock(name, &fd, NULL) || write(ready[1], "", 1) != 1)
			_exit(1);
		usleep(100000);
		if (removes)
			gw_registry_remove(name);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_lock_waits(void **state)
{
	struct rig *rig = *state;
	struct stat mine, there;
	char path[300];
	int fd;

	for (int removes = 0; removes < 2; removes++) {
		pid_t pid = hold("web", removes);

		assert_done(rig, gw_registry_lock("web", &fd, &rig->error));
		assert_done(rig, gw_registry_path("web", "lock", path, sizeof(path), &rig->error));
		assert_int_equal(fstat(fd, &mine), 0);
		assert_int_equal(stat(path, &there), 0);
		assert_int_equal(mine.st_ino, there.st_ino);
		close(fd);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
}

static void test_stale_records(void **state)
{
	struct rig *rig = *state;
	struct gw_record r = {.name = "web"}, back;

	assert_done(rig, gw_record_stamp(&r, getpid(), &rig->error));
	assert_true(gw_record_alive(&r));
	assert_done(rig, gw_registry_save(&r, &rig->error));
	assert_done(rig, gw_registry_load("web", &back, &rig->error));
	assert_true(gw_record_alive(&back));
	back.start_time++;
	assert_false(gw_record_alive(&back));
	back = r;
	back.boot_id[0] ^= 1;
	assert_false(gw_record_alive(&back));
	back = r;
	back.pid = fork();
	if (back.pid == 0)
		_exit(0);
	waitpid(back.pid, NULL, 0);
	assert_false(gw_record_alive(&back));
	gw_registry_remove("web");
	assert_int_equal(gw_registry_load("web", &back, &rig->error), -ENOENT);
}

static char *plain[] = {"-nodefaults", "-display", "none",    "-machine",           "q35",
                        "-m",          "64",       "-device", "virtio-balloon-pci", NULL};

static void run(struct rig *rig, struct gw_record *r, char *const *args)
{
	struct gw_qemu_where where;

	assert_done(rig, gw_run("web", NULL, args, r, &rig->error));
	rig->pid[0] = r->pid;
	(void)snprintf(rig->ram[0], sizeof(rig->ram[0]), "%s", r->ram_path);
	where = (struct gw_qemu_where){
	        .name = r->name, .pid = r->pid, .qmp_path = r->qmp_path, .log_path = r->log_path};
	assert_done(rig, gw_qemu_open(&rig->vm[0], &where, &rig->error));
	assert_string_equal(rig->vm[0]->ram_path, r->ram_path);
}

static int count_one(const struct gw_record *r, void *context)
{
	assert_string_equal(r->name, "web");
	++*(int *)context;
	return 0;
}

static void test_run(void **state)
{
	struct rig *rig = *state;
	struct gw_record r, again, found;
	int count = 0;

	run(rig, &r, plain);
	assert_true(gw_record_alive(&r));
	assert_int_equal(r.ram_bytes, 64 << 20);
	assert_int_equal(gw_run("web", NULL, plain, &again, &rig->error), -EEXIST);
	gw_record_clear(&again);
	assert_done(rig, gw_registry_load("web", &found, &rig->error));
	assert_true(json_equal(found.argv, r.argv));
	assert_done(rig, gw_registry_list(count_one, &count, &rig->error));
	assert_int_equal(count, 1);
	gw_record_clear(&found);
	gw_record_clear(&r);
}

static void test_run_refuses(void **state)
{
	char *bad[][3] = {{"-mem-path", "/x", NULL},
	                  {"-daemonize", NULL, NULL},
	                  {"-incoming", "defer", NULL},
	                  {"-machine", "q35,memory-backend=x", NULL},
	                  {"-object", "memory-backend-ram,id=x,size=1G", NULL},
	                  {"-m", "1G,slots=2,maxmem=4G", NULL},
	                  {"-m", "much", NULL},
	                  {"-no-such-option", NULL, NULL}};
	struct rig *rig = *state;
	struct gw_record r;
	char path[256];
	struct stat st;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(gw_run("web", NULL, bad[i], &r, &rig->error) < 0);
		assert_non_null(strchr(rig->error.text, '-'));
		assert_int_not_equal(access(r.ram_path, F_OK), 0);
		gw_record_clear(&r);
	}
	(void)snprintf(path, sizeof(path), "%s/web", rig->dir);
	assert_int_equal(stat(path, &st), -1); /* nothing is left behind */
}

/* Source's record -> description -> bytes -> destination's command line -> a VM that goes on. */
static void test_whole_way(void **state)
{
	struct rig *rig = *state;
	struct gw_spec_host host = {
	        .name = "web", .qemu = QEMU, .ram_path = rig->ram[1], .qmp_path = rig->qmp[1]};
	struct gw_qemu_launch launch = {.name = "web",
	                                .qmp_path = rig->qmp[1],
	                                .ram_path = rig->ram[1],
	                                .log_path = rig->log[1],
	                                .incoming = true};
	struct gw_source_facts facts;
	json_t *spec, *received, *argv;
	struct gw_record r;
	int pair[2];
	char *text;

	run(rig, &r, plain);
	assert_done(rig, gw_spec_make(rig->vm[0], r.argv, &spec, &rig->error));
	assert_done(rig, gw_check_source(rig->vm[0], spec, &facts, &rig->error));
	assert_true(facts.balloon);
	assert_false(facts.direct_io);
	text = json_dumps(spec, 0);
	assert_done(rig, gw_spec_parse(text, strlen(text), &received, &rig->error));
	assert_done(rig, gw_spec_destination_argv(received, &host, &argv, &rig->error));
	launch.argv = gw_spec_strings(argv);
	assert_done(rig, gw_qemu_start(&rig->vm[1], &launch, &rig->error));
	rig->pid[1] = rig->vm[1]->pid;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_done(rig, gw_vm_prepare_save(rig->vm[0], &rig->error));
	assert_done(rig, gw_vm_load(rig->vm[1], pair[1], &rig->error));
	assert_done(rig, gw_vm_stop(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_STOPPED);
	rig_copy_ram(rig);
	assert_done(rig, gw_vm_save(rig->vm[0], pair[0], &rig->error));
	rig_await(rig, 1, GW_VM_LOADED);
	rig_await(rig, 0, GW_VM_SAVED);
	assert_done(rig, gw_vm_cont(rig->vm[1], &rig->error));
	rig_await(rig, 1, GW_VM_RUNNING);
	rig_assert_status(rig, 1, "running");
	free((void *)launch.argv);
	free(text);
	json_decref(argv);
	json_decref(received);
	json_decref(spec);
	gw_record_clear(&r);
}

/* --- what the source cannot move ------------------------------------------------------------ */

/* A QEMU with these arguments and nothing of ours; 0 and a check's verdict, or open's. */
static int judge(struct rig *rig, char *const *extra, struct gw_source_facts *facts)
{
	char qmp[200];
	char *argv[40] = {QEMU, "-nodefaults", "-display", "none", "-accel", "tcg", "-qmp", qmp};
	struct gw_qemu_launch launch = {
	        .name = "odd", .argv = argv, .qmp_path = rig->qmp[0], .log_path = rig->log[0]};
	json_t *spec = NULL;
	int n = 8, rc;

	(void)snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", rig->qmp[0]);
	for (int i = 0; extra[i]; i++)
		argv[n++] = extra[i];
	rig->error.text[0] = '\0';
	rc = gw_qemu_start(&rig->vm[0], &launch, &rig->error);
	if (rc < 0)
		return rc;
	rig->pid[0] = rig->vm[0]->pid;
	assert_done(rig, gw_spec_make(rig->vm[0], NULL, &spec, &rig->error));
	rc = gw_check_source(rig->vm[0], spec, facts, &rig->error);
	json_decref(spec);
	assert_done(rig, gw_vm_quit(rig->vm[0], NULL));
	gw_vm_close(rig->vm[0]);
	rig->vm[0] = NULL;
	(void)unlink(rig->ram[0]);
	return rc;
}

static void expect_refusal(struct rig *rig, char *const *extra, const char *names)
{
	struct gw_source_facts facts;

	assert_int_equal(judge(rig, extra, &facts), -ENOTSUP);
	if (!strstr(rig->error.text, names))
		fail_msg("\"%s\" does not name %s", rig->error.text, names);
}

static void test_source_refusals(void **state)
{
	struct rig *rig = *state;
	char shared[320], private[320];
	char *plain_ram[] = {"-m", "64", NULL};
	char *memfd[] = {"-m",       "64",
	                 "-machine", "q35,memory-backend=r",
	                 "-object",  "memory-backend-memfd,id=r,size=64M,share=on",
	                 NULL};
	char *own[] = {"-m", "64", "-machine", "q35,memory-backend=r", "-object", private, NULL};
	char *two[] = {"-m",      "64",   "-machine", "q35,memory-backend=r",
	               "-object", shared, "-object",  "memory-backend-ram,id=r2,size=16M",
	               NULL};
	char *ok[] = {"-m", "64", "-machine", "q35,memory-backend=r", "-object", shared, NULL};
	struct gw_source_facts facts;

	(void)snprintf(shared, sizeof(shared),
	               "memory-backend-file,id=r,size=64M,mem-path=%s,share=on", rig->ram[0]);
	(void)snprintf(private, sizeof(private),
	               "memory-backend-file,id=r,size=64M,mem-path=%s,share=off", rig->ram[0]);
	expect_refusal(rig, plain_ram, "named shared file");
	expect_refusal(rig, memfd, "named shared file");
	expect_refusal(rig, own, "private");
	expect_refusal(rig, two, "2 memory backends");
	if (judge(rig, ok, &facts) != 0)
		fail_msg("%s", rig->error.text);
}

static void test_direct_io_is_told(void **state)
{
	struct rig *rig = *state;
	char shared[320], drive[256];
	char *disk[] = {"-m",        "64",  "-machine", "q35,memory-backend=r", "-object", shared,
	                "-blockdev", drive, NULL};
	struct gw_source_facts facts;
	char image[128];
	FILE *f;

	(void)snprintf(image, sizeof(image), "%s/disk", rig->dir);
	f = fopen(image, "we");
	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), 1 << 20), 0);
	(void)fclose(f);
	(void)snprintf(shared, sizeof(shared),
	               "memory-backend-file,id=r,size=64M,mem-path=%s,share=on", rig->ram[0]);
	(void)snprintf(drive, sizeof(drive), "driver=file,node-name=d,filename=%s,cache.direct=on",
	               image);
	if (judge(rig, disk, &facts) != 0)
		fail_msg("%s", rig->error.text);
	assert_true(facts.direct_io);
}

/* --- what a destination lacks --------------------------------------------------------------- */

static json_t *description(void)
{
	return json_pack("{s:s, s:s, s:[iii], s:s, s:[s], s:{s:i, s:s}, s:i, s:s, s:s, s:[], s:[]}",
	                 "schema", "godwit.vm/1", "name", "web", "qemu", 7, 2, 0, "machine",
	                 "pc-q35-7.2", "argv", "qemu", "ram", "bytes", 64 << 20, "backend", "ram0",
	                 "vcpus", 1, "cpu", "qemu64-x86_64-cpu", "accel", "tcg", "disks", "nets");
}

static void test_destination_refusals(void **state)
{
	struct rig *rig = *state;
	const struct {
		const char *key;
		json_t *value;
		int rc;
		const char *names;
	} bad[] = {
	        {"qemu", json_pack("[iii]", 99, 0, 0), -ENOTSUP, "99.0"},
	        {"machine", json_string("pc-q35-99.9"), -ENOTSUP, "pc-q35-99.9"},
	        {"cpu", json_string("Colossus-x86_64-cpu"), -ENOTSUP, "Colossus"},
	        {"ram", json_pack("{s:I, s:s}", "bytes", (json_int_t)1 << 45, "backend", "r"),
	         -ENOSPC, "MiB"},
	        {"disks", json_pack("[{s:s}]", "path", "/no/such/disk"), -ENOENT, "/no/such/disk"},
	        {"nets", json_pack("[{s:s}]", "ifname", "godwitnone0"), -ENOENT, "godwitnone0"},
	        {"nets", json_pack("[{s:s}]", "bridge", "godwitnone1"), -ENOENT, "godwitnone1"},
	        {"nets", json_pack("[{s:s}]", "bridge", "lo"), -ENOENT, "lo"},
	};
	struct gw_spec_host host = {.name = "web", .qemu = QEMU, .ram_path = rig->ram[1]};
	struct gw_qemu_binary binary;
	struct gw_record r = {.name = "web"};

	assert_int_equal(gw_qemu_binary_probe(&binary, "/no/such/qemu", &rig->error), -ENOENT);
	assert_int_equal(gw_qemu_binary_probe(&binary, "/bin/true", &rig->error), -ENOENT);
	assert_done(rig, gw_qemu_binary_probe(&binary, QEMU, &rig->error));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *spec = description();

		assert_done(rig, gw_check_destination(spec, &host, &binary, &rig->error));
		json_object_set_new(spec, bad[i].key, bad[i].value);
		assert_int_equal(gw_check_destination(spec, &host, &binary, &rig->error),
		                 bad[i].rc);
		if (!strstr(rig->error.text, bad[i].names))
			fail_msg("\"%s\" does not name %s", rig->error.text, bad[i].names);
		json_decref(spec);
	}
	assert_done(rig, gw_record_stamp(&r, getpid(), &rig->error));
	assert_done(rig, gw_registry_save(&r, &rig->error));
	{
		json_t *spec = description();

		assert_int_equal(gw_check_destination(spec, &host, &binary, &rig->error), -EEXIST);
		json_decref(spec);
	}
	gw_qemu_binary_clear(&binary);
}

#define vm_test(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        vm_test(test_names),
	        vm_test(test_lock),
	        vm_test(test_lock_waits),
	        vm_test(test_stale_records),
	        vm_test(test_run),
	        vm_test(test_run_refuses),
	        vm_test(test_whole_way),
	        vm_test(test_source_refusals),
	        vm_test(test_direct_io_is_told),
	        vm_test(test_destination_refusals),
	};

	if (system("command -v " QEMU " >/dev/null") != 0) {
		print_message("skipped: " QEMU " is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
