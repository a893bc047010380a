# SPDX-License-Identifier: MPL-2.0
"""What networks and liars do to a mesh, and it must not change a member."""
import os
import signal
import time

import rawnet
from harness import options
from lab import expect, hold_for, wait_for
from mesh import (Node, no_change, start_mesh, views, wait_event, wait_formed, wait_settled,
                  wait_status)


def test_forged_icmp(lab):
    """Port-unreachable reports forged by a stranger change no member."""
    nodes = start_mesh(lab, 3)
    stranger = lab.add_hosts(1)[0]
    ports = [node.port() for node in nodes]
    wait_settled(nodes, 0.5)
    since = time.time()
    for _ in range(100):
        for victim in (0, 1):
            for code in (3, 2, 1):
                rawnet.send_ip(stranger, rawnet.port_unreachable(
                    nodes[2].host.address, nodes[victim].host.address, ports[victim],
                    nodes[2].host.address, ports[2], code))
        time.sleep(0.03)  # spread over some probes
    hold_for(lambda: no_change(nodes, since), 4, "a member changed", poll=0.5)
    expect(all(node.sees("n1", "n2", "n3") for node in nodes), lambda: views(nodes))


def test_only_a_closed_port_is_evidence(lab):
    """"Net unreachable" and "host unreachable" say nothing about a process: only a closed port counts."""
    nodes = start_mesh(lab, 2)
    stranger = lab.add_hosts(1)[0]
    ports = [node.port() for node in nodes]

    def say(code):
        rawnet.send_ip(stranger, rawnet.port_unreachable(
            nodes[1].host.address, nodes[0].host.address, ports[0], nodes[1].host.address, ports[1], code))

    def counted():
        return nodes[0].metric_values()["mesh_unreachable_total"]
    before = counted()
    for code in (0, 1, 2, 9, 10, 13):
        for _ in range(10):
            say(code)
    hold_for(lambda: counted() == before, 1, lambda: f"{counted() - before:g} are taken as evidence")
    say(3)
    wait_for(lambda: counted() > before, 3, "and a closed port is counted")


REJECT = """
meta l4proto udp {match} reject with icmp type port-unreachable
meta l4proto tcp {match} reject with tcp reset
"""


def test_reject_rule_at_one_node(lab):
    """n3 rejects one peer's packets (port-unreachable, reset): no member changes."""
    nodes = start_mesh(lab, 3)
    wait_settled(nodes)
    since = time.time()
    nodes[2].host.filter_input(REJECT.format(match=f"ip saddr {nodes[0].host.address}"))
    hold_for(lambda: no_change(nodes, since), 12, "a member changed", poll=0.5)
    expect(all(node.sees("n1", "n2", "n3") for node in nodes), lambda: views(nodes))


def test_firewall_that_rejects(lab):
    """A common firewall (established passes, the rest is rejected) at one node changes no member."""
    hosts = lab.add_hosts(3)
    hosts[2].filter_input("ct state established accept\n")
    nodes = start_mesh(lab, 3, hosts=hosts)
    wait_settled(nodes, 2)
    since = time.time()
    hosts[2].filter_input("ct state related accept\n" + REJECT.format(match="ct state new"))
    hold_for(lambda: no_change(nodes, since), 10, "a member changed", poll=0.5)


@options(timeout=80)
def test_loss_of_a_quarter(lab):
    """25 % loss on every link for 30 s in a mesh of three: nobody is called failed."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    lab.loss(25)
    hold_for(lambda: no_change(nodes, since, allowed=("suspect",)), 30, "a false failure", poll=2)
    lab.loss(0)
    wait_formed(nodes)


@options(timeout=80)
def test_loss_in_a_pair(lab):
    """20 % loss for 30 s in a mesh of two, where nobody can help."""
    nodes = start_mesh(lab, 2)
    since = time.time()
    lab.loss(20)
    hold_for(lambda: no_change(nodes, since, allowed=("suspect",)), 30, "a false failure", poll=2)
    lab.loss(0)
    wait_formed(nodes)


def test_forming_under_loss(lab):
    """A mesh also forms at 25 % loss."""
    lab.add_hosts(3)
    lab.loss(25)
    nodes = [Node(host).start() for host in lab.hosts]
    wait_formed(nodes, 20)


def test_new_address(lab):
    """A node returns on another address: alive at all peers within two probe periods."""
    nodes = start_mesh(lab, 3)
    nodes[2].kill()
    wait_status(nodes[:2], "n3", "failed", 5)
    nodes[2].host.change_address("10.77.0.203")
    nodes[2].start()
    wait_status(nodes[:2], "n3", "alive", 5)
    for node in nodes[:2]:
        wait_for(lambda node=node: node.nodes()["n3"]["address"].startswith("10.77.0.203:"), 3,
                 "the new address is listed")
    wait_formed(nodes)


def test_new_address_after_leave(lab):
    """The same after a clean leave, at once."""
    nodes = start_mesh(lab, 3)
    nodes[2].terminate()
    nodes[2].host.change_address("10.77.0.203")
    nodes[2].start()
    wait_for(lambda: all(node.nodes().get("n3", {}).get("status") == "alive"
                         and node.nodes()["n3"]["address"].startswith("10.77.0.203:")
                         for node in nodes[:2]), 5, lambda: views(nodes))


@options(alone=True, timeout=60)
def answered_within(node, seconds):
    """So long took 99 % of its answers to meshctl, in so many seconds."""
    spent = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        expect(node.ctl("status").returncode == 0, "status answers")
        spent.append(time.monotonic() - begun)
        time.sleep(0.05)  # not so often that we are the load
    spent.sort()
    return spent[int(len(spent) * 0.99) - 1]


def test_stopped_peer_holds_nobody_up(lab):
    """A SIGSTOPped peer: the others answer meshctl as fast as before, and it refutes when it wakes."""
    nodes = start_mesh(lab, 3)
    before = answered_within(nodes[0], 4)
    nodes[2].pause()
    slow = answered_within(nodes[0], 8)
    expect(slow < max(0.1, 3 * before), f"99 % of the answers within {slow * 1000:.0f} ms, and before "
           f"within {before * 1000:.0f} ms")
    wait_status(nodes[:2], "n3", "failed", 12)
    since = time.time()
    nodes[2].resume()
    wait_formed(nodes, 8)
    no_change(nodes[2:], since, allowed=("suspect",))


def test_end_beside_a_stopped_peer(lab):
    """SIGTERM ends a node within a second although a linked peer does not read."""
    nodes = start_mesh(lab, 2)
    nodes[1].pause()
    status, took = nodes[0].terminate()
    expect(status == 0 and took < 2, f"exit {status} after {took:.2f} s")
    nodes[1].resume()


def replay(lab, node, capture, to=None):
    """The datagrams that came to a node, once more, in its own wire."""
    with rawnet.Injector(lab.switch, node.host.port) as injector:
        for datagram in capture:
            if datagram.target == node.host.address:
                injector.send(datagram.frame)


def drops(node, word):
    return sum(value for name, value in node.metric_values().items() if word in name)


def test_replayed_datagrams(lab):
    """Datagrams sent again are refused and counted, also by a receiver that has started anew."""
    nodes = start_mesh(lab, 3)
    with rawnet.Capture(nodes[1].host, incoming_only=True) as capture:
        port = nodes[1].port()

        def caught():
            return [d for d in capture.items if d.target_port == port]

        wait_for(lambda: len(caught()) >= 6, 10, lambda: f"only {len(caught())} datagrams came")
        seen = caught()
    before = drops(nodes[1], "replay")
    since = time.time()
    for _ in range(5):
        replay(lab, nodes[1], seen)
    wait_for(lambda: drops(nodes[1], "replay") >= before + len(seen), 5,
             lambda: f"replays are counted: {before} before, {drops(nodes[1], 'replay')} now, "
                     f"{5 * len(seen)} sent")
    nodes[1].kill()
    nodes[1].start()
    wait_formed(nodes)
    for _ in range(5):
        replay(lab, nodes[1], seen)
    hold_for(lambda: no_change([nodes[0], nodes[2]], since), 3, "a member changed", poll=0.5)
    wait_formed(nodes)


def test_replayed_leave(lab):
    """A leave that was overheard does not make the node leave again."""
    nodes = start_mesh(lab, 3)
    with rawnet.Capture(nodes[0].host, incoming_only=True) as capture:
        nodes[2].terminate()
        wait_status(nodes[:2], "n3", "left", 3)
        time.sleep(0.3)  # a leave is told more than once, and nobody can tell which datagram it is
        seen = list(capture.items)
    nodes[2].start()
    wait_formed(nodes)
    since = time.time()
    for _ in range(20):
        replay(lab, nodes[0], seen)
        time.sleep(0.05)  # spread over a second
    hold_for(lambda: no_change(nodes, since), 3, "a member changed", poll=0.5)
    expect(nodes[0].sees("n3"), "n3 is alive")


def test_sealed(lab):
    """No name, label or key of a node is readable on the wire."""
    lab.add_hosts(2)
    with rawnet.Capture(lab.hosts[0]) as capture:
        nodes = [Node(host, name=f"secretname{host.index}", flags=["--role=secretrole"]).start()
                 for host in lab.hosts]
        wait_formed(nodes)
        time.sleep(2)  # what members say in two seconds, besides meeting
        payloads = [datagram.payload for datagram in capture.items]
    expect(len(payloads) > 4, "datagrams were seen")
    for word in (b"secretname", b"secretrole"):
        expect(not any(word in payload for payload in payloads), f"{word} is on the wire")
    expect(max(len(payload) for payload in payloads) <= 1200, "datagrams of at most 1200 bytes")


def damaged(data, how):
    half = len(data) // 2
    return {"truncated": data[:half],
            "empty": b"",
            "zeroed": bytes(len(data)),
            "first page zeroed": bytes(4096) + data[4096:],
            "end zeroed": data[:half] + bytes(len(data) - half),
            "middle overwritten": data[:half] + os.urandom(min(8192, len(data) - half))
            + data[half + 8192:]}[how]


@options(timeout=120)
def test_damaged_state(lab):
    """A store that was cut or zeroed: the node starts, says so, and is the same member."""
    nodes = start_mesh(lab, 2)
    ident = nodes[1].self_entry()["id"]
    store = os.path.join(nodes[1].data_dir, "store")
    for how in ("truncated", "empty", "zeroed", "first page zeroed", "end zeroed",
                "middle overwritten"):
        nodes[1].terminate()
        path = os.path.join(store, "data.mdb")
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(damaged(data, how))
        mark = len(nodes[1].log())
        nodes[1].start()
        try:
            wait_formed(nodes, 6)
        except AssertionError as failure:
            raise AssertionError(f"{how}: {failure}\n{nodes[1].log()[mark:]}") from None
        expect(nodes[1].self_entry()["id"] == ident, f"{how}: the identity stays")
        if how in ("truncated", "zeroed", "first page zeroed"):
            said = nodes[1].log()[mark:].lower()
            expect(any(word in said for word in ("damaged", "dropped", "moved")),
                   f"{how}: nothing is said: {said[-600:]}")


def test_killed_while_it_stops(lab):
    """SIGTERM, and kill -9 a moment later: nothing is damaged."""
    nodes = start_mesh(lab, 2)
    for pause in (0.0, 0.005, 0.02, 0.05):
        nodes[1].process.signal(signal.SIGTERM)
        time.sleep(pause)  # the moment at which it is killed
        nodes[1].kill()
        nodes[1].start()
        wait_formed(nodes, 6)


def test_one_way(lab):
    """A node that hears and cannot be heard is failed at the others, who stay alive to each other."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    lab.block(f"iifname {nodes[2].host.port} drop")
    wait_event(nodes[:2], "failed", "n3", since, 12)
    expect(nodes[0].sees("n1", "n2") and nodes[1].sees("n1", "n2"), lambda: views(nodes))
    lab.rules.clear()
    lab.heal()
    wait_formed(nodes, 8)
