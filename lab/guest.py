# SPDX-License-Identifier: MIT
"""lab/guest.py - the small Linux guest: how it is built, and how QEMU starts it."""

import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QEMU = "qemu-system-x86_64"
MAC = "52:54:00:10:77:02"
READY = "godwit guest ready"


class GuestError(Exception):
    """One sentence: what is wrong and what to do."""


def why_no_qemu():
    """None where the guest can run; else one sentence."""
    if not shutil.which(QEMU):
        return f"{QEMU} is missing (package qemu-system-x86)"
    return None


def build(folder=None):
    """Makes the guest's kernel and initramfs, if that is not done yet; the folder they are in."""
    folder = (folder or os.environ.get("GODWIT_GUEST_DIR")
              or os.path.join(ROOT, "build", "guest-linux"))
    done = subprocess.run([os.path.join(ROOT, "guest", "linux", "build.sh"), folder],
                          capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise GuestError(said[-1] if said else "the guest could not be built")
    return folder


def accelerator():
    """'kvm' where the processor itself virtualises and we may use it, else TCG.

    A /dev/kvm on a processor without vmx or svm is emulated, too slow to boot a stock kernel.
    """
    wanted = os.environ.get("GODWIT_ACCEL")
    if wanted:
        return wanted
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            capable = re.search(r"\b(vmx|svm)\b", file.read())
        with open("/dev/kvm", "r+b", buffering=0):
            pass
    except OSError:
        capable = None
    return "kvm" if capable else "tcg,thread=multi"


def arguments(folder, netdev=None, memory="512M", cpus=1, serial=None, ram_path=None, disk=None,
              options=None, mac=MAC, kernel=()):
    """QEMU's arguments, without the program's name, for a guest that can be moved.

    netdev: from Host.netdev() (its id is net0); serial: a file to which the console is appended;
    ram_path: a shared file for the memory, where nobody else (`godwit run`) adds one; disk: a raw
    image, with direct I/O; options: the workload's, such as {"ws": "64M", "rate": 2000}; mac: where
    several guests share a network, each has its own; kernel: more words for the kernel.
    """
    words = ["console=ttyS0", "quiet", "mitigations=off", *kernel]
    words += [f"godwit.{key}={value}" for key, value in (options or {}).items()]
    machine = "q35,memory-backend=ram0" if ram_path else "q35"
    result = ["-machine", machine, "-accel", accelerator(), "-m", memory, "-smp", str(cpus),
              "-nodefaults", "-display", "none",
              "-kernel", os.path.join(folder, "vmlinuz"),
              "-initrd", os.path.join(folder, "initrd.img"), "-append", " ".join(words),
              "-device", "pvpanic"]
    if ram_path:
        result += ["-object",
                   f"memory-backend-file,id=ram0,size={memory},mem-path={ram_path},share=on"]
    if serial:
        result += ["-chardev", f"file,id=console,path={serial},append=on",
                   "-serial", "chardev:console"]
    if netdev:
        result += ["-netdev", netdev,
                   "-device", f"virtio-net-pci,netdev=net0,mac={mac},romfile="]
    if disk:
        result += ["-blockdev", "driver=raw,node-name=disk0,cache.direct=on,"
                   f"file.driver=file,file.filename={disk},file.cache.direct=on",
                   "-device", "virtio-blk-pci,drive=disk0"]
    return result
