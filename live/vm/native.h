/* SPDX-License-Identifier: MIT */
/*
 * live/vm/native.h - the native guest (guest/native/) behind live/vm/vm.h, for tests and benches.
 *
 * Events come through gw_vm_next(); the calls below wait for the guest's answer, keep the events
 * that come in between, and are refused by the guest while a stop, save or load has no answer yet.
 */
#ifndef GW_LIVE_VM_NATIVE_H
#define GW_LIVE_VM_NATIVE_H

#include <jansson.h>

#include "guest/native/config.h"
#include "live/vm/vm.h"

extern const struct gw_vm_kind gw_vm_native;

/* Where in its folder a guest listens. */
#define GW_NATIVE_CONTROL "native.sock"

struct gw_native_start {
	const char *binary; /* the native-guest to run; nothing else is ever run */
	const char *dir;    /* exists; the guest listens on GW_NATIVE_CONTROL there */
	const char
	        *ram_path; /* made by the guest if it is not there; removed by whoever started it */
	bool incoming;     /* waits for load, touches no memory before cont */
	bool paused;       /* starts stopped */
	bool with_parent;  /* dies with the thread that started it: for tests */
};

/* path: a guest's control socket, or the folder it is in. */
int gw_native_open(struct gw_vm **vm, const char *path, struct gw_error *error);
int gw_native_start(struct gw_vm **vm, const struct gw_native_start *start, const char *name,
                    const struct gw_native_config *config, struct gw_error *error);

/*
 * What the destination has to know to start the twin, as JSON text ("godwit.vm/1", kind "native");
 * free() it. NULL on error.
 */
char *gw_native_spec(struct gw_vm *vm, struct gw_error *error);
/* Text from a peer: takes checked numbers and a checked name, refuses anything else by its name. */
int gw_native_parse_spec(const char *json, size_t bytes, struct gw_native_config *config,
                         char name[64], struct gw_error *error);
int gw_native_start_from_spec(struct gw_vm **vm, const struct gw_native_start *start,
                              const char *json, size_t bytes, struct gw_error *error);

/*
 * The command line of a shadow: a guest that serves the one client whose descriptor it inherits as
 * `client`, and sees the RAM file privately. *argv: array of strings, the caller's.
 */
int gw_native_shadow_argv(const char *spec, const char *ram_path, int client, json_t **argv,
                          struct gw_error *error);
/* A guest that somebody else started. control: connected; taken over. */
int gw_native_adopt(struct gw_vm **vm, pid_t pid, int control, struct gw_error *error);

/* One request, e.g. "reset". The answer's line, cut to size, if answer is not NULL. */
int gw_native_command(struct gw_vm *vm, const char *request, char *answer, size_t size,
                      struct gw_error *error);

struct gw_native_verdict {
	uint64_t compared, different; /* pages */
	char first[200];              /* the first wrong page and what stood there; or "" */
};

/* Compares every page with what the guest expects. Waits; pages that are missing are waited for. */
int gw_native_verify(struct gw_vm *vm, struct gw_native_verdict *verdict, struct gw_error *error);

struct gw_native_status {
	uint64_t writes, reads;  /* operations done, on all hosts together */
	uint64_t errors;         /* wrong pages met by reads */
	uint64_t longest_gap_ns; /* between two operations of one vCPU that were due, pauses
	                            included */
	bool running, panicked;
};

int gw_native_get_status(struct gw_vm *vm, struct gw_native_status *status, struct gw_error *error);

#endif
