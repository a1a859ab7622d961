# SPDX-License-Identifier: MIT
"""tests/lab/forbid.py CALL... -- PROGRAM... - runs a program to which the kernel refuses system
calls (EPERM), as containers do; what the program starts is refused them, too. x86-64."""

import ctypes
import os
import struct
import sys

CALLS = {"ptrace": 101, "mount": 165, "unshare": 272, "setns": 308, "userfaultfd": 323,
         "pidfd_getfd": 438}
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
REFUSE, ALLOW = 0x00050001, 0x7FFF0000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def forbid(names):
    """This process, and all that it starts, from here on."""
    rules = [(LOAD, 0, 0, 0)]
    for name in names:
        rules += [(EQUAL, 0, 1, CALLS[name]), (RETURN, 0, 0, REFUSE)]
    rules.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0)):
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


if __name__ == "__main__":
    split = sys.argv.index("--")
    forbid(sys.argv[1:split])
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])
