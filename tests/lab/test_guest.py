# SPDX-License-Identifier: MIT
"""The small guest boots, answers its client, and finds what is wrong with its memory."""

import json
import os
import subprocess
import sys
import time
import unittest

from support import ROOT, Qmp, eventually, main
from lab import guest
from lab.client import wait_for_guest
from lab.lab import Lab, free_port, why_no_namespaces


class GuestTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = guest.build()
        cls.lab = Lab().open()
        cls.addClassCleanup(cls.lab.close)
        for host in cls.lab.hosts:
            host.tap()

    def start(self, host, name, more=(), disk=None, **options):
        """A QEMU on a host, and the path of its control socket."""
        control = self.lab.path(name + ".qmp")
        arguments = guest.arguments(self.folder, netdev=host.netdev(), memory="256M", disk=disk,
                                    serial=self.lab.path(name + ".serial"),
                                    options={"ws": "8M", "alloc": "16M", "sweep": 4000, **options})
        qemu = host.popen([guest.QEMU, *arguments, "-qmp", f"unix:{control},server,nowait", *more],
                          stderr=subprocess.DEVNULL)
        self.addCleanup(self.lab.stop, qemu)
        return qemu, control

    def boot(self, **options):
        name = self.id().rpartition(".")[2]
        qemu, control = self.start(self.lab.a, name, **options)
        client = wait_for_guest(*self.lab.a.guest_address(), netns=self.lab.client.netns)
        self.addCleanup(client.close)
        with open(self.lab.path(name + ".serial"), encoding="utf-8", errors="replace") as file:
            self.assertIn(guest.READY, file.read())
        return qemu, client, control

    def rounds(self, client, more):
        """Waits until all memory was verified so many times from now on."""
        target = client.command("ping")["rounds"] + more
        self.assertTrue(eventually(lambda: client.command("ping")["rounds"] >= target, 60))

    def test_its_check_finds_one_planted_error_and_no_other(self):
        qemu, client, _ = self.boot(rate=2000)
        self.rounds(client, 1)
        answer = client.command("ping")
        self.assertGreater(answer["writes"], 0)
        self.assertEqual(answer["errors"], 0)
        client.command("corrupt")
        self.rounds(client, 2)
        self.assertEqual(client.command("ping")["errors"], 1)
        # Without a rewriter the sweep finds it.
        client.command("pattern idle")
        idle = client.command("ping")["writes"]
        client.command("corrupt")
        self.rounds(client, 2)
        answer = client.command("ping")
        self.assertEqual(answer["errors"], 2)
        self.assertEqual(answer["writes"], idle)
        self.assertIn("error", client.command("corupt"))
        self.assertIn("error", client.command("rate fast"))
        for pattern in ("sequential", "locality", "random"):
            with self.subTest(pattern=pattern):
                before = client.command(f"pattern {pattern}")["writes"]
                self.assertTrue(eventually(lambda: client.command("ping")["writes"] > before))
        self.rounds(client, 1)
        self.assertEqual(client.command("ping")["errors"], 2)
        # The last word, and then nothing more: the client says that it lost its guest.
        self.assertEqual(client.command("poweroff")["command"], "poweroff")
        self.assertEqual(qemu.wait(60), 0)
        self.assertTrue(client.wait_lost(60))
        self.assertTrue(client.report()["lost"])

    def test_the_client_sees_a_pause_that_the_guest_does_not(self):
        _, client, control = self.boot(pattern="locality")
        client.mark()
        qmp = Qmp(control)
        self.addCleanup(qmp.close)
        qmp.execute("stop")
        time.sleep(4)
        qmp.execute("cont")
        report = client.mark()
        self.assertGreaterEqual(report["longest_silence_ns"], 3_900_000_000)
        self.assertLess(report["guest"]["gap_us"], 3_900_000)
        self.assertGreater(report["pings"], 0)
        self.assertEqual(report["guest"]["errors"], 0)
        self.assertFalse(report["lost"])

    def test_the_clients_connection_follows_the_guest_to_the_other_host(self):
        """QEMU's own migration: what is tested is the network around it."""
        _, client, control = self.boot(rate=500)
        port = self.lab.b.call(lambda: free_port(self.lab.b.ip))
        uri = f"tcp:{self.lab.b.ip}:{port}"
        _, incoming = self.start(self.lab.b, "incoming", ["-incoming", uri], rate=500)
        self.assertTrue(eventually(lambda: os.path.exists(incoming)))
        destination = Qmp(incoming)
        self.addCleanup(destination.close)
        self.assertEqual(destination.execute("query-status")["status"], "inmigrate")
        carried, before = self.lab.link_bytes(self.lab.b), client.command("ping")
        source = Qmp(control)
        self.addCleanup(source.close)
        source.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 30})
        source.execute("migrate", uri=uri)
        migration = lambda: source.execute("query-migrate")
        over = lambda: migration().get("status") in ("completed", "failed")
        self.assertTrue(eventually(over, 60))
        self.assertEqual(migration()["status"], "completed", migration())
        self.assertTrue(eventually(lambda: destination.execute("query-status")["running"]))
        self.assertFalse(source.execute("query-status")["running"])
        self.rounds(client, 1)
        after = client.command("ping")
        self.assertGreater(after["writes"], before["writes"])
        self.assertEqual(after["errors"], 0)
        self.assertFalse(client.report()["lost"])
        # All of the workload's memory went over the limited link, none of it can be compressed.
        self.assertGreater(self.lab.link_bytes(self.lab.b) - carried, 16 << 20)

    def test_it_panics_and_resets_when_told_to(self):
        _, client, control = self.boot(more=["-action", "panic=pause"])
        qmp = Qmp(control)
        self.addCleanup(qmp.close)
        self.assertEqual(client.command("panic")["command"], "panic")
        status = lambda: qmp.execute("query-status")["status"]
        self.assertTrue(eventually(lambda: status() == "guest-panicked"))
        qmp.execute("system_reset")
        qmp.execute("cont")
        again = wait_for_guest(*self.lab.a.guest_address(), netns=self.lab.client.netns)
        self.addCleanup(again.close)
        qmp.execute("set-action", reboot="shutdown", shutdown="pause")
        self.assertEqual(again.command("reset")["command"], "reset")
        self.assertTrue(eventually(lambda: status() == "shutdown"))

    def test_the_client_as_a_program(self):
        qemu, _, _ = self.boot()
        program = [sys.executable, os.path.join(ROOT, "lab", "client.py"),
                   *map(str, self.lab.a.guest_address())]
        done = self.lab.client.run(program, input="mark\nrate 7\ncorupt\nmark\n",
                                   capture_output=True, text=True)
        window, rate, wrong, second, whole = map(json.loads, done.stdout.splitlines())
        self.assertEqual(rate["rate"], 7)
        self.assertIn("error", wrong)
        self.assertGreaterEqual(whole["pings"], window["pings"] + second["pings"])
        self.assertFalse(whole["lost"])
        unreachable = self.lab.client.run([*program[:3], "1"], check=False, capture_output=True,
                                          text=True)
        self.assertEqual(unreachable.returncode, 1)
        self.assertIn("cannot reach", unreachable.stderr)
        path = self.lab.path("client.json")
        running = self.lab.client.popen([*program, "--seconds", "100", "--json", path])
        self.addCleanup(self.lab.stop, running)
        time.sleep(1)
        qemu.kill()
        qemu.wait()
        # Nobody tells the client that the guest is gone: it is told to end.
        running.terminate()
        running.wait(60)
        with open(path, encoding="utf-8") as file:
            self.assertGreater(json.load(file)["pings"], 0)

    def test_its_disk_is_written_and_verified(self):
        disk = self.lab.path("disk.raw")
        with open(disk, "wb") as file:
            file.truncate(4 << 20)
        _, client, _ = self.boot(disk=disk)
        client.command("disk 16")
        self.assertTrue(eventually(lambda: client.command("ping")["disk_ops"] >= 64))
        self.assertEqual(client.command("ping")["disk_errors"], 0)
        # Zeros in place of what was written must be found.
        zeros = bytes(4096 * 16)
        with open(disk, "r+b", buffering=0) as file:
            def damage():
                os.pwrite(file.fileno(), zeros, 0)
                return client.command("ping")["disk_errors"] > 0
            self.assertTrue(eventually(damage))


if __name__ == "__main__":
    main(guest.why_no_qemu() or why_no_namespaces())
