# SPDX-License-Identifier: MPL-2.0
"""Floods by strangers: beacons, connections, wrong sockets, forged datagrams. Members see nothing of it,
and when it is over the node has no more memory, descriptors or threads than before."""
import ctypes
import os
import random
import socket
import struct
import sys
import time

import rawnet
import zmtp
from harness import options
from lab import PATIENCE, Skip, expect, hold_for, wait_for
from mesh import Node, no_change, start_mesh, views, wait_event, wait_formed, wait_status

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")
SANITIZED = any(name in os.environ for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")) or PATIENCE > 1


class Usage:
    """Memory, descriptors and threads of a daemon."""

    def __init__(self, node):
        self.pid = node.pid
        self.before = self.now()

    def now(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file.read().splitlines())
        return {"KiB": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"]),
                "descriptors": len(os.listdir(f"/proc/{self.pid}/fd"))}

    def grown(self):
        now = self.now()
        return {key: now[key] - value for key, value in self.before.items()}

    def expect_flat(self, kib, seconds=10):
        """No more than so much memory more, and soon as many descriptors and threads as before."""
        def flat():
            grown = self.grown()
            return grown["descriptors"] <= 2 and grown["threads"] <= 0
        wait_for(flat, seconds, lambda: f"flat again: {self.grown()}", poll=0.2)
        grown = self.grown()["KiB"]
        expect(grown <= (16 * kib if SANITIZED else kib), f"{grown} KiB more, {kib} are the most")


def beacon_flood(nodes, host, kind, seconds, rate=10000):
    ids = [entry["id"] for entry in nodes[0].nodes().values()]
    return host.popen(f"flood-{kind}", [sys.executable, os.path.join(LIB, "flood.py"), kind,
                                        str(rate), str(seconds), *ids])


def detection_seconds(nodes):
    """How long until the last of nodes is failed at the others, by their own events."""
    since = time.time()
    nodes[-1].kill()
    wait_event(nodes[:-1], "failed", nodes[-1].name, since, 10)
    took = time.time() - since
    nodes[-1].start()
    wait_formed(nodes, 10)
    return took


@options(timeout=90, alone=True)
def test_beacon_flood(lab):
    """Ten thousand forged identities a second, goodbyes among them: no member, no memory, no delay."""
    nodes = start_mesh(lab, 3)
    stranger, newcomer = lab.add_hosts(2)
    calm = detection_seconds(nodes)
    usage = Usage(nodes[0])
    since = time.time()
    flood = beacon_flood(nodes, stranger, "plain", 6)
    heard = nodes[0].metric_values()["mesh_beacons_received_total"]
    wait_for(lambda: nodes[0].metric_values()["mesh_beacons_received_total"] > heard + 2000, 5,
             "the flood is heard")
    stormy = detection_seconds(nodes)
    expect(stormy < calm + 1.5 * PATIENCE, f"detected after {stormy:.2f} s, {calm:.2f} s in calm")
    new = Node(newcomer, data_dir=os.path.join(lab.dir, "state", "new")).start()
    wait_formed([*nodes, new], 5)
    expect(flood.running(), "the flood was still on")
    flood.wait(20)
    flood = beacon_flood(nodes, stranger, "spoofed", 3)
    flood.wait(20)
    no_change(nodes[:2], since, allowed=("failed", "suspect"))
    for node in nodes[:2]:
        others = {event["node"] for event in node.events(since) if event["type"] != "node.alive"}
        expect(others <= {"n3"}, f"{node.name} tells of {others}")
    expect(set(nodes[0].view()) == {"n1", "n2", "n3", new.name}, f"it sees {nodes[0].view()}")
    usage.expect_flat(1024)
    expect(len(nodes[0].log().splitlines()) < 40, lambda: f"the log is quiet: {nodes[0].log()}")
