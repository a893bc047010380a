# SPDX-License-Identifier: MPL-2.0
"""meshd and zyre.js, a ZRE peer that we did not write: they meet, talk and part as RFC 36 says, and
nothing that such a peer does changes a member."""
import json
import os
import time

import zmtp
from harness import options
from lab import Skip, expect, hold_for, wait_for
from mesh import MESH, Node, need_binaries, no_change, start_mesh, wait_formed, wait_status

HERE = os.path.dirname(os.path.abspath(__file__))
FAST = {"evasive": 400, "expired": 3000, "binterval": 300}


class Peers:
    """Zyre peers of one process on a host; see peer.js for what they can be told. The libzmq in it dies
    of an assertion now and then when sockets are closed (pipe.cpp:332): that is no fault of ours."""

    def __init__(self, host, log="zyre"):
        modules = os.environ.get("HM_ZYRE_JS")
        if not modules:
            raise Skip(os.environ.get("HM_ZYRE_JS_MISSING", "run this by tests/interop/run"))
        need_binaries()
        read, self._commands = os.pipe()
        self.process = host.popen(log, ["node", os.path.join(HERE, "peer.js"), modules], stdin=read)
        os.close(read)

    def died_of_itself(self):
        return not self.process.running() and "Assertion failed" in self.process.log()

    def tell(self, *command):
        try:
            os.write(self._commands, (json.dumps(command) + "\n").encode())
        except BrokenPipeError:
            pass                       # whoever waits for what comes of it sees why

    def close(self):
        os.close(self._commands)
        self.process.kill()

    def events(self, peer, kind):
        found = []
        for line in self.process.log().splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                expect(event["event"] != "error", f"zyre.js: {line}")
                if event["peer"] == peer and event["event"] == kind:
                    found.append(event)
        return found

    def wait(self, peer, kind, seconds=10, count=1, **fields):
        """The event number `count` of that kind which has these fields."""
        def seen():
            if self.died_of_itself():
                raise Skip(f"zyre.js died of an assertion: {self.process.log()[-200:]}")
            expect(self.process.running(), lambda: f"zyre.js ended: {self.process.log()[-800:]}")
            events = [event for event in self.events(peer, kind)
                      if all(event.get(key) == value for key, value in fields.items())]
            return events[count - 1] if len(events) >= count else None
        return wait_for(seen, seconds, lambda: f"{kind} {fields} at {peer}, number {count}: "
                        f"{self.process.log()[-800:]}", poll=0.05)

    def start(self, name, **options_of_it):
        self.tell("start", name, options_of_it)
        return self.wait(name, "started")["id"]

    def stop(self, name):
        self.tell("stop", name)
        self.wait(name, "stopped")


def zre_count(node, which):
    return node.metric_values()[f"mesh_zre_{which}_total"]


def node_id(node):
    return node.self_entry()["id"]


def test_meet(lab):
    """Both find each other by beacon; name, header, group and endpoint are as RFC 36 has them."""
    first, second = lab.add_hosts(2)
    peers = Peers(second)
    node = Node(first).start()
    node.wait_up()
    heard = zre_count(node, "received")
    peers.start("zoe", headers={"X-LAB": "yes"}, **FAST)
    met = peers.wait("zoe", "connect")
    expect(met["id"] == node_id(node), f"our node id is the UUID: {met}")
    expect(met["who"] == "n1" and met["headers"] == {"X-HOMEMESH": MESH}, f"name and header: {met}")
    peers.wait("zoe", "join", who="n1", group=MESH)
    peers.tell("peers", "zoe")
    shown = peers.wait("zoe", "peers")["peers"][node_id(node)]
    expect(shown["endpoint"] == f"tcp://{first.address}:{node.port()}", f"endpoint: {shown}")
    wait_for(lambda: zre_count(node, "received") > heard, 5, "we understood its HELLO")
    expect(zre_count(node, "malformed") == 0, "nothing of it is malformed")
    expect(node.view() == {"n1": "alive"}, "it is no member")


def met(lab):
    """A node, and a Zyre peer zoe on another host that has connected to it."""
    first, second = lab.add_hosts(2)
    peers = Peers(second)
    node = Node(first).start()
    node.wait_up()
    peers.start("zoe", **FAST)
    peers.wait("zoe", "connect")
    return node, peers


def test_talk(lab):
    """Groups, SHOUT, WHISPER, PING: understood, answered with PING-OK, and nothing else happens."""
    node, peers = met(lab)
    since, us = time.time(), node_id(node)
    for number in range(5):
        peers.tell("join", "zoe", f"group{number}")
        peers.tell("join", "zoe", MESH)
        peers.tell("shout", "zoe", MESH, "to all" * number)
        peers.tell("whisper", "zoe", us, "x" * (10 ** number), 3)
        peers.tell("leave", "zoe", f"group{number}")
    # It expires after 3 s without an answer to its PINGs, which are numbered among all the others.
    hold_for(lambda: not peers.events("zoe", "disconnect"), 5, "it keeps us", poll=0.5)
    expect(zre_count(node, "received") >= 30, f"only {zre_count(node, 'received')} are understood")
    expect(zre_count(node, "malformed") == 0 and zre_count(node, "cut") == 0, "nothing is malformed")
    no_change([node], since)
    expect(node.view() == {"n1": "alive"}, "it is no member")


def test_part(lab):
    """Our end is a goodbye for it; its end, and its coming again, are nothing to us but a new peer."""
    node, peers = met(lab)
    peers.stop("zoe")
    peers.start("zoe", **FAST)
    peers.wait("zoe", "connect", count=2)
    status, _ = node.terminate()
    expect(status == 0, f"exit {status}")
    peers.wait("zoe", "disconnect", who="n1")
    expect(not peers.events("zoe", "expired"), "by its goodbye, not by silence")
    node.start()
    node.wait_up()
    peers.wait("zoe", "connect", count=3)
    # Killed it says no goodbye: zyre.js has the old peer still, and takes the new one's HELLO.
    node.kill()
    node.start()
    node.wait_up()
    peers.wait("zoe", "connect", count=4, seconds=25)


def test_counter_wrap(lab):
    """zyre.js counts from 65534 on to 0, one too early: it is no gap, and it stays our peer."""
    node, peers = met(lab)
    before = zre_count(node, "received")
    peers.tell("whisper", "zoe", node_id(node), "x", 66000)
    peers.wait("zoe", "whispered", 30)
    wait_for(lambda: zre_count(node, "received") >= before + 66000, 20,
             lambda: f"all are understood: {zre_count(node, 'received') - before:g}")
    hold_for(lambda: not peers.events("zoe", "disconnect"), 4, "PINGs are still answered", poll=0.5)


def test_among_members(lab):
    """A Zyre peer among three nodes meets each; they stay as they are, and speak no ZRE themselves."""
    nodes = start_mesh(lab, 3)
    host, = lab.add_hosts(1)
    peers = Peers(host)
    since = time.time()
    before = [zre_count(node, "received") for node in nodes]
    expect(before == [0, 0, 0], f"members send each other no ZRE: {before}")
    peers.start("zoe", **FAST)
    for node in nodes:
        peers.wait("zoe", "connect", who=node.name)
    nodes[2].kill()
    wait_status(nodes[:2], "n3", "failed", 5)
    peers.process.kill()
    no_change(nodes[:2], since, allowed=("failed", "suspect"))
    nodes[2].start()
    wait_formed(nodes)


def test_on_loopback(lab):
    """On a machine that has nothing but loopback they meet too."""
    host = lab.loopback_host()
    peers = Peers(host)
    node = Node(host).start()
    node.wait_up()
    peers.start("zoe", iface="lo", **FAST)
    peers.wait("zoe", "connect", who=node.name)


@options(timeout=90)
def test_many_that_come_and_go(lab):
    """A hundred peers that live for moments: all are met, none is a member, nothing is left behind."""
    nodes = start_mesh(lab, 2)
    host, = lab.add_hosts(1)
    since, node = time.time(), nodes[0]
    descriptors = len(os.listdir(f"/proc/{node.pid}/fd"))
    for batch in range(10):
        peers = Peers(host, f"zyre{batch}")
        names = [f"z{batch}-{number}" for number in range(10)]
        for number, name in enumerate(names):
            peers.tell("start", name, {**FAST, "port": 49152 + 200 * number})
        for name in names:
            peers.wait(name, "connect", 20, who="n1")
        if batch % 2 == 0:             # every second batch says goodbye, the others are killed
            for name in names:
                peers.tell("stop", name)
            wait_for(lambda: peers.died_of_itself() or len(peers.events(names[-1], "stopped")), 20,
                     "they have stopped")
        peers.close()
    no_change(nodes, since)
    expect(set(node.view()) == {"n1", "n2"}, f"it sees {node.view()}")
    wait_for(lambda: len(os.listdir(f"/proc/{node.pid}/fd")) <= descriptors + 2, 10,
             lambda: f"{len(os.listdir(f'/proc/{node.pid}/fd'))} descriptors, {descriptors} before")
    expect(zre_count(node, "malformed") == 0, "nothing was malformed")


@options(timeout=90)
def test_beside_many_strangers(lab):
    """While HELLOs of hundreds of others fill our table of peers, zyre.js and members are served."""
    nodes = start_mesh(lab, 2)
    host, other = lab.add_hosts(2)
    peers = Peers(host)
    since, node = time.time(), nodes[0]
    for number in range(300):
        dealer = zmtp.Dealer(other, node.host.address, node.port(), zmtp.identity(os.urandom(16)))
        dealer.send(zmtp.hello(1, f"tcp://{other.address}:{1024 + number}", [MESH]))
        dealer.close()
    peers.start("zoe", **FAST)
    peers.wait("zoe", "connect", 20, who="n1")
    no_change(nodes, since)
    expect(set(node.view()) == {"n1", "n2"}, f"it sees {node.view()}")
