/* SPDX-License-Identifier: MIT */
/*
 * live/vm/checks.h - Pre-Migration: what cannot be moved, or not to here, is said before anything
 * is done. Each check that fails is one sentence; the first one ends it.
 */
#ifndef GW_LIVE_VM_CHECKS_H
#define GW_LIVE_VM_CHECKS_H

#include "live/vm/spec.h"

struct gw_source_facts {
	bool direct_io; /* a page may change unseen while a direct read is in flight */
	bool balloon;   /* pages may become holes unseen */
};

/* Waits. -ENOTSUP: something cannot be moved; -EBUSY: not now. */
int gw_check_source(struct gw_vm *vm, const json_t *spec, struct gw_source_facts *facts,
                    struct gw_error *error);

/* What the destination's QEMU offers; asked once (0.2 s), then kept by the agent. */
struct gw_qemu_binary {
	int major, minor;
	char *machines, *cpus; /* its own listings; owned */
};

int gw_qemu_binary_probe(struct gw_qemu_binary *binary, const char *qemu, struct gw_error *error);
void gw_qemu_binary_clear(struct gw_qemu_binary *binary);

/*
 * What can be asked only once the destination's QEMU is there and has nothing of the VM yet:
 * whether its processor has all that the guest has seen of the source's (gw_spec_features()).
 * Waits. -ENOTSUP.
 */
int gw_check_processor(struct gw_vm *vm, const json_t *spec, struct gw_error *error);

/* -ENOTSUP: lacks something; -EEXIST: the name is in use; -ENOSPC: too little memory; -ENOENT. */
int gw_check_destination(const json_t *spec, const struct gw_spec_host *host,
                         const struct gw_qemu_binary *binary, struct gw_error *error);

#endif
