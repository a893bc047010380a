# SPDX-License-Identifier: MPL-2.0
"""What one node acknowledges, all have: over cut cables, crashes and power cuts, on real disks."""
import os
import random
import shutil
import signal
import subprocess
import threading
import time

from harness import options
from lab import MESHCTL, expect, wait_for
from mesh import start_mesh, wait_formed, wait_status


def put(node, key, value):
    done = node.ctl("kv", "put", key, value)
    expect(done.returncode == 0, f"put {key} at {node.name}: exit {done.returncode}: {done.stderr}")


def get(node, key):
    """The value, or None where it is absent."""
    done = node.ctl("kv", "get", key)
    expect(done.returncode in (0, 3, 5), f"get {key} at {node.name}: {done.stderr}")
    return done.stdout if done.returncode == 0 else None


def listed(node, prefix=""):
    entries = node.json("kv", "list", *([prefix] if prefix else []))
    return {entry["key"]: (entry["value"], entry["version"]) for entry in entries or []}


def wait_same(nodes, seconds=15):
    def same():
        first = listed(nodes[0])
        return all(listed(node) == first for node in nodes[1:])
    wait_for(same, seconds, lambda: f"all list the same: {[sorted(listed(n)) for n in nodes]}")


def cut(lab, nodes, others):
    lab.partition([n.host for n in nodes], [n.host for n in others])


@options(timeout=60)
def test_two_people_at_two_machines(lab):
    """They write, unplug, write more, plug in, and read the same; what collided is told."""
    one, two = nodes = start_mesh(lab, 2)
    put(one, "dns/router", "10.0.0.1")
    wait_for(lambda: get(two, "dns/router") == "10.0.0.1", 5, "two has it")
    put(one, "motd", "hello")
    wait_for(lambda: one.json("registry", "status")["syncing"] is False, 20, "it may delete")
    wait_same(nodes)
    cut(lab, [one], [two])
    expect(one.ctl("kv", "delete", "motd").returncode == 0, "deleted on one side")
    put(two, "motd", "changed")
    put(one, "dns/router", "10.0.0.2")
    put(two, "dns/router", "10.0.0.3")
    put(one, "only/one", "1")
    put(two, "only/two", "2")
    wait_status([one], two.name, "failed", 15)
    expect(get(one, "dns/router") == "10.0.0.2" and get(two, "dns/router") == "10.0.0.3",
           "each reads its own while they are apart")
    lab.heal()
    wait_same(nodes)
    for node in nodes:
        expect(get(node, "only/one") == "1" and get(node, "only/two") == "2", "both sides are there")
        entry = next(e for e in node.json("kv", "list", "dns/") if e["key"] == "dns/router")
        expect(entry["conflicts"] == 1, f"one other value stands beside it: {entry}")
        report = {item["key"]: item["sides"] for item in node.json("registry", "report")}
        expect({side["value"] for side in report["dns/router"]} == {"10.0.0.2", "10.0.0.3"} and
               [side["won"] for side in report["dns/router"]] == [True, False] and
               report["dns/router"][0]["value"] == get(node, "dns/router"), f"the report: {report}")
        expect({side["op"] for side in report["motd"]} == {"put", "delete"} and
               get(node, "motd") == "changed", f"a put beside a delete wins: {report}")
        lost = report["dns/router"][1]
        done = node.ctl("kv", "get", "dns/router", lost["version"])
        expect(done.stdout == lost["value"], "the other value is still there")
    expect(one.json("registry", "diff", two.name) == [], "they hold the same")
    expect(one.ctl("registry", "diff", "nobody").returncode == 5, "no such node")
    put(two, "dns/router", "10.0.0.4")
    wait_same(nodes)
    expect(all(e["conflicts"] == 0 for e in one.json("kv", "list", "dns/")), "a write that saw both ends it")


@options(timeout=60)
def test_away_for_a_while(lab):
    """A node that was killed has what was written meanwhile soon after it is back."""
    nodes = start_mesh(lab, 2)
    for i in range(60):
        put(nodes[i % 2], f"k/{i}", f"value {i}")
    nodes[1].kill()
    put(nodes[0], "k/while-away", "x")
    nodes[1].start()
    wait_formed(nodes, 10)
    wait_same(nodes)
    expect(len(listed(nodes[1])) == 61, "all of it")


class Writer(threading.Thread):
    """Puts one key after the other at one node until told to stop; remembers what was acknowledged."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.prefix, self.acknowledged, self.is_over = node, f"w/{name}", {}, False

    def run(self):
        i = 0
        while not self.is_over:
            i += 1
            try:
                done = self.node.ctl("kv", "put", f"{self.prefix}/{i}", str(i), timeout=10)
            except subprocess.TimeoutExpired:
                continue
            if done.returncode == 0:
                self.acknowledged[f"{self.prefix}/{i}"] = str(i)

    def end(self):
        self.is_over = True
        self.join(30)
        return self.acknowledged


@options(timeout=120)
def test_kill_under_load(lab):
    """kill -9 at random moments of a write storm: every acknowledged write is there afterwards (R7.1)."""
    rng = random.Random(7)
    nodes = start_mesh(lab, 3)
    writers = [Writer(node, node.name) for node in nodes]
    for writer in writers:
        writer.start()
    for _ in range(12):
        node = rng.choice(nodes)
        time.sleep(rng.uniform(0.05, 0.4))
        node.kill()
        node.start()
    written = {}
    for writer in writers:
        written.update(writer.end())
    wait_formed(nodes, 15)
    wait_same(nodes, 30)
    have = listed(nodes[2])
    lost = [key for key, value in written.items() if have.get(key, (None,))[0] != value]
    expect(not lost, f"{len(lost)} of {len(written)} acknowledged writes are lost: {lost[:5]}")
    expect(len(written) > 20, f"only {len(written)} writes were acknowledged: too few to tell anything")


@options(timeout=90)
def test_blackout(lab):
    """All are killed during a write storm; whatever subset comes back serves at once, all agree in the end (R7.1)."""
    nodes = start_mesh(lab, 3)
    writers = [Writer(node, node.name) for node in nodes]
    for writer in writers:
        writer.start()
    wait_for(lambda: all(len(writer.acknowledged) >= 10 for writer in writers), 30,
             lambda: f"each writer has ten answers: {[len(w.acknowledged) for w in writers]}")
    for node in nodes:
        node.kill()
    written = {}
    for writer in writers:
        writer.is_over = True
    for writer in writers:
        written.update(writer.end())
    nodes[1].start()
    nodes[1].wait_up()
    own = {k: v for k, v in written.items() if k.startswith(f"w/{nodes[1].name}/")}
    have = listed(nodes[1])
    expect(all(have.get(k, (None,))[0] == v for k, v in own.items()), "alone it has what it acknowledged")
    put(nodes[1], "after", "dark")
    for node in (nodes[0], nodes[2]):
        node.start()
    wait_formed(nodes, 15)
    wait_same(nodes, 30)
    have = listed(nodes[0])
    lost = [key for key, value in written.items() if have.get(key, (None,))[0] != value]
    expect(not lost and have["after"][0] == "dark", f"lost: {lost[:5]}")


@options(timeout=90)
def test_damaged_store_refills(lab):
    """Bytes of the store change while its node is off, some or many: it starts, and the mesh fills what is lost (R4.7)."""
    rng = random.Random(11)
    nodes = start_mesh(lab, 3)
    for i in range(40):
        put(nodes[i % 3], f"k/{i}", "value " * 20 + str(i))
    wait_same(nodes)
    want = listed(nodes[0])
    for changes in (1, 3, 10, 40, 200):
        nodes[2].kill()
        path = f"{nodes[2].data_dir}/store/data.mdb"
        with open(path, "r+b") as file:
            size = file.seek(0, 2)
            for _ in range(changes):
                at = rng.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << rng.randrange(8))]))
        nodes[2].start()
        nodes[2].wait_up(10)
        wait_formed(nodes, 15)
        wait_same(nodes, 30)
        expect(listed(nodes[2]) == want, f"after {changes} changed bytes all is there")
        status = [node.json("registry", "status") for node in nodes]
        expect(len({s["hash"] for s in status}) == 1, f"states agree: {status}")


def check_places(node, path):
    """What is no file is not replaced, and what another left beside is not written to."""
    beside, pipe, link = path + ".new", path + ".pipe", path + ".link"
    os.mkfifo(pipe)
    os.symlink(path, link)
    for place in (pipe, link, node.lab.dir):
        before = os.lstat(place).st_mode
        done = node.ctl("backup", place)
        expect(done.returncode == 1 and "no regular file" in done.stderr, f"{place}: {done.stderr}")
        expect(os.lstat(place).st_mode == before, f"{place} is what it was")
    done = node.ctl("backup", "-")
    expect(done.returncode == 2 and "is a file" in done.stderr, f"no file called -: {done}")
    with open(path + ".precious", "w", encoding="ascii") as file:
        file.write("precious")
    os.link(path + ".precious", beside)
    expect(node.ctl("backup", path).returncode == 0, "backup")
    with open(beside, encoding="ascii") as file:
        expect(file.read() == "precious", "not written to")


def check_two_at_once(node, path):
    """Two backups to one file, the second from beginning to end while the first is under way: both are whole."""
    node.pause()
    before = set(os.listdir(node.lab.dir))
    first = node.host.popen("backup", [MESHCTL, f"--data-dir={node.data_dir}", "--timeout=60s", "backup", path])
    wait_for(lambda: set(os.listdir(node.lab.dir)) - before - {"backup.log"}, 10, "its file is there")
    first.signal(signal.SIGSTOP)
    node.resume()
    expect(node.ctl("backup", path).returncode == 0, "the second")
    expect(node.ctl("restore", path).returncode == 0, "it is whole")
    first.signal(signal.SIGCONT)
    expect(first.wait(20) == 0, lambda: f"the first: {first.log()}")
    expect(node.ctl("restore", path).returncode == 0, "it is whole too")
    left = set(os.listdir(node.lab.dir)) - before - {"backup.log"}
    expect(not left, f"nothing is left behind: {left}")


@options(timeout=60)
def test_backup_and_restore(lab):
    """A backup brings back what all machines have lost; what was deleted or changed since stays so."""
    nodes = start_mesh(lab, 2)
    for i in range(20):
        put(nodes[i % 2], f"k/{i}", f"value {i}")
    wait_same(nodes)
    path = f"{lab.dir}/lab.backup"
    done = nodes[0].ctl("backup", path)
    expect(done.returncode == 0 and "20 entries" in done.stdout, f"{done.stdout}{done.stderr}")
    expect(os.stat(path).st_mode & 0o777 == 0o600, "only its owner reads it")
    expect(nodes[0].ctl("kv", "delete", "k/3").returncode == 0, "deleted")
    put(nodes[1], "k/4", "newer")
    done = nodes[1].ctl("restore", path)
    expect(done.returncode == 0, done.stderr)
    expect(get(nodes[1], "k/3") is None and get(nodes[1], "k/4") == "newer", "what came later stays")
    for node in nodes:
        node.kill()
    shutil.rmtree(os.path.dirname(nodes[0].data_dir))
    nodes[0].start()
    nodes[0].wait_up()
    expect(nodes[0].ctl("restore", path).returncode == 0, "restored into a new mesh")
    expect(get(nodes[0], "k/3") == "value 3" and len(listed(nodes[0])) == 20, "all is back")
    nodes[1].start()
    wait_formed(nodes, 10)
    wait_same(nodes)
    check_places(nodes[0], path)
    check_two_at_once(nodes[0], path)
    with open(path, "r+b") as file:
        file.seek(300)
        byte = file.read(1)[0]
        file.seek(300)
        file.write(bytes([byte ^ 1]))
    done = nodes[0].ctl("restore", path)
    expect(done.returncode == 1 and "nothing was changed" in done.stderr, f"damage is told: {done.stderr}")
