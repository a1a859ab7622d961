/* SPDX-License-Identifier: MIT */
/*
 * Page frames over a real connection: random runs end to end, hostile frames that must not write.
 */
#include "pair.h"

#include <sys/mman.h>

#define PAGES     2048u
#define GUARD     16u /* pages before and behind the guest's, which nothing may touch */
#define FRAMES    300
#define MEM_BYTES ((size_t)PAGES * GW_PAGE_BYTES)

static uint64_t seed = 42;

static uint32_t below(uint32_t limit)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % limit;
}

struct world {
	uint8_t *source, *map, *target, *model;
	int ends[2];
	struct gw_sender sender;
	struct gw_receiver receiver;
};

static void build(struct world *world)
{
	size_t all = MEM_BYTES + 2 * GUARD * GW_PAGE_BYTES;

	world->source = malloc(MEM_BYTES);
	world->model = malloc(MEM_BYTES);
	world->map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_non_null(world->source);
	assert_non_null(world->model);
	assert_true(world->map != MAP_FAILED);
	world->target = world->map + GUARD * GW_PAGE_BYTES;
	assert_int_equal(mprotect(world->map, GUARD * GW_PAGE_BYTES, PROT_NONE), 0);
	assert_int_equal(mprotect(world->target + MEM_BYTES, GUARD * GW_PAGE_BYTES, PROT_NONE), 0);
	for (size_t i = 0; i < MEM_BYTES; i += 4) {
		uint32_t word = below(UINT32_MAX);
		memcpy(world->source + i, &word, 4);
	}
	memset(world->target, 0x11, MEM_BYTES);
	memset(world->model, 0x11, MEM_BYTES);
	open_pair(world->ends);
	gw_sender_init(&world->sender, world->ends[0], world->source);
	assert_int_equal(gw_receiver_init(&world->receiver, world->ends[1], world->target, PAGES),
	                 0);
}

static void destroy(struct world *world)
{
	gw_receiver_free(&world->receiver);
	munmap(world->map, MEM_BYTES + 2 * GUARD * GW_PAGE_BYTES);
	free(world->source);
	free(world->model);
	close(world->ends[0]);
	close(world->ends[1]);
}

/* Disjoint runs in any order: ascending ones, of which some neighbours touch, then shuffled. */
static void make_pages(struct gw_frame *frame)
{
	uint64_t at = below(64);
	uint32_t runs = 1 + below(below(4) ? 8 : GW_FRAME_RUNS_MAX), room;

	*frame = (struct gw_frame){.kind = GW_FRAME_PAGES, .number = below(1000)};
	for (uint32_t i = 0; i < runs && at < PAGES && frame->pages < GW_FRAME_PAGES_MAX; i++) {
		room = GW_FRAME_PAGES_MAX - frame->pages;
		if (room > PAGES - at)
			room = (uint32_t)(PAGES - at);
		frame->runs[i].first = at;
		frame->runs[i].count = 1 + below(room > 40 ? 40 : room);
		frame->pages += (uint32_t)frame->runs[i].count;
		at += frame->runs[i].count + below(8);
		frame->run_count = i + 1;
	}
	for (uint32_t i = 0; below(2) && i < frame->run_count; i++) {
		uint32_t other = below(frame->run_count);
		struct gw_run run = frame->runs[i];
		frame->runs[i] = frame->runs[other];
		frame->runs[other] = run;
	}
}

static void make_frame(struct gw_frame *frame, int which)
{
	make_pages(frame);
	if (which % 5 == 3) {
		frame->kind = GW_FRAME_ZEROS;
	} else if (which % 5 == 4) {
		*frame = (struct gw_frame){.kind = GW_FRAME_ROUND + below(3),
		                           .number = below(UINT32_MAX)};
	}
}

/* What memory must look like after the frame; or, staged, what staging must. */
static void apply(struct world *world, const struct gw_frame *frame, uint8_t *staging)
{
	for (uint32_t i = 0; frame->kind == GW_FRAME_PAGES && i < frame->run_count; i++) {
		size_t at = (size_t)frame->runs[i].first * GW_PAGE_BYTES;
		size_t bytes = (size_t)frame->runs[i].count * GW_PAGE_BYTES;
		memcpy(staging ? staging : world->model + at, world->source + at, bytes);
		staging = staging ? staging + bytes : NULL;
	}
}

static void check_frame(const struct gw_frame *got, const struct gw_frame *sent)
{
	assert_int_equal(got->kind, sent->kind);
	assert_int_equal(got->number, sent->number);
	assert_int_equal(got->pages, sent->pages);
	assert_int_equal(got->run_count, sent->run_count);
	assert_memory_equal(got->runs, sent->runs, sent->run_count * sizeof(sent->runs[0]));
}

static void end_to_end(bool staged)
{
	static uint8_t staging[GW_FRAME_PAGES_MAX * GW_PAGE_BYTES];
	struct gw_frame frame;
	struct gw_error error;
	struct world world;
	int result;

	build(&world);
	world.receiver.staged = staged;
	for (int i = 0; i < FRAMES; i++) {
		make_frame(&frame, i);
		assert_true(gw_sender_idle(&world.sender));
		assert_int_equal(gw_sender_put(&world.sender, &frame), 0);
		do {
			assert_int_equal(gw_sender_flush(&world.sender), 0);
			result = gw_receiver_next(&world.receiver, &error);
			if (!result && gw_sender_idle(&world.sender))
				assert_true(wait_for(world.ends[1], POLLIN));
		} while (!result);
		assert_int_equal(result, 1);
		check_frame(&world.receiver.frame, &frame);
		apply(&world, &frame, staged ? staging : NULL);
		if (staged && frame.kind == GW_FRAME_PAGES)
			assert_memory_equal(world.receiver.staging, staging,
			                    (size_t)frame.pages * GW_PAGE_BYTES);
		if (i % 50 == 0)
			assert_memory_equal(world.target, world.model, MEM_BYTES);
	}
	assert_memory_equal(world.target, world.model, MEM_BYTES);
	assert_int_equal(gw_receiver_next(&world.receiver, &error), 0);
	assert_int_equal(world.sender.sent_bytes, world.receiver.received_bytes);
	/* Loopback's segments are large, and no Ethernet's are smaller than 536 bytes. */
	assert_in_range(gw_net_with_headers(world.ends[0], 50000000), 50000001,
	                50000000ull * (536 + 86) / 536);
	destroy(&world);
}

static void test_end_to_end(void **state)
{
	(void)state;
	end_to_end(false);
	end_to_end(true);
}

/* Header, table and seal, of the number-th frame. */
static size_t put_head(const struct gw_frame *frame, uint64_t number, uint8_t *to)
{
	size_t bytes = gw_frame_encode(frame, to);

	assert_int_not_equal(bytes, 0);
	gw_seal(to, bytes, number);
	return bytes + GW_SEAL_BYTES;
}

/* Several frames in one stream, in pieces of any size: no byte goes astray between frames. */
static void test_in_pieces(void **state)
{
	static struct gw_frame frames[12];
	static uint8_t stream[16 << 20];
	struct gw_error error;
	struct world world;
	size_t bytes = 0, at = 0, piece;
	int seen = 0, result;

	(void)state;
	build(&world);
	for (int i = 0; i < 12; i++) {
		make_frame(&frames[i], i);
		bytes += put_head(&frames[i], (uint64_t)i, stream + bytes);
		for (uint32_t r = 0; frames[i].kind == GW_FRAME_PAGES && r < frames[i].run_count;
		     r++) {
			size_t many = (size_t)frames[i].runs[r].count * GW_PAGE_BYTES;
			memcpy(stream + bytes,
			       world.source + frames[i].runs[r].first * GW_PAGE_BYTES, many);
			bytes += many;
		}
		apply(&world, &frames[i], NULL);
	}
	while (seen < 12) {
		piece = 1 + below(at % 3 ? 40 : 20000);
		if (piece > bytes - at)
			piece = bytes - at;
		if (piece)
			write_all(world.ends[0], stream + at, piece);
		at += piece;
		while ((result = gw_receiver_next(&world.receiver, &error)) == 1)
			check_frame(&world.receiver.frame, &frames[seen++]);
		assert_int_equal(result, 0);
		if (at == bytes && seen < 12)
			assert_true(wait_for(world.ends[1], POLLIN));
	}
	assert_memory_equal(world.target, world.model, MEM_BYTES);
	assert_int_equal(world.receiver.received_bytes, bytes);
	destroy(&world);
}

static void put(uint8_t *to, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

struct lie {
	uint32_t magic;
	uint16_t kind, runs;
	uint32_t pages;
	struct {
		uint64_t first;
		uint32_t count;
	} table[3];
};

static void refuses(const struct lie *lie)
{
	static uint8_t bytes[GW_FRAME_BYTES_MAX + 65536];
	struct gw_error error;
	struct world world;
	int result;

	build(&world);
	memset(bytes, 0xee, sizeof(bytes));
	put(bytes, lie->magic, 4);
	put(bytes + 4, lie->kind, 2);
	put(bytes + 6, lie->runs, 2);
	put(bytes + 8, lie->pages, 4);
	for (int i = 0; i < 3; i++) {
		put(bytes + 16 + i * 12, lie->table[i].first, 8);
		put(bytes + 24 + i * 12, lie->table[i].count, 4);
	}
	if (lie->runs <= GW_FRAME_RUNS_MAX)
		gw_seal(bytes, GW_FRAME_HEADER_BYTES + lie->runs * GW_FRAME_RUN_BYTES, 0);
	write_all(world.ends[0], bytes, sizeof(bytes));
	while ((result = gw_receiver_next(&world.receiver, &error)) == 0)
		assert_true(wait_for(world.ends[1], POLLIN));
	assert_int_equal(result, -EPROTO);
	assert_memory_equal(world.target, world.model, MEM_BYTES);
	destroy(&world);
}

static void test_hostile(void **state)
{
	static const struct lie lies[] = {
	        {GW_FRAME_MAGIC + 1, GW_FRAME_PAGES, 1, 1, {{0, 1}}},
	        {GW_FRAME_MAGIC, 0, 1, 1, {{0, 1}}},
	        {GW_FRAME_MAGIC, GW_FRAME_END + 1, 1, 1, {{0, 1}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 1, 2, {{0, 1}}}, /* counts disagree */
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 2, 2, {{0, 2}, {9, 2}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 2, 2, {{0, 2}, {9, 0}}}, /* an empty run */
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 0, 1, {{0, 1}}},
	        {GW_FRAME_MAGIC,
	         GW_FRAME_PAGES,
	         GW_FRAME_RUNS_MAX + 1,
	         GW_FRAME_RUNS_MAX + 1,
	         {{0, 1}}},
	        {GW_FRAME_MAGIC,
	         GW_FRAME_PAGES,
	         1,
	         GW_FRAME_PAGES_MAX + 1,
	         {{0, GW_FRAME_PAGES_MAX + 1}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 1, 1, {{PAGES, 1}}}, /* outside */
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 1, 2, {{PAGES - 1, 2}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 1, 2, {{UINT64_MAX, 2}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 1, 1, {{UINT64_C(1) << 52, 1}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 2, 2, {{0, 1}, {PAGES + 3, 1}}},
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 2, 2, {{5, 1}, {5, 1}}}, /* overlapping */
	        {GW_FRAME_MAGIC, GW_FRAME_PAGES, 3, 7, {{9, 1}, {2, 3}, {4, 3}}},
	        {GW_FRAME_MAGIC, GW_FRAME_ZEROS, 1, 1, {{PAGES, 1}}},
	        {GW_FRAME_MAGIC, GW_FRAME_ROUND, 1, 1, {{0, 1}}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		refuses(&lies[i]);
}

/* A page is received in part when the peer goes: an error, never a frame. */
static void test_a_peer_that_closes(void **state)
{
	struct gw_frame frame = {GW_FRAME_PAGES, 0, 2, 1, {{3, 2}}};
	size_t cuts[] = {0, 5, 16, 20, 28, 31, 32, 33, 32 + 4096, 32 + 8191};
	struct gw_error error;
	uint8_t bytes[32 + 8192];
	struct world world;
	int result;

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		build(&world);
		assert_int_equal(put_head(&frame, 0, bytes), 32);
		memcpy(bytes + 32, world.source + 3 * GW_PAGE_BYTES, 8192);
		if (cuts[i])
			write_all(world.ends[0], bytes, cuts[i]);
		assert_int_equal(shutdown(world.ends[0], SHUT_WR), 0);
		while ((result = gw_receiver_next(&world.receiver, &error)) == 0)
			assert_true(wait_for(world.ends[1], POLLIN));
		assert_int_equal(result, -ECONNRESET);
		destroy(&world);
	}
}

/* A bit of the head is wrong, a frame was lost, or came twice. */
static void test_the_seal(void **state)
{
	struct gw_frame frame = {GW_FRAME_ZEROS, 0, 2, 1, {{3, 2}}};
	struct gw_error error;
	uint8_t bytes[32];
	struct world world;
	int result;

	(void)state;
	for (size_t byte = 0; byte < sizeof(bytes) + 2; byte++) {
		build(&world);
		assert_int_equal(put_head(&frame, byte == sizeof(bytes), bytes), sizeof(bytes));
		if (byte < sizeof(bytes))
			bytes[byte] ^= (uint8_t)(1u << byte % 8);
		write_all(world.ends[0], bytes, sizeof(bytes));
		if (byte > sizeof(bytes)) {
			assert_int_equal(gw_receiver_next(&world.receiver, &error), 1);
			write_all(world.ends[0], bytes, sizeof(bytes));
		}
		assert_int_equal(shutdown(world.ends[0], SHUT_WR), 0);
		while ((result = gw_receiver_next(&world.receiver, &error)) == 0)
			assert_true(wait_for(world.ends[1], POLLIN));
		/* A wrong count of runs asks for more than there is. */
		assert_true(result == -EPROTO || (result == -ECONNRESET && byte == 6));
		destroy(&world);
	}
}

static void test_sending(void **state)
{
	struct gw_frame frame = {GW_FRAME_PAGES, 0, 3, 1, {{3, 2}}}; /* 3 is not 2 */
	struct world world;
	int result = 0;

	(void)state;
	build(&world);
	assert_int_equal(gw_sender_put(&world.sender, &frame), -EINVAL);
	assert_true(gw_sender_idle(&world.sender));
	frame = (struct gw_frame){GW_FRAME_PAGES, 0, 6, 3, {{3, 2}, {5, 3}, {7, 1}}};
	assert_int_equal(gw_sender_put(&world.sender, &frame), 0);
	/* Head, and 3 to 7 as one piece, and 7 again. */
	assert_int_equal(world.sender.iov_count, 3);
	/* A lost connection is an error, not a signal. */
	close(world.ends[1]);
	world.ends[1] = dup(world.ends[0]);
	for (int i = 0; i < 10000 && !result; i++) {
		result = gw_sender_flush(&world.sender);
		if (gw_sender_idle(&world.sender))
			assert_int_equal(gw_sender_put(&world.sender, &frame), 0);
	}
	assert_true(result == -EPIPE || result == -ECONNRESET);
	destroy(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_end_to_end), cmocka_unit_test(test_in_pieces),
	        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_a_peer_that_closes),
	        cmocka_unit_test(test_the_seal),   cmocka_unit_test(test_sending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
