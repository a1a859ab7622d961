# SPDX-License-Identifier: MIT
"""lab/shared.py - several small Linux VMs on one host, whose own traffic and whose moves leave by one link.

Theory of Operation

    host a                            switch                             host b
      vmbr 10.78.0.1                                                       vmbr 10.78.0.2
       |- tap of each VM                                                   |- tap of each VM
       '- vmup ----- cable-a [ca] far-a ----[ vmbr ]---- far-b [cb] cable-b ----- vmup -'
                                               |
                                            client
                                          vm0 10.77.0.1

All is one Ethernet segment, so that a VM keeps its address when it moves. A host has one device,
`vmup`, a port of its bridge: what its VMs send and what its moves send share it. Each host's cable
has a bridge of its own in the switch, with a TBF on either end: `far-a` limits what comes from host
a, `cable-a` what goes to it. The limit lies in the network, as in life, and the host's own device
has no queueing discipline, so that godwit may install its own.

    with SharedLab("30mbit") as lab, Tenants(lab, build, {"web": {"rate": 200}}) as vms:
        vms.evacuate("--sharing", "nrac-wc", "--device", UPLINK, "--carries", "30mbit", ...)

Tenants has an agent on both hosts; a VM may go there and back as often as one likes.
"""

import os
import socket
import subprocess
import threading
import time

from . import guest
from .client import wait_for_guest
from .lab import CLIENT_IP, GUEST_PORT, Lab, LabError, in_netns

UPLINK = "vmup"
AGENT_PORT = 4909
STREAM_PORT = GUEST_PORT + 1
# As `clear`: what is free holds zeros. Without the files that show trace points a start is quicker.
QUIET_KERNEL = ("init_on_free=1", "initcall_blacklist=tracer_init_tracefs")


class SharedLab(Lab):
    """rate, queue_ms: of each host's cable, either way."""

    kind = "shared"

    def __init__(self, rate="30mbit", queue_ms=50):
        super().__init__(rate, queue_ms)

    def _wire(self):
        bridge = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        switch = self.switch.netns
        self._ip(switch, f"link add vmbr {bridge}", "link set vmbr up",
                 f"link add vm-c type veth peer name vm0 netns {self.client.netns}",
                 "link set vm-c master vmbr up")
        self._ip(self.client.netns, f"addr add {CLIENT_IP}/24 dev vm0", "link set vm0 up")
        for host in self.hosts:
            name = host.name
            self._ip(switch, f"link add c{name} {bridge}", f"link set c{name} up",
                     f"link add cable-{name} type veth peer name {UPLINK} netns {host.netns}",
                     f"link add far-{name} type veth peer name near-{name}",
                     f"link set cable-{name} master c{name} up",
                     f"link set far-{name} master c{name} up",
                     f"link set near-{name} master vmbr up")
            self._ip(host.netns, f"link add vmbr {bridge}", f"link set {UPLINK} master vmbr up",
                     f"addr add {host.ip}/24 dev vmbr", "link set vmbr up")

    def _limited(self):
        return [f"{end}-{host.name}" for host in self.hosts for end in ("cable", "far")]

    def set_link(self, host, up):
        self._ip(self.switch.netns, f"link set cable-{host.name} {'up' if up else 'down'}")

    def link_bytes(self, host):
        """Bytes that the switch has sent to this host, the VMs' own among them."""
        path = f"/sys/class/net/cable-{host.name}/statistics/tx_bytes"
        return int(self.switch.run(["cat", path], capture_output=True, text=True).stdout)


class Tenants:
    """The VMs of one host. vms: {name: options of guest/linux/workload.c}, up to 200 of them."""

    def __init__(self, lab, build, vms, memory="96M", environment=None):
        self.lab, self.vms, self.memory = lab, vms, memory
        self.program = os.path.join(build, "godwit")
        self.at = {name: lab.a for name in vms}
        self.extra = environment or {}

    def __enter__(self):
        self.folder = guest.build()
        for host in self.lab.hosts:
            os.mkdir(self.lab.path(host.name))
            os.mkdir(self.lab.shm(f"ram-{host.name}"))
            for name in self.vms:
                host.tap(self.tap(name))
            self._serve(host)
        for name in self.vms:
            self._boot(name)
        for name in self.vms:
            self.client(name).close()
        return self

    def __exit__(self, *_):
        pass  # all of it is the lab's

    def number(self, name):
        return list(self.vms).index(name) + 2

    def tap(self, name):
        return f"t-{name}"[:15]

    def address(self, name):
        return f"10.77.0.{self.number(name)}"

    def agent(self, host):
        """What --to takes."""
        return f"{host.ip}:{AGENT_PORT}"

    def environment(self, host):
        return {**os.environ, **self.extra, "GODWIT_DIR": self.lab.path(host.name),
                "GODWIT_RAM_DIR": self.lab.shm(f"ram-{host.name}")}

    def client(self, name):
        """lab/client.py's: pings all the time, and gives commands."""
        return wait_for_guest(self.address(name), GUEST_PORT, self.lab.client.netns)

    def stream(self, name, bytes_per_s):
        """A Stream from that VM."""
        return Stream(self.address(name), bytes_per_s, self.lab.client.netns)

    def godwit(self, host, *words, **options):
        """A process `godwit ...` on that host."""
        return host.popen([self.program, *words], env=self.environment(host),
                          stdin=subprocess.DEVNULL, **options)

    def _serve(self, host):
        with open(self.lab.path(f"serve-{host.name}.log"), "ab") as log:
            self.godwit(host, "serve", "--listen", self.agent(host), "--insecure", "--images",
                        self.folder, stdout=log, stderr=log)

    def _boot(self, name):
        host, number = self.at[name], self.number(name)
        words = guest.arguments(
            self.folder, host.netdev(tap=self.tap(name)), self.memory,
            options={"ip": f"{self.address(name)}/24", "clear": 1, **self.vms[name]},
            kernel=QUIET_KERNEL,
            mac=f"52:54:00:10:77:{number:02x}")
        done = host.run([self.program, "run", name, "--", *words], env=self.environment(host),
                        check=False, capture_output=True, text=True)
        if done.returncode:
            raise LabError(done.stderr.strip())

    def other(self, host):
        return self.lab.b if host is self.lab.a else self.lab.a


class Stream:
    """A client of the network-intensive VM: it takes a stream, and asks for an answer all the time.

    got: (when, bytes) of what came; answers: (when it was asked, how long it took), in ns of
    CLOCK_MONOTONIC. Questions are sent by the clock, whether or not the last one was answered: one
    that stands as long as the VM does counts for each question that fell into it.
    """

    EVERY = 0.02

    def __init__(self, address, bytes_per_s, netns):
        self.wanted = bytes_per_s
        self.got, self.answers, self.lost = [], [], None
        self._asked = []
        self._stop = threading.Event()
        self._data, self._questions = in_netns(netns, lambda: (
            socket.create_connection((address, STREAM_PORT), 10),
            socket.create_connection((address, GUEST_PORT), 10)))
        for connection in (self._data, self._questions):
            connection.settimeout(0.2)
        self._questions.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data.sendall(f"{int(bytes_per_s)}\n".encode())
        self._threads = [threading.Thread(target=self._guard, args=(work,), daemon=True)
                         for work in (self._take, self._ask, self._hear)]
        for thread in self._threads:
            thread.start()

    def close(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._data.close()
        self._questions.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _guard(self, work):
        try:
            work()
        except OSError as error:
            if not self._stop.is_set():
                self.lost = str(error)

    def _receive(self, connection):
        try:
            data = connection.recv(1 << 18)
        except socket.timeout:
            return b""
        if not data:
            raise OSError("the guest closed the connection")
        return data

    def _take(self):
        while not self._stop.is_set():
            data = self._receive(self._data)
            if data:
                self.got.append((time.monotonic_ns(), len(data)))

    def _ask(self):
        while not self._stop.wait(self.EVERY):
            self._asked.append(time.monotonic_ns())
            self._questions.sendall(b"ping\n")

    def _hear(self):
        while not self._stop.is_set():
            now, lines = None, self._receive(self._questions).count(b"\n")
            now = time.monotonic_ns()
            for _ in range(lines):
                asked = self._asked[len(self.answers)]
                self.answers.append((asked, now - asked))

    def kept(self, begin_ns, end_ns):
        """The share of what it wanted that came between two times."""
        came = sum(count for when, count in self.got if begin_ns <= when < end_ns)
        return came * 1e9 / (self.wanted * max(1, end_ns - begin_ns))

    def latency_ns(self, begin_ns, end_ns):
        """{"p50", "p99", "max"} of the questions asked between two times; {}: there were none."""
        took = sorted(took for when, took in self.answers if begin_ns <= when < end_ns)
        return took and {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100],
                         "max": took[-1]}
