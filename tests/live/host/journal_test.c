/* SPDX-License-Identifier: MIT */
/*
 * What an agent reads in its journal after a crash: the last whole record, never a piece of one,
 * and a doubt rather than a guess.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live/host/journal.h"
#include "tests/live/keeper.h"

struct fixture {
	char dir[64];
	struct gw_journal journal; /* as it was created */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct gw_error error;

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/godwit-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	keep(f->dir);
	assert_int_equal(gw_id_random(&f->journal.id, &error), 0);
	f->journal.side = GW_SIDE_DESTINATION;
	(void)snprintf(f->journal.name, sizeof(f->journal.name), "web");
	(void)snprintf(f->journal.ram, sizeof(f->journal.ram), "/dev/shm/a b");
	f->journal.ram_bytes = 1u << 20;
	f->journal.vcpus = 3;
	f->journal.paused = true;
	f->journal.verifies = true;
	assert_int_equal(gw_journal_create(&f->journal, f->dir, &error), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char folder[128];

	if (f->journal.fd >= 0)
		close(f->journal.fd);
	(void)unlink(f->journal.path);
	(void)snprintf(folder, sizeof(folder), "%s/.journal", f->dir);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void record(struct fixture *f, enum gw_journal_record what)
{
	assert_int_equal(gw_journal_write(&f->journal, what, true, NULL), 0);
}

/* The agent dies: its lock goes, the file stays. */
static void die(struct fixture *f)
{
	close(f->journal.fd);
	f->journal.fd = -1;
}

static enum gw_journal_record taken_up(struct fixture *f, struct gw_journal *journal)
{
	assert_int_equal(
	        gw_journal_open(journal, f->dir, &f->journal.id, GW_SIDE_DESTINATION, NULL), 0);
	return journal->record;
}

static void append(struct fixture *f, const char *text)
{
	int fd = open(f->journal.path, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Replaces the first `from` by as many bytes. */
static void damage(struct fixture *f, const char *from, const char *to)
{
	char text[4096];
	int fd = open(f->journal.path, O_RDWR);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char *at;

	assert_true(n > 0);
	text[n] = '\0';
	at = strstr(text, from);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, to, strlen(to), at - text), (ssize_t)strlen(to));
	close(fd);
}

static void the_last_record_counts(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_RESERVED);
	record(f, GW_REC_PREPARED);
	die(f);
	assert_int_equal(taken_up(f, &j), GW_REC_PREPARED);
	assert_string_equal(j.name, "web");
	assert_string_equal(j.ram, "/dev/shm/a b");
	assert_int_equal(j.ram_bytes, 1u << 20);
	assert_int_equal(j.vcpus, 3);
	assert_true(j.paused);
	assert_true(j.verifies);
	gw_journal_close(&j);
	assert_int_equal(access(f->journal.path, F_OK), 0);
}

static void a_torn_record_counts_for_nothing_and_spoils_nothing(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_PREPARED);
	die(f);
	append(f, "record mine 12");
	assert_int_equal(taken_up(f, &j), GW_REC_PREPARED);
	assert_int_equal(gw_journal_write(&j, GW_REC_MINE, true, NULL), 0);
	close(j.fd); /* and that agent dies too */
	assert_int_equal(taken_up(f, &j), GW_REC_MINE);
	gw_journal_close(&j);
}

static size_t contents(const struct fixture *f, char *text, size_t room)
{
	FILE *file = fopen(f->journal.path, "r");
	size_t bytes;

	assert_non_null(file);
	bytes = fread(text, 1, room, file);
	(void)fclose(file);
	assert_true(bytes < room);
	return bytes;
}

static void a_record_torn_at_any_byte_leaves_the_one_before(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;
	char text[4096];
	size_t before, after, cut;
	FILE *file;

	record(f, GW_REC_PREPARED);
	before = contents(f, text, sizeof(text));
	record(f, GW_REC_MINE);
	after = contents(f, text, sizeof(text));
	die(f);
	for (cut = before; cut <= after; cut++) {
		file = fopen(f->journal.path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(text, 1, cut, file), cut);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(taken_up(f, &j), cut < after ? GW_REC_PREPARED : GW_REC_MINE);
		gw_journal_close(&j);
	}
}

static void a_damaged_record_is_a_doubt(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_PREPARED);
	record(f, GW_REC_MINE);
	die(f);
	damage(f, "record mine", "record mind");
	assert_int_equal(taken_up(f, &j), GW_REC_DOUBT);
	assert_int_equal(gw_journal_write(&j, GW_REC_NEVER, true, NULL), 0);
	close(j.fd);
	assert_int_equal(taken_up(f, &j), GW_REC_NEVER); /* what came later is known */
	gw_journal_close(&j);
}

static void a_record_of_another_migration_is_a_doubt(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_RESERVED);
	die(f);
	append(f, "record mine 00000000\n");
	assert_int_equal(taken_up(f, &j), GW_REC_DOUBT);
	gw_journal_close(&j);
}

static void another_boot_leaves_a_doubt(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_PREPARED);
	die(f);
	damage(f, f->journal.boot, "another-boot");
	assert_int_equal(taken_up(f, &j), GW_REC_DOUBT);
	gw_journal_close(&j);
}

static void what_is_whole_stays_whole_over_a_boot(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_WHOLE);
	die(f);
	damage(f, f->journal.boot, "another-boot");
	assert_int_equal(taken_up(f, &j), GW_REC_WHOLE);
	gw_journal_close(&j);
}

static void one_agent_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_RESERVED);
	assert_int_equal(gw_journal_open(&j, f->dir, &f->journal.id, GW_SIDE_DESTINATION, NULL),
	                 -EBUSY);
	assert_int_equal(j.fd, -1);
	die(f);
	assert_int_equal(taken_up(f, &j), GW_REC_RESERVED);
	gw_journal_close(&j);
}

static bool nobody(const struct gw_id *id)
{
	static const struct gw_id zeros;

	return gw_id_same(id, &zeros);
}

static void whom_a_vm_went_to_is_known_again(void **state)
{
	struct fixture *f = *state;
	struct gw_id host = {"fedcba987654321"};
	struct gw_journal j;

	record(f, GW_REC_RESERVED);
	assert_true(nobody(&f->journal.host));
	assert_int_equal(gw_journal_note_host(&f->journal, &host, NULL), 0);
	record(f, GW_REC_PREPARED);
	die(f);
	assert_int_equal(taken_up(f, &j), GW_REC_PREPARED);
	assert_true(gw_id_same(&j.host, &host));
	close(j.fd);
	damage(f, "host 66", "host 67");
	assert_int_equal(taken_up(f, &j), GW_REC_PREPARED);
	assert_true(nobody(&j.host)); /* rather than somebody else */
	gw_journal_close(&j);
}

static void a_host_stays_who_it_is(void **state)
{
	struct fixture *f = *state;
	struct gw_id first, again;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/.journal/.host", f->dir);
	assert_int_equal(gw_host_identity(&first, f->dir, NULL), 0);
	assert_false(nobody(&first));
	assert_int_equal(gw_host_identity(&again, f->dir, NULL), 0);
	assert_true(gw_id_same(&first, &again));
	assert_int_equal(truncate(path, 31), 0);
	assert_int_equal(gw_host_identity(&again, f->dir, NULL), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gw_host_identity(&again, f->dir, NULL), 0);
	assert_false(gw_id_same(&first, &again));
	assert_int_equal(unlink(path), 0); /* and no draft of it is left: see tear_down() */
}

static void what_is_settled_leaves_no_file(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_NEVER);
	gw_journal_close(&f->journal);
	assert_int_equal(access(f->journal.path, F_OK), -1);
	assert_int_equal(gw_journal_open(&j, f->dir, &f->journal.id, GW_SIDE_DESTINATION, NULL),
	                 -ENOENT);
}

static void no_journal_is_told_from_an_unreadable_one(void **state)
{
	struct fixture *f = *state;
	struct gw_journal j;

	record(f, GW_REC_MINE);
	die(f);
	damage(f, "godwit-journal/1", "godwit-journal/9");
	assert_int_equal(gw_journal_open(&j, f->dir, &f->journal.id, GW_SIDE_DESTINATION, NULL),
	                 -EBADMSG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(the_last_record_counts),
	        TEST(a_torn_record_counts_for_nothing_and_spoils_nothing),
	        TEST(a_record_torn_at_any_byte_leaves_the_one_before),
	        TEST(a_damaged_record_is_a_doubt),
	        TEST(a_record_of_another_migration_is_a_doubt),
	        TEST(another_boot_leaves_a_doubt),
	        TEST(what_is_whole_stays_whole_over_a_boot),
	        TEST(one_agent_at_a_time),
	        TEST(whom_a_vm_went_to_is_known_again),
	        TEST(a_host_stays_who_it_is),
	        TEST(what_is_settled_leaves_no_file),
	        TEST(no_journal_is_told_from_an_unreadable_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
