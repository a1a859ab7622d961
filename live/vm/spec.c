/* SPDX-License-Identifier: MIT */
#include "live/vm/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "live/vm/options.h"
#include "live/vm/qemu.h"
#include "live/vm/registry.h"

#define ASK_MS    5000
#define ARGS_MAX  512
#define BYTES_MAX (1u << 20)
#define RAM_MAX   (1ll << 46)

/* --- of a running QEMU ---------------------------------------------------------------------- */

static json_t *read_cmdline(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *word = NULL;
	json_t *argv = json_array();
	char path[64];
	size_t room = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	f = fopen(path, "re");
	while (f && getdelim(&word, &room, '\0', f) > 0)
		json_array_append_new(argv, json_string(word));
	return argv;
}

static int ask(struct gw_vm *vm, const char *command, json_t **answer, struct gw_error *error)
{
	return gw_qmp_call(gw_qemu_qmp(vm), command, NULL, ASK_MS, answer, error);
}

static int add_version(struct gw_vm *vm, json_t *spec)
{
	const json_t *q = json_object_get(gw_qmp_version(gw_qemu_qmp(vm)), "qemu");

	return json_object_set_new(spec, "qemu",
	                           json_pack("[I, I, I]",
	                                     json_integer_value(json_object_get(q, "major")),
	                                     json_integer_value(json_object_get(q, "minor")),
	                                     json_integer_value(json_object_get(q, "micro"))));
}

/* "/machine" has the type "pc-q35-7.2-machine", whatever alias started it. */
static int add_machine(struct gw_vm *vm, json_t *spec, struct gw_error *error)
{
	json_t *type = NULL;
	char name[96];
	char *end;
	int rc = gw_qmp_call(gw_qemu_qmp(vm), "qom-get",
	                     json_pack("{s:s, s:s}", "path", "/machine", "property", "type"),
	                     ASK_MS, &type, error);

	if (rc < 0)
		return rc;
	(void)snprintf(name, sizeof(name), "%s",
	               json_string_value(type) ? json_string_value(type) : "");
	json_decref(type);
	end = strstr(name, "-machine");
	if (end)
		*end = '\0';
	json_object_set_new(spec, "machine", json_string(name));
	return 0;
}

static int add_ram(struct gw_vm *vm, json_t *spec, struct gw_error *error)
{
	json_t *path = NULL;
	const char *slash;
	int rc = gw_qmp_call(
	        gw_qemu_qmp(vm), "qom-get",
	        json_pack("{s:s, s:s}", "path", "/machine", "property", "memory-backend"), ASK_MS,
	        &path, error);

	if (rc < 0)
		return rc;
	slash = json_string_value(path) ? strrchr(json_string_value(path), '/') : NULL;
	json_object_set_new(spec, "ram",
	                    json_pack("{s:I, s:s}", "bytes", (json_int_t)vm->ram_bytes, "backend",
	                              slash ? slash + 1 : ""));
	json_decref(path);
	return 0;
}

static int ask_cpu(struct gw_vm *vm, const char *property, json_t **answer, struct gw_error *error)
{
	json_t *cpus;
	const char *path;
	int rc = ask(vm, "query-cpus-fast", &cpus, error);

	if (rc < 0)
		return rc;
	path = json_string_value(json_object_get(json_array_get(cpus, 0), "qom-path"));
	rc = gw_qmp_call(gw_qemu_qmp(vm), "qom-get",
	                 json_pack("{s:s, s:s}", "path", path ? path : "", "property", property),
	                 ASK_MS, answer, error);
	json_decref(cpus);
	return rc;
}

json_t *gw_spec_features(struct gw_vm *vm)
{
	json_t *words = NULL;

	return ask_cpu(vm, "feature-words", &words, NULL) < 0 ? NULL : words;
}

static int add_cpu(struct gw_vm *vm, json_t *spec, struct gw_error *error)
{
	json_t *type = NULL, *features;
	int rc = ask_cpu(vm, "type", &type, error);

	if (rc < 0)
		return rc;
	features = gw_spec_features(vm);
	json_object_set_new(spec, "vcpus", json_integer((json_int_t)vm->vcpus));
	json_object_set_new(spec, "cpu", type);
	if (features)
		json_object_set_new(spec, "features", features);
	return 0;
}

static int add_disks(struct gw_vm *vm, json_t *spec, struct gw_error *error)
{
	json_t *nodes, *node, *disks = json_array();
	bool direct_io = false;
	size_t i;
	int rc = ask(vm, "query-named-block-nodes", &nodes, error);

	if (rc < 0)
		return rc;
	json_array_foreach(nodes, i, node)
	{
		const char *driver = json_string_value(json_object_get(node, "drv"));
		const char *file = json_string_value(json_object_get(node, "file"));
		bool direct =
		        json_is_true(json_object_get(json_object_get(node, "cache"), "direct"));

		direct_io = direct_io || direct;
		if (!driver || !file ||
		    (strcmp(driver, "file") != 0 && strcmp(driver, "host_device")))
			continue;
		json_array_append_new(disks, json_pack("{s:s, s:s, s:b, s:b}", "path", file,
		                                       "driver", driver, "read_only",
		                                       json_is_true(json_object_get(node, "ro")),
		                                       "direct", direct));
	}
	json_decref(nodes);
	json_object_set_new(spec, "disks", disks);
	json_object_set_new(spec, "direct_io", json_boolean(direct_io));
	return 0;
}

static void add_nets(json_t *spec, const json_t *argv)
{
	json_t *nets = json_array();

	for (size_t i = 1; i + 1 < json_array_size(argv); i++) {
		const char *option = json_string_value(json_array_get(argv, i));
		_cleanup_options_ struct gw_options o = {0};
		const char *ifname, *br, *id;

		if (!option || (strcmp(option, "-netdev") != 0 && strcmp(option, "-nic") != 0) ||
		    gw_options_parse(&o, json_string_value(json_array_get(argv, i + 1)), "type",
		                     NULL))
			continue;
		id = gw_options_get(&o, "id");
		ifname = gw_options_get(&o, "ifname");
		br = gw_options_get(&o, "br");
		json_array_append_new(
		        nets,
		        json_pack("{s:s, s:s, s:s*, s:s*}", "id", id ? id : "", "kind",
		                  gw_options_get(&o, "type") ? gw_options_get(&o, "type") : "",
		                  "ifname", ifname, "bridge", br));
	}
	json_object_set_new(spec, "nets", nets);
}

static int add_accel(struct gw_vm *vm, json_t *spec, struct gw_error *error)
{
	json_t *kvm;
	int rc = ask(vm, "query-kvm", &kvm, error);

	if (rc < 0)
		return rc;
	json_object_set_new(
	        spec, "accel",
	        json_string(json_is_true(json_object_get(kvm, "enabled")) ? "kvm" : "tcg"));
	json_decref(kvm);
	return 0;
}

int gw_spec_make(struct gw_vm *vm, const json_t *argv, json_t **out, struct gw_error *error)
{
	json_t *spec = json_pack("{s:s, s:s}", "schema", "godwit.vm/1", "name", vm->name);
	json_t *words = argv ? json_deep_copy(argv) : read_cmdline(vm->pid);
	int rc;

	*out = NULL;
	json_object_set_new(spec, "argv", words);
	add_nets(spec, words);
	rc = add_version(vm, spec);
	if (rc == 0)
		rc = add_machine(vm, spec, error);
	if (rc == 0)
		rc = add_ram(vm, spec, error);
	if (rc == 0)
		rc = add_cpu(vm, spec, error);
	if (rc == 0)
		rc = add_disks(vm, spec, error);
	if (rc == 0)
		rc = add_accel(vm, spec, error);
	if (rc < 0)
		json_decref(spec);
	else
		*out = spec;
	return rc;
}

/* --- of a peer ------------------------------------------------------------------------------ */

static bool good_word(const json_t *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789._-";
	const char *word = json_string_value(text);

	return word && word[0] && strlen(word) < 64 && word[strspn(word, allowed)] == '\0' &&
	       word[0] != '-';
}

static bool good_argv(const json_t *argv)
{
	size_t count = json_array_size(argv);

	if (!json_is_array(argv) || count < 1 || count > ARGS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		const json_t *one = json_array_get(argv, i);

		if (!json_is_string(one) ||
		    strlen(json_string_value(one)) != json_string_length(one))
			return false;
	}
	return true;
}

static bool good_rest(const json_t *spec)
{
	const json_t *ram = json_object_get(spec, "ram"), *bytes = json_object_get(ram, "bytes");
	const json_t *vcpus = json_object_get(spec, "vcpus"), *qemu = json_object_get(spec, "qemu");
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(spec, "disks"), i,
	                   disk) if (!json_is_string(json_object_get(disk, "path"))) return false;
	return json_is_integer(bytes) && json_integer_value(bytes) > 0 &&
	       json_integer_value(bytes) <= RAM_MAX && json_integer_value(bytes) % 4096 == 0 &&
	       json_is_integer(vcpus) && json_integer_value(vcpus) > 0 &&
	       json_integer_value(vcpus) <= 4096 && json_array_size(qemu) == 3 &&
	       json_is_integer(json_array_get(qemu, 0)) &&
	       json_is_integer(json_array_get(qemu, 1)) &&
	       json_is_array(json_object_get(spec, "disks")) &&
	       json_is_array(json_object_get(spec, "nets"));
}

int gw_spec_parse(const void *bytes, size_t count, json_t **out, struct gw_error *error)
{
	json_t *spec =
	        count <= BYTES_MAX ? json_loadb(bytes, count, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *schema = json_string_value(json_object_get(spec, "schema"));
	const char *name = json_string_value(json_object_get(spec, "name"));

	*out = NULL;
	if (!schema || strcmp(schema, "godwit.vm/1") != 0 || !name ||
	    gw_name_check(name, NULL) < 0 || !good_word(json_object_get(spec, "machine")) ||
	    !good_word(json_object_get(json_object_get(spec, "ram"), "backend")) ||
	    !json_is_string(json_object_get(spec, "cpu")) ||
	    !good_argv(json_object_get(spec, "argv")) || !good_rest(spec)) {
		json_decref(spec);
		return gw_fail(
		        error, EPROTO,
		        "The peer's description of the VM is not one of the form godwit.vm/1.");
	}
	*out = spec;
	return 0;
}
