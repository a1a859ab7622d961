/* SPDX-License-Identifier: MIT */
#include "live/memory/attach_arch.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define ERESTART_RESTARTBLOCK 516 /* the kernel's own; only a tracer sees it */
#define SYSCALL_BYTES         2   /* the instruction: 0f 05 */

const char *gw_arch_lacks(void)
{
	return NULL;
}

bool gw_arch_is_poll(uint32_t audit_arch, uint64_t number)
{
	return audit_arch == AUDIT_ARCH_X86_64 && (number == SYS_ppoll || number == SYS_poll);
}

bool gw_arch_is_restart(uint32_t audit_arch, uint64_t number)
{
	return audit_arch == AUDIT_ARCH_X86_64 && number == SYS_restart_syscall;
}

bool gw_arch_poll_interrupted(pid_t thread)
{
	struct user_regs_struct r;

	return ptrace(PTRACE_GETREGS, thread, NULL, &r) == 0 && r.orig_rax == SYS_poll &&
	       (long)r.rax == -ERESTART_RESTARTBLOCK;
}

/* Only the registers that the call uses change: the rest is what the thread sees if we die. */
static void set_args(struct user_regs_struct *r, const unsigned long *args, unsigned count)
{
	unsigned long long *slots[] = {&r->rdi, &r->rsi, &r->rdx, &r->r10, &r->r8, &r->r9};

	for (unsigned i = 0; i < count && i < 6; i++)
		*slots[i] = args[i];
}

int gw_arch_replace(pid_t thread, long number, const unsigned long *args, unsigned count,
                    struct gw_arch_saved *saved)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, thread, NULL, &saved->registers) < 0)
		return -errno;
	r = saved->registers;
	r.orig_rax = (unsigned long long)number;
	set_args(&r, args, count);
	return ptrace(PTRACE_SETREGS, thread, NULL, &r) < 0 ? -errno : 0;
}

int gw_arch_rewind(pid_t thread, const struct gw_arch_saved *saved, long *result)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, thread, NULL, &r) < 0)
		return -errno;
	*result = (long)r.rax;
	r = saved->registers;
	/*
	 * A restarted poll begins anew, its time limit too: interrupted once more as
	 * restart_syscall, it could not be told from another call.
	 */
	r.rax = r.orig_rax == SYS_restart_syscall ? SYS_poll : r.orig_rax;
	r.rip -= SYSCALL_BYTES;
	return ptrace(PTRACE_SETREGS, thread, NULL, &r) < 0 ? -errno : 0;
}
