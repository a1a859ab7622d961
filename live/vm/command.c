/* SPDX-License-Identifier: MIT */
/* A peer's QEMU command line -> ours: one row an option, everything else is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "live/vm/options.h"
#include "live/vm/registry.h"
#include "live/vm/spec.h"

#define ARGS_MAX   512
#define PATH_ROOM  1024
#define CONTROL_ID "godwit-qmp"

struct build {
	const json_t *spec;
	const struct gw_spec_host *host;
	const char *backend; /* id of the RAM backend */
	json_t *argv;
	unsigned serials, backends;
	bool nodefaults, nographic;
	char irqchip[8];    /* of -accel kvm; "": not said */
	const char *option; /* being taken, without the dash */
	struct gw_error *error;
};

#define REFUSE(b, ...) gw_fail((b)->error, EPERM, __VA_ARGS__)

static void push(struct build *b, const char *text)
{
	json_array_append_new(b->argv, json_string(text));
}

static void push_option(struct build *b, const char *option, const char *value)
{
	char dashed[64];

	(void)snprintf(dashed, sizeof(dashed), "-%s", option);
	push(b, dashed);
	if (value)
		push(b, value);
}

static int push_pairs(struct build *b, const char *option, const struct gw_options *o)
{
	_cleanup_free_ char *text = gw_options_text(o);

	if (!text)
		return gw_fail(b->error, ENOMEM, "Out of memory.");
	push_option(b, option, text);
	return 0;
}

static bool among(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (strcmp(*list, word) == 0)
			return true;
	return false;
}

/* "virtio-*" stands for whatever begins so. */
static bool matches(const char *const *list, const char *word)
{
	for (; *list; list++) {
		size_t length = strlen(*list);

		if ((*list)[length - 1] == '*' ? strncmp(*list, word, length - 1) == 0
		                               : strcmp(*list, word) == 0)
			return true;
	}
	return false;
}

static int only_keys(struct build *b, const struct gw_options *o, const char *const *keys)
{
	for (unsigned i = 0; i < o->count; i++)
		if (!matches(keys, o->pair[i].key))
			return REFUSE(b,
			              "The destination does not accept -%s with the key \"%.60s\".",
			              b->option, o->pair[i].key);
	return 0;
}

static int parse(struct build *b, struct gw_options *o, const char *value, const char *implied)
{
	struct gw_error why;

	if (gw_options_parse(o, value, implied, &why) < 0)
		return REFUSE(b, "The destination does not accept -%s: %s", b->option, why.text);
	return 0;
}

/* --- paths ---------------------------------------------------------------------------------- */

int gw_spec_map(const char *const *maps, const char *old, char *text, size_t room, bool *mapped,
                struct gw_error *error)
{
	const char *rest = "";
	const char *new = old;

	*mapped = false;
	for (; maps && *maps && !*mapped; maps++) {
		const char *equals = strchr(*maps, '=');
		size_t length = equals ? (size_t)(equals - *maps) : 0;

		if (length == 0 || strncmp(old, *maps, length) != 0)
			continue;
		if (old[length] != '\0' && !(old[0] == '/' && old[length] == '/'))
			continue;
		new = equals + 1;
		rest = old + length;
		*mapped = true;
	}
	if ((size_t)snprintf(text, room, "%s%s", new, rest) >= room)
		return gw_fail(error, ENAMETOOLONG, "The name %.100s is too long.", old);
	return 0;
}

static bool below(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	while (length > 0 && dir[length - 1] == '/') /* of the root nothing is left */
		length--;
	return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Below an allowed directory after all links are followed, or where a map points. */
static bool may_open(const struct build *b, const char *path, bool read_only)
{
	_cleanup_free_ char *real = realpath(path, NULL);

	if (!real)
		return false;
	for (const char *const *d = b->host->image_dirs; d && *d; d++) {
		_cleanup_free_ char *dir = realpath(*d, NULL);

		if (dir && below(real, dir))
			return true;
	}
	for (const char *const *m = b->host->maps; m && *m; m++) {
		const char *equals = strchr(*m, '=');
		_cleanup_free_ char *to = equals ? realpath(equals + 1, NULL) : NULL;

		if (to && below(real, to))
			return true;
	}
	return read_only && (below(real, "/usr/share") || below(real, "/usr/lib/ipxe"));
}

static int map_path(struct build *b, const char *old, bool read_only, char *path)
{
	bool mapped;
	int rc;

	if (old[0] != '/')
		return REFUSE(
		        b,
		        "The destination does not accept -%s with \"%.100s\": give the absolute "
		        "path of a file.",
		        b->option, old);
	rc = gw_spec_map(b->host->maps, old, path, PATH_ROOM, &mapped, b->error);
	if (rc < 0)
		return rc;
	if (access(path, F_OK) < 0)
		return gw_fail(
		        b->error, ENOENT,
		        "The file %.200s (-%s) cannot be reached at the destination: share it, "
		        "or map it there with --map OLD=NEW.",
		        path, b->option);
	if (!may_open(b, path, read_only))
		return REFUSE(b,
		              "The destination does not open %.200s (-%s): it is outside its image "
		              "directories and not mapped there with --map.",
		              path, b->option);
	return 0;
}

static int map_key(struct build *b, struct gw_options *o, const char *key, bool read_only)
{
	const char *old = gw_options_get(o, key);
	char path[PATH_ROOM];
	int rc;

	if (!old || !old[0])
		return 0;
	rc = map_path(b, old, read_only, path);
	if (rc == 0 && gw_options_set(o, key, path) < 0)
		rc = gw_fail(b->error, ENOMEM, "Out of memory.");
	return rc;
}

/* --- one function a kind of option ---------------------------------------------------------- */

static int take_drop(struct build *b, const char *value)
{
	(void)b;
	(void)value;
	return 0;
}

static int take_keep(struct build *b, const char *value)
{
	push_option(b, b->option, value);
	return 0;
}

static int take_flag(struct build *b, const char *value)
{
	b->nodefaults = b->nodefaults || strcmp(b->option, "nodefaults") == 0;
	push_option(b, b->option, value);
	return 0;
}

static int take_nographic(struct build *b, const char *value)
{
	(void)value;
	b->nographic = true;
	return 0;
}

static bool runs_under_kvm(const struct build *b)
{
	const char *accel = json_string_value(json_object_get(b->spec, "accel"));

	return accel && strcmp(accel, "kvm") == 0;
}

/* The accelerator is the one that the source has; of its properties the guest sees one. */
static int take_accel(struct build *b, const char *value)
{
	static const char *const known[] = {"on", "off", "split", NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *name, *irqchip;
	int rc = parse(b, &o, value, "accel");

	if (rc < 0)
		return rc;
	name = gw_options_get(&o, "accel");
	irqchip = gw_options_get(&o, "kernel-irqchip");
	if (!runs_under_kvm(b) || !name || strcmp(name, "kvm") != 0 || !irqchip)
		return 0;
	if (!among(known, irqchip))
		return REFUSE(b, "The destination does not accept -accel kvm,kernel-irqchip=%.60s.",
		              irqchip);
	(void)snprintf(b->irqchip, sizeof(b->irqchip), "%s", irqchip);
	return 0;
}

/* Locking memory would fill what is to be pulled; whether the guest may idle by itself it sees. */
static int take_overcommit(struct build *b, const char *value)
{
	_cleanup_options_ struct gw_options o = {0};
	const char *idles;
	int rc = parse(b, &o, value, NULL);

	if (rc < 0)
		return rc;
	idles = gw_options_get(&o, "cpu-pm");
	if (idles && (strcmp(idles, "on") == 0 || strcmp(idles, "off") == 0))
		push_option(b, b->option, strcmp(idles, "on") == 0 ? "cpu-pm=on" : "cpu-pm=off");
	return 0;
}

static int take_machine(struct build *b, const char *value)
{
	static const char *const keys[] = {"type",
	                                   "accel",
	                                   "memory-backend",
	                                   "usb",
	                                   "smm",
	                                   "vmport",
	                                   "hpet",
	                                   "graphics",
	                                   "pic",
	                                   "pit",
	                                   "sata",
	                                   "smbus",
	                                   "i8042",
	                                   "acpi",
	                                   "nvdimm",
	                                   "hmat",
	                                   "pflash0",
	                                   "pflash1",
	                                   "dump-guest-core",
	                                   "mem-merge",
	                                   "kernel-irqchip",
	                                   "kernel_irqchip",
	                                   "rtc",
	                                   "ioapic2",
	                                   "max-ram-below-4g",
	                                   "fd-bootchk",
	                                   "default-bus-bypass-iommu",
	                                   "x-oem-id",
	                                   "x-oem-table-id",
	                                   "smbios-entry-point-type",
	                                   NULL};
	_cleanup_options_ struct gw_options o = {0};
	int rc = parse(b, &o, value, "type");

	if (rc == 0)
		rc = only_keys(b, &o, keys);
	if (rc < 0)
		return rc;
	gw_options_drop(&o, "accel");
	gw_options_drop(&o, "type");
	gw_options_drop(&o, "memory-backend");
	return o.count ? push_pairs(b, "machine", &o) : 0;
}

static int take_memory(struct build *b, const char *value)
{
	static const char *const keys[] = {"size", NULL};
	_cleanup_options_ struct gw_options o = {0};
	int rc = parse(b, &o, value, "size");

	/* The size is set from the RAM backend. */
	return rc < 0 ? rc : only_keys(b, &o, keys);
}

static int take_object(struct build *b, const char *value)
{
	static const char *const ram[] = {"qom-type",
	                                  "id",
	                                  "size",
	                                  "mem-path",
	                                  "share",
	                                  "prealloc",
	                                  "prealloc-threads",
	                                  "discard-data",
	                                  "merge",
	                                  "dump",
	                                  "x-use-canonical-path-for-ramblock-id",
	                                  NULL};
	static const char *const plain[] = {"qom-type",    "id",       "max-bytes",
	                                    "period",      "filename", "poll-*",
	                                    "x-throttle*", "limits.*", NULL};
	static const char *const kinds[] = {"iothread", "rng-builtin", "rng-random",
	                                    "throttle-group", NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *type, *id;
	int rc = parse(b, &o, value, "qom-type");

	if (rc < 0)
		return rc;
	type = gw_options_get(&o, "qom-type");
	id = gw_options_get(&o, "id");
	if (type && id && strcmp(type, "memory-backend-file") == 0 && strcmp(id, b->backend) == 0) {
		b->backends++; /* written anew at the end */
		return only_keys(b, &o, ram);
	}
	if (!type || !id || !among(kinds, type))
		return REFUSE(b, "The destination does not accept -object %.60s.",
		              type ? type : "");
	rc = only_keys(b, &o, plain);
	if (rc == 0 && strcmp(type, "rng-random") == 0)
		rc = gw_options_set(&o, "filename", "/dev/urandom");
	else
		gw_options_drop(&o, "filename");
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

static int take_device(struct build *b, const char *value)
{
	static const char *const kinds[] = {"virtio-*",
	                                    "e1000*",
	                                    "rtl8139",
	                                    "pcnet",
	                                    "ide-hd",
	                                    "ide-cd",
	                                    "scsi-hd",
	                                    "scsi-cd",
	                                    "ahci",
	                                    "ich9-*",
	                                    "nvme",
	                                    "nvme-ns",
	                                    "pcie-root-port",
	                                    "ioh3420",
	                                    "pci-bridge",
	                                    "pcie-pci-bridge",
	                                    "pxb",
	                                    "pxb-pcie",
	                                    "i82801b11-bridge",
	                                    "qemu-xhci",
	                                    "nec-usb-xhci",
	                                    "usb-ehci",
	                                    "piix*-usb-uhci",
	                                    "usb-tablet",
	                                    "usb-kbd",
	                                    "usb-mouse",
	                                    "usb-hub",
	                                    "usb-storage",
	                                    "VGA",
	                                    "qxl*",
	                                    "bochs-display",
	                                    "cirrus-vga",
	                                    "isa-serial",
	                                    "pci-serial",
	                                    "virtserialport",
	                                    "virtconsole",
	                                    "intel-hda",
	                                    "hda-*",
	                                    "isa-debug-exit",
	                                    "pvpanic*",
	                                    "i6300esb",
	                                    "ib700",
	                                    "lsi*",
	                                    "mptsas1068",
	                                    "megasas*",
	                                    "pvscsi",
	                                    "vmxnet3",
	                                    "vmgenid",
	                                    "vmcoreinfo",
	                                    "sga",
	                                    "intel-iommu",
	                                    "piix3-usb-uhci",
	                                    "piix4-usb-uhci",
	                                    NULL};
	static const char *const never[] = {"romfile",     "file",     "path",   "sysfsdev",
	                                    "vhostfd",     "fd",       "memdev", "host",
	                                    "rombar-file", "dumpfile", NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *driver;
	int rc = parse(b, &o, value, "driver");

	if (rc < 0)
		return rc;
	driver = gw_options_get(&o, "driver");
	if (!driver || !matches(kinds, driver))
		return REFUSE(b, "The destination does not accept -device %.60s.",
		              driver ? driver : "");
	for (unsigned i = 0; i < o.count; i++)
		if (among(never, o.pair[i].key) && o.pair[i].value[0])
			return REFUSE(b, "The destination does not accept -device %.60s with %s=.",
			              driver, o.pair[i].key);
	return push_pairs(b, b->option, &o);
}

static int take_global(struct build *b, const char *value)
{
	static const char *const never[] = {"romfile",  "file",    "path",   "sysfsdev", "filename",
	                                    "mem-path", "chardev", "netdev", "drive",    NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *dot = strchr(value, '.'), *equals = strchr(value, '=');
	char property[64];
	int rc;

	if (dot && equals && dot < equals) {
		(void)snprintf(property, sizeof(property), "%.*s", (int)(equals - dot - 1),
		               dot + 1);
	} else {
		rc = parse(b, &o, value, NULL);
		if (rc < 0)
			return rc;
		(void)snprintf(property, sizeof(property), "%s",
		               gw_options_get(&o, "property") ? gw_options_get(&o, "property")
		                                              : "");
	}
	if (!property[0] || among(never, property))
		return REFUSE(b,
		              "The destination does not accept -global with the property \"%s\".",
		              property);
	push_option(b, b->option, value);
	return 0;
}

static int map_word(struct build *b, struct gw_options *o, const char *key)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789._-";
	const char *old = gw_options_get(o, key);
	char word[64];
	bool mapped;
	int rc;

	if (!old)
		return REFUSE(b, "The destination does not accept -%s without %s=.", b->option,
		              key);
	rc = gw_spec_map(b->host->maps, old, word, sizeof(word), &mapped, b->error);
	if (rc == 0 && (strlen(word) > 15 || !word[0] || word[strspn(word, allowed)]))
		rc = REFUSE(b, "\"%s\" (-%s %s=) is no name of a network interface.", word,
		            b->option, key);
	return rc < 0 ? rc : gw_options_set(o, key, word);
}

/* -netdev, and -nic, which is a netdev and a device in one. */
static int take_netdev(struct build *b, const char *value)
{
	static const char *const tap[] = {"type",  "id",     "ifname",   "script", "downscript",
	                                  "vhost", "queues", "vnet_hdr", "sndbuf", "poll-us",
	                                  "model", "mac",    "addr",     NULL};
	static const char *const bridge[] = {"type", "id", "br", "model", "mac", "addr", NULL};
	static const char *const user[] = {
	        "type",      "id",        "net", "host",     "restrict",   "ipv4",
	        "ipv6",      "dhcpstart", "dns", "hostname", "domainname", "ipv6-net",
	        "ipv6-host", "model",     "mac", "addr",     NULL};
	static const char *const none[] = {"type", NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *type;
	int rc = parse(b, &o, value, "type");

	if (rc < 0)
		return rc;
	type = gw_options_get(&o, "type");
	if (type && strcmp(type, "tap") == 0) {
		rc = only_keys(b, &o, tap);
		if (rc == 0)
			rc = map_word(b, &o, "ifname");
		if (rc == 0 && (gw_options_set(&o, "script", "no") < 0 ||
		                gw_options_set(&o, "downscript", "no") < 0))
			rc = gw_fail(b->error, ENOMEM, "Out of memory.");
	} else if (type && strcmp(type, "bridge") == 0) {
		rc = only_keys(b, &o, bridge);
		if (rc == 0)
			rc = map_word(b, &o, "br");
	} else if (type && strcmp(type, "user") == 0) {
		rc = only_keys(b, &o, user);
	} else if (type && strcmp(type, "none") == 0 && strcmp(b->option, "netdev") != 0) {
		rc = only_keys(b, &o, none);
	} else {
		rc = REFUSE(b,
		            "The destination does not accept -%s %.60s: taps, bridges and user "
		            "networks can be moved.",
		            b->option, type ? type : "");
	}
	if (rc == 0 && o.count == 1)
		push_option(b, b->option, "none"); /* -nic none has no long form */
	return rc < 0 || o.count == 1 ? rc : push_pairs(b, b->option, &o);
}

static int take_net(struct build *b, const char *value)
{
	if (strcmp(value, "none") != 0)
		return REFUSE(b, "The destination does not accept -net: use -netdev and -device.");
	push_option(b, b->option, value);
	return 0;
}

static bool is_on(const struct gw_options *o, const char *key)
{
	const char *value = gw_options_get(o, key);

	return value && (strcmp(value, "on") == 0 || strcmp(value, "yes") == 0 ||
	                 strcmp(value, "true") == 0);
}

static int take_drive(struct build *b, const char *value)
{
	static const char *const keys[] = {
	        "file",         "if",        "format", "media",        "index",     "bus",
	        "unit",         "id",        "cache",  "aio",          "discard",   "detect-zeroes",
	        "readonly",     "read-only", "werror", "rerror",       "serial",    "cache.*",
	        "throttling.*", "bps*",      "iops*",  "copy-on-read", "node-name", "locking",
	        "file.locking", NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *media;
	int rc = parse(b, &o, value, NULL);

	if (rc == 0)
		rc = only_keys(b, &o, keys);
	if (rc < 0)
		return rc;
	media = gw_options_get(&o, "media");
	rc = map_key(b, &o, "file",
	             is_on(&o, "readonly") || is_on(&o, "read-only") ||
	                     (media && strcmp(media, "cdrom") == 0));
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

static int take_blockdev(struct build *b, const char *value)
{
	static const char *const keys[] = {"driver",
	                                   "node-name",
	                                   "filename",
	                                   "file",
	                                   "read-only",
	                                   "auto-read-only",
	                                   "discard",
	                                   "detect-zeroes",
	                                   "aio",
	                                   "locking",
	                                   "cache.direct",
	                                   "cache.no-flush",
	                                   "backing",
	                                   "lazy-refcounts",
	                                   "cache-size",
	                                   "l2-cache-size",
	                                   "refcount-cache-size",
	                                   "cache-clean-interval",
	                                   "size",
	                                   "offset",
	                                   "force-share",
	                                   NULL};
	static const char *const drivers[] = {"file",  "host_device", "raw",
	                                      "qcow2", "null-co",     NULL};
	_cleanup_options_ struct gw_options o = {0};
	bool read_only;
	int rc = parse(b, &o, value, NULL);

	if (rc < 0)
		return rc;
	read_only = is_on(&o, "read-only");
	for (unsigned i = 0; i < o.count && rc == 0; i++) {
		const char *key = o.pair[i].key;

		while (strncmp(key, "file.", 5) == 0 || strncmp(key, "backing.", 8) == 0)
			key += key[0] == 'f' ? 5 : 8;
		if (!matches(keys, key))
			rc = REFUSE(
			        b,
			        "The destination does not accept -blockdev with the key \"%.60s\".",
			        o.pair[i].key);
		else if (strcmp(key, "driver") == 0 && !among(drivers, o.pair[i].value))
			rc = REFUSE(
			        b,
			        "The destination does not accept -blockdev with the driver %.60s.",
			        o.pair[i].value);
		else if (strcmp(key, "filename") == 0)
			rc = map_key(b, &o, o.pair[i].key, read_only);
	}
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

static int take_file(struct build *b, const char *value)
{
	static const char *const writes[] = {"hda", "hdb", "hdc", "hdd", NULL};
	char path[PATH_ROOM];
	int rc = map_path(b, value, !among(writes, b->option), path);

	if (rc == 0)
		push_option(b, b->option, path);
	return rc;
}

/* Where a serial port's bytes went at the source is nothing to us; the port must be there. */
static int take_serial(struct build *b, const char *value)
{
	char text[PATH_ROOM + 8] = "null";
	bool first = strcmp(b->option, "serial") == 0 && b->serials++ == 0;

	if (strcmp(value, "none") == 0) {
		push_option(b, b->option, "none");
		return 0;
	}
	if (first && b->host->serial_path)
		(void)snprintf(text, sizeof(text), "file:%s", b->host->serial_path);
	push_option(b, b->option, text);
	return 0;
}

static int take_chardev(struct build *b, const char *value)
{
	_cleanup_options_ struct gw_options o = {0}, ours = {0};
	const char *id;
	int rc = parse(b, &o, value, "backend");

	if (rc < 0)
		return rc;
	id = gw_options_get(&o, "id");
	if (!id)
		return REFUSE(b, "The destination does not accept -chardev without id=.");
	if (strcmp(id, CONTROL_ID) == 0)
		return 0; /* the source's own; ours comes at the end */
	if (gw_options_set(&ours, "backend", "null") < 0 || gw_options_set(&ours, "id", id) < 0)
		return gw_fail(b->error, ENOMEM, "Out of memory.");
	return push_pairs(b, b->option, &ours);
}

static int take_smbios(struct build *b, const char *value)
{
	_cleanup_options_ struct gw_options o = {0};
	int rc = parse(b, &o, value, NULL);

	if (rc == 0 && (gw_options_get(&o, "file") || gw_options_get(&o, "path")))
		rc = REFUSE(b, "The destination does not accept -smbios with a file.");
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

static int take_fw_cfg(struct build *b, const char *value)
{
	static const char *const keys[] = {"name", "string", NULL};
	_cleanup_options_ struct gw_options o = {0};
	int rc = parse(b, &o, value, "name");

	if (rc == 0)
		rc = only_keys(b, &o, keys);
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

static int take_boot(struct build *b, const char *value)
{
	static const char *const keys[] = {"order",          "once",        "menu", "strict",
	                                   "reboot-timeout", "splash-time", NULL};
	_cleanup_options_ struct gw_options o = {0};
	int rc = parse(b, &o, value, "order");

	if (rc == 0)
		rc = only_keys(b, &o, keys);
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

static int take_numa(struct build *b, const char *value)
{
	static const char *const keys[] = {"type", "nodeid", "cpus", "mem", "memdev", NULL};
	_cleanup_options_ struct gw_options o = {0};
	const char *memdev;
	int rc = parse(b, &o, value, "type");

	if (rc == 0)
		rc = only_keys(b, &o, keys);
	memdev = gw_options_get(&o, "memdev");
	if (rc == 0 && memdev && strcmp(memdev, b->backend) != 0)
		rc = REFUSE(b, "The destination does not accept -numa with the memdev %.60s.",
		            memdev);
	return rc < 0 ? rc : push_pairs(b, b->option, &o);
}

struct row {
	const char *option;
	bool value;
	int (*take)(struct build *b, const char *value);
};

static const struct row rows[] = {
        {"machine", true, take_machine},
        {"M", true, take_machine},
        {"m", true, take_memory},
        {"object", true, take_object},
        {"device", true, take_device},
        {"global", true, take_global},
        {"netdev", true, take_netdev},
        {"nic", true, take_netdev},
        {"net", true, take_net},
        {"drive", true, take_drive},
        {"blockdev", true, take_blockdev},
        {"hda", true, take_file},
        {"hdb", true, take_file},
        {"hdc", true, take_file},
        {"hdd", true, take_file},
        {"cdrom", true, take_file},
        {"kernel", true, take_file},
        {"initrd", true, take_file},
        {"bios", true, take_file},
        {"append", true, take_keep},
        {"cpu", true, take_keep},
        {"smp", true, take_keep},
        {"uuid", true, take_keep},
        {"rtc", true, take_keep},
        {"vga", true, take_keep},
        {"k", true, take_keep},
        {"action", true, take_keep},
        {"watchdog-action", true, take_keep},
        {"sandbox", true, take_keep},
        {"numa", true, take_numa},
        {"smbios", true, take_smbios},
        {"fw_cfg", true, take_fw_cfg},
        {"boot", true, take_boot},
        {"nodefaults", false, take_flag},
        {"no-user-config", false, take_flag},
        {"nouserconfig", false, take_flag},
        {"no-hpet", false, take_flag},
        {"no-acpi", false, take_flag},
        {"no-reboot", false, take_flag},
        {"no-shutdown", false, take_flag},
        {"no-fd-bootchk", false, take_flag},
        {"usb", false, take_flag},
        {"serial", true, take_serial},
        {"parallel", true, take_serial},
        {"chardev", true, take_chardev},
        /* The source's own business: replaced or left out. */
        {"nographic", false, take_nographic},
        {"accel", true, take_accel},
        {"enable-kvm", false, take_drop},
        {"name", true, take_drop},
        {"qmp", true, take_drop},
        {"qmp-pretty", true, take_drop},
        {"mon", true, take_drop},
        {"monitor", true, take_drop},
        {"display", true, take_drop},
        {"vnc", true, take_drop},
        {"pidfile", true, take_drop},
        {"daemonize", false, take_drop},
        {"S", false, take_drop},
        {"incoming", true, take_drop},
        {"D", true, take_drop},
        {"d", true, take_drop},
        {"trace", true, take_drop},
        {"msg", true, take_drop},
        {"overcommit", true, take_overcommit},
        {"compat", true, take_drop},
};

static const struct row *find_row(const char *option)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].option, option) == 0)
			return &rows[i];
	return NULL;
}

static int take_all(struct build *b)
{
	const json_t *argv = json_object_get(b->spec, "argv");
	size_t count = json_array_size(argv);
	int rc = 0;

	for (size_t i = 1; i < count && rc == 0; i++) {
		const char *text = json_string_value(json_array_get(argv, i)), *value = NULL;
		const struct row *row;

		if (text[0] != '-')
			return REFUSE(
			        b, "The destination does not accept the bare argument \"%.60s\".",
			        text);
		text += text[1] == '-' ? 2 : 1;
		row = find_row(text);
		if (!row)
			return REFUSE(b, "The destination does not accept the QEMU option -%.60s.",
			              text);
		if (row->value && i + 1 == count)
			return REFUSE(b, "The QEMU option -%s has no value.", text);
		if (row->value)
			value = json_string_value(json_array_get(argv, ++i));
		b->option = row->option;
		rc = row->take(b, value);
	}
	return rc;
}

static int add_machine(struct build *b)
{
	const char *machine = json_string_value(json_object_get(b->spec, "machine"));
	_cleanup_options_ struct gw_options o = {0};

	if (gw_options_set(&o, "type", machine) < 0 ||
	    gw_options_set(&o, "memory-backend", b->backend) < 0)
		return gw_fail(b->error, ENOMEM, "Out of memory.");
	return push_pairs(b, "machine", &o);
}

static int add_ram(struct build *b)
{
	const json_t *ram = json_object_get(b->spec, "ram");
	_cleanup_options_ struct gw_options o = {0};
	char bytes[32], mib[32];
	json_int_t size = json_integer_value(json_object_get(ram, "bytes"));

	(void)snprintf(bytes, sizeof(bytes), "%lld", (long long)size);
	(void)snprintf(mib, sizeof(mib), "%lldK", (long long)size >> 10);
	if (gw_options_set(&o, "qom-type", "memory-backend-file") < 0 ||
	    gw_options_set(&o, "id", b->backend) < 0 || gw_options_set(&o, "size", bytes) < 0 ||
	    gw_options_set(&o, "mem-path", b->host->ram_path) < 0 ||
	    gw_options_set(&o, "share", "on") < 0)
		return gw_fail(b->error, ENOMEM, "Out of memory.");
	push_option(b, "m", mib);
	return push_pairs(b, "object", &o);
}

static int add_control(struct build *b)
{
	_cleanup_options_ struct gw_options o = {0};

	if (gw_options_set(&o, "backend", "socket") < 0 ||
	    gw_options_set(&o, "id", CONTROL_ID) < 0 ||
	    gw_options_set(&o, "path", b->host->qmp_path) < 0 ||
	    gw_options_set(&o, "server", "on") < 0 || gw_options_set(&o, "wait", "off") < 0)
		return gw_fail(b->error, ENOMEM, "Out of memory.");
	push_option(b, "mon", "chardev=" CONTROL_ID ",mode=control");
	return push_pairs(b, "chardev", &o);
}

/* Device state of KVM and of TCG differ: the destination goes on with what the source has. */
static void add_accelerator(struct build *b)
{
	char kvm[32];

	(void)snprintf(kvm, sizeof(kvm), "kvm%s%s", b->irqchip[0] ? ",kernel-irqchip=" : "",
	               b->irqchip);
	push_option(b, "accel", runs_under_kvm(b) ? kvm : "tcg,thread=multi");
}

static int add_ours(struct build *b)
{
	int rc = add_machine(b);

	if (rc == 0)
		rc = add_ram(b);
	if (rc == 0)
		rc = add_control(b);
	push_option(b, "name", b->host->name);
	add_accelerator(b);
	push_option(b, "display", "none");
	push_option(b, "monitor", "none");
	if (b->nographic && !b->serials && !b->nodefaults) {
		b->option = "serial";
		(void)take_serial(b, "stdio");
	}
	push_option(b, "S", NULL);
	push_option(b, "incoming", "defer");
	return rc;
}

int gw_spec_destination_argv(const json_t *spec, const struct gw_spec_host *host, json_t **argv,
                             struct gw_error *error)
{
	struct build b = {.spec = spec,
	                  .host = host,
	                  .backend = json_string_value(
	                          json_object_get(json_object_get(spec, "ram"), "backend")),
	                  .argv = json_array(),
	                  .error = error};
	int rc = gw_name_check(host->name, error);

	*argv = NULL;
	push(&b, host->qemu);
	if (rc == 0)
		rc = take_all(&b);
	if (rc == 0 && b.backends != 1)
		rc = REFUSE(&b, "The destination finds no -object memory-backend-file,id=%s.",
		            b.backend);
	if (rc == 0)
		rc = add_ours(&b);
	if (rc < 0)
		json_decref(b.argv);
	else
		*argv = b.argv;
	return rc;
}

char **gw_spec_strings(const json_t *argv)
{
	size_t count = json_array_size(argv);
	char **strings = calloc(count + 1, sizeof(*strings));

	for (size_t i = 0; strings && i < count; i++)
		strings[i] = (char *)json_string_value(json_array_get(argv, i));
	return strings;
}
