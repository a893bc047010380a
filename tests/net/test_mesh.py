# SPDX-License-Identifier: MPL-2.0
"""A mesh forms, notices what happens to its members, and forms again."""
import os
import shutil
import time

from harness import options
from lab import expect, expect_typical, hold_for, wait_for
from mesh import (MESH, MESHD, STATUSES, Node, need_binaries, no_change, start_mesh, views, wait_event,
                  wait_formed, wait_linked, wait_settled, wait_status, wall)
from netns import own_hostname


class BareNode(Node):
    """meshd --discover=lab and nothing else, on a machine of its own name."""

    def __init__(self, host):
        super().__init__(host, data_dir=f"/var/lib/meshd/{MESH}/{host.name}",
                         extra=own_hostname(host.name))

    def argv(self, more=()):
        return [MESHD, f"--discover={self.mesh}", *more]

    def start(self, more=(), **how):
        self.process = self.host.popen(self.name, self.argv(more), extra=self.extra)
        return self


def test_three_without_configuration(lab):
    """Three machines, one flag: all see all."""
    need_binaries()
    nodes = [BareNode(host).start() for host in lab.add_hosts(3)]
    wait_formed(nodes, 5)
    expect(os.stat(f"/var/lib/meshd/{MESH}/key").st_mode & 0o777 == 0o600, "the mesh key is 0600")


@options(alone=True)
def test_bare_pair_in_two_seconds(lab):
    """A machine and one more see each other within two seconds of the other's start."""
    need_binaries()
    one, *others = (BareNode(host) for host in lab.add_hosts(4))
    one.start().wait_up()
    taken = []
    for other in others:
        begun = time.monotonic()
        other.start()
        wait_for(lambda: one.sees("n1", other.name) and other.sees("n1", other.name), 6,
                 lambda: views([one, other]), poll=0.005)
        taken.append(time.monotonic() - begun)
        other.kill()
        wait_status([one], other.name, "failed", 6)
    expect_typical(taken, 2, 6, "two see each other")


@options(alone=True, timeout=60)
def test_stated_times(lab):
    """A crash is known to all, and a leaving node has ended and is known to have left, within a second."""
    nodes = start_mesh(lab, 3)
    crashed, left, ended = [], [], []
    for _ in range(3):
        wait_linked(nodes)
        since = time.time()
        nodes[2].kill()
        events = wait_event(nodes[:2], "failed", "n3", since, 6)
        crashed.append(max(wall(event["time"]) for event in events) - since)
        nodes[2].start()
        wait_formed(nodes, 8)
        since = time.time()
        status, took = nodes[2].terminate(6)
        expect(status == 0, f"exit {status}")
        ended.append(took)
        events = wait_event(nodes[:2], "left", "n3", since, 6)
        left.append(max(wall(event["time"]) for event in events) - since)
        nodes[2].start()
        wait_formed(nodes, 8)
    expect_typical(crashed, 1, 5, "a crash is known")
    expect_typical(left, 1, 5, "leaving is known")
    expect_typical(ended, 1, 5, "it ends after SIGTERM")


def test_alone(lab):
    """One node is a mesh too."""
    need_binaries()
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    expect(node.view() == {"n1": "alive"}, f"it sees {node.view()}")


def test_list_schema(lab):
    """nodes list --format=json keeps its promise, field by field."""
    nodes = start_mesh(lab, 3, flags=["--role=worker", "--label=rack=7", "--capabilities=gpu,ssd"])
    wait_for(lambda: all(entry["labels"].get("role") == "worker"
                         for entry in nodes[0].nodes().values()), 5, "labels arrive")
    listed = nodes[0].json("nodes", "list")
    expect([entry["name"] for entry in listed] == ["n1", "n2", "n3"], "sorted by name")
    for entry in listed:
        expect(len(entry["id"]) == 32 and int(entry["id"], 16) >= 0, f"id {entry['id']}")
        host, _, port = entry["address"].rpartition(":")
        expect(host == f"10.77.0.{entry['name'][1]}" and 0 < int(port) < 65536,
               f"address {entry['address']}")
        expect(entry["status"] in STATUSES, f"status {entry['status']}")
        expect(entry["self"] is (entry["name"] == "n1"), f"self of {entry['name']}")
        expect(isinstance(entry["version"], str) and entry["version"], "version")
        expect(entry["rtt_ms"] is None or 0 <= entry["rtt_ms"] < 1000, f"rtt_ms {entry['rtt_ms']}")
        expect(abs(wall(entry["since"]) - time.time()) < 60, f"since {entry['since']}")
        labels = entry["labels"]
        expect(labels.get("role") == "worker" and labels.get("rack") == "7", f"labels {labels}")
        expect(set(labels.get("capabilities", "").split(",")) >= {"gpu", "ssd"}, f"labels {labels}")
        expect(labels.get("arch") and labels.get("cpus"), f"detected labels {labels}")
    wait_for(lambda: nodes[0].nodes()["n2"]["rtt_ms"] is not None, 10, "a round trip is known")


def test_environment(lab):
    """MESHD_* stands for flags, and flags win."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    env = {**lab.env, "MESHD_DISCOVER": MESH, "MESHD_NAME": "other", "MESHD_ROLE": "nas",
           "MESHD_DATA_DIR": os.path.join(lab.dir, "state", "n1")}
    node = Node(host)
    os.makedirs(os.path.join(lab.dir, "state"))
    node.process = host.popen("n1", [MESHD, "--name=n1"], env=env)
    node.wait_up()
    expect(node.self_entry()["name"] == "n1", "the flag wins")
    expect(node.self_entry()["labels"].get("role") == "nas", "the variable counts")


def test_crash(lab):
    """kill -9: the others say failed, reason refused, who saw it, and soon."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    nodes[2].kill()
    events = wait_event(nodes[:2], "failed", "n3", since, 4)
    for event in events:
        expect(event["reason"] == "refused", f"reason {event['reason']}")
        expect(event["observer"], "an observer is named")
    expect(nodes[0].sees("n1", "n2") and nodes[1].sees("n1", "n2"), "the living stay alive")


def test_crash_of_a_pair(lab):
    """In a mesh of two the only other one judges."""
    nodes = start_mesh(lab, 2)
    since = time.time()
    nodes[1].kill()
    event = wait_event(nodes[:1], "failed", "n2", since, 4)[0]
    expect(event["reason"] == "refused", f"reason {event['reason']}")


def test_silence(lab):
    """A pulled cable: failed in seconds at both sides, and alive again when it is back."""
    nodes = start_mesh(lab, 3)
    lab.cable(nodes[2].host, False)
    wait_status(nodes[:2], "n3", "failed", 10)
    expect(nodes[0].sees("n1", "n2"), "the others stay alive")
    wait_for(lambda: nodes[2].sees("n1", "n2", status="failed"), 20, lambda: views(nodes))
    lab.cable(nodes[2].host, True)
    wait_formed(nodes, 8)


def test_leave_by_signal(lab):
    """SIGTERM: left, not failed, at once; exit 0 within a second."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    status, took = nodes[2].terminate()
    expect(status == 0, f"exit {status}")
    expect_typical([took], 5, 5, "it ends")   # test_stated_times holds the second
    wait_event(nodes[:2], "left", "n3", since, 2)
    hold_for(lambda: nodes[0].view().get("n3") == "left", 2, "left stays left")
    no_change(nodes[:2], since, allowed=("left",))
    nodes[2].start()
    wait_formed(nodes)


def test_leave_by_command(lab):
    """meshctl leave: the same, and starting it again joins."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    done = nodes[2].ctl("leave")
    expect(done.returncode == 0, f"meshctl leave: {done.returncode}: {done.stderr}")
    expect(nodes[2].process.wait(2) == 0, "meshd ends with 0")
    wait_event(nodes[:2], "left", "n3", since, 2)
    no_change(nodes[:2], since, allowed=("left",))
    nodes[2].start()
    wait_formed(nodes)


@options(timeout=90)
def test_partition_and_heal(lab):
    """Two halves of four call each other failed, and see each other soon after the heal."""
    nodes = start_mesh(lab, 4)
    hosts = [node.host for node in nodes]
    lab.partition(hosts[:2], hosts[2:])
    wait_for(lambda: all(node.sees("n3", "n4", status="failed") for node in nodes[:2])
             and all(node.sees("n1", "n2", status="failed") for node in nodes[2:]), 20,
             lambda: views(nodes))
    expect(nodes[0].sees("n1", "n2") and nodes[2].sees("n3", "n4"), "each half goes on")
    lab.heal()
    wait_formed(nodes, 5)


def test_all_restarted_at_once(lab):
    """A power cut: all are killed and started together; the same nodes are one mesh again."""
    nodes = start_mesh(lab, 3)
    ids = {name: entry["id"] for name, entry in nodes[0].nodes().items()}
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start()
    wait_formed(nodes)
    after = {name: entry["id"] for name, entry in nodes[1].nodes().items()}
    expect(after == ids, "the same identities, and nobody twice")
    expect(len(nodes[2].json("nodes", "list")) == 3, "three nodes in the list")


@options(alone=True, timeout=90)
def test_quick_restart(lab):
    """Killed and started again within 200 ms: no member changes."""
    nodes = start_mesh(lab, 3)
    quick = 0
    for _ in range(9):
        wait_settled(nodes)
        since, begun = time.time(), time.monotonic()
        nodes[2].kill()
        time.sleep(0.1)  # so long it is away, and as long as the machine takes to start it
        nodes[2].start()
        wait_for(nodes[2].link_ports, 5, "its link port is open", poll=0.002)
        if time.monotonic() - begun < 0.2:
            hold_for(lambda: no_change(nodes[:2], since), 4, "a member changed", poll=0.3)
            quick += 1
        wait_formed(nodes)
        if quick == 3:
            return
    expect(quick > 0, "on this machine no start takes less than 100 ms")


def test_remembered_members(lab):
    """Members of the last run are found again where nothing is broadcast."""
    nodes = start_mesh(lab, 3)
    for node in nodes:
        node.terminate()
    lab.block("udp dport 5670 drop")
    for node in nodes:
        node.start()
    wait_formed(nodes, 8)


def test_join_without_broadcast(lab):
    """--join is enough, also when the other one starts later."""
    need_binaries()
    lab.add_hosts(3)
    lab.block("udp dport 5670 drop")
    two = Node(lab.hosts[1], flags=["--join=10.77.0.1"]).start()
    three = Node(lab.hosts[2], flags=["--join=10.77.0.2:8471"]).start()
    two.wait_up()
    one = Node(lab.hosts[0]).start()
    wait_formed([one, two, three], 15)


def test_seven_nodes(lab):
    """Seven at once, one killed, one leaving: all views agree."""
    nodes = start_mesh(lab, 7)
    since = time.time()
    nodes[6].kill()
    nodes[5].terminate()
    wait_event(nodes[:5], "failed", "n7", since, 5)
    wait_event(nodes[:5], "left", "n6", since, 5)
    expect(all(node.sees("n1", "n2", "n3", "n4", "n5") for node in nodes[:5]), "the rest is alive")
