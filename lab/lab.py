# SPDX-License-Identifier: MIT
"""lab/lab.py - two hosts and a client on one machine, for the demo, the tests and the bench.

Theory of Operation

    host a                    switch                    host b
      mig0 10.78.0.1 ------ [ migbr ] ------ 10.78.0.2 mig0      migration network, limited
      vmbr ---+------------ [ vmbr  ] ------------+--- vmbr      the VMs' network, not limited
      vmtap0 -+                 |                 +- vmtap0
                              client
                         vm0 10.77.0.1                           guest: 10.77.0.2

Each of the four is a network namespace; nothing is ever made in the machine's own. The migration
network's limit is a TBF on the switch's ports towards the hosts: the bottleneck lies in the
network, as in life, and the hosts' own devices carry no queueing discipline, so that godwit may
install its own. Each host has a bridge `vmbr` for its VM's tap, in one Ethernet segment with the
client: the VM's hardware address moves from host to host and the bridges learn it anew.

Where namespaces are not allowed, LoopbackLab offers the same interface over 127.0.0.0/8 and its
`differences` say in sentences what is not the same. open_lab() takes the best that works.

Ownership: a lab is called gwlab-PID-START-N after the process that made it (START: when that
process started, so that a reused pid is not mistaken for it), and everything it makes outside its
processes carries that name: namespaces, its folder in /tmp, its files in /dev/shm. Its processes
carry it in their environment; a process in one of its namespaces is the lab's, too. close() removes
exactly that. It runs at the end of `with`, at exit, and on SIGINT, SIGTERM and SIGHUP; if the
process is killed outright, a keeper process sees its end through a pipe and does the same; and
should the keeper die as well, the next lab finds the name of a process that is no longer there, and
clears up after it.
"""

import atexit
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PREFIX = "gwlab-"
MARK = "GODWIT_LAB"  # in the environment of every process that a lab starts
NETNS = "/run/netns"
GUEST_IP = "10.77.0.2"
GUEST_PORT = 7070
CLIENT_IP = "10.77.0.1"
HOSTS = {"a": "10.78.0.1", "b": "10.78.0.2"}
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class LabError(Exception):
    """One sentence: what is wrong and what to do."""


def parse_rate(text):
    """'400mbit', '1gbit', '50MB/s' or a number (bits per second) -> bits per second; None stays."""
    if text is None or isinstance(text, (int, float)):
        return None if text is None else int(text)
    match = re.fullmatch(r"([0-9.]+)\s*(k|m|g)?(bit|b/s)", text.strip().lower())
    if not match:
        raise LabError(f"a rate reads 400mbit, 1gbit or 50MB/s, not '{text}'")
    scale = {None: 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2]]
    return int(float(match[1]) * scale * (8 if match[3] == "b/s" else 1))


def enter_netns(name):
    """Moves the calling thread, and only that, into a network namespace."""
    fd = os.open(os.path.join(NETNS, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")
    finally:
        os.close(fd)


def in_netns(name, function):
    """The result of function(), called in a thread inside the namespace (None: right here).

    A socket belongs to the namespace where it was made, whoever uses it afterwards.
    """
    if name is None:
        return function()
    box = {}

    def work():
        try:
            enter_netns(name)
            box["result"] = function()
        except BaseException as error:  # handed to the caller, whatever it is
            box["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in box:
        raise box["error"]
    return box["result"]


# ---- whose is it: names, processes, leftovers ----


def _start_time(pid):
    """When a process started (clock ticks since boot); None if it is not there."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _labs_here():
    """The names of all labs of which anything is left on this machine."""
    names = set()
    for folder in (NETNS, tempfile.gettempdir(), "/dev/shm"):
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        for entry in entries:
            match = re.match(r"gwlab-[0-9]+-[0-9]+-[0-9]+(?![0-9])", entry)
            if match:
                names.add(match[0])
    return names


def _processes_of(name, namespaces):
    """What runs in the lab's namespaces, and what was started by it or by its children."""
    pids = set()
    for namespace in namespaces:
        done = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
        pids.update(int(pid) for pid in done.stdout.split())
    mark = f"{MARK}={name}".encode()
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    pids.add(pid)
        except OSError:
            continue
    # A child that has ended but was not waited for is gone enough.
    return [pid for pid in pids if pid != os.getpid() and _start_time(pid)]


def _kill_all(name, namespaces):
    """Politely, then for good."""
    for sig, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        end = time.monotonic() + patience
        pids = _processes_of(name, namespaces)
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        while pids and time.monotonic() < end:
            time.sleep(0.02)
            pids = _processes_of(name, namespaces)
        if not pids:
            return


def remove(name):
    """Removes everything that carries a lab's name. Safe to call twice, or by two at once."""
    own = re.compile(re.escape(name) + r"(?![0-9])")
    try:
        namespaces = [n for n in os.listdir(NETNS) if own.match(n)]
    except OSError:
        namespaces = []
    _kill_all(name, namespaces)
    for namespace in namespaces:
        subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
    for folder in (tempfile.gettempdir(), "/dev/shm"):
        try:
            entries = [e for e in os.listdir(folder) if own.match(e)]
        except OSError:
            continue
        for entry in entries:
            path = os.path.join(folder, entry)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                try:
                    os.unlink(path)
                except OSError:
                    pass


def remove_leftovers():
    """Clears up after labs whose process is gone; returns their names."""
    removed = []
    for name in sorted(_labs_here()):
        _, pid, start, _ = name.split("-")
        if _start_time(pid) != start:
            remove(name)
            removed.append(name)
    return [name for name in removed if name not in _labs_here()]


# ---- hosts ----


class Host:
    """One of the machines: where its processes run and how its VMs reach the network."""

    def __init__(self, lab, name, ip, netns):
        self.lab = lab
        self.name = name
        self.ip = ip
        self.netns = netns  # None: the machine's own
        self.guest_ports = {}

    def command(self, arguments):
        """The argument list that runs a program on this host."""
        arguments = [str(argument) for argument in arguments]
        return ["ip", "netns", "exec", self.netns, *arguments] if self.netns else arguments

    def popen(self, arguments, **options):
        """A process on this host. `ip netns exec` becomes the program, so .pid is the program's."""
        process = subprocess.Popen(self.command(arguments), **self._marked(options))
        self.lab.processes.append(process)
        return process

    def run(self, arguments, **options):
        options.setdefault("check", True)
        return subprocess.run(self.command(arguments), **self._marked(options))

    def _marked(self, options):
        return {**options, "env": {**(options.get("env") or os.environ), MARK: self.lab.name}}

    def call(self, function):
        """function() with this host's network."""
        return in_netns(self.netns, function)

    def tap(self, name="vmtap0"):
        """A tap on this host's VM bridge, for one VM: as QEMU opens it (one queue, vnet_hdr)."""
        self.lab._tap(self, name)
        return name

    def netdev(self, netdev_id="net0", tap="vmtap0", forward=True):
        """QEMU's -netdev argument that puts a VM of this host on the VMs' network.

        forward: over loopback, with the guest's port open at this host from the start. A VM that
        moves cannot have that, as both hosts' QEMUs would open it: see forward().
        """
        return self.lab._netdev(self, netdev_id, tap, forward)

    def forward(self, qmp_path, netdev_id="net0"):
        """Over loopback: opens the guest's port at a QEMU that runs on this host now."""
        self.lab._forward(self, qmp_path, netdev_id)

    def guest_address(self, netdev_id="net0"):
        """(address, port) at which the client reaches the guest while it runs on this host."""
        return self.lab._guest_address(self, netdev_id)


class _LabBase:
    """What both kinds share: names, processes, and the end."""

    kind = ""
    differences = ()

    def __init__(self, rate=None, queue_ms=20):
        self.rate = parse_rate(rate)
        self.queue_ms = queue_ms
        self.name = f"{PREFIX}{os.getpid()}-{_start_time(os.getpid())}-{next(_numbers)}"
        self.processes = []
        self.dir = None
        self._owner = os.getpid()
        self._open = False
        self._keeper = None
        self._handlers = {}

    def _set_up(self):
        raise NotImplementedError

    # -- life --

    def open(self):
        remove_leftovers()
        self._open = True
        atexit.register(self._close_at_exit)
        try:
            self._catch_signals()
            self._start_keeper()
            self.dir = os.path.join(tempfile.gettempdir(), self.name)
            os.mkdir(self.dir, 0o700)
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def close(self, leaving=False):
        """leaving: the program ends already, so a signal that comes meanwhile has nothing to add."""
        if not self._open or os.getpid() != self._owner:
            return
        # From here on a signal must not stop the clearing up half-way.
        old, came = self._hold_signals()
        self._open = False
        try:
            self._end_processes()
            remove(self.name)
            self._end_keeper()
        finally:
            self._restore_signals(old)
            atexit.unregister(self._close_at_exit)
        if came and not leaving:
            handler = old[came[0]]
            if callable(handler):
                handler(came[0], None)
            else:
                signal.raise_signal(came[0])

    def _close_at_exit(self):
        self.close(leaving=True)

    def __enter__(self):
        return self.open()

    def __exit__(self, kind, *_):
        self.close(kind is not None and not issubclass(kind, Exception))

    def shm(self, name):
        """A path in /dev/shm for guest memory; removed with the lab."""
        return f"/dev/shm/{self.name}-{name}"

    def path(self, *parts):
        """A path in the lab's own folder, for sockets, logs and journals; removed with the lab."""
        return os.path.join(self.dir, *parts)

    # -- processes --

    def stop(self, process, patience=3.0):
        """Ends one process of popen(); returns its exit status."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
        status = process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
        if process in self.processes:
            self.processes.remove(process)
        return status

    def _end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in list(reversed(self.processes)):
            self.stop(process)

    # -- the keeper, for the case that we are killed --

    def _start_keeper(self):
        self._keeper = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--keep", self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        # It says one line once it can no longer be stopped by a signal meant for us.
        if not self._keeper.stdout.readline():
            raise LabError("the lab's keeper process did not start")

    def _end_keeper(self):
        if self._keeper:
            try:
                self._keeper.stdin.write(b"done\n")
                self._keeper.stdin.close()
            except OSError:
                pass
            self._keeper.stdout.close()
            self._keeper.wait()
            self._keeper = None

    # -- signals --

    def _signals(self):
        if threading.current_thread() is not threading.main_thread():
            return ()
        return (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def _catch_signals(self):
        """SIGTERM and SIGHUP end the program as Ctrl-C does: through every `with` and `finally`."""

        def leave(number, _frame):
            raise SystemExit(128 + number)

        for number in self._signals():
            if signal.getsignal(number) == signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, leave)

    def _hold_signals(self):
        """Until they are restored: which handlers there were, and a list of what has come.

        Blocked as well, which the programs that clear up inherit: Ctrl-C goes to them, too.
        """
        numbers, came = self._signals(), []
        if numbers:
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        return {number: signal.signal(number, lambda n, _frame: came.append(n))
                for number in numbers}, came

    def _restore_signals(self, old):
        if old:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, old)
        for number, handler in old.items():
            signal.signal(number, self._handlers.pop(number, handler))


class Lab(_LabBase):
    """The real thing: four network namespaces. Needs root, and the kernel's veth, bridge and tun.

    rate: of the migration network, each direction of each host ('400mbit'; None: unlimited);
    queue_ms: how long a packet may wait in the switch before it is dropped.
    """

    kind = "namespaces"

    def __init__(self, rate="400mbit", queue_ms=20):
        super().__init__(rate, queue_ms)
        self.a = Host(self, "a", HOSTS["a"], self.name + "-a")
        self.b = Host(self, "b", HOSTS["b"], self.name + "-b")
        self.client = Host(self, "client", CLIENT_IP, self.name + "-client")
        self.switch = Host(self, "switch", None, self.name + "-switch")
        self.hosts = (self.a, self.b)

    def _ip(self, namespace, *lines):
        """Runs `ip` commands in one of our namespaces."""
        done = subprocess.run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines) + "\n",
                              capture_output=True, text=True)
        if done.returncode != 0:
            what = done.stderr.strip().splitlines()
            raise LabError(f"cannot set up the lab's network: {what[0] if what else 'ip failed'}")

    def _add_namespace(self, name):
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"cannot make a network namespace: {done.stderr.strip()}")
        # Before there is any device: no IPv6 chatter on the links.
        subprocess.run(["ip", "netns", "exec", name, "sh", "-c",
                        "for f in all default; do"
                        " echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done"],
                       capture_output=True)
        self._ip(name, "link set lo up")

    def _set_up(self):
        for host in (self.switch, self.a, self.b, self.client):
            self._add_namespace(host.netns)
        self._wire()
        self.set_rate(self.rate)

    def _wire(self):
        switch = self.switch.netns
        bridge = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        self._ip(switch, f"link add migbr {bridge}", f"link add vmbr {bridge}",
                 "link set migbr up", "link set vmbr up",
                 f"link add vm-c type veth peer name vm0 netns {self.client.netns}",
                 "link set vm-c master vmbr up")
        self._ip(self.client.netns, f"addr add {CLIENT_IP}/24 dev vm0", "link set vm0 up")
        for host in self.hosts:
            mig, vm = f"mig-{host.name}", f"vm-{host.name}"
            self._ip(switch, f"link add {mig} type veth peer name mig0 netns {host.netns}",
                     f"link add {vm} type veth peer name vmup netns {host.netns}",
                     f"link set {mig} master migbr up", f"link set {vm} master vmbr up")
            self._ip(host.netns, f"link add vmbr {bridge}", "link set vmup master vmbr up",
                     "link set vmbr up", f"addr add {host.ip}/24 dev mig0", "link set mig0 up")

    def set_rate(self, rate):
        """Changes the migration network's rate, also while it carries something."""
        self.rate = parse_rate(rate)
        for device in self._limited():
            port = ["tc", "-n", self.switch.netns, "qdisc"]
            if self.rate is None:
                subprocess.run([*port, "del", "dev", device, "root"], capture_output=True)
                continue
            # A burst of 2 ms, but no less than a full GSO packet needs to pass in one piece.
            burst = max(self.rate // 8 // 500, 70000)
            done = subprocess.run([*port, "replace", "dev", device, "root", "tbf",
                                   "rate", f"{self.rate}bit", "burst", f"{burst}",
                                   "latency", f"{self.queue_ms}ms"],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                raise LabError(f"cannot limit the lab's link: {done.stderr.strip()}")

    def _limited(self):
        """The switch's ports that have the link's rate."""
        return [f"mig-{host.name}" for host in self.hosts]

    def set_link(self, host, up):
        """Pulls a host's plug on the migration network, or puts it back."""
        self._ip(self.switch.netns, f"link set mig-{host.name} {'up' if up else 'down'}")

    def link_bytes(self, host):
        """Bytes that the switch has sent to this host on the migration network."""
        path = f"/sys/class/net/mig-{host.name}/statistics/tx_bytes"
        return int(self.switch.run(["cat", path], capture_output=True, text=True).stdout)

    def _tap(self, host, name):
        self._ip(host.netns, f"tuntap add dev {name} mode tap vnet_hdr",
                 f"link set {name} master vmbr up")

    def _netdev(self, _host, netdev_id, tap, _forward):
        return f"tap,id={netdev_id},ifname={tap},script=no,downscript=no,vhost=off"

    def _forward(self, _host, _qmp_path, _netdev_id):
        pass

    def _guest_address(self, _host, _netdev_id):
        return GUEST_IP, GUEST_PORT


class LoopbackLab(_LabBase):
    """The same interface without any rights: everything in the machine's own network."""

    kind = "loopback"
    differences = (
        "both hosts and the client share this machine's own network: the link has no rate limit",
        "the guest is reached through QEMU's user-mode network, at another port on each host:"
        " the client connects anew after a move",
        "the link between the hosts cannot be unplugged, and its bytes are not counted",
    )

    def __init__(self, rate=None, queue_ms=20):
        super().__init__(None, queue_ms)
        self.wanted_rate = parse_rate(rate)
        self.a = Host(self, "a", "127.0.0.1", None)
        self.b = Host(self, "b", "127.0.0.2", None)
        self.client = Host(self, "client", "127.0.0.3", None)
        self.switch = None
        self.hosts = (self.a, self.b)

    def _set_up(self):
        pass

    def set_rate(self, rate):
        """Only noted: loopback has no limit. Limit godwit itself with --bandwidth."""
        self.wanted_rate = parse_rate(rate)

    def set_link(self, _host, _up):
        raise LabError("over loopback no link can be unplugged: use a relay")

    def link_bytes(self, _host):
        return None

    def _tap(self, _host, _name):
        pass

    def _netdev(self, host, netdev_id, _tap, forward):
        network = f"user,id={netdev_id},net=10.77.0.0/24,host={CLIENT_IP}"
        return network + (f",hostfwd={self._rule(host, netdev_id)}" if forward else "")

    def _rule(self, host, netdev_id):
        port = host.guest_ports.setdefault(netdev_id, free_port(host.ip))
        return f"tcp:{host.ip}:{port}-{GUEST_IP}:{GUEST_PORT}"

    def _forward(self, host, qmp_path, netdev_id):
        host.guest_ports.pop(netdev_id, None)  # perhaps somebody else's by now
        command = f"hostfwd_add {netdev_id} {self._rule(host, netdev_id)}"
        said = qmp(qmp_path, "human-monitor-command", **{"command-line": command})
        if said.strip():
            raise LabError(f"QEMU did not open the guest's port: {said.strip()}")

    def _guest_address(self, host, netdev_id):
        return host.ip, host.guest_ports[netdev_id]


def qmp(path, command, patience=10.0, **arguments):
    """One command to a QEMU's control socket, on a connection of its own; what it returns.

    QEMU serves one connection at a time: this waits until the one before has ended.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        try:
            connection.connect(path)
            lines = connection.makefile("rw", encoding="utf-8")
            lines.readline()
            for name, given in (("qmp_capabilities", {}), (command, arguments)):
                lines.write(json.dumps({"execute": name, "arguments": given}) + "\n")
                lines.flush()
                answer = {}
                while "return" not in answer and "error" not in answer:
                    answer = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise LabError(f"QEMU does not answer at {path}: {error}") from None
    if "error" in answer:
        raise LabError(f"QEMU refused {command}: {answer['error']['desc']}")
    return answer["return"]


def free_port(ip="127.0.0.1"):
    """A port that was free a moment ago, for programs that cannot take port 0."""
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return probe.getsockname()[1]


def why_no_namespaces():
    """None where Lab works; else one sentence."""
    for tool in ("ip", "tc"):
        if not shutil.which(tool):
            return f"'{tool}' is missing (package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun is missing, so VMs cannot have a tap"
    try:
        with Lab(rate="100mbit") as lab:
            lab.a.tap()
    except LabError as error:
        return str(error)
    return None


def open_lab(rate="400mbit", queue_ms=20):
    """The best lab that this machine allows, not yet open, and why it is not the real one."""
    why = why_no_namespaces()
    if why is None:
        return Lab(rate, queue_ms), None
    return LoopbackLab(rate, queue_ms), why


def _keep(name):
    """The keeper: waits for its maker's end and, unless that said goodbye, clears up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        print("ready", flush=True)
    except BrokenPipeError:  # our maker is gone already
        sys.stdout = None
    if sys.stdin.buffer.read() != b"done\n":
        remove(name)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--keep" and sys.argv[2].startswith(PREFIX):
        _keep(sys.argv[2])
    elif sys.argv[1:] == ["--clean"]:
        for lab_name in remove_leftovers():
            print(f"removed {lab_name}")
    else:
        sys.exit("usage: python3 lab/lab.py --clean    removes what crashed labs left behind")
