/* SPDX-License-Identifier: MIT */
#include "live/net/origin.h"

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/net/device.h"

/* Linux 6.6; older headers do not have them. */
#define TCX_INGRESS 46
#define TCX_NEXT    (-1)
#define BEFORE_ALL  (1u << 3) /* BPF_F_BEFORE, and before nobody in particular */

#define TC_INDEX ((__s16)offsetof(struct __sk_buff, tc_index))

static int ask(enum bpf_cmd command, union bpf_attr *attr, struct gw_error *error)
{
	long result = syscall(SYS_bpf, command, attr, sizeof(*attr));
	int err = errno;

	if (result >= 0)
		return (int)result;
	if (err == EPERM)
		return gw_fail(error, EPERM, "no right to use BPF: run as root (CAP_BPF)");
	if (err == EINVAL || err == ENOSYS)
		return gw_fail(error, EOPNOTSUPP, "a BPF program at a tap takes Linux 6.6");
	return gw_fail(error, err, "the BPF program at the tap: %s", strerror(err));
}

static int load(const struct bpf_insn *program, uint32_t count, struct gw_error *error)
{
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SCHED_CLS,
	                       .insns = (uintptr_t)program,
	                       .insn_cnt = count,
	                       .license = (uintptr_t) "MIT",
	                       .prog_name = "godwit_origin"};

	return ask(BPF_PROG_LOAD, &attr, error);
}

int gw_origin_write(const char *tap, uint16_t number, struct gw_error *error)
{
	const struct bpf_insn program[] = {
	        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = number},
	        {.code = BPF_STX | BPF_MEM | BPF_W,
	         .dst_reg = BPF_REG_1,
	         .src_reg = BPF_REG_2,
	         .off = TC_INDEX},
	        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TCX_NEXT},
	        {.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {.link_create = {.attach_type = TCX_INGRESS, .flags = BEFORE_ALL}};
	_cleanup_close_ int fd = -1;

	attr.link_create.target_ifindex = if_nametoindex(tap);
	if (!attr.link_create.target_ifindex)
		return gw_fail(error, ENODEV, "there is no device %s on this host", tap);
	if (gw_device_has_ingress((int)attr.link_create.target_ifindex))
		return gw_fail(error, EOPNOTSUPP, "%s has filters of its own (ingress)", tap);
	fd = load(program, sizeof(program) / sizeof(program[0]), error);
	if (fd < 0)
		return fd;
	attr.link_create.prog_fd = (uint32_t)fd;
	return ask(BPF_LINK_CREATE, &attr, error);
}

int gw_origin_read(uint32_t handle, struct gw_error *error)
{
	const struct bpf_insn program[] = {
	        {.code = BPF_LDX | BPF_MEM | BPF_W,
	         .dst_reg = BPF_REG_0,
	         .src_reg = BPF_REG_1,
	         .off = TC_INDEX},
	        /* No number: no class. */
	        {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 1},
	        {.code = BPF_ALU | BPF_OR | BPF_K, .dst_reg = BPF_REG_0, .imm = (__s32)handle},
	        {.code = BPF_JMP | BPF_EXIT},
	};

	return load(program, sizeof(program) / sizeof(program[0]), error);
}
