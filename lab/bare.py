# SPDX-License-Identifier: MIT
"""lab/bare.py - the bare guest: how QEMU starts it, and what it says of itself in its memory file."""

import collections
import fcntl
import os
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STATUS = 0x6000  # in its memory, as guest/bare/guest.c has it
MAGIC = 0x42574721
HEAD = struct.Struct("<11I20x")
RATE = 40  # where in it
CPU = struct.Struct("<6I8x")
ERRORS = ("none", "a page is wrong", "the two tables differ", "the TSC went back",
          "KVM's clock went back", "KVM's steal time went back", "an exception")
KVM_CREATE_VM = 0xae01
FIRMWARE = "/usr/share/qemu/qboot.rom"  # boots at once where KVM emulates; SeaBIOS takes seconds

Cpu = collections.namedtuple("Cpu", "written compared rounds ticks errors started")


class Status:
    """The guest's own account: `errors` is what it found wrong, `error` the first one in words."""

    def __init__(self, data):
        (self.magic, self.boots, cpus, self.pages, self.kvm, self.pit_ticks, error, page, found,
         expected, self.rate) = HEAD.unpack_from(data)
        self.cpus = [Cpu(*CPU.unpack_from(data, HEAD.size + i * CPU.size))
                     for i in range(min(cpus, 4))]
        self.error = None
        if error:
            self.error = (f"{ERRORS[min(error, len(ERRORS) - 1)]}: page {page} is {found:#x}, "
                          f"should be {expected:#x}")

    @property
    def up(self):
        return self.magic == MAGIC

    def total(self, what):
        return sum(getattr(cpu, what) for cpu in self.cpus)

    @property
    def errors(self):
        return self.total("errors")


def status(ram_path):
    """From the memory file, of a guest that runs or stands; read, not mapped: a hole stays one."""
    with open(ram_path, "rb") as file:
        return Status(os.pread(file.fileno(), HEAD.size + 4 * CPU.size, STATUS))


def set_rate(ram_path, rate):
    """Pages written a second from now on. Not during a move: a write from outside is not seen."""
    with open(ram_path, "r+b") as file:
        os.pwrite(file.fileno(), struct.pack("<I", rate), STATUS + RATE)


def accelerator():
    """'kvm' where /dev/kvm makes a VM, whatever is behind it; else TCG."""
    wanted = os.environ.get("GODWIT_ACCEL")
    if wanted:
        return wanted
    try:
        with open("/dev/kvm", "r+b", buffering=0) as kvm:
            os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
    except OSError:
        return "tcg,thread=multi"
    return "kvm"


def arguments(image, accel=None, machine="q35", memory="64M", cpus=1, serial=None, ram_path=None,
              options=None):
    """QEMU's arguments, without the program's name; ram_path as for lab.guest."""
    words = [f"{key}={value}" for key, value in {"cpus": cpus, **(options or {})}.items()]
    ram = []
    if ram_path:
        machine += ",memory-backend=ram0"
        ram = ["-object", f"memory-backend-file,id=ram0,size={memory},mem-path={ram_path},share=on"]
    return ["-machine", machine, *ram, "-accel", accel or accelerator(), "-m", memory,
            "-smp", str(cpus), "-nodefaults", "-display", "none", "-kernel", image,
            "-append", " ".join(words), *(["-bios", FIRMWARE] if os.path.exists(FIRMWARE) else []),
            *(["-serial", f"file:{serial}"] if serial else [])]
