#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several native guests leave host a together, and what may go wrong with some of them.

Each test plans or carries out an evacuation through the program; each VM must in the end run in
exactly one place, whole.
"""
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest

from rig import GODWIT, Host, Rig, eventually, kill, main, why_not

LINK = "200mbit"


def address(host):
    return f"{host.address[0]}:{host.address[1]}"


class Evacuation(unittest.TestCase):
    def setUp(self):
        self.rig = Rig(self)
        self.rig.b.serve()

    def guests(self, count, pages=4096, **config):
        """vm0, vm1, ... at a; they have written all of their memory."""
        for number in range(count):
            self.rig.a.native(f"vm{number}", pages=pages, populate=pages,
                              **{"writes": 100, "set": 256, **config})
        for number in range(count):
            vm = self.rig.a.vm(f"vm{number}")
            self.assertTrue(eventually(lambda vm=vm: vm.state() == "running"))

    def third_host(self):
        host = Host(self.rig, "c")
        return host.serve()

    def command(self, *words, to=None, observe="300ms"):
        words = ["evacuate", *words, "--observe", observe, "--json",
                 os.path.join(self.rig.dir, "evacuation.json")]
        for host in to or [self.rig.b]:
            words += ["--to", host if isinstance(host, str) else address(host)]
        return words

    def evacuate(self, *words, status=0, **options):
        done = self.rig.a.run(*self.command(*words, "--bandwidth", LINK, **options), timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr + self.rig.story())
        lines = [line for line in done.stderr.splitlines() if line.startswith("godwit:")]
        self.assertEqual(len(lines), 1 if status else 0, done.stderr)
        return self.result(), done

    def result(self):
        with contextlib.suppress(OSError):
            with open(os.path.join(self.rig.dir, "evacuation.json"), encoding="utf-8") as file:
                return json.load(file)
        return None

    def of(self, result, name):
        return next(vm for vm in result["vms"] if vm["name"] == name)

    def outcomes(self, result):
        return [vm["outcome"] for vm in result["vms"]]

    def is_at(self, host, *names):
        hosts = [self.rig.a, self.rig.b] + ([self.c] if hasattr(self, "c") else [])
        for name in names:
            running = [h for h in hosts if h.vm(name).state() == "running"]
            self.assertEqual(running, [host], f"{name}: {self.rig.story()}")
            self.assertEqual(host.vm(name).verify()[1], 0)

    # -- what goes well --

    def test_all_of_them(self):
        self.guests(4)
        result, done = self.evacuate("--deadline", "10m", "--verify")
        self.assertEqual(self.outcomes(result), ["moved"] * 4)
        self.assertIn("host ", done.stdout)
        self.assertRegex(done.stdout, r"s, announced were .* s; unavailable for .* announced were")
        for vm in result["vms"]:
            self.assertEqual(vm["result"]["verified"]["pages_different"], 0)
            self.assertEqual(vm["host"], address(self.rig.b))
            self.assertLess(vm["begin_ns"], vm["end_ns"])
            self.assertLessEqual(vm["planned"]["soonest_ns"], vm["planned"]["end_ns"])
        self.is_at(self.rig.b, "vm0", "vm1", "vm2", "vm3")
        self.assertTrue(self.rig.a.is_clean(), self.rig.a.left())

    def test_a_plan_moves_nothing(self):
        self.guests(2)
        result, done = self.evacuate("--plan")
        self.assertEqual(self.outcomes(result), ["waits"] * 2)
        self.assertNotIn("total_time_ns", result)
        self.assertGreater(result["plan"]["end_ns"], 0)
        self.assertIn("vm1", done.stdout)
        self.is_at(self.rig.a, "vm0", "vm1")

    def test_more_files_than_a_shell_allows(self):
        self.guests(10, pages=256, vcpus=2)
        self.rig.a.within = ["prlimit", "--nofile=20:4096"]
        result, _ = self.evacuate("--plan")
        for vm in result["vms"]:
            self.assertGreater(vm["dirty_bytes_per_s"], 0, vm)

    def test_named_ones_by_priority(self):
        self.guests(3)
        result, _ = self.evacuate("vm0", "vm2", "--priority", "vm0=5", "--at-once", "1")
        first, last = self.of(result, "vm2"), self.of(result, "vm0")
        self.assertLessEqual(first["end_ns"], last["begin_ns"])
        self.is_at(self.rig.b, "vm0", "vm2")
        self.is_at(self.rig.a, "vm1")

    def test_one_at_a_time(self):
        self.guests(3)
        result, _ = self.evacuate("--at-once", "1", "--sharing", "fair")
        spans = sorted((vm["begin_ns"], vm["end_ns"]) for vm in result["vms"])
        for before, after in zip(spans, spans[1:]):
            self.assertLessEqual(before[1], after[0])

    def test_a_vms_own_limit(self):
        self.guests(2, pages=2048)
        result, _ = self.evacuate("--limit", "vm0=20mbit", "--sharing", "fair")
        slow = self.of(result, "vm0")["result"]
        for each in slow["rounds"]:
            if each["sent_pages"] >= 1024:
                self.assertLess(each["bandwidth_bytes_per_s"], 3000000)

    def test_every_sharing(self):
        for sharing in ("fair", "nrac-wc", "deadline"):
            with self.subTest(sharing):
                self.guests(2, pages=1024)
                self.evacuate("--sharing", sharing)
                self.is_at(self.rig.b, "vm0", "vm1")
                for name in ("vm0", "vm1"):
                    kill(self.rig.b.vm(name).pid)
                    eventually(lambda name=name: self.rig.b.vm(name).state() is None)
                    subprocess.run(["rm", "-rf", os.path.join(self.rig.b.dir, name)], check=True)

    def test_a_hot_one_is_pulled(self):
        """It writes more than the link carries: pre-copy would not end, by the estimate."""
        self.rig.a.native("calm", pages=2048, populate=2048, writes=100, set=256)
        self.rig.a.native("hot", pages=16384, populate=16384, writes=60000, set=8192)
        hot = self.rig.a.vm("hot")
        self.assertTrue(eventually(lambda: hot.operations() > 60000))
        result, done = self.evacuate(observe="1s")
        hot, calm = self.of(result, "hot"), self.of(result, "calm")
        self.assertTrue(hot["planned"]["estimated"])
        self.assertIn(hot["planned"]["policy"],
                      ("hybrid", "wws-hybrid", "sdf-hybrid", "postcopy"))
        self.assertEqual(hot["result"]["policy"], hot["planned"]["policy"])
        self.assertEqual(calm["result"]["policy"], "precopy")
        self.assertNotIn("announced", hot["result"], "it was estimated twice")
        self.assertLess(hot["result"]["observation_ns"], 2e9, "it was observed twice")
        for vm in (hot, calm):
            waits = vm["planned"]["unavailable_ns"]
            self.assertLessEqual(waits["low"], waits["middle"])
            self.assertLessEqual(waits["middle"], waits["high"])
        self.assertIn("unavailable for", done.stdout)
        self.is_at(self.rig.b, "calm", "hot")

    def test_one_policy_for_all(self):
        """Then only that one is estimated; auto is what the plan does by itself."""
        self.guests(2, pages=1024)
        result, _ = self.evacuate("vm0", "--policy", "postcopy")
        self.assertEqual(self.of(result, "vm0")["result"]["policy"], "postcopy")
        self.assertEqual(self.of(result, "vm0")["planned"]["policy"], "postcopy")
        result, _ = self.evacuate("vm1", "--policy", "auto")
        self.assertEqual(self.of(result, "vm1")["result"]["policy"], "precopy")

    def test_two_slower_ways(self):
        """Two hosts behind half of the link each: a VM to each of them at the same time."""
        self.guests(2)
        self.c = self.third_host()
        hosts = [address(self.rig.b), address(self.c)]
        links = [word for host in hosts for word in ("--link", f"{host}=100mbit")]
        result, _ = self.evacuate(*links, to=hosts)
        self.assertEqual(sorted(vm["host"] for vm in result["vms"]), sorted(hosts))
        first, second = sorted(result["vms"], key=lambda vm: vm["begin_ns"])
        self.assertLess(second["begin_ns"], first["end_ns"])
        self.assertLess(second["planned"]["begin_ns"], first["planned"]["end_ns"])
        for vm in result["vms"]:
            whole = max(vm["result"]["rounds"], key=lambda each: each["sent_pages"])
            self.assertLess(whole["bandwidth_bytes_per_s"], 14000000)

    def test_a_link_that_nobody_named(self):
        self.guests(3, pages=1024)
        done = self.rig.a.run(*self.command(), timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("which is assumed", done.stdout)
        self.is_at(self.rig.b, "vm0", "vm1", "vm2")

    def test_groups_are_kept_apart(self):
        self.guests(3, pages=1024)
        self.c = self.third_host()
        result, _ = self.evacuate("--apart", "vm0,vm1,vm2", to=[self.rig.b, self.c], status=1)
        moved = [vm for vm in result["vms"] if vm["outcome"] == "moved"]
        self.assertEqual(sorted(vm["host"] for vm in moved),
                         sorted([address(self.rig.b), address(self.c)]))
        left = next(vm for vm in result["vms"] if vm["outcome"] != "moved")
        self.assertEqual(left["outcome"], "stays")
        self.assertIn("group", left["reason"])
        self.is_at(self.rig.a, left["name"])

    # -- what does not --

    def test_a_failing_one_among_them(self):
        """Its name is taken at the other host, which nobody can know beforehand."""
        self.guests(3, pages=1024)
        self.rig.b.native("vm1", paused=True, pages=16)
        result, done = self.evacuate(status=1)
        self.assertEqual(self.outcomes(result), ["moved", "failed", "moved"])
        self.assertIn("1 of 3 VMs are still here", done.stderr)
        self.assertIn("note: vm1: ", done.stderr)
        self.is_at(self.rig.b, "vm0", "vm2")
        self.is_at(self.rig.a, "vm1")

    def test_what_one_host_refuses_another_takes(self):
        """The same, and a second host that has no VM of that name."""
        self.guests(1, pages=1024)
        self.c = self.third_host()
        for host in (self.rig.b, self.c):
            host.native("vm0", paused=True, pages=16)
        result, done = self.evacuate(to=[self.rig.b, self.c], status=1)
        self.assertEqual(self.of(result, "vm0")["result"]["obstacle"], "destination")
        self.assertIn("another host is tried", done.stderr)
        kill(self.c.vm("vm0").pid)
        eventually(lambda: self.c.vm("vm0").state() is None)
        subprocess.run(["rm", "-rf", os.path.join(self.c.dir, "vm0")], check=True)
        result, _ = self.evacuate(to=[self.rig.b, self.c])
        self.assertEqual(self.of(result, "vm0")["host"], address(self.c))
        self.assertEqual(self.c.vm("vm0").state(), "running")

    def test_what_fails_here_is_tried_nowhere_else(self):
        """Somebody aborts the move: that says nothing of the host."""
        self.guests(1, pages=8192)
        self.c = self.third_host()
        process = self.rig.a.popen(
            [GODWIT, *self.command("--bandwidth", "20mbit", to=[self.rig.b, self.c])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(eventually(lambda: self.rig.a.journals()))
        self.assertTrue(eventually(
            lambda: self.rig.a.run("abort", "vm0").returncode == 0))
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, out + err)
        self.assertNotIn("another host is tried", err)
        vm = self.of(self.result(), "vm0")
        self.assertEqual((vm["outcome"], vm["result"]["obstacle"]), ("failed", "source"))
        self.is_at(self.rig.a, "vm0")

    def test_a_host_that_goes_away(self):
        """Its agent ends during the move: the link is lost, and the other host takes the VM."""
        self.guests(1, pages=8192)
        self.c = self.third_host()
        process = self.rig.a.popen(
            [GODWIT, *self.command("--bandwidth", "50mbit", to=[self.rig.b, self.c])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(eventually(lambda: any(
            os.listdir(host.ram_dir) for host in (self.rig.b, self.c))))
        gone = self.rig.b if os.listdir(self.rig.b.ram_dir) else self.c
        stays = self.c if gone is self.rig.b else self.rig.b
        gone.stop_agent()
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, out + err)
        self.assertIn("another host is tried", err)
        self.assertEqual(self.of(self.result(), "vm0")["host"], address(stays))
        self.assertEqual(stays.vm("vm0").state(), "running")

    def test_one_that_cannot_be_moved(self):
        self.guests(3, pages=1024)
        with open(os.path.join(self.rig.a.dir, "vm1", "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result, done = self.evacuate(status=1)
        self.assertEqual(self.outcomes(result), ["moved", "stays", "moved"])
        self.assertIn("vm1 stays: ", done.stdout)
        self.is_at(self.rig.a, "vm1")

    def test_a_deadline_that_has_passed(self):
        self.guests(1, pages=1024)
        done = self.rig.a.run(*self.command("--deadline", "0s"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("has passed", done.stderr)
        self.is_at(self.rig.a, "vm0")

    def test_a_deadline_that_cannot_be_kept(self):
        self.guests(3)
        result, done = self.evacuate("--deadline", "400ms", "--plan")
        self.assertGreater(result["plan"]["late"], 0)
        self.assertIn("not by the deadline", done.stdout)
        self.assertIn("late: a deadline of ", done.stdout)
        result, done = self.evacuate("--deadline", "400ms", status=1)
        self.assertEqual(self.outcomes(result), ["moved"] * 3)
        self.assertIn("after the deadline", done.stderr)

    def test_a_host_that_does_not_answer(self):
        self.guests(2, pages=1024)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            dead = "127.0.0.1:%d" % nobody.getsockname()[1]
            _, done = self.evacuate(to=[dead], status=1)
            self.assertIn("nobody listens", done.stderr)
            self.is_at(self.rig.a, "vm0", "vm1")
            _, done = self.evacuate(to=[dead, self.rig.b])
            self.assertIn(f"host {dead} does not answer", done.stdout)
        self.is_at(self.rig.b, "vm0", "vm1")

    def test_a_destination_that_fills_up(self):
        """Its memory is a small tmpfs, which somebody else fills once the first VM is there."""
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.rig.b.ram_dir]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            self.skipTest("a file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.rig.b.ram_dir], check=False)
        self.guests(3, pages=4096)
        self.c = self.third_host()
        process = self.rig.a.popen(
            [GODWIT, *self.command("--at-once", "1", "--bandwidth", "50mbit", to=[self.rig.b])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(eventually(lambda: len(os.listdir(self.rig.b.ram_dir)) > 0))
        with open(os.path.join(self.rig.b.ram_dir, "somebody"), "wb") as file:
            with contextlib.suppress(OSError):
                for _ in range(40):
                    file.write(bytes(1 << 20))
                    file.flush()
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1, out + err)
        result = self.result()
        self.assertEqual(self.of(result, "vm0")["outcome"], "moved", out + err)
        left = [vm["name"] for vm in result["vms"] if vm["outcome"] != "moved"]
        self.assertTrue(left, out + err)
        self.is_at(self.rig.a, *left)
        self.evacuate(to=[self.rig.b, self.c])  # the same again, with another host
        self.is_at(self.c, *left)

    # -- stopped, and resumed --

    def test_stopped_and_resumed(self):
        self.guests(3, pages=8192)
        process = self.rig.a.popen(
            [GODWIT, *self.command("--at-once", "1", "--bandwidth", "100mbit")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(eventually(
            lambda: self.rig.b.vm("vm0").state() == "running" and self.rig.a.journals()))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, out + err)
        self.assertIn("the same command goes on", err)
        self.assertTrue(self.rig.a.no_open_question())
        result, _ = self.evacuate()
        self.assertNotIn("vm0", [vm["name"] for vm in result["vms"]])
        self.is_at(self.rig.b, "vm0", "vm1", "vm2")

    def test_killed_and_resumed(self):
        """kill -9: the moves that it had begun are called off by themselves."""
        self.guests(2, pages=8192)
        process = self.rig.a.popen([GODWIT, *self.command("--bandwidth", "50mbit")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertTrue(eventually(lambda: self.rig.a.journals()))
        time.sleep(0.3)
        kill(process.pid)
        self.assertTrue(self.rig.a.no_open_question())
        self.evacuate()
        self.is_at(self.rig.b, "vm0", "vm1")

    def test_an_interrupted_migration_is_gone_on_with(self):
        self.guests(2, pages=1024)
        move = self.rig.a.migrate("vm0", self.rig.b, fault="after-committed")
        self.assertTrue(move.held(), self.rig.story())
        kill(move.pid)
        move.wait()
        self.assertTrue(self.rig.a.journals())
        result, _ = self.evacuate()
        self.assertEqual(self.outcomes(result), ["moved"] * 2)
        self.is_at(self.rig.b, "vm0", "vm1")

    def test_bad_words(self):
        self.guests(1, pages=1024)
        for words, part in ((("--to", "b:port"), "b:port"), (("--sharing", "none"), "fair"),
                            (("--set", "x=1"), "settings"), (("--policy", "none"), "none"),
                            (("--limit", "vm0"), "NAME=VALUE"), (("--limit", "x=1mbit"), "x=1mbit"),
                            (("--apart", "vm0,x"), "no VM x"), (("--link", "x=1mbit"), "no --to"),
                            (("--link", "x"), "HOST=RATE"), (("--by", "vm0=soon"), "soon")):
            done = self.rig.a.run(*self.command(*words))
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(part, done.stderr)
        done = self.rig.a.run("evacuate")
        self.assertEqual(done.returncode, 2)
        done = self.rig.a.run(*self.command("nobody"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no VM is named nobody", done.stderr)

    def test_a_device_that_is_not_there(self):
        self.guests(1, pages=1024)
        done = self.rig.a.run(*self.command("--device", "no0"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("--device no0: there is no such device", done.stderr)

    # -- traffic control: the hosts are namespaces of their own, joined by a veth pair --

    def join(self, addresses=("10.78.0.1", "10.78.0.2")):
        """g0 is at a, g1 at b."""
        holders = {}
        self.rig.b.stop_agent()
        for host, own in zip((self.rig.a, self.rig.b), addresses):
            holder = self.rig.a.popen(["unshare", "-n", "sleep", "infinity"])
            self.assertTrue(eventually(lambda pid=holder.pid: os.readlink(
                f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")))
            holders[host] = str(holder.pid), own
        for host, (pid, own) in holders.items():
            host.within, host.listen = ["nsenter", "-n", "-t", pid], own
        self.at_a("ip", "link", "add", "g0", "type", "veth", "peer", "name", "g1", "netns",
                  holders[self.rig.b][0])
        for host, device in ((self.rig.a, "g0"), (self.rig.b, "g1")):
            own = [host.listen + "/24"]
            if ":" in host.listen:
                own, host.listen = [host.listen + "/64", "nodad"], f"[{host.listen}]"
            for words in (["link", "set", "lo", "up"],
                          ["address", "add", *own, "dev", device],
                          ["link", "set", device, "up"]):
                subprocess.run([*host.within, "ip", *words], check=True)
        self.rig.b.serve(more=["--insecure"])

    def at_a(self, *words):
        return subprocess.run([*self.rig.a.within, *words], check=True, capture_output=True,
                              text=True).stdout

    def sent(self):
        """Bytes by class of the tree on g0."""
        shown = self.at_a("tc", "-s", "class", "show", "dev", "g0")
        return {name: int(sent) for name, sent in
                re.findall(r"class htb 474d:(\w+) .*?Sent (\d+) bytes", shown, re.DOTALL)}

    def qdisc(self):
        return re.sub(r"direct_packets_stat \d+", "", self.at_a("tc", "qdisc", "show", "dev", "g0"))

    def begin(self, *words):
        return self.rig.a.popen([GODWIT, *self.command("--bandwidth", LINK, *words)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def classes_are_used(self, addresses, policy, **config):
        self.join(addresses)
        self.guests(2, **config)
        before, most = self.qdisc(), {}
        process = self.begin("--carries", "100mbit", "--policy", policy)
        while process.poll() is None:
            most = self.sent() or most
            time.sleep(0.02)
        result = self.result()
        self.assertEqual(self.outcomes(result), ["moved"] * 2)
        self.assertEqual(result["traffic_control"],
                         "classes of traffic on g0, which is held to 100 Mbit/s")
        for slot, vm in enumerate(result["vms"]):
            urgent, bulk = most[f"{0x101 + 4 * slot:x}"], most[f"{0x102 + 4 * slot:x}"]
            link, faults = vm["result"]["bytes_on_link"], vm["result"].get("faults", 0)
            self.assertTrue(0.7 * link < urgent + bulk < 1.3 * link, (most, link))
            self.assertEqual(faults > 20, policy == "postcopy")
            self.assertGreaterEqual(urgent, 4096 * faults / 2)
        self.assertLess(most["2"], 1 << 18, most)
        self.assertEqual(self.qdisc(), before)
        self.is_at(self.rig.b, "vm0", "vm1")

    def test_traffic_classes(self):
        self.classes_are_used(("10.78.0.1", "10.78.0.2"), "precopy")

    def test_traffic_classes_over_ipv6(self):
        self.classes_are_used(("fd78::1", "fd78::2"), "postcopy", writes=5000, set=2048)

    def test_traffic_classes_left_by_a_crash(self):
        self.join()
        self.guests(2, pages=8192)
        before = self.qdisc()
        process = self.begin("--carries", "50mbit")
        self.assertTrue(eventually(lambda: self.sent().get("102", 0) > 1 << 20))
        kill(process.pid)
        process.wait()
        self.assertIn("htb 474d:", self.qdisc())
        self.assertTrue(self.rig.a.no_open_question())
        result, done = self.evacuate("--device", "g0")  # a veth pair says 10 Gbit/s
        self.assertEqual(result["traffic_control"],
                         "classes of traffic on g0, which says it carries 10000 Mbit/s")
        self.assertIn("note: " + result["traffic_control"], done.stderr)
        self.assertEqual(self.qdisc(), before)

    def test_no_device_is_named(self):
        """Then none is touched, though we may, but for what a crash has left on another one."""
        self.join()
        self.guests(1, pages=1024)
        self.at_a("ip", "link", "add", "h0", "type", "veth", "peer", "name", "h1")
        process = self.begin("--device", "h0")
        self.assertTrue(eventually(
            lambda: "htb 474d:" in self.at_a("tc", "qdisc", "show", "dev", "h0")))
        kill(process.pid)
        process.wait()
        self.assertTrue(self.rig.a.no_open_question())
        self.not_enforced("no device was named for them: --device g0")
        self.assertNotIn("htb", self.at_a("tc", "qdisc", "show"))

    def test_two_over_one_device(self):
        """The second one leaves the first one's tree alone, whenever either ends."""
        self.join()
        self.guests(2, pages=2048)
        before = self.qdisc()
        first = self.begin("vm0", "--carries", "100mbit", "--limit", "vm0=4mbit")
        self.assertTrue(eventually(lambda: self.sent().get("102", 0) > 1 << 16))
        during = self.qdisc()
        result, _ = self.evacuate("vm1", "--carries", "100mbit")
        self.assertRegex(result["traffic_control"], "not enforced.*another migration shapes")
        self.assertEqual(self.qdisc(), during)
        first.send_signal(signal.SIGINT)
        self.assertEqual(first.wait(60), 1)
        self.assertEqual(self.qdisc(), before)
        self.is_at(self.rig.a, "vm0")
        self.is_at(self.rig.b, "vm1")

    def test_killed_while_one_is_pulled(self):
        """That move goes on by itself, also while the next evacuation makes a tree of its own."""
        self.join()
        self.guests(2, pages=2048)
        before = self.qdisc()
        process = self.begin("vm0", "--carries", "100mbit", "--policy", "postcopy", "--limit",
                             "vm0=20mbit")
        self.assertTrue(eventually(lambda: self.rig.b.vm("vm0").state() == "running"))
        kill(process.pid)
        process.wait()
        self.assertIn("htb 474d:", self.qdisc())
        result, _ = self.evacuate("vm1", "--carries", "100mbit")
        self.assertIn("classes of traffic on g0", result["traffic_control"])
        self.assertTrue(eventually(self.rig.a.no_open_question))
        self.is_at(self.rig.b, "vm0", "vm1")
        self.assertEqual(self.qdisc(), before)

    def not_enforced(self, why, *words):
        """All the same they are moved."""
        before = self.qdisc()
        result, done = self.evacuate(*words)
        self.assertEqual(self.outcomes(result), ["moved"])
        self.assertRegex(result["traffic_control"], "reservations are not enforced.*" + why)
        self.assertIn("note: " + result["traffic_control"], done.stderr)
        self.assertEqual(self.qdisc(), before)

    def test_traffic_that_is_not_controlled(self):
        self.join()
        self.guests(1, pages=1024)
        self.at_a("tc", "qdisc", "add", "dev", "g0", "root", "handle", "1:", "htb", "default", "1")
        self.not_enforced("g0 has a traffic control of its own", "--carries", "1gbit")

    def test_traffic_without_the_right(self):
        self.join()
        self.guests(1, pages=1024)
        self.rig.a.within += ["setpriv", "--bounding-set", "-net_admin"]
        self.not_enforced("no right to shape traffic", "--carries", "1gbit")

    def test_traffic_by_a_bridge(self):
        self.join()
        self.guests(1, pages=1024)
        self.at_a("ip", "link", "add", "br0", "type", "bridge")
        self.not_enforced("br0 is a bridge", "--carries", "1gbit", "--device", "br0")


if __name__ == "__main__":
    main(why_not())
