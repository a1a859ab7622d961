/* SPDX-License-Identifier: MIT */
#include "core/predict/renewal.h"

#include <string.h>

#include "core/predict/exponential.h"

/* A write counts half after so many windows: 3.2 s of 50 ms. */
#define HALF_LIFE 64

#define BUCKETS 9 /* ages 1, 2, 3-4, 5-8, ... 129 and more */

/* Windows at the mean hazard that are added to each count: few counts say little. */
#define PRIOR_WINDOWS 4.0

/* A page that was written in every window may yet not be in the next one. */
#define HAZARD_MAX 0.999

/* What ages are told apart by; the last stands for all beyond. */
static const uint32_t ages[] = {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256};

_Static_assert(sizeof(ages) / sizeof(ages[0]) == GW_RENEWAL_AGES, "one for each step");

struct entry {
	uint64_t number; /* page + 1; 0: free */
	uint32_t last;   /* window of its last write; 0: only read */
	float count;     /* writes, those long ago for less; as of `last` */
	float reads;
};

struct gw_renewal {
	uint32_t limit, pages;
	uint64_t buckets;
	uint32_t now; /* windows so far; the first is 1 */
	uint64_t window_ns;
	double left_ns;   /* of rounds, not yet a whole window */
	double newcomers; /* a window; the mean, older ones for less */
	uint32_t firsts;  /* pages written for the first time since that was counted */
	double sampled;   /* windows in which reads were looked at */
	double at_risk[GW_RENEWAL_CLASSES][BUCKETS], writes[GW_RENEWAL_CLASSES][BUCKETS];
	double force[GW_RENEWAL_CLASSES][BUCKETS]; /* -ln(1 - hazard), a window */
	float decay[8 * HALF_LIFE];                /* what a write is worth after so many windows */
	struct entry entry[];
};

static uint64_t buckets_for(uint32_t pages)
{
	uint64_t buckets = 16;

	while (buckets < 2 * (uint64_t)pages)
		buckets *= 2;
	return buckets;
}

size_t gw_renewal_bytes(uint32_t pages)
{
	return sizeof(struct gw_renewal) + buckets_for(pages) * sizeof(struct entry);
}

struct gw_renewal *gw_renewal_init(void *memory, uint32_t pages)
{
	struct gw_renewal *r = memory;
	double half = gw_exponential(gw_logarithm(0.5) / HALF_LIFE), worth = 1;

	memset(r, 0, gw_renewal_bytes(pages));
	r->limit = pages;
	r->buckets = buckets_for(pages);
	for (size_t i = 0; i < sizeof(r->decay) / sizeof(r->decay[0]); i++, worth *= half)
		r->decay[i] = (float)worth;
	return r;
}

static uint64_t place_of(const struct gw_renewal *r, uint64_t page)
{
	uint64_t i = (page * 0x9e3779b97f4a7c15u) >> 20 & (r->buckets - 1);

	while (r->entry[i].number && r->entry[i].number != page + 1)
		i = (i + 1) & (r->buckets - 1);
	return i;
}

static struct entry *entry_for(struct gw_renewal *r, uint64_t page)
{
	struct entry *e = &r->entry[place_of(r, page)];

	if (!e->number && r->pages == r->limit)
		return NULL;
	r->pages += !e->number;
	e->number = page + 1;
	return e;
}

static float worth_after(const struct gw_renewal *r, uint32_t windows)
{
	return windows < sizeof(r->decay) / sizeof(r->decay[0]) ? r->decay[windows] : 0;
}

/* By the power of two that is nearest; a page written in every window counts 93. */
static unsigned class_of(float count)
{
	unsigned class = 0;

	for (float edge = 1.5f; count >= edge && class + 1 < GW_RENEWAL_CLASSES; edge *= 2)
		class ++;
	return class;
}

/* The last age of a bucket: 1, 2, 4, 8, ... */
static uint32_t last_age(unsigned bucket)
{
	return bucket + 1 < BUCKETS ? (uint32_t)1 << bucket : UINT32_MAX;
}

/* A page of this class has had the ages 1 to `age`. */
static void count_risk(double *at_risk, uint32_t age)
{
	uint32_t from = 0;

	for (unsigned b = 0; b < BUCKETS && from < age; b++) {
		uint32_t to = last_age(b) < age ? last_age(b) : age;

		at_risk[b] += to - from;
		from = last_age(b);
	}
}

static unsigned bucket_of(uint32_t age)
{
	unsigned b = 0;

	while (age > last_age(b))
		b++;
	return b;
}

/* These windows have passed. */
static void count_newcomers(struct gw_renewal *r, uint32_t windows)
{
	double old = (double)worth_after(r, windows), now = r->firsts;

	r->firsts = 0;
	if (windows)
		r->newcomers = old * r->newcomers + (1 - old) * now / windows;
}

static void write_in_window(struct gw_renewal *r, uint64_t page)
{
	struct entry *e = entry_for(r, page);

	if (!e)
		return;
	if (e->last) {
		uint32_t age = r->now - e->last;
		unsigned class = class_of(e->count);

		count_risk(r->at_risk[class], age);
		r->writes[class][bucket_of(age)]++;
		e->count *= worth_after(r, age);
	}
	r->firsts += !e->last;
	e->count++;
	e->last = r->now;
}

static void read_in_window(struct gw_renewal *r, uint64_t page)
{
	struct entry *e = entry_for(r, page);

	if (e)
		e->reads++;
}

static void for_each(struct gw_renewal *r, const struct gw_run *runs, size_t count,
                     void (*touch)(struct gw_renewal *, uint64_t))
{
	for (size_t i = 0; i < count; i++)
		for (uint64_t n = 0; n < runs[i].count; n++)
			touch(r, runs[i].first + n);
}

/* Counts, with the pages that have not been written again yet, and the means where they are few. */
static void count_hazards(struct gw_renewal *r)
{
	double at_risk[GW_RENEWAL_CLASSES][BUCKETS], mean = 0;

	memcpy(at_risk, r->at_risk, sizeof(at_risk));
	for (uint64_t i = 0; i < r->buckets; i++) {
		const struct entry *e = &r->entry[i];

		if (e->last)
			count_risk(at_risk[class_of(e->count)], r->now - e->last);
	}
	for (unsigned b = 0; b < BUCKETS; b++) {
		double risks = PRIOR_WINDOWS, writes = PRIOR_WINDOWS * mean;

		for (unsigned c = 0; c < GW_RENEWAL_CLASSES; c++) {
			risks += at_risk[c][b];
			writes += r->writes[c][b];
		}
		mean = writes / risks;
		for (unsigned c = 0; c < GW_RENEWAL_CLASSES; c++) {
			double h = (r->writes[c][b] + PRIOR_WINDOWS * mean) /
			           (at_risk[c][b] + PRIOR_WINDOWS);

			r->force[c][b] = -gw_logarithm(1 - (h < HAZARD_MAX ? h : HAZARD_MAX));
		}
	}
}

void gw_renewal_observe(struct gw_renewal *r, const struct gw_observation *observation)
{
	for (size_t i = 0; i < observation->count; i++) {
		const struct gw_window *window = &observation->windows[i];

		if (!r->window_ns)
			r->window_ns = window->length_ns;
		r->now++;
		for_each(r, window->written, window->written_count, write_in_window);
		count_newcomers(r, 1);
		if (!window->read_sampled)
			continue;
		r->sampled++;
		for_each(r, window->read, window->read_count, read_in_window);
	}
	count_hazards(r);
}

/*
 * Somewhere in the last `windows` windows: a page that is written often was so a short while ago,
 * another one in the middle. It is not counted twice if it would have been so anyway.
 */
static void write_in_round(struct gw_renewal *r, uint64_t page, uint32_t windows)
{
	struct entry *e = entry_for(r, page);
	uint32_t ago = windows / 2, usual;
	float kept;

	if (!e)
		return;
	kept = e->last ? e->count * worth_after(r, r->now - e->last) + 1 : 1;
	if (kept > e->count)
		e->count = kept;
	r->firsts += !e->last;
	usual = (uint32_t)(93 / e->count / 3);
	e->last = r->now - (usual < ago ? usual : ago);
}

void gw_renewal_round(struct gw_renewal *r, const struct gw_set *written, uint64_t ns)
{
	double passed;
	uint32_t windows;
	uint64_t page;

	if (!r->window_ns)
		return;
	passed = ((double)ns + r->left_ns) / (double)r->window_ns;
	windows = passed < 1e9 ? (uint32_t)passed : 1000000000;
	r->left_ns = (passed - windows) * (double)r->window_ns;
	r->now += windows;
	for (page = gw_set_next(written, 0); page < written->pages;
	     page = gw_set_next(written, page + 1)) {
		if (windows == 1)
			write_in_window(r, page);
		else
			write_in_round(r, page, windows);
	}
	count_newcomers(r, windows);
	count_hazards(r);
}

bool gw_renewal_ready(const struct gw_renewal *r)
{
	return r->now > 1;
}

/* The chance that a page of this age is written within so many windows. */
static double written_within(const double *force, double age, double windows)
{
	double sum = 0;

	for (unsigned b = bucket_of((uint32_t)age + 1); windows > 0; b++) {
		double here = (double)last_age(b) - age;

		if (here > windows)
			here = windows;
		sum += here * force[b];
		windows -= here;
		age = last_age(b);
	}
	return 1 - gw_exponential(-sum);
}

void gw_renewal_look_ahead(const struct gw_renewal *r, uint64_t ns, struct gw_renewal_outlook *o)
{
	memset(o, 0, sizeof(*o));
	if (!gw_renewal_ready(r))
		return;
	o->windows = (double)ns / (double)r->window_ns;
	o->newcomers = r->newcomers * o->windows;
	for (unsigned c = 0; c < GW_RENEWAL_CLASSES; c++)
		for (unsigned age = 0; age < GW_RENEWAL_AGES; age++)
			o->written[c][age] =
			        (float)written_within(r->force[c], ages[age], o->windows);
	for (unsigned i = 0; i <= GW_RENEWAL_READS; i++) {
		double stays = 1 - HAZARD_MAX * i / GW_RENEWAL_READS;

		o->unread[i] = (float)gw_exponential(gw_logarithm(stays) * o->windows);
	}
}

static unsigned nearest_age(uint32_t windows)
{
	unsigned age = 0;

	while (age + 1 < GW_RENEWAL_AGES && ages[age + 1] <= windows)
		age++;
	return age;
}

static void describe(const struct gw_renewal *r, const struct entry *e,
                     struct gw_renewal_page *page)
{
	*page = (struct gw_renewal_page){
	        .page = e->number - 1,
	        .class = e->last ? class_of(e->count) : GW_RENEWAL_CLASSES,
	        .age = nearest_age(r->now - e->last),
	        .read_share = r->sampled > 0 ? (float)(e->reads / r->sampled) : 0,
	};
}

bool gw_renewal_next(const struct gw_renewal *r, uint64_t *cursor, struct gw_renewal_page *page)
{
	while (*cursor < r->buckets) {
		const struct entry *e = &r->entry[(*cursor)++];

		if (!e->number)
			continue;
		describe(r, e, page);
		return true;
	}
	return false;
}

double gw_renewal_written(const struct gw_renewal_outlook *o, const struct gw_renewal_page *page)
{
	return page->class < GW_RENEWAL_CLASSES ? (double)o->written[page->class][page->age] : 0;
}

double gw_renewal_touched(const struct gw_renewal_outlook *o, const struct gw_renewal_page *page)
{
	unsigned read = (unsigned)(page->read_share * GW_RENEWAL_READS + 0.5f);

	if (read > GW_RENEWAL_READS)
		read = GW_RENEWAL_READS;
	return 1 - (1 - gw_renewal_written(o, page)) * (double)o->unread[read];
}
