# SPDX-License-Identifier: MIT
"""guest/linux/build.sh on other archives than this machine's: a made-up apt."""

import os
import shutil
import subprocess
import tempfile
import unittest

from support import ROOT, main
from tests import keeper

APT_CACHE = """#!/bin/sh
for package; do :; done
cat "{archive}/$package.show" 2>/dev/null
"""
APT_GET = """#!/bin/sh
[ "$1" = download ] || exit 0
[ -d "{archive}/$2" ] || {{ echo "E: Unable to locate package $2" >&2; exit 100; }}
dpkg-deb --root-owner-group -b "{archive}/$2" . >/dev/null
"""


class BuildTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="godwit-build-")
        keeper.keep(self.folder)
        self.addCleanup(shutil.rmtree, self.folder)
        self.archive, self.out = self.at("archive"), self.at("out")
        for name, text in (("apt-cache", APT_CACHE), ("apt-get", APT_GET)):
            path = self.write(f"bin/{name}", text.format(archive=self.archive))
            os.chmod(path, 0o755)

    def at(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, path, data):
        path = self.at(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def package(self, name, depends, files):
        self.write(f"archive/{name}.show", f"Package: {name}\nDepends: {depends}\n")
        self.write(f"archive/{name}/DEBIAN/control", f"Package: {name}\nVersion: 1\n"
                   "Architecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: x\n")
        for path, data in files.items():
            self.write(f"archive/{name}/{path}", data)

    def module(self, depends):
        return b"\x7fELF\0depends=" + depends.encode() + b"\0name=x\0"

    def build(self):
        path = self.at("bin") + ":" + os.environ["PATH"]
        return subprocess.run([os.path.join(ROOT, "guest/linux/build.sh"), self.out],
                              env={**os.environ, "PATH": path}, capture_output=True, text=True)

    def order(self):
        with open(os.path.join(self.out, "modules/order"), encoding="utf-8") as file:
            return file.read().split()

    def ubuntu(self):
        """The image and its modules in two packages, some drivers built in, the others packed."""
        tree = "lib/modules/6.8.0-9-generic"
        packed = subprocess.run(["xz", "-c"], input=self.module("net_failover,virtio-core"),
                                capture_output=True, check=True).stdout
        self.package("linux-image-virtual", "linux-image-6.8.0-9-generic, other (>= 2)", {})
        self.package("linux-image-6.8.0-9-generic", "kmod, linux-modules-6.8.0-9-generic | x",
                     {"boot/vmlinuz-6.8.0-9-generic": "a kernel"})
        self.package("linux-modules-6.8.0-9-generic", "", {
            f"{tree}/modules.builtin": "kernel/drivers/virtio/virtio_pci.ko\n"
                                       "kernel/drivers/block/virtio_blk.ko\n",
            f"{tree}/kernel/net/virtio_net.ko.xz": packed,
            f"{tree}/kernel/net/net_failover.ko": self.module("failover"),
            f"{tree}/kernel/net/failover.ko": self.module(""),
            f"{tree}/kernel/virtio-core.ko": self.module("failover"),
        })

    def test_split_packages_builtin_drivers_and_packed_modules(self):
        self.ubuntu()
        done = self.build()
        self.assertEqual(done.returncode, 0, done.stderr)
        order = self.order()
        self.assertEqual(sorted(order), ["failover.ko", "net_failover.ko", "virtio-core.ko",
                                         "virtio_net.ko"])
        self.assertEqual(order[0], "failover.ko")
        self.assertEqual(order[-1], "virtio_net.ko")
        with open(os.path.join(self.out, "modules/virtio_net.ko"), "rb") as file:
            self.assertEqual(file.read(), self.module("net_failover,virtio-core"))
        with open(os.path.join(self.out, "vmlinuz"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "a kernel")
        # Nothing is done twice: without an archive it still has all it needs.
        shutil.rmtree(self.archive)
        made = os.stat(os.path.join(self.out, "initrd.img")).st_mtime_ns
        self.assertEqual(self.build().returncode, 0)
        self.assertEqual(os.stat(os.path.join(self.out, "initrd.img")).st_mtime_ns, made)
        self.assertEqual([n for n in os.listdir(self.out) if n.startswith("work")], [])

    def fails_saying(self, words):
        done = self.build()
        self.assertEqual(done.returncode, 1)
        self.assertIn(words, done.stderr.strip().splitlines()[-1])
        self.assertFalse(os.path.exists(os.path.join(self.out, "initrd.img")))
        self.assertEqual([n for n in os.listdir(self.out) if n.startswith("work")], [])

    def test_no_kernel_package_is_said(self):
        self.fails_saying("no kernel package is known to apt")

    def test_a_failed_download_is_said(self):
        self.ubuntu()
        shutil.rmtree(os.path.join(self.archive, "linux-modules-6.8.0-9-generic"))
        self.fails_saying("could not download linux-modules-6.8.0-9-generic")

    def test_a_kernel_without_a_needed_driver_is_said(self):
        self.ubuntu()
        os.unlink(self.at("archive/linux-modules-6.8.0-9-generic/lib/modules/6.8.0-9-generic/"
                          "modules.builtin"))
        self.fails_saying("has no module virtio_pci")


if __name__ == "__main__":
    missing = [tool for tool in ("dpkg-deb", "dpkg", "xz") if not shutil.which(tool)]
    main(f"{missing[0]} is missing" if missing else None)
