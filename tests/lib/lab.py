# SPDX-License-Identifier: MPL-2.0
"""A lab: hosts in namespaces on one bridge, with faults, and the daemons that run on them.

The bridge lies in a namespace of its own, so nothing touches the machine's network. Host i is
10.77.0.(i+1), its cable is the bridge's port p<i>. Loss, partitions and silence are rules in the
bridge, so they meet whole packets between two hosts, in each direction by itself. Every process is
known by its pid; close() ends exactly those.
"""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from netns import Netns

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("BUILD_DIR", os.path.join(TOP, "build"))
MESHD = os.environ.get("MESHD", os.path.join(BUILD_DIR, "meshd"))
MESHCTL = os.environ.get("MESHCTL", os.path.join(BUILD_DIR, "meshctl"))
# Deadlines are multiplied by this, for runs under sanitizers or on a slow board.
PATIENCE = float(os.environ.get("HM_PATIENCE", "1"))
POLL_SECONDS = 0.015


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Failed(AssertionError):
    """What was expected did not happen."""


def expect(condition, text):
    if not condition:
        raise Failed(text() if callable(text) else text)


def wait_for(predicate, seconds, what, poll=POLL_SECONDS):
    """Call predicate until it is true; return its value. The text `what` names it in the failure."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            detail = what() if callable(what) else what
            raise Failed(f"not within {seconds * PATIENCE:g} s: {detail}")
        time.sleep(poll)


def hold_for(predicate, seconds, what, poll=0.1):
    """The predicate must stay true for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not predicate():
            raise Failed(what() if callable(what) else what)
        time.sleep(poll)


def expect_typical(taken, stated, widest, what):
    """The median of several tries keeps the stated figure, and each one the widest. Where more wants to
    run than there are cores, the figure says nothing of us: then only the widest counts."""
    taken = sorted(taken)
    shown = ", ".join(f"{seconds:.2f}" for seconds in taken)
    expect(taken[-1] < widest * PATIENCE, f"{what}: at most {widest} s, but it took {shown} s")
    if os.getloadavg()[0] <= 1.5 * (os.cpu_count() or 1):
        expect(taken[len(taken) // 2] < stated * PATIENCE, f"{what}: {stated} s, but it took {shown} s")


class Process:
    """A daemon or tool that runs on a host; its output goes to a log file."""

    def __init__(self, name, popen, log_path):
        self.name = name
        self.popen = popen
        self.log_path = log_path
        self.started = time.monotonic()

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.popen.pid, number)

    def kill(self):
        """kill -9, and reap."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def wait(self, seconds):
        try:
            return self.popen.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} (pid {self.pid}) did not end within {seconds} s") from None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


class Host:
    """One machine of the lab. With no bridge it has only loopback."""

    def __init__(self, lab, index, ipv6=False, cable=True):
        self.lab = lab
        self.index = index
        self.name = f"n{index + 1}"
        self.netns = Netns(ipv6)
        self.port = f"p{index}" if cable else None
        self.address = f"10.77.0.{index + 1}" if cable else "127.0.0.1"

    def popen(self, name, command, env=None, stdin=subprocess.DEVNULL, extra=None):
        log_path = os.path.join(self.lab.dir, f"{name}.log")
        with open(log_path, "ab") as log:
            popen = self.netns.popen(command, stdin=stdin, stdout=log, stderr=log, extra=extra,
                                     env=env or self.lab.env)
        process = Process(name, popen, log_path)
        self.lab.processes.append(process)
        return process

    def run(self, command, stdin=None, timeout=20, env=None, check=False):
        return self.netns.run(command, stdin, timeout, env or self.lab.env, check)

    def socket(self, *kind):
        return self.netns.socket(*kind)

    def add_wire(self, name, bridge="br1", address=None):
        """One more interface, on a bridge of its own (made when it is first named). address: with its
        prefix length. Returns the bridge's port, to cut it by."""
        port = f"{self.port}{name}"[:15]
        self.lab.add_bridge(bridge)
        self.lab.switch.ip(f"link add {port} type veth peer name {name} netns {self.netns.path}\n"
                           f"link set {port} master {bridge} up\n")
        self.netns.ip(f"link set {name} up\n")
        if address:
            self.netns.ip(f"addr add {address} brd + dev {name}\n")
        return port

    def add_bridge(self, name, address):
        """A bridge with nothing behind it, as Docker's."""
        self.netns.ip(f"link add {name} type bridge\nlink set {name} up\n"
                      f"addr add {address} brd + dev {name}\n")

    def filter_input(self, rules):
        """What its firewall does with what comes in; after what it did already, until open_firewall."""
        self.netns.nft("table inet wall {\nchain input {\ntype filter hook input priority 0;\n" + rules + "}\n}\n")

    def close_firewall(self, how="drop"):
        """As ufw or firewalld: nothing comes in but what was asked for, and ICMP."""
        self.filter_input("ct state established,related accept\niif lo accept\n"
                          "meta l4proto { icmp, icmpv6 } accept\n" + how + "\n")

    def open_firewall(self):
        self.netns.nft("delete table inet wall\n")

    def link_local(self, interface="eth0"):
        """Its fe80::… address, when it may be used."""
        def usable():
            shown = self.run(["ip", "-j", "-6", "addr", "show", "dev", interface]).stdout
            for link in json.loads(shown or "[]"):
                for entry in link.get("addr_info", []):
                    if entry["scope"] == "link" and not entry.get("tentative"):
                        return entry["local"]
            return None
        return wait_for(usable, 10, f"{self.name} has a link-local address on {interface}")

    def change_address(self, address):
        """As after a new DHCP lease: the old address is gone, the neighbours' caches are not."""
        self.netns.ip(f"addr flush dev eth0\naddr add {address}/24 brd + dev eth0\n")
        self.address = address


class Lab:
    """Hosts, faults, processes and a directory; a context manager that cleans up after itself."""

    def __init__(self, hosts=0, ipv6=False, directory=None):
        self.dir = directory or tempfile.mkdtemp(prefix="hm-")
        self.processes = []
        self.followers = []
        self.hosts = []
        self.ipv6 = ipv6
        self.switch = None
        self.bridges = {"br0"}
        self.lost = 0                  # percent
        self.cut = []                  # pairs of sets of ports
        self.dead_ports = set()
        self.rules = []
        home = os.path.join(self.dir, "home")
        runtime = os.path.join(self.dir, "run")
        os.makedirs(home, exist_ok=True)
        os.makedirs(runtime, mode=0o700, exist_ok=True)
        self.env = {key: value for key, value in os.environ.items()
                    if key in ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG")
                    or key.startswith(("ASAN_", "UBSAN_", "TSAN_", "LSAN_", "LLVM_PROFILE"))}
        self.env.update(HOME=home, XDG_RUNTIME_DIR=runtime, TERM="dumb", TMPDIR=self.dir,
                        XDG_STATE_HOME=os.path.join(home, "state"))
        if hosts:
            self.add_hosts(hosts)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    # Hosts ---------------------------------------------------------------------------------------

    def add_hosts(self, count):
        if self.switch is None:
            self.switch = Netns(ipv6=False)
            self.switch.ip("link add br0 type bridge mcast_snooping 0\nlink set br0 up\n")
        batch = ""
        added = []
        for index in range(len(self.hosts), len(self.hosts) + count):
            host = Host(self, index, self.ipv6)
            batch += f"link add {host.port} type veth peer name eth0 netns {host.netns.path}\n"
            batch += f"link set {host.port} master br0 up\n"
            self.hosts.append(host)
            added.append(host)
        self.switch.ip(batch)
        for host in added:
            host.netns.ip(f"link set eth0 up\naddr add {host.address}/24 brd + dev eth0\n")
        return added

    def add_bridge(self, name):
        if name not in self.bridges:
            self.bridges.add(name)
            self.switch.ip(f"link add {name} type bridge mcast_snooping 0\nlink set {name} up\n")

    def add_behind(self, host):
        """A virtual machine on a host that gives it its own address outside, as VirtualBox and WSL do: it can
        ask everybody, and nobody can ask it. All of them have one address."""
        guest = Host(self, len(self.hosts), self.ipv6, cable=False)
        guest.address = "10.0.2.15"
        self.hosts.append(guest)
        host.netns.ip(f"link add vnet0 type veth peer name eth0 netns {guest.netns.path}\n"
                      "link set vnet0 up\naddr add 10.0.2.2/24 dev vnet0\n")
        guest.netns.ip(f"link set eth0 up\naddr add {guest.address}/24 brd + dev eth0\n"
                       "route add default via 10.0.2.2\n")
        host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
        host.netns.nft("table ip nat {\nchain post {\ntype nat hook postrouting priority 100;\n"
                       "oifname eth0 masquerade random\n}\n}\n")
        return guest

    def loopback_host(self):
        """A machine with nothing but loopback."""
        host = Host(self, len(self.hosts), cable=False)
        self.hosts.append(host)
        return host

    # Faults --------------------------------------------------------------------------------------

    def _apply(self):
        rules = ["table bridge lab {}", "delete table bridge lab"]
        drops = list(self.rules)
        for port in sorted(self.dead_ports):
            drops += [f"iifname {port} drop", f"oifname {port} drop"]
        for left, right in self.cut:
            one, two = ", ".join(sorted(left)), ", ".join(sorted(right))
            drops += [f"iifname {{ {one} }} oifname {{ {two} }} drop",
                      f"iifname {{ {two} }} oifname {{ {one} }} drop"]
        if self.lost:
            drops.append(f"numgen random mod 100 < {self.lost} drop")
        if drops:
            rules += ["table bridge lab {", "chain faults {",
                      "type filter hook forward priority 0; policy accept;"] + drops + ["}", "}"]
        self.switch.nft("\n".join(rules) + "\n")

    def loss(self, percent):
        """So many of a hundred packets between any two hosts are lost, each way by itself."""
        self.lost = percent
        self._apply()

    def partition(self, left, right):
        self.cut.append(({host.port for host in left}, {host.port for host in right}))
        self._apply()

    def heal(self):
        self.cut = []
        self.dead_ports = set()
        self._apply()

    def block(self, rule):
        """An nft rule of the bridge's forward hook, for as long as the lab lives."""
        self.rules.append(rule)
        self._apply()

    def silence(self, host):
        """Nothing comes from or to the host any more, and its own link stays up."""
        self.dead_ports.add(host.port)
        self._apply()

    def silence_port(self, port):
        """The same for one of a host's interfaces."""
        self.dead_ports.add(port)
        self._apply()

    def cable(self, host, plugged, port=None):
        self.switch.ip(f"link set {port or host.port} {'up' if plugged else 'down'}\n")

    def traffic(self):
        """Bytes and packets so far as each host sees it: {index: (received, sent, packets)}."""
        shown = self.switch.run(["ip", "-j", "-s", "link"], check=True).stdout
        result = {}
        for link in json.loads(shown):
            name = link["ifname"]
            if name.startswith("p") and name[1:].isdigit():
                stats = link["stats64"]
                result[int(name[1:])] = (stats["tx"]["bytes"], stats["rx"]["bytes"],
                                         stats["tx"]["packets"] + stats["rx"]["packets"])
        return result

    # The end -------------------------------------------------------------------------------------

    def close(self):
        for process in self.processes:
            if process.running():
                try:
                    process.kill()
                except OSError:
                    pass
        for follower in self.followers:
            follower.close()
        for host in self.hosts:
            host.netns.close()
        if self.switch is not None:
            self.switch.close()
            self.switch = None

    def remove_files(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def tails(self, lines=25):
        """The ends of all logs, for a failure report."""
        text = []
        for name in sorted(os.listdir(self.dir)):
            if not name.endswith(".log"):
                continue
            with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as file:
                tail = file.read().splitlines()[-lines:]
            if tail:
                text.append(f"---- {name}")
                text.extend(tail)
        return "\n".join(text)


class Lines:
    """One thread that reads the output of many programs, with the time each line arrived."""

    def __init__(self):
        self._poll = select.epoll()
        self._sources = {}
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._read_all, daemon=True)
        self._thread.start()

    def add(self, fd, on_line):
        os.set_blocking(fd, False)
        with self._lock:
            self._sources[fd] = [on_line, b""]
            self._poll.register(fd, select.EPOLLIN)

    def _read_all(self):
        while not self._ended:
            for fd, _ in self._poll.poll(0.5):
                now = time.monotonic()
                try:
                    data = os.read(fd, 65536)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                with self._lock:
                    source = self._sources.get(fd)
                    if source is None:
                        continue
                    if not data:
                        self._poll.unregister(fd)
                        del self._sources[fd]
                        continue
                    *lines, source[1] = (source[1] + data).split(b"\n")
                for line in lines:
                    source[0](now, line.decode("utf-8", "replace"))

    def close(self):
        self._ended = True
        self._thread.join(2)


def stderr(text):
    print(text, file=sys.stderr, flush=True)
