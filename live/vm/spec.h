/* SPDX-License-Identifier: MIT */
/*
 * live/vm/spec.h - the description of a VM that the offer carries (schema godwit.vm/1), and the
 * destination's command line that is built from it.
 *
 *   {"schema": "godwit.vm/1", "name": "web", "qemu": [7, 2, 22], "machine": "pc-q35-7.2",
 *    "argv": ["qemu-system-x86_64", ...], "ram": {"bytes": 536870912, "backend": "ram0"},
 *    "vcpus": 2, "cpu": "qemu64", "accel": "tcg", "direct_io": false,
 *    "disks": [{"path": "/images/web.qcow2", "driver": "file", "read_only": false,
 *               "direct": false}],
 *    "nets": [{"id": "n0", "kind": "tap", "ifname": "tap0"}]}
 *
 * The peer may send any argv. The destination takes known options only, takes each apart, and
 * writes it anew: what runs a program, opens a socket or writes a file of the host is dropped where
 * the guest does not see the difference and refused elsewhere, with a sentence that names it.
 */
#ifndef GW_LIVE_VM_SPEC_H
#define GW_LIVE_VM_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "live/vm/vm.h"

/*
 * Of a running QEMU; waits. argv: array of strings, borrowed (NULL: from /proc/PID/cmdline).
 * *spec is the caller's.
 */
int gw_spec_make(struct gw_vm *vm, const json_t *argv, json_t **spec, struct gw_error *error);

/*
 * What the guest sees of its processor: CPUID words as QEMU lists them, of its first vCPU; the
 * caller's. NULL: this QEMU does not say.
 */
json_t *gw_spec_features(struct gw_vm *vm);

/* From a peer's bytes; checks shape and ranges. -EPROTO. */
int gw_spec_parse(const void *bytes, size_t count, json_t **spec, struct gw_error *error);

struct gw_spec_host {
	const char *name;     /* of the VM here */
	const char *qemu;     /* the one program that may be started */
	const char *ram_path; /* the RAM file */
	const char *qmp_path;
	const char *serial_path; /* a file for the first serial port's output; NULL: nowhere */
	const char *const *maps; /* "OLD=NEW" for paths, taps and bridges; NULL-terminated */
	const char *const *image_dirs; /* images may lie below these, and where maps point */
};

/* *argv: array of strings, the caller's. -EPERM: refused. */
int gw_spec_destination_argv(const json_t *spec, const struct gw_spec_host *host, json_t **argv,
                             struct gw_error *error);

/* The NULL-terminated form, which borrows the strings; free() it. NULL: out of memory. */
char **gw_spec_strings(const json_t *argv);

/* What `old` is called here: the map's NEW, or `old`. A directory's map applies to what is below.
 */
int gw_spec_map(const char *const *maps, const char *old, char *text, size_t room, bool *mapped,
                struct gw_error *error);

#endif
