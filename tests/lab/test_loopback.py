# SPDX-License-Identifier: MIT
"""Without any rights the guest still boots, answers and checks its memory."""

import os
import subprocess
import unittest

from support import eventually, main
from lab import guest
from lab.client import wait_for_guest
from lab.lab import LoopbackLab


class LoopbackGuestTest(unittest.TestCase):
    def test_a_guest_on_each_host_answers_at_its_own_address(self):
        folder = guest.build()
        with LoopbackLab() as lab:
            clients = []
            for host in lab.hosts:
                ram = lab.shm(f"ram-{host.name}")
                arguments = guest.arguments(folder, netdev=host.netdev(), memory="192M",
                                            ram_path=ram, options={"ws": "4M", "sweep": 4000})
                qemu = host.popen([guest.QEMU, *arguments], stderr=subprocess.DEVNULL)
                clients.append(wait_for_guest(*host.guest_address(), netns=lab.client.netns))
                self.addCleanup(clients[-1].close)
            for client in clients:
                self.assertTrue(eventually(lambda: client.command("ping")["rounds"] > 0))
                self.assertEqual(client.command("ping")["errors"], 0)
            # They are two: the end of one is not the end of the other.
            lab.stop(qemu)
            self.assertTrue(clients[1].wait_lost(60))
            self.assertIsNotNone(clients[0].command("ping"))
            self.assertIsNone(clients[0].lost)
        self.assertFalse(os.path.exists(ram))


if __name__ == "__main__":
    main(guest.why_no_qemu())
