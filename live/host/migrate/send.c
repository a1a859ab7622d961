/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/send.c - the source's agent: pages of the guest become frames on bulk and on
 * urgent; at the end the digests that they are compared by.
 */
#include <stdlib.h>
#include <string.h>

#include "live/host/migrate/parts.h"
#include "live/memory/digest.h"

static bool is_zero(struct agent *a, uint64_t page)
{
	if (a->tracking && gw_set_has(&a->tracker.holes, page))
		return true; /* a hole: reading it would fill it */
	return gw_page_is_zero(a->ram.map + page * GW_PAGE_BYTES);
}

static void append(struct gw_frame *frame, uint64_t page)
{
	struct gw_run *last = frame->run_count ? &frame->runs[frame->run_count - 1] : NULL;

	if (last && last->first + last->count == page)
		last->count++;
	else
		frame->runs[frame->run_count++] = (struct gw_run){page, 1};
	frame->pages++;
}

/* Sorts the pages of an action into one frame with contents and one of zeros; either may be empty.
 */
static void sort_pages(struct agent *a, const struct gw_run *runs, uint32_t count,
                       struct gw_frame *full, struct gw_frame *zeros)
{
	uint64_t page;
	uint32_t i;

	full->kind = GW_FRAME_PAGES;
	zeros->kind = GW_FRAME_ZEROS;
	full->number = zeros->number = 0;
	full->pages = zeros->pages = full->run_count = zeros->run_count = 0;
	for (i = 0; i < count; i++) {
		for (page = runs[i].first; page < runs[i].first + runs[i].count; page++)
			append(is_zero(a, page) ? zeros : full, page);
	}
	a->result->zero_pages += zeros->pages;
}

bool gw_migrate_bulk_idle(const struct agent *a)
{
	return gw_sender_idle(&a->bulk) && !a->next_count;
}

void gw_migrate_flush_bulk(struct agent *a)
{
	int err;

	if (!a->link.up)
		return; /* its descriptor may be another file's by now */
	err = gw_sender_flush(&a->bulk);
	while (!err && gw_sender_idle(&a->bulk) && a->next_count) {
		err = gw_sender_put(&a->bulk, &a->next[0]);
		a->next[0] = a->next[1];
		a->next_count--;
		if (!err)
			err = gw_sender_flush(&a->bulk);
	}
	if (err)
		gw_migrate_lost(a, strerror(-err));
}

/* One step of the machine makes at most three: pages, zeros, a mark. */
static void put_bulk(struct agent *a, const struct gw_frame *frame)
{
	if (!a->link.up)
		return;
	if (gw_migrate_bulk_idle(a))
		(void)gw_sender_put(&a->bulk, frame);
	else if (a->next_count == sizeof(a->next) / sizeof(a->next[0]))
		gw_migrate_lost(a, "more frames wait than a step may make");
	else
		a->next[a->next_count++] = *frame;
}

static void say_zeros_to_tracker(struct agent *a, struct gw_run run)
{
	static const uint8_t zeros[GW_PAGE_BYTES];

	for (; run.count; run.first++, run.count--)
		if (!gw_set_has(&a->tracker.holes, run.first))
			gw_tracker_sending(&a->tracker, (struct gw_run){run.first, 1}, zeros);
}

/*
 * A tracker that compares contents must know exactly what went out: a running VM's pages are copied
 * first, and the copy is sent. Bulk is idle when pages are put, so one buffer is enough.
 */
static const uint8_t *copy_for_tracker(struct agent *a, struct gw_frame *full,
                                       const struct gw_frame *zeros)
{
	uint8_t *to = a->copies;
	uint32_t i;

	if (!a->tracking || !a->tracker.wants_copies)
		return NULL;
	for (i = 0; i < full->run_count; i++) {
		struct gw_run run = full->runs[i];
		size_t bytes = run.count * GW_PAGE_BYTES;

		memcpy(to, a->ram.map + run.first * GW_PAGE_BYTES, bytes);
		gw_tracker_sending(&a->tracker, run, to);
		to += bytes;
	}
	for (i = 0; i < zeros->run_count; i++)
		say_zeros_to_tracker(a, zeros->runs[i]);
	return a->copies;
}

void gw_migrate_send_bulk_pages(struct agent *a, const struct gw_run *runs, uint32_t count)
{
	struct gw_frame full, zeros;

	sort_pages(a, runs, count, &full, &zeros);
	if (full.run_count)
		(void)gw_sender_put_contents(&a->bulk, &full, copy_for_tracker(a, &full, &zeros));
	else
		(void)copy_for_tracker(a, &full, &zeros);
	if (zeros.run_count)
		put_bulk(a, &zeros);
	gw_migrate_flush_bulk(a);
}

void gw_migrate_flush_urgent(struct agent *a)
{
	struct gw_frame full, zeros;
	int err;

	if (!a->link.up)
		return;
	err = gw_sender_flush(&a->urgent);
	while (!err && gw_sender_idle(&a->urgent) && a->urgent_taken < a->urgent_count) {
		sort_pages(a, &a->urgent_queue[a->urgent_taken++], 1, &full, &zeros);
		err = gw_sender_put(&a->urgent, full.run_count ? &full : &zeros);
		if (!err)
			err = gw_sender_flush(&a->urgent);
	}
	if (a->urgent_taken == a->urgent_count)
		a->urgent_taken = a->urgent_count = 0;
	if (err)
		gw_migrate_lost(a, strerror(-err));
}

void gw_migrate_send_urgent_page(struct agent *a, struct gw_run run)
{
	if (a->urgent_count == a->urgent_room) {
		size_t room = a->urgent_room ? 2 * a->urgent_room : 64;
		struct gw_run *larger = realloc(a->urgent_queue, room * sizeof(*larger));

		if (!larger) {
			gw_migrate_lost(a, "no memory for a waiting page");
			return;
		}
		a->urgent_queue = larger;
		a->urgent_room = room;
	}
	a->urgent_queue[a->urgent_count++] = run;
	gw_migrate_flush_urgent(a);
}

void gw_migrate_send_mark(struct agent *a, enum gw_frame_kind kind, uint32_t number)
{
	struct gw_frame frame = {.kind = kind, .number = number};

	put_bulk(a, &frame);
	gw_migrate_flush_bulk(a);
}

void gw_migrate_begin_digests(struct agent *a)
{
	struct gw_error error;

	gw_set_clear(&a->digest_pages);
	a->digesting = !gw_ram_populated(&a->ram, &a->digest_pages, &error);
	a->digest_at = 0;
}

void gw_migrate_send_digests(struct agent *a)
{
	struct gw_message message = {.kind = GW_MSG_DIGESTS};
	uint64_t end = a->digest_at + DIGEST_CHUNK, page;

	if (end > a->ram.pages)
		end = a->ram.pages;
	for (page = a->digest_at; page < end; page++)
		a->digests[page - a->digest_at] =
		        gw_set_has(&a->digest_pages, page)
		                ? gw_page_digest_or_zero(a->ram.map + page * GW_PAGE_BYTES)
		                : 0;
	message.digests.first = a->digest_at;
	message.digests.count = (uint32_t)(end - a->digest_at);
	message.digests.digests = (const uint8_t *)a->digests;
	message.digests.last = end == a->ram.pages;
	a->digest_at = end;
	a->digesting = !message.digests.last;
	gw_agent_send(&a->link, &message, &a->answers);
}
