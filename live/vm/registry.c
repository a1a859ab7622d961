/* SPDX-License-Identifier: MIT */
#include "live/vm/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define LOCK_LOOK_MS 20
#define LOCK_LOOKS   250

int gw_name_check(const char *name, struct gw_error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789._-";
	size_t length = strlen(name);

	if (length == 0 || length > 63 || name[0] == '.' || strspn(name, allowed) != length)
		return gw_fail(
		        error, EINVAL,
		        "\"%.80s\" is no name for a VM: use 1 to 63 letters, digits, '.', '_' or "
		        "'-', not starting with a dot.",
		        name);
	return 0;
}

int gw_registry_dir(char *path, size_t room, struct gw_error *error)
{
	const char *given = getenv("GODWIT_DIR"), *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int length;

	if (given && given[0])
		length = snprintf(path, room, "%s", given);
	else if (geteuid() == 0)
		length = snprintf(path, room, "/var/lib/godwit");
	else if (state && state[0])
		length = snprintf(path, room, "%s/godwit", state);
	else
		length = snprintf(path, room, "%s/.local/state/godwit", home ? home : "");
	if (length < 0 || (size_t)length >= room || path[0] != '/')
		return gw_fail(error, EINVAL, "GODWIT_DIR must be a short absolute path.");
	return 0;
}

static int make_dirs(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int vm_path(const char *name, const char *file, char *path, size_t room, bool make,
                   struct gw_error *error)
{
	char dir[200];
	int rc = gw_name_check(name, error);

	if (rc == 0)
		rc = gw_registry_dir(dir, sizeof(dir), error);
	if (rc < 0)
		return rc;
	if ((size_t)snprintf(path, room, "%s/%s", dir, name) >= room)
		return gw_fail(error, ENAMETOOLONG, "The path of %s is too long.", name);
	rc = make ? make_dirs(path) : 0;
	if (rc < 0)
		return gw_fail(error, -rc, "Cannot make the directory %s: %s.", path,
		               strerror(-rc));
	if ((size_t)snprintf(path, room, "%s/%s/%s", dir, name, file) >= room)
		return gw_fail(error, ENAMETOOLONG,
		               "The path %s/%s/%s is too long: choose a shorter GODWIT_DIR.", dir,
		               name, file);
	return 0;
}

int gw_registry_path(const char *name, const char *file, char *path, size_t room,
                     struct gw_error *error)
{
	return vm_path(name, file, path, room, true, error);
}

int gw_registry_ram_path(const char *name, char *path, size_t room, struct gw_error *error)
{
	const char *dir = getenv("GODWIT_RAM_DIR");
	uint64_t random;
	int rc = gw_name_check(name, error);

	if (rc < 0)
		return rc;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return gw_fail(error, EIO, "The kernel gives no random number.");
	if ((size_t)snprintf(path, room, "%s/godwit-%s-%016llx.ram",
	                     dir && dir[0] ? dir : "/dev/shm", name,
	                     (unsigned long long)random) >= room)
		return gw_fail(error, ENAMETOOLONG, "GODWIT_RAM_DIR is too long.");
	return 0;
}

/* -EAGAIN: somebody holds it, or removed it, with its VM, between our steps. */
static int try_lock(const char *name, int *fd, struct gw_error *error)
{
	struct stat mine, there;
	char path[300];
	int rc = vm_path(name, "lock", path, sizeof(path), true, error);

	*fd = -1;
	if (rc < 0)
		return rc;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0 && errno == ENOENT)
		return -EAGAIN;
	if (*fd < 0)
		return gw_fail(error, errno, "Cannot open %s: %s.", path, strerror(errno));
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0 && fstat(*fd, &mine) == 0 &&
	    stat(path, &there) == 0 && mine.st_ino == there.st_ino)
		return 0;
	gw_cleanup_close(fd);
	return -EAGAIN;
}

/* An agent whose move has just ended still puts the VM in order, and lets go of it after that. */
int gw_registry_lock(const char *name, int *fd, struct gw_error *error)
{
	int rc = try_lock(name, fd, error);

	for (int looks = 0; rc == -EAGAIN && looks < LOCK_LOOKS; looks++) {
		(void)poll(NULL, 0, LOCK_LOOK_MS);
		rc = try_lock(name, fd, error);
	}
	if (rc != -EAGAIN)
		return rc;
	return gw_fail(error, EBUSY,
	               "%s is being started, migrated or recorded by someone else: wait for it to "
	               "end.",
	               name);
}

static void read_boot_id(char *text, size_t room)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	text[0] = '\0';
	if (f && fgets(text, (int)room, f))
		text[strcspn(text, "\n")] = '\0';
}

/* Field 22 of /proc/PID/stat; 0: no such process, or a dead one that nobody has reaped. */
static uint64_t read_start_time(pid_t pid)
{
	char path[64], line[1024], state;
	unsigned long long start;
	FILE *f;
	char *at;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	at = fgets(line, sizeof(line), f);
	(void)fclose(f);
	at = at ? strrchr(line, ')') : NULL; /* the name may hold anything */
	if (!at || sscanf(at + 1,
	                  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
	                  "%*d %llu",
	                  &state, &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}

int gw_record_stamp(struct gw_record *record, pid_t pid, struct gw_error *error)
{
	record->pid = pid;
	record->start_time = read_start_time(pid);
	read_boot_id(record->boot_id, sizeof(record->boot_id));
	if (!record->start_time)
		return gw_fail(error, ESRCH, "There is no process %d.", (int)pid);
	return 0;
}

bool gw_record_alive(const struct gw_record *record)
{
	char boot_id[40];

	read_boot_id(boot_id, sizeof(boot_id));
	return record->pid > 0 && record->start_time && strcmp(boot_id, record->boot_id) == 0 &&
	       read_start_time(record->pid) == record->start_time;
}

static int write_whole(const char *path, json_t *json, struct gw_error *error)
{
	_cleanup_free_ char *text = json_dumps(json, JSON_INDENT(1));
	_cleanup_close_ int fd = -1;
	char draft[320];

	(void)snprintf(draft, sizeof(draft), "%s.new", path);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!text || fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    fsync(fd) < 0 || rename(draft, path) < 0) {
		int err = errno ? errno : EIO;

		(void)unlink(draft);
		return gw_fail(error, err, "Cannot write %s: %s.", path, strerror(err));
	}
	return 0;
}

int gw_registry_save(const struct gw_record *r, struct gw_error *error)
{
	char path[300];
	json_t *json;
	int rc = vm_path(r->name, "vm.json", path, sizeof(path), true, error);

	if (rc < 0)
		return rc;
	json = json_pack("{s:s, s:s, s:i, s:I, s:s, s:s, s:I, s:s, s:s, s:O?}", "schema",
	                 "godwit.record/1", "name", r->name, "pid", (int)r->pid, "start_time",
	                 (json_int_t)r->start_time, "boot_id", r->boot_id, "ram_path", r->ram_path,
	                 "ram_bytes", (json_int_t)r->ram_bytes, "qmp_path", r->qmp_path, "log_path",
	                 r->log_path, "argv", r->argv);
	if (!json)
		return gw_fail(error, EINVAL, "The record of %s is not valid text.", r->name);
	rc = write_whole(path, json, error);
	json_decref(json);
	return rc;
}

static int unpack(json_t *json, struct gw_record *r)
{
	const char *schema, *name, *boot, *ram, *qmp, *log;
	json_int_t start, bytes;
	json_t *argv = NULL;
	int pid;

	if (json_unpack(json, "{s:s, s:s, s:i, s:I, s:s, s:s, s:I, s:s, s:s, s?o}", "schema",
	                &schema, "name", &name, "pid", &pid, "start_time", &start, "boot_id", &boot,
	                "ram_path", &ram, "ram_bytes", &bytes, "qmp_path", &qmp, "log_path", &log,
	                "argv", &argv) < 0 ||
	    strcmp(schema, "godwit.record/1") != 0)
		return -EINVAL;
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	(void)snprintf(r->boot_id, sizeof(r->boot_id), "%s", boot);
	(void)snprintf(r->ram_path, sizeof(r->ram_path), "%s", ram);
	(void)snprintf(r->qmp_path, sizeof(r->qmp_path), "%s", qmp);
	(void)snprintf(r->log_path, sizeof(r->log_path), "%s", log);
	r->pid = pid;
	r->start_time = (uint64_t)start;
	r->ram_bytes = (uint64_t)bytes;
	r->argv = json_is_array(argv) ? json_incref(argv) : NULL;
	return 0;
}

int gw_registry_load(const char *name, struct gw_record *record, struct gw_error *error)
{
	char path[300];
	json_t *json;
	int rc = vm_path(name, "vm.json", path, sizeof(path), false, error);

	memset(record, 0, sizeof(*record));
	if (rc < 0)
		return rc;
	if (access(path, F_OK) < 0)
		return gw_fail(error, ENOENT,
		               "There is no VM %s here: \"godwit list\" shows which there are.",
		               name);
	json = json_load_file(path, 0, NULL);
	rc = json ? unpack(json, record) : -EINVAL;
	json_decref(json);
	if (rc < 0)
		return gw_fail(error, EINVAL, "%s is damaged: remove it if %s does not run.", path,
		               name);
	return 0;
}

void gw_record_clear(struct gw_record *record)
{
	json_decref(record->argv);
	record->argv = NULL;
}

void gw_registry_remove(const char *name)
{
	static const char *const files[] = {"vm.json", "qmp.sock", "log", "lock"};
	char path[300];

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (vm_path(name, files[i], path, sizeof(path), false, NULL) == 0)
			(void)unlink(path);
	if (vm_path(name, "", path, sizeof(path), false, NULL) == 0)
		(void)rmdir(path);
}

int gw_registry_list(int (*each)(const struct gw_record *record, void *context), void *context,
                     struct gw_error *error)
{
	struct gw_record record;
	struct dirent *entry;
	char dir[200];
	DIR *d;
	int rc = gw_registry_dir(dir, sizeof(dir), error);

	if (rc < 0)
		return rc;
	d = opendir(dir);
	while (d && rc == 0 && (entry = readdir(d))) {
		if (gw_registry_load(entry->d_name, &record, NULL) < 0)
			continue;
		rc = each(&record, context);
		gw_record_clear(&record);
	}
	if (d)
		closedir(d);
	return rc;
}
