/* SPDX-License-Identifier: MIT */
#include "live/host/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "live/host/fault_points.h"

#define FOLDER   ".journal"
#define IDENTITY ".host"
#define HEADING  "godwit-journal/1"
#define ID_TEXT  (2 * GW_ID_BYTES + 1)

static const char *const side_names[] = {
        [GW_SIDE_SOURCE] = "source",
        [GW_SIDE_DESTINATION] = "destination",
};

void gw_id_text(const struct gw_id *id, char text[2 * GW_ID_BYTES + 1])
{
	int i;

	for (i = 0; i < GW_ID_BYTES; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", id->bytes[i]);
}

static bool parse_id(struct gw_id *id, const char *text)
{
	unsigned byte;
	int i;

	for (i = 0; i < GW_ID_BYTES; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		id->bytes[i] = (uint8_t)byte;
	}
	return true;
}

int gw_id_random(struct gw_id *id, struct gw_error *error)
{
	if (getrandom(id->bytes, sizeof(id->bytes), 0) != (ssize_t)sizeof(id->bytes))
		return gw_fail(error, EIO, "the kernel gave no random bytes for an identity");
	return 0;
}

void gw_boot_id(char *text, size_t room)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	text[0] = '\0';
	if (file && fgets(text, (int)room, file))
		text[strcspn(text, "\n")] = '\0';
}

static uint32_t check_of(const struct gw_journal *journal, const char *what)
{
	char id[ID_TEXT], text[2 * ID_TEXT];

	gw_id_text(&journal->id, id);
	(void)snprintf(text, sizeof(text), "%s %s", id, what);
	return XXH32(text, strlen(text), 0);
}

static int folder_of(const char *dir, char *path, size_t room, struct gw_error *error)
{
	int n = snprintf(path, room, "%s/%s", dir, FOLDER);

	if (n < 0 || (size_t)n >= room)
		return gw_fail(error, ENAMETOOLONG, "the path %s is too long", dir);
	return 0;
}

static int path_of(struct gw_journal *journal, const char *dir, struct gw_error *error)
{
	char id[2 * GW_ID_BYTES + 1];
	int n;

	gw_id_text(&journal->id, id);
	n = snprintf(journal->path, sizeof(journal->path), "%s/%s/%s.%s", dir, FOLDER, id,
	             side_names[journal->side]);
	if (n < 0 || (size_t)n >= sizeof(journal->path))
		return gw_fail(error, ENAMETOOLONG, "the path %s is too long", dir);
	return 0;
}

static void sync_folder(const char *dir)
{
	char folder[512];
	_cleanup_close_ int fd = -1;

	if (folder_of(dir, folder, sizeof(folder), NULL))
		return;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)fsync(fd);
}

static int make_folder(const char *dir, struct gw_error *error)
{
	char folder[512];
	int err = folder_of(dir, folder, sizeof(folder), error);

	if (err)
		return err;
	if ((mkdir(dir, 0700) && errno != EEXIST) || (mkdir(folder, 0700) && errno != EEXIST))
		return gw_fail(error, errno, "cannot make the journal's folder %s: %s", folder,
		               strerror(errno));
	return 0;
}

/* --- who this host is ----------------------------------------------------------------------- */

/* Under a name of its own first: what stands under the right one is whole. */
static int make_identity(const char *dir, const char *path, struct gw_error *error)
{
	char id[ID_TEXT], text[ID_TEXT + 1], draft[600];
	_cleanup_close_ int fd = -1;
	struct gw_id host;
	int err = gw_id_random(&host, error);

	if (err)
		return err;
	gw_id_text(&host, id);
	(void)snprintf(text, sizeof(text), "%s\n", id);
	(void)snprintf(draft, sizeof(draft), "%s.%d", path, (int)getpid());
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, ID_TEXT) != ID_TEXT || fsync(fd) ||
	    (link(draft, path) && errno != EEXIST))
		err = gw_fail(error, errno, "cannot keep this host's identity in %s: %s", path,
		              strerror(errno));
	(void)unlink(draft);
	sync_folder(dir);
	return err;
}

int gw_host_identity(struct gw_id *host, const char *dir, struct gw_error *error)
{
	char path[560], text[ID_TEXT + 1] = "";
	_cleanup_close_ int fd = -1;
	int err = make_folder(dir, error);

	if (err)
		return err;
	(void)snprintf(path, sizeof(path), "%s/" FOLDER "/" IDENTITY, dir);
	if (access(path, F_OK))
		err = make_identity(dir, path, error);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text)) != ID_TEXT || !parse_id(host, text))
		return gw_fail(
		        error, EBADMSG,
		        "%s does not hold this host's identity: without it hosts that handed "
		        "VMs over cannot know this one again; remove it to have another made",
		        path);
	return 0;
}

/* --- journals ------------------------------------------------------------------------------- */

int gw_journal_create(struct gw_journal *journal, const char *dir, struct gw_error *error)
{
	char text[2048];
	int n, err = make_folder(dir, error);

	journal->fd = -1;
	if (!err)
		err = path_of(journal, dir, error);
	if (err)
		return err;
	journal->fd = open(journal->path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (journal->fd < 0)
		return gw_fail(error, errno, "cannot create the journal %s: %s", journal->path,
		               strerror(errno));
	(void)flock(journal->fd, LOCK_EX | LOCK_NB);
	gw_boot_id(journal->boot, sizeof(journal->boot));
	n = snprintf(text, sizeof(text),
	             HEADING "\nname %s\npeer %s\nboot %s\nkind %s\nram %s\nram_bytes %llu\n"
	                     "control %s\npid %d\nvcpus %u\npaused %d\nverifies %d\n",
	             journal->name, journal->peer, journal->boot, journal->kind, journal->ram,
	             (unsigned long long)journal->ram_bytes, journal->control, (int)journal->pid,
	             journal->vcpus, journal->paused, journal->verifies);
	if (n < 0 || (size_t)n >= sizeof(text) || write(journal->fd, text, (size_t)n) != n) {
		(void)unlink(journal->path); /* half of it would be a riddle */
		close(journal->fd);
		journal->fd = -1;
		return gw_fail(error, EIO, "cannot write the journal %s", journal->path);
	}
	sync_folder(dir);
	return 0;
}

/* Whole or not at all: a torn line would swallow the next one. */
static int append(struct gw_journal *journal, const char *line, bool durable,
                  struct gw_error *error)
{
	off_t before = lseek(journal->fd, 0, SEEK_END);
	ssize_t n = (ssize_t)strlen(line);

	errno = 0;
	if (write(journal->fd, line, (size_t)n) == n && (!durable || !fdatasync(journal->fd)))
		return 0;
	(void)gw_fail(error, EIO, "cannot write the journal %s: %s", journal->path,
	              errno ? strerror(errno) : "the disk is full");
	if (before >= 0)
		(void)!ftruncate(journal->fd, before);
	return -EIO;
}

int gw_journal_write(struct gw_journal *journal, enum gw_journal_record record, bool durable,
                     struct gw_error *error)
{
	const char *name = gw_journal_record_name(record);
	char line[96];
	int err;

	(void)snprintf(line, sizeof(line), "record %s %08x\n", name, check_of(journal, name));
	gw_fault_point(GW_FAULT_BEFORE, name);
	err = append(journal, line, durable, error);
	if (err)
		return err;
	journal->record = record;
	gw_fault_point(GW_FAULT_AFTER, name);
	return 0;
}

int gw_journal_note_host(struct gw_journal *journal, const struct gw_id *host,
                         struct gw_error *error)
{
	char text[ID_TEXT], line[ID_TEXT + 32];
	int err;

	gw_id_text(host, text);
	(void)snprintf(line, sizeof(line), "host %s %08x\n", text, check_of(journal, text));
	err = append(journal, line, false, error);
	if (!err)
		journal->host = *host;
	return err;
}

int gw_journal_note_pulls(struct gw_journal *journal, bool pulls, struct gw_error *error)
{
	int err = append(journal, pulls ? "pulls 1\n" : "pulls 0\n", false, error);

	if (!err)
		journal->pulls = pulls;
	return err;
}

/* A whole line whose checksum is wrong was damaged after it was written: nobody knows what it said.
 */
static enum gw_journal_record record_of(const struct gw_journal *journal, const char *rest)
{
	char name[32];
	unsigned check;
	int i;

	if (sscanf(rest, "%31s %8x", name, &check) != 2 || check != check_of(journal, name))
		return GW_REC_DOUBT;
	for (i = 0; i < GW_RECORDS; i++)
		if (!strcmp(name, gw_journal_record_name((enum gw_journal_record)i)))
			return (enum gw_journal_record)i;
	return GW_REC_DOUBT;
}

/* Damaged, it is nobody's: then no host is believed to be the one. */
static struct gw_id host_of(const struct gw_journal *journal, const char *rest)
{
	struct gw_id host = {{0}};
	char text[ID_TEXT];
	unsigned check;

	if (sscanf(rest, "%32s %8x", text, &check) != 2 || check != check_of(journal, text) ||
	    !parse_id(&host, text))
		return (struct gw_id){{0}};
	return host;
}

static void take(char *to, size_t room, const char *value)
{
	(void)snprintf(to, room, "%s", value);
}

static void read_line(struct gw_journal *journal, char *line)
{
	char *value = strchr(line, ' ');

	if (!value)
		return;
	*value++ = '\0';
	if (!strcmp(line, "record")) {
		journal->record = record_of(journal, value);
	} else if (!strcmp(line, "host")) {
		journal->host = host_of(journal, value);
	} else if (!strcmp(line, "name")) {
		take(journal->name, sizeof(journal->name), value);
	} else if (!strcmp(line, "peer")) {
		take(journal->peer, sizeof(journal->peer), value);
	} else if (!strcmp(line, "boot")) {
		take(journal->boot, sizeof(journal->boot), value);
	} else if (!strcmp(line, "kind")) {
		take(journal->kind, sizeof(journal->kind), value);
	} else if (!strcmp(line, "ram")) {
		take(journal->ram, sizeof(journal->ram), value);
	} else if (!strcmp(line, "control")) {
		take(journal->control, sizeof(journal->control), value);
	} else if (!strcmp(line, "ram_bytes")) {
		journal->ram_bytes = strtoull(value, NULL, 10);
	} else if (!strcmp(line, "pid")) {
		journal->pid = (pid_t)strtol(value, NULL, 10);
	} else if (!strcmp(line, "vcpus")) {
		journal->vcpus = (uint32_t)strtoul(value, NULL, 10);
	} else if (!strcmp(line, "pulls")) {
		journal->pulls = value[0] == '1';
	} else if (!strcmp(line, "paused")) {
		journal->paused = value[0] == '1';
	} else if (!strcmp(line, "verifies")) {
		journal->verifies = value[0] == '1';
	}
}

/* *whole: the bytes before a line that is torn, which counts for nothing. */
static int read_all(struct gw_journal *journal, off_t *whole, struct gw_error *error)
{
	char line[1024];
	int copy = dup(journal->fd);
	_cleanup_fclose_ FILE *file = copy < 0 ? NULL : fdopen(copy, "r");

	if (!file)
		return gw_fail(error, EIO, "cannot read the journal %s", journal->path);
	rewind(file);
	if (!fgets(line, sizeof(line), file) || strcmp(line, HEADING "\n"))
		return gw_fail(error, EBADMSG, "%s is no journal of this version", journal->path);
	*whole = (off_t)strlen(line);
	while (fgets(line, sizeof(line), file)) {
		size_t n = strcspn(line, "\n");

		if (!line[n])
			break; /* torn */
		*whole += (off_t)n + 1;
		line[n] = '\0';
		read_line(journal, line);
	}
	/* The file is made just before its first record: it says as much as that one. */
	if (journal->record == GW_REC_NONE)
		journal->record =
		        journal->side == GW_SIDE_SOURCE ? GW_REC_LEAVING : GW_REC_RESERVED;
	return 0;
}

bool gw_journal_settled(enum gw_journal_record record)
{
	return record == GW_REC_RELEASED || record == GW_REC_STAYED || record == GW_REC_NEVER;
}

/* Another boot: the VM's memory is gone, and a record that was not durable may be missing. */
static void doubt_after_reboot(struct gw_journal *journal)
{
	char boot[64];

	gw_boot_id(boot, sizeof(boot));
	if (!strcmp(boot, journal->boot) || gw_journal_settled(journal->record))
		return;
	if (journal->record == GW_REC_LEAVING || journal->record == GW_REC_WHOLE)
		return; /* durable knowledge: nothing had been handed over, or all of it */
	journal->record = GW_REC_DOUBT;
}

static bool parse_file_name(struct gw_journal *journal, const char *file)
{
	int i;

	if (!parse_id(&journal->id, file))
		return false;
	file += 2 * GW_ID_BYTES;
	if (*file != '.')
		return false;
	for (i = 0; i < 2; i++) {
		if (!strcmp(file + 1, side_names[i])) {
			journal->side = (enum gw_side)i;
			return true;
		}
	}
	return false;
}

int gw_journal_open(struct gw_journal *journal, const char *dir, const struct gw_id *id,
                    enum gw_side side, struct gw_error *error)
{
	struct stat status;
	off_t whole = 0;
	int err;

	memset(journal, 0, sizeof(*journal));
	journal->fd = -1;
	journal->id = *id;
	journal->side = side;
	err = path_of(journal, dir, error);
	if (err)
		return err;
	journal->fd = open(journal->path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (journal->fd < 0)
		return gw_fail(error, errno, "cannot open the journal %s: %s", journal->path,
		               strerror(errno));
	if (flock(journal->fd, LOCK_EX | LOCK_NB)) {
		close(journal->fd);
		journal->fd = -1;
		return gw_fail(error, EBUSY, "another agent is at work on this migration already");
	}
	err = read_all(journal, &whole, error);
	/* The next record must not be glued to a torn one: both would be lost. */
	if (!err && fstat(journal->fd, &status) == 0 && status.st_size > whole &&
	    ftruncate(journal->fd, whole))
		err = gw_fail(error, errno, "cannot mend the journal %s: %s", journal->path,
		              strerror(errno));
	if (err) {
		close(journal->fd);
		journal->fd = -1;
		return err;
	}
	doubt_after_reboot(journal);
	return 0;
}

int gw_journal_each(const char *dir, int (*call)(const struct gw_journal *journal, void *arg),
                    void *arg)
{
	char folder[512];
	struct dirent *entry;
	DIR *list;
	int result = 0;

	if (folder_of(dir, folder, sizeof(folder), NULL))
		return 0;
	list = opendir(folder);
	if (!list)
		return 0;
	while (!result && (entry = readdir(list))) {
		struct gw_journal journal = {.fd = -1};
		off_t whole;
		int n;

		if (strlen(entry->d_name) < 2 * GW_ID_BYTES + 2 ||
		    !parse_file_name(&journal, entry->d_name))
			continue;
		n = snprintf(journal.path, sizeof(journal.path), "%s/%s", folder, entry->d_name);
		if (n < 0 || (size_t)n >= sizeof(journal.path))
			continue;
		journal.fd = open(journal.path, O_RDONLY | O_CLOEXEC);
		if (journal.fd < 0)
			continue;
		if (!read_all(&journal, &whole, NULL)) {
			doubt_after_reboot(&journal);
			result = call(&journal, arg);
		}
		close(journal.fd);
	}
	closedir(list);
	return result;
}

struct search {
	const char *name;
	struct gw_journal found;
	int urgent;
};

/*
 * 0: nothing to do for anybody. A file that still says `released` was left by an agent that died
 * before it had removed what was released.
 */
static int urgency(const struct gw_journal *journal)
{
	switch (journal->record) {
	case GW_REC_STAYED:
	case GW_REC_NEVER: return 0;
	case GW_REC_WHOLE: return 1;
	case GW_REC_RELEASED: return journal->side == GW_SIDE_SOURCE ? 2 : 0;
	default: return 3;
	}
}

static int match(const struct gw_journal *journal, void *arg)
{
	struct search *search = arg;
	int urgent = urgency(journal);

	if (strcmp(journal->name, search->name) || urgent <= search->urgent)
		return 0;
	search->found = *journal;
	search->urgent = urgent;
	return 0;
}

int gw_journal_find(struct gw_journal *journal, const char *dir, const char *name,
                    struct gw_error *error)
{
	struct search search = {.name = name};

	(void)gw_journal_each(dir, match, &search);
	if (!search.urgent)
		return gw_fail(error, ENOENT, "no unfinished migration of %s is recorded here",
		               name);
	return gw_journal_open(journal, dir, &search.found.id, search.found.side, error);
}

void gw_journal_close(struct gw_journal *journal)
{
	if (journal->fd < 0)
		return;
	if (gw_journal_settled(journal->record))
		(void)unlink(journal->path);
	close(journal->fd);
	journal->fd = -1;
}
