/* SPDX-License-Identifier: MIT */
/*
 * live/memory/attach_arch.h - the part of attaching that knows registers.
 *
 * A new architecture adds attach_ARCH.c with these functions, and a row in meson.build. (aarch64:
 * the number of the call is changed through the register set NT_ARM_SYSTEM_CALL, the argument in x0
 * is lost at exit and comes from `saved`, and an instruction has 4 bytes.)
 */
#ifndef GW_LIVE_MEMORY_ATTACH_ARCH_H
#define GW_LIVE_MEMORY_ATTACH_ARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct gw_arch_saved {
	struct user_regs_struct registers;
};

/* NULL if attaching works on this architecture, else the sentence. */
const char *gw_arch_lacks(void);

/*
 * The calls that may be replaced: poll and ppoll. If we die half-way, the caller finds a wrong
 * number of ready descriptors and an untouched array of them, which poll's callers survive: they
 * look into the array. epoll_wait's callers read as many entries as the result says: never those.
 */
bool gw_arch_is_poll(uint32_t audit_arch, uint64_t number);
/* The number under which a call that was interrupted may come back... */
bool gw_arch_is_restart(uint32_t audit_arch, uint64_t number);
/* ...and, where it was interrupted, whether that call is a poll. */
bool gw_arch_poll_interrupted(pid_t thread);

/* At the entry stop: keeps the registers and replaces the call. */
int gw_arch_replace(pid_t thread, long number, const unsigned long *args, unsigned count,
                    struct gw_arch_saved *saved);
/* At the exit stop: the result, and the registers so that the thread makes its own call again. */
int gw_arch_rewind(pid_t thread, const struct gw_arch_saved *saved, long *result);

/* The instants at which our death matters; a test puts its own function here to die in them. */
enum gw_attach_stage {
	GW_ATTACH_SEIZED,
	GW_ATTACH_AT_ENTRY,
	GW_ATTACH_REPLACED,
	GW_ATTACH_AT_EXIT,
	GW_ATTACH_REWOUND,
	GW_ATTACH_STAGES,
};
void gw_attach_reached(enum gw_attach_stage stage);

#endif
