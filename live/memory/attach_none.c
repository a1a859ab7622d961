/* SPDX-License-Identifier: MIT */
/* For architectures that nobody has written yet: everything else of godwit works there. */
#include "live/memory/attach_arch.h"

#include <errno.h>
#include <stddef.h>

const char *gw_arch_lacks(void)
{
	return "attaching to a hypervisor is not supported on this architecture yet (x86-64 is)";
}

bool gw_arch_is_poll(uint32_t audit_arch, uint64_t number)
{
	(void)audit_arch;
	(void)number;
	return false;
}

bool gw_arch_is_restart(uint32_t audit_arch, uint64_t number)
{
	return gw_arch_is_poll(audit_arch, number);
}

bool gw_arch_poll_interrupted(pid_t thread)
{
	(void)thread;
	return false;
}

int gw_arch_replace(pid_t thread, long number, const unsigned long *args, unsigned count,
                    struct gw_arch_saved *saved)
{
	(void)thread;
	(void)number;
	(void)args;
	(void)count;
	(void)saved;
	return -ENOTSUP;
}

int gw_arch_rewind(pid_t thread, const struct gw_arch_saved *saved, long *result)
{
	(void)thread;
	(void)saved;
	(void)result;
	return -ENOTSUP;
}
