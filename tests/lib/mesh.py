# SPDX-License-Identifier: MPL-2.0
"""meshd on a host of the lab, asked through meshctl: only what the interface promises is used."""
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from lab import MESHCTL, MESHD, Failed, expect, wait_for

MESH = "lab"
STATUSES = {"alive", "suspect", "failed", "left"}


def need_binaries(*more):
    for path in (MESHD, MESHCTL, *more):
        if not os.access(path, os.X_OK):
            raise Failed(f"{path} is not there: build first, or say in BUILD_DIR where")


def wall(text):
    """Seconds since 1970 of an RFC 3339 time."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    return datetime.datetime.fromisoformat(text).timestamp()


class Node:
    """One meshd. It can be started again and again on the same data directory."""

    def __init__(self, host, name=None, mesh=MESH, data_dir=None, flags=(), env=None, extra=None):
        self.host = host
        self.lab = host.lab
        self.name = name or host.name
        self.mesh = mesh
        self.data_dir = data_dir or os.path.join(self.lab.dir, "state", self.name)
        self.flags = list(flags)
        self.extra_env = env or {}
        self.extra = extra
        self.process = None

    def argv(self, more=()):
        return [MESHD, f"--discover={self.mesh}", f"--data-dir={self.data_dir}",
                f"--name={self.name}", *self.flags, *more]

    def start(self, more=(), stdin=subprocess.DEVNULL):
        need_binaries()
        os.makedirs(os.path.dirname(self.data_dir), exist_ok=True)
        self.process = self.host.popen(self.name, self.argv(more), stdin=stdin, extra=self.extra,
                                       env={**self.lab.env, **self.extra_env})
        return self

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        self.process.kill()

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def terminate(self, seconds=3):
        """SIGTERM; returns the exit status and how long it took."""
        begun = time.monotonic()
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        return status, time.monotonic() - begun

    def log(self):
        return self.process.log()

    # Asking --------------------------------------------------------------------------------------

    def ctl(self, *arguments, timeout=20, stdin=None):
        """meshctl on this node's data directory; returns the finished process."""
        return self.host.run([MESHCTL, f"--data-dir={self.data_dir}", *arguments],
                             timeout=timeout, stdin=stdin)

    def json(self, *arguments):
        """As ctl, parsed; None when the daemon does not answer yet."""
        done = self.ctl(*arguments, "--format=json")
        if done.returncode == 3:
            return None
        expect(done.returncode == 0,
               f"meshctl {' '.join(arguments)} at {self.name}: exit {done.returncode}: {done.stderr}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise Failed(f"meshctl {' '.join(arguments)} at {self.name} printed no JSON: "
                         f"{done.stdout[:300]!r}") from None

    def nodes(self):
        """name -> object of `nodes list`; two nodes of one name keep the last."""
        listed = self.json("nodes", "list")
        return {} if listed is None else {entry["name"]: entry for entry in listed}

    def view(self):
        return {name: entry["status"] for name, entry in self.nodes().items()}

    def events(self, since=None):
        """Member events it remembers, those not before `since` (time.time())."""
        events = self.json("events")
        expect(isinstance(events, list), f"`events` at {self.name} is no list")
        if since is None:
            return events
        return [event for event in events if wall(event["time"]) >= since - 0.002]

    def event(self, kind, name, since):
        """The first node.<kind> of the named node since then, or None."""
        return next((event for event in self.events(since)
                     if event["type"] == f"node.{kind}" and event["node"] == name), None)

    def self_entry(self):
        return next((entry for entry in self.nodes().values() if entry["self"]), None)

    def wait_up(self, seconds=5):
        def up():
            expect(self.process.running(), lambda: f"{self.name} ended: {self.log()[-600:]}")
            return self.ctl("version").returncode == 0 and self.view()
        return wait_for(up, seconds, f"{self.name} answers meshctl")

    def sees(self, *names, status="alive"):
        view = self.view()
        return all(view.get(name) == status for name in names)

    def metric_values(self):
        """Prometheus samples: name with labels -> value."""
        done = self.ctl("metrics", "--format=prometheus")
        expect(done.returncode == 0, f"metrics at {self.name}: {done.stderr}")
        values = {}
        for line in done.stdout.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    # What it has open ----------------------------------------------------------------------------

    def sockets(self):
        """{('tcp'|'udp', address, port)} that the daemon listens on, from /proc."""
        inodes = set()
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        found = set()
        for kind in ("tcp", "udp", "tcp6", "udp6"):
            with open(f"/proc/{self.pid}/net/{kind}", encoding="ascii") as file:
                for line in file.read().splitlines()[1:]:
                    field = line.split()
                    if field[9] not in inodes or (kind.startswith("tcp") and field[3] != "0A"):
                        continue
                    address, port = field[1].split(":")
                    if kind.endswith("6"):
                        words = [bytes.fromhex(address[i:i + 8])[::-1] for i in range(0, 32, 8)]
                        shown = socket.inet_ntop(socket.AF_INET6, b"".join(words))
                    else:
                        shown = ".".join(str(byte) for byte in bytes.fromhex(address)[::-1])
                    found.add((kind[:3], shown, int(port, 16)))
        return found

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def address_of(self, name):
        """ip:port at which this node reaches the named one."""
        return self.nodes().get(name, {}).get("address") or ""

    def port(self):
        """P: the sealed UDP port and the mailbox's TCP port."""
        entry = wait_for(self.self_entry, 5, f"{self.name} lists itself")
        return int(entry["address"].rpartition(":")[2])

    def link_ports(self):
        """TCP ports it listens on that are not the mailbox's."""
        port = self.port()
        return sorted({number for kind, _, number in self.sockets() if kind == "tcp"} - {port})


class Following:
    """A command of meshctl held open on one node, which prints a JSON object a line. What it says on stderr is in
    a file at stderr_path."""

    def __init__(self, node, *arguments):
        self.node = node
        self.items = []                # as keep() puts them
        self.bad = []                  # lines that are no JSON
        self.stderr_path = os.path.join(node.lab.dir, f"follower{len(node.lab.followers)}.err")
        with open(self.stderr_path, "wb") as stderr:
            self.popen = node.host.netns.popen(
                [MESHCTL, f"--data-dir={node.data_dir}", *arguments, "--format=json"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=node.lab.env)
        node.lab.followers.append(self)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.popen.stdout:
            try:
                item = json.loads(line)
            except ValueError:
                self.bad.append(line)
                continue
            self.keep(item)

    def keep(self, item):
        self.items.append(item)

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self._thread.join(2)
        self.popen.stdout.close()


class Events(Following):
    """`meshctl events --follow` held open on one node; lines carry the time they arrived."""

    def __init__(self, node):
        self._lock = threading.Lock()
        super().__init__(node, "events", "--follow")

    def keep(self, item):
        with self._lock:
            self.items.append((time.monotonic(), item))

    def all(self, since=None):
        """Objects whose own wall time is not before `since` (time.time())."""
        with self._lock:
            items = [item for _, item in self.items]
        if since is None:
            return items
        return [item for item in items if wall(item["time"]) >= since - 0.002]

    def find(self, kind, name, since=None):
        return next((item for item in self.all(since)
                     if item["type"] == f"node.{kind}" and item["node"] == name), None)


def start_alone(lab, *more):
    """A node that is alone; more: programs that the test needs besides."""
    need_binaries(*more)
    node = Node(lab.loopback_host(), name="one").start()
    node.wait_up()
    return node


ALL_LINKED = 9      # so many nodes are neighbours of each other, see src/core/overlay.c


def start_mesh(lab, count, hosts=None, **options):
    """Nodes on the hosts, started at once, sharing one user's mesh key; returns when all see all and
    the links stand, for what a node has open before that is not what it has open at rest."""
    need_binaries()
    hosts = hosts or lab.add_hosts(count)
    nodes = [Node(host, **options).start() for host in hosts]
    wait_formed(nodes)
    if len(nodes) <= ALL_LINKED:
        wait_linked(nodes)
    return nodes


def formed(nodes):
    names = {node.name for node in nodes}
    return all(node.sees(*names) for node in nodes)


def views(nodes):
    return "; ".join(f"{node.name} sees {node.view()}" for node in nodes if node.process.running())


def wait_formed(nodes, seconds=6):
    wait_for(lambda: formed(nodes), seconds, lambda: f"all see all alive: {views(nodes)}")


def wait_linked(nodes, seconds=5):
    """At most ALL_LINKED nodes that all have links to all. Until then a node may know another only by hearsay,
    and whoever refuses a connection at an address that is not proven is no evidence against it."""
    wait_for(lambda: all(node.metric_values()["mesh_links"] == len(nodes) - 1 for node in nodes), seconds,
             lambda: "links: " + ", ".join(f"{node.name} {node.metric_values()['mesh_links']:g}"
                                           for node in nodes))


def wait_status(observers, name, status, seconds):
    wait_for(lambda: all(node.sees(name, status=status) for node in observers), seconds,
             lambda: f"{name} is {status}: {views(observers)}")


def wait_event(observers, kind, name, since, seconds):
    """Every observer reports node.<kind> of the named node; returns the events."""
    wait_for(lambda: all(node.event(kind, name, since) for node in observers), seconds,
             lambda: f"node.{kind} of {name}: {views(observers)}")
    return [node.event(kind, name, since) for node in observers]


def no_change(observers, since, allowed=()):
    """No observer reported that anybody is suspect, failed or left since then."""
    for node in observers:
        for event in node.events(since):
            kind = event["type"].partition(".")[2]
            if kind in ("suspect", "failed", "left") and kind not in allowed:
                raise Failed(f"{node.name} reports {event['type']} of {event['node']}, "
                             f"reason {event.get('reason')!r}, observer {event.get('observer')!r}")
    return True


def wait_settled(observers, seconds=1):
    """Until no observer has had anything to say of any member for so long: the forming is over."""
    wait_for(lambda: not any(node.events(time.time() - seconds) for node in observers), 15,
             lambda: f"the mesh is still busy: {[node.events(time.time() - 5) for node in observers]}")


def refused(process, code, pattern, seconds=5):
    """The daemon ended with this exit code and one line that matches."""
    status = process.wait(seconds)
    lines = [line for line in process.log().splitlines() if line.strip()]
    expect(status == code, f"exit {status}, expected {code}: {lines}")
    expect(len(lines) == 1, f"one line, got {len(lines)}: {lines}")
    expect(re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}")
    return lines[0]
