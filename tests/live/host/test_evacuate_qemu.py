#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real Linux VMs on taps leave a host together over a device with traffic classes.

Two VMs boot once and go to and fro, each serving a client all the time. What is looked at are
counters and configuration, not times.
"""
import json
import os
import re
import time
import unittest

from rig import BUILD, eventually, kill, main, why_not
from lab import guest
from lab.lab import qmp, why_no_namespaces
from lab.shared import UPLINK, SharedLab, Tenants

RATE = "400mbit"
VMS = {"calm": {"ws": "1M", "rate": 10}, "web": {"ws": "4M", "rate": 500}}  # by their slots
STREAM = {"calm": 1000, "web": 500000}  # bytes a second that its client takes


class Evacuation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(SharedLab(RATE))
        cls.vms = cls.enterClassContext(Tenants(cls.lab, BUILD, VMS))
        cls.clients = {name: cls.enterClassContext(cls.vms.stream(name, rate))
                       for name, rate in STREAM.items()}

    # -- what is at a host --

    def at(self, host, *words):
        return host.run(list(words), capture_output=True, text=True).stdout

    def configuration(self, host):
        """All queue disciplines and filters of a host's, without their counters."""
        devices = [UPLINK, "vmbr", *(self.vms.tap(name) for name in VMS)]
        text = self.at(host, "tc", "qdisc", "show")
        for device in devices:
            for where in ("root", "ingress", "egress"):
                text += self.at(host, "tc", "filter", "show", "dev", device, where)
        return re.sub(r"direct_packets_stat \d+", "", text)

    def sent(self, host):
        """Bytes by class of the tree at the uplink."""
        shown = self.at(host, "tc", "-s", "class", "show", "dev", UPLINK)
        return {int(minor, 16): int(sent) for minor, sent in
                re.findall(r"class htb 474d:(\w+) .*?Sent (\d+) bytes", shown, re.DOTALL)}

    def runs_at(self, host, name):
        path = os.path.join(self.lab.path(host.name), name, "qmp.sock")
        return os.path.exists(path) and qmp(path, "query-status")["status"] == "running"

    # -- from a to b, or from there back --

    def begin(self, *words, source):
        self.json = self.lab.path("evacuation.json")
        self.log = self.lab.path("evacuation.log")
        self.source, self.target = source, self.vms.other(source)
        with open(self.log, "w", encoding="utf-8") as log:
            return self.vms.godwit(source, "evacuate", *words, "--to", self.vms.agent(self.target),
                                   "--device", UPLINK, "--bandwidth", "320mbit", "--observe",
                                   "300ms", "--verify", "--json", self.json,
                                   stdout=log, stderr=log)

    def said(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def arrive(self, process, *names):
        """They are at the other host, whole, and all clients are served."""
        self.assertEqual(process.wait(120), 0, self.said())
        with open(self.json, encoding="utf-8") as file:
            result = json.load(file)
        self.assertEqual([vm["name"] for vm in result["vms"]], list(names))
        for vm in result["vms"]:
            self.assertEqual(vm["outcome"], "moved", self.said())
            self.assertEqual(vm["result"]["verified"]["pages_different"], 0)
            self.assertGreater(vm["result"]["verified"]["pages_compared"], 1000)
            self.assertTrue(self.runs_at(self.target, vm["name"]))
            self.assertFalse(self.runs_at(self.source, vm["name"]))
        self.is_served()
        return result

    def is_served(self):
        for name, client in self.clients.items():
            answers, taken = len(client.answers), self.taken(name)
            self.assertTrue(eventually(lambda: len(client.answers) > answers + 10 and
                                       self.taken(name) > taken + STREAM[name] / 10), name)
            self.assertIsNone(client.lost)

    def taken(self, name):
        return sum(count for _, count in list(self.clients[name].got))

    # -- tests, in the order of their names --

    def test_1_each_has_its_class(self):
        before, taken, most = self.configuration(self.lab.a), self.taken("web"), {}
        process = self.begin("--carries", RATE, "--sharing", "nrac-wc", "--priority", "web=1",
                             source=self.lab.a)
        while process.poll() is None:
            most = self.sent(self.lab.a) or most
            time.sleep(0.02)
        result = self.arrive(process, *VMS)
        self.assertEqual(self.configuration(self.lab.a), before)
        self.assertEqual(result["traffic_control"],
                         f"classes of traffic on {UPLINK}, which is held to 400 Mbit/s")
        self.assertIn("note: " + result["traffic_control"], self.said())
        for slot, vm in enumerate(result["vms"]):
            urgent, bulk, own = (most[0x100 + 4 * slot + part] for part in (1, 2, 3))
            link = vm["result"]["bytes_on_link"]
            with self.subTest(vm["name"], urgent=urgent, bulk=bulk, link=link, own=own):
                self.assertTrue(0.7 * link < urgent + bulk < 1.3 * link)
                self.assertGreater(own, 0)
        self.assertGreater(most[0x107], 3 * most[0x103])
        self.assertLess(most[0x107], 3 * (self.taken("web") - taken))
        self.assertLess(most[2], 200000)

    def test_2_left_by_a_crash(self):
        before = self.configuration(self.lab.b)
        process = self.begin("calm", "--carries", "20mbit", source=self.lab.b)
        self.assertTrue(eventually(lambda: self.sent(self.lab.b).get(0x102, 0) > 500000),
                        self.said())
        kill(process.pid)
        process.wait()
        self.assertIn(f"htb 474d: dev {UPLINK} root", self.configuration(self.lab.b))
        self.is_served()
        self.assertTrue(eventually(lambda: self.runs_at(self.lab.b, "calm")))
        self.arrive(self.begin("calm", "--carries", RATE, source=self.lab.b), "calm")
        self.assertEqual(self.configuration(self.lab.b), before)

    def test_3_an_operators_own(self):
        for words in ("qdisc add dev %s root handle 1: htb default 10",
                      "class add dev %s parent 1: classid 1:10 htb rate 400mbit"):
            self.at(self.lab.a, "tc", *(words % UPLINK).split())
        before = self.configuration(self.lab.a) + self.classes()
        process = self.begin("calm", "--carries", RATE, source=self.lab.a)
        self.assertTrue(eventually(lambda: "note: " in self.said()))
        self.assertEqual(self.configuration(self.lab.a) + self.classes(), before)
        result = self.arrive(process, "calm")
        self.assertEqual(self.configuration(self.lab.a) + self.classes(), before)
        self.assertRegex(result["traffic_control"],
                         f"not enforced.*{UPLINK} has a traffic control of its own .htb")

    def classes(self):
        return self.at(self.lab.a, "tc", "class", "show", "dev", UPLINK)


if __name__ == "__main__":
    main(guest.why_no_qemu() or why_not() or why_no_namespaces())
