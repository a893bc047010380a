# SPDX-License-Identifier: MPL-2.0
"""A mesh whose nodes are upgraded one by one: daemons of this version and of an artificial next one
(tests/net/meshd_next.c), which says more in each message, and writes entries that this one cannot all read."""
import os
import shutil

from harness import options
from lab import BUILD_DIR, expect, wait_for
from mesh import Node, need_binaries, wait_formed, wait_linked

MESHD_NEXT = os.path.join(BUILD_DIR, "tests", "net", "meshd-next")


class NextNode(Node):
    """A node that runs the next version, and writes the later format if told to."""
    is_next = True

    def argv(self, more=()):
        argv = super().argv(more)
        return [MESHD_NEXT, *argv[1:]] if self.is_next else argv

    def write_later(self):
        self.extra_env = {"HM_TEST_WRITES_LATER": "1"}
        self.terminate()
        self.start()


def start_mixed(lab, *next_ones):
    """Three nodes; those of the given indices are of the next version."""
    need_binaries(MESHD_NEXT)
    nodes = [NextNode(host) for host in lab.add_hosts(3)]
    for index, node in enumerate(nodes):
        node.is_next = index in next_ones
        node.start()
    wait_formed(nodes)
    wait_linked(nodes)
    return nodes


def do(node, *arguments):
    done = node.ctl(*arguments)
    expect(done.returncode == 0, f"{' '.join(arguments)} at {node.name}: {done.stderr}")
    return done.stdout


def values(node):
    """What is shown for each key; None while its meshd does not answer."""
    listed = node.json("kv", "list")
    return None if listed is None else {entry["key"]: entry["value"] for entry in listed}


def wait_values(nodes, wanted, seconds=5):
    wait_for(lambda: all(values(node) == wanted for node in nodes), seconds,
             lambda: f"{wanted} everywhere: {[values(node) for node in nodes]}")


def wait_in_step(nodes, seconds=10):
    def states():
        return {node.json("registry", "status")["hash"] for node in nodes}
    wait_for(lambda: len(states()) == 1, seconds, "all hold the same")


def doctor_lines(node, check):
    """What doctor says of this node itself."""
    checks = node.json(f"--node={node.name}", "doctor")
    return [(line["status"], line["text"]) for line in checks if line["check"] == check]


@options(timeout=60)
def test_more_in_each_entry(lab):
    """Fields and a type that this version does not know: kept over kill -9, a restart and a backup, shown, passed
    on as they were, and superseded."""
    nodes = start_mixed(lab, 1, 2)
    old, new, other = nodes
    do(new, "kv", "put", "plain", "1")
    do(new, "kv", "put", "odd/one", "2")
    do(new, "kv", "put", "odd/two", "3")
    do(new, "kv", "put", "gone", "4")
    do(old, "kv", "put", "old", "5")
    wait_values(nodes, {"plain": "1", "odd/one": "2", "odd/two": "3", "gone": "4", "old": "5"})
    inspected = do(old, "registry", "inspect", "kv/odd/one")
    expect("unknown" in inspected, f"its type is not known here: {inspected}")
    old.kill()
    new.kill()
    shutil.rmtree(os.path.join(new.data_dir, "store"))   # what it wrote is only with the others now
    old.start()
    wait_formed([old, other], 8)
    do(old, "kv", "put", "odd/two", "over it")
    do(old, "kv", "delete", "gone")
    backup = os.path.join(lab.dir, "backup")
    do(old, "backup", backup)
    other.kill()
    new.start()
    wanted = {"plain": "1", "odd/one": "2", "odd/two": "over it", "old": "5"}
    wait_values([old, new], wanted, 10)
    other.start()
    wait_formed(nodes, 10)
    wait_in_step(nodes)
    wait_values(nodes, wanted)
    expect("unknown" not in do(new, "registry", "inspect", "kv/odd/two"), "the old one wrote it last")
    expect("unknown" in do(new, "registry", "inspect", "kv/odd/one"), "it came back by way of the old one")
    expect(doctor_lines(old, "registry")[0][0] == "ok", lambda: f"{doctor_lines(old, 'registry')}")
    expect(do(old, "store", "check").startswith("check      sound"), "the store is sound")
    do(new, "restore", backup)
    wait_values(nodes, wanted)


@options(timeout=60)
def test_a_later_format(lab):
    """Entries of which this version reads nothing: it goes on with all else, says so in the log, in registry status
    and in doctor, and has them once it is upgraded. Nothing that either side wrote is lost."""
    nodes = start_mixed(lab, 1, 2)
    old, new, other = nodes
    do(old, "kv", "put", "both", "before")
    wait_values(nodes, {"both": "before"})
    for node in (new, other):
        node.write_later()
    wait_formed(nodes, 8)
    wait_linked(nodes)
    do(new, "kv", "put", "later", "1")
    do(other, "kv", "put", "both", "later")
    do(old, "kv", "put", "both", "old")
    do(old, "kv", "put", "plain", "2")
    wait_values([old], {"both": "old", "plain": "2"})
    wait_for(lambda: {"later", "both", "plain"} <= set(values(new)), 5, lambda: f"{values(new)}")
    status = wait_for(lambda: [peer["node"] for peer in old.json("registry", "status")["peers"]
                               if peer["later"]], 10, "registry status names who has more")
    expect(set(status) <= {new.name, other.name}, f"{status}")
    expect("upgrade homemesh on n1" in do(old, "registry", "status"), "and what to do")
    lines = doctor_lines(old, "registry")
    expect(lines[0][0] == "warn" and "later format" in lines[0][1], f"doctor: {lines}")
    expect("event=later-format" in old.log(), lambda: old.log())
    # What it can read of the next version it still gets, and it may come back with its store.
    old.kill()
    old.start()
    wait_formed(nodes, 8)
    do(old, "kv", "put", "again", "3")
    wait_for(lambda: values(new).get("again") == "3", 5, "its writes arrive")
    expect(set(values(old)) == {"both", "plain", "again"}, f"{values(old)}")
    old.terminate()
    old.is_next = True
    old.start()
    wait_formed(nodes, 8)
    wait_in_step(nodes)
    for node in nodes:
        found = values(node)
        expect((found["later"], found["plain"], found["again"]) == ("1", "2", "3"), f"{node.name}: {found}")
        both = node.json("kv", "conflicts")
        expect(len(both) == 1 and both[0]["key"] == "both", f"both values are there: {both}")
    expect(doctor_lines(old, "registry")[0][0] == "ok", lambda: f"{doctor_lines(old, 'registry')}")
