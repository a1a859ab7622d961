/* SPDX-License-Identifier: MIT */
/*
 * guest/bare/guest.c - a guest without an operating system, which notices itself what a move did to
 * it. A multiboot image for
 *
 *     qemu-system-x86_64 -accel kvm|tcg -kernel bare-guest -append 'ws=8M hot=1M rate=1000' ...
 *
 * Theory of operation. Each vCPU has its share of the working set to itself. It writes a page by
 * counting its version up in two tables and putting words made of page and version into it, in
 * four places; it compares a page by making the words anew. A page that was lost or went back in
 * time, a table that did, or a clock, is an error: counted on the status page, and the first one
 * told on the serial port. What is written next is near what was written before (`hot`), one write
 * in eight is anywhere; and the whole set is compared in turn, page by page.
 *
 * Everything goes by the tick, ten milliseconds of the local APIC's timer: so many writes, so many
 * comparisons, then `hlt`. The first vCPU takes the PIT's interrupts besides, by the PIC. Where KVM
 * offers them, its clock, its steal time and its short way to end an interrupt are turned on, so
 * that KVM itself writes to memory, too.
 *
 * Words of the command line: ws=SIZE and hot=SIZE (of the working set and of the part mostly
 * written, each vCPU's share of it), rate= (pages written a second), sweep= (pages compared a
 * second), cpus= (at most 4), all over all vCPUs. No floating point, no paging, 32 bits: some KVMs
 * without hardware behind them run no more than that.
 *
 * The status page, at STATUS, is for whoever reads the VM's memory file from outside: struct
 * status, little endian. lab/bare.py reads it, and may put another rate there.
 */
#include <stdbool.h>
#include <stdint.h>

#define STATUS   0x6000u
#define AP_START 0x8000u
#define VERSIONS 0x400000u /* two tables of 4 bytes a page */
#define TABLE    0x100000u
#define BASE     0x800000u /* of the working set */
#define CPUS_MAX 4
#define PAGE     4096u
#define TICK_HZ  100u
#define APIC     0xfee00000u
#define APIC_HZ  1000000000u /* KVM's and QEMU's */
#define PIT_HZ   1193182u
#define COM1     0x3f8
#define MAGIC    0x42574721u

#define VECTOR_PIT  0x20
#define VECTOR_TICK 0x40
#define VECTOR_APIC 0xff

struct cpu_status {
	volatile uint32_t written;  /* pages, and so on */
	volatile uint32_t compared; /* pages */
	volatile uint32_t rounds;   /* over all of its share */
	volatile uint32_t ticks;
	volatile uint32_t errors;
	volatile uint32_t started;
	uint32_t spare[2];
};

struct status {
	volatile uint32_t magic;
	volatile uint32_t boots; /* since the memory was made */
	uint32_t cpus, pages;
	uint32_t kvm;                                 /* KVM's features that are on */
	volatile uint32_t pit_ticks;                  /* of the first vCPU */
	volatile uint32_t error, page, is, should_be; /* the first one */
	volatile uint32_t rate;                       /* as told, or as somebody puts it there */
	uint32_t spare[5];
	struct cpu_status cpu[CPUS_MAX];
};

#define status ((struct status *)STATUS)

enum error {
	NO_ERROR,
	PAGE_WRONG,    /* is: the word found; should_be: the one expected */
	VERSION_WRONG, /* the two tables differ */
	TSC_BACK,      /* in units of 2^16 */
	CLOCK_BACK,    /* KVM's clock, in ms */
	STEAL_BACK,    /* KVM's steal time, in ms */
	EXCEPTION,
};

struct options {
	uint32_t ws, hot, rate, sweep, cpus;
};

/* What KVM writes; one page a vCPU. */
struct paravirtual {
	struct {
		volatile uint32_t version, pad;
		volatile uint64_t tsc, system_time;
		uint32_t mul;
		int8_t shift;
		uint8_t flags, rest[2];
	} clock;
	uint8_t gap[32];
	struct {
		volatile uint64_t steal;
		volatile uint32_t version, flags;
		uint8_t preempted, rest[47];
	} steal;
	volatile uint32_t eoi;
	uint8_t more[PAGE - 132];
} __attribute__((aligned(4096)));

struct gate {
	uint16_t low, selector, kind, high;
};

struct worker {
	uint32_t index, first, pages, hot;
	uint32_t random, at, sweep_at;
	uint64_t tsc, clock, steal;
};

extern uint32_t cpus_started;
extern const uint8_t ap_start[], ap_start_end[];
void tick_entry(void), pit_entry(void), nothing_entry(void), exception_entry(void);

/* What start.S calls. */
void boot(const uint32_t *multiboot);
void run(uint32_t index);
void on_tick(void), on_pit(void), on_nothing(void);
void on_exception(uint32_t first, uint32_t second);

static struct options options = {
        .ws = 4u << 20, .hot = 1u << 20, .rate = 1000, .sweep = 1000, .cpus = 1};
static struct gate gates[256] __attribute__((aligned(8)));
static struct paravirtual paravirtual[CPUS_MAX];

/* --- the processor -------------------------------------------------------------------------- */

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static uint64_t rdtsc(void)
{
	uint64_t value;

	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

static void wrmsr(uint32_t which, uint32_t value)
{
	__asm__ volatile("wrmsr" : : "c"(which), "a"(value), "d"(0) : "memory");
}

static void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
	                 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
	                 : "a"(leaf), "c"(0));
}

static volatile uint32_t *apic(uint32_t at)
{
	return (volatile uint32_t *)(APIC + at);
}

static uint32_t apic_index(void)
{
	return *apic(0x20) >> 24;
}

/* --- words ---------------------------------------------------------------------------------- */

static void put(const char *text)
{
	for (; *text; text++) {
		while (!(inb(COM1 + 5) & 0x20))
			;
		outb(COM1, (uint8_t)*text);
	}
}

static void put_number(const char *before, uint32_t value)
{
	char digits[11], *at = digits + 10;

	*at = '\0';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(before);
	put(at);
}

static bool begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return false;
	return true;
}

static uint32_t number(const char *text)
{
	uint32_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint32_t)(*text - '0');
	return *text == 'M' ? value << 20 : *text == 'K' ? value << 10 : value;
}

static void read_options(const char *line)
{
	const struct {
		const char *name;
		uint32_t *value;
		uint32_t length;
	} known[] = {{"ws=", &options.ws, 3},
	             {"hot=", &options.hot, 4},
	             {"rate=", &options.rate, 5},
	             {"sweep=", &options.sweep, 6},
	             {"cpus=", &options.cpus, 5}};

	for (; *line; line++)
		for (uint32_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (begins(line, known[i].name))
				*known[i].value = number(line + known[i].length);
}

static void complain(struct cpu_status *cpu, enum error error, uint32_t page, uint32_t is,
                     uint32_t should_be)
{
	cpu->errors++;
	if (!__sync_bool_compare_and_swap(&status->error, NO_ERROR, error))
		return;
	status->page = page;
	status->is = is;
	status->should_be = should_be;
	put_number("error ", error);
	put_number(" page ", page);
	put_number(" is ", is);
	put_number(" should be ", should_be);
	put("\n");
}

/* --- pages ---------------------------------------------------------------------------------- */

static volatile uint32_t *versions(uint32_t table)
{
	return (volatile uint32_t *)(VERSIONS + table * TABLE);
}

/* Four words, one in each quarter, elsewhere in each page. */
static volatile uint32_t *place(uint32_t page, uint32_t which)
{
	return (volatile uint32_t *)(BASE + page * PAGE + which * 1024 +
	                             (page * 37 + which * 11) % 256 * 4);
}

static uint32_t word(uint32_t page, uint32_t version, uint32_t which)
{
	return (version * 2654435761u) ^ (page << 2 | which);
}

static void write_page(struct cpu_status *cpu, uint32_t page)
{
	uint32_t version = ++versions(0)[page];

	versions(1)[page]++;
	for (uint32_t i = 0; i < 4; i++)
		*place(page, i) = word(page, version, i);
	cpu->written++;
}

static void compare_page(struct cpu_status *cpu, uint32_t page)
{
	uint32_t version = versions(0)[page], mirror = versions(1)[page];

	if (version != mirror)
		complain(cpu, VERSION_WRONG, page, version, mirror);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t is = *place(page, i), should_be = word(page, version, i);

		if (is != should_be) {
			complain(cpu, PAGE_WRONG, page, is, should_be);
			write_page(cpu, page);
			return;
		}
	}
	cpu->compared++;
}

static uint32_t draw(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return w->random;
}

static void write_next(struct worker *w)
{
	uint32_t random = draw(w);

	if (random % 8 == 0)
		w->at = (random >> 8) % w->pages;
	else
		w->at = (random >> 8) % w->hot;
	write_page(&status->cpu[w->index], w->first + w->at);
}

static void compare_next(struct worker *w)
{
	struct cpu_status *cpu = &status->cpu[w->index];

	compare_page(cpu, w->first + w->sweep_at);
	if (++w->sweep_at == w->pages) {
		w->sweep_at = 0;
		cpu->rounds++;
	}
}

/* --- clocks --------------------------------------------------------------------------------- */

static uint64_t kvm_clock(const struct paravirtual *p)
{
	uint32_t version;
	uint64_t time;

	do {
		version = p->clock.version;
		time = p->clock.system_time;
	} while (version & 1 || version != p->clock.version);
	return time;
}

static void compare_clocks(struct worker *w)
{
	struct cpu_status *cpu = &status->cpu[w->index];
	const struct paravirtual *p = &paravirtual[w->index];
	uint64_t tsc = rdtsc(), clock = kvm_clock(p), steal = p->steal.steal;

	if (tsc < w->tsc)
		complain(cpu, TSC_BACK, w->index, (uint32_t)(tsc >> 16), (uint32_t)(w->tsc >> 16));
	if (clock < w->clock)
		complain(cpu, CLOCK_BACK, w->index, (uint32_t)(clock >> 20),
		         (uint32_t)(w->clock >> 20));
	if (steal < w->steal)
		complain(cpu, STEAL_BACK, w->index, (uint32_t)(steal >> 20),
		         (uint32_t)(w->steal >> 20));
	w->tsc = tsc;
	w->clock = clock;
	w->steal = steal;
}

/* --- interrupts ----------------------------------------------------------------------------- */

static void end_interrupt(uint32_t index)
{
	uint32_t pending = paravirtual[index].eoi;

	/* KVM sets the bit where nothing else waits for the end: then clearing it is the end. */
	if (!(pending & 1) ||
	    !__sync_bool_compare_and_swap(&paravirtual[index].eoi, pending, pending & ~1u))
		*apic(0xb0) = 0;
}

void on_tick(void)
{
	uint32_t index = apic_index();

	status->cpu[index].ticks++;
	end_interrupt(index);
}

void on_pit(void)
{
	status->pit_ticks++;
	outb(0x20, 0x20);
}

void on_nothing(void)
{
}

/* What the processor pushed: an error code or where it was. */
void on_exception(uint32_t first, uint32_t second)
{
	uint32_t index = apic_index();

	complain(&status->cpu[index], EXCEPTION, index, first, second);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void set_gate(uint32_t vector, void (*entry)(void))
{
	uint32_t at = (uint32_t)entry;

	gates[vector] = (struct gate){(uint16_t)at, 8, 0x8e00, (uint16_t)(at >> 16)};
}

static void set_gates(void)
{
	for (uint32_t i = 0; i < 256; i++)
		set_gate(i, i < 32 ? exception_entry : nothing_entry);
	set_gate(VECTOR_PIT, pit_entry);
	set_gate(VECTOR_TICK, tick_entry);
}

static void load_gates(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = {sizeof(gates) - 1, (uint32_t)gates};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

/* Vectors 0x20 to 0x2f, the PIT's line alone open; and the PIT periodic. */
static void start_pit(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} steps[] = {{0x20, 0x11},
	             {0xa0, 0x11},
	             {0x21, VECTOR_PIT},
	             {0xa1, 0x28},
	             {0x21, 4},
	             {0xa1, 2},
	             {0x21, 1},
	             {0xa1, 1},
	             {0x21, 0xfe},
	             {0xa1, 0xff},
	             {0x43, 0x34},
	             {0x40, PIT_HZ / TICK_HZ & 255},
	             {0x40, PIT_HZ / TICK_HZ >> 8}};

	for (uint32_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		outb(steps[i].port, steps[i].value);
}

static void start_apic(uint32_t index)
{
	*apic(0xf0) = 0x100 | VECTOR_APIC;
	*apic(0x350) = index == 0 ? 0x700 : 0x10000; /* the PIC's line */
	*apic(0x3e0) = 0xb;                          /* undivided */
	*apic(0x320) = 0x20000 | VECTOR_TICK;
	*apic(0x380) = APIC_HZ / TICK_HZ;
}

#define KVM_CLOCK (1u << 3)
#define KVM_STEAL (1u << 5)
#define KVM_EOI   (1u << 6)

static void start_paravirtual(uint32_t index)
{
	struct paravirtual *p = &paravirtual[index];

	if (status->kvm & KVM_CLOCK)
		wrmsr(0x4b564d01, (uint32_t)&p->clock | 1);
	if (status->kvm & KVM_STEAL)
		wrmsr(0x4b564d03, (uint32_t)&p->steal | 1);
	if (status->kvm & KVM_EOI)
		wrmsr(0x4b564d04, (uint32_t)&p->eoi | 1);
}

static uint32_t find_kvm(void)
{
	uint32_t out[4];

	cpuid(0x40000000, out);
	if (out[1] != 0x4b4d564b || out[2] != 0x564b4d56) /* KVMKVMKVM */
		return 0;
	cpuid(0x40000001, out);
	return out[0] & (KVM_CLOCK | KVM_STEAL | KVM_EOI);
}

/* --- its life ------------------------------------------------------------------------------- */

static void beat(void)
{
	put_number("beat ", status->cpu[0].ticks / TICK_HZ);
	for (uint32_t i = 0; i < status->cpus; i++) {
		put_number(" written ", status->cpu[i].written);
		put_number(" rounds ", status->cpu[i].rounds);
		put_number(" errors ", status->cpu[i].errors);
	}
	put("\n");
}

/* Waiting with interrupts closed until `hlt` loses none. */
static void wait_tick(const struct cpu_status *cpu, uint32_t seen)
{
	for (;;) {
		__asm__ volatile("cli");
		if (cpu->ticks != seen)
			break;
		__asm__ volatile("sti; hlt");
	}
	__asm__ volatile("sti");
}

/* What is due at a tick of a quantity that is so much a second over all vCPUs. */
static uint32_t due(uint32_t a_second, uint32_t tick)
{
	uint32_t divisor = TICK_HZ * status->cpus, phase = tick % divisor;

	return a_second * (phase + 1) / divisor - a_second * phase / divisor;
}

void run(uint32_t index)
{
	struct cpu_status *cpu = &status->cpu[index];
	uint32_t share = status->pages / status->cpus, hot = options.hot / PAGE / status->cpus;
	struct worker w = {.index = index,
	                   .first = index * share,
	                   .pages = share,
	                   .hot = hot < 1       ? 1
	                          : hot > share ? share
	                                        : hot,
	                   .random = 0x9e3779b9u * (index + 1)};

	load_gates();
	start_paravirtual(index);
	start_apic(index);
	if (index == 0)
		start_pit();
	cpu->started = 1;
	for (uint32_t page = 0; page < share; page++)
		write_page(cpu, w.first + page);
	for (uint32_t tick = 0;; tick++) {
		uint32_t seen = cpu->ticks;

		for (uint32_t n = due(status->rate, tick); n > 0; n--)
			write_next(&w);
		for (uint32_t n = due(options.sweep, tick); n > 0; n--)
			compare_next(&w);
		compare_clocks(&w);
		if (index == 0 && tick % TICK_HZ == 0)
			beat();
		wait_tick(cpu, seen);
	}
}

static void wait_a_while(void)
{
	uint64_t until = rdtsc() + 20000000;

	while (rdtsc() < until)
		;
}

static void start_others(void)
{
	for (uint32_t i = 0; i < (uint32_t)(ap_start_end - ap_start); i++)
		((volatile uint8_t *)AP_START)[i] = ap_start[i];
	*apic(0xf0) = 0x100 | VECTOR_APIC;
	for (uint32_t i = 1; i < status->cpus; i++) {
		*apic(0x310) = i << 24;
		*apic(0x300) = 0x4500; /* INIT */
		wait_a_while();
		*apic(0x310) = i << 24;
		*apic(0x300) = 0x4600 | AP_START / PAGE; /* begin there */
		while (!status->cpu[i].started)
			;
	}
}

void boot(const uint32_t *multiboot)
{
	uint32_t boots = status->magic == MAGIC ? status->boots : 0;

	if (multiboot[0] & 4)
		read_options((const char *)multiboot[4]);
	for (volatile uint32_t *at = (uint32_t *)STATUS; at < (uint32_t *)(STATUS + PAGE); at++)
		*at = 0;
	status->boots = boots + 1;
	status->cpus = options.cpus < 1 ? 1 : options.cpus > CPUS_MAX ? CPUS_MAX : options.cpus;
	status->pages = options.ws / PAGE;
	status->rate = options.rate;
	status->kvm = find_kvm();
	for (uint32_t page = 0; page < status->pages; page++)
		versions(0)[page] = versions(1)[page] = 0;
	set_gates();
	outb(COM1 + 1, 0);
	put_number("bare guest: vcpus ", status->cpus);
	put_number(" pages ", status->pages);
	put_number(" kvm ", status->kvm);
	put("\n");
	start_others();
	status->magic = MAGIC;
	run(0);
}
