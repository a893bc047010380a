# SPDX-License-Identifier: MPL-2.0
"""Several nodes on one machine with nothing but loopback: that is how everybody tries it first."""
import time

from lab import expect, hold_for, wait_for
from mesh import Node, need_binaries, start_mesh, wait_event, wait_formed


def test_three_on_loopback(lab):
    """Three nodes with default ports find each other; a crash is noticed."""
    host = lab.loopback_host()
    nodes = [Node(host, name=name) for name in ("a", "b", "c")]
    need_binaries()
    for node in nodes:
        node.start()
    wait_formed(nodes)
    addresses = {entry["address"] for entry in nodes[0].nodes().values()}
    expect(len(addresses) == 3 and all(a.startswith("127.") for a in addresses), f"{addresses}")
    since = time.time()
    nodes[2].kill()
    wait_event(nodes[:2], "failed", "c", since, 4)
    nodes[2].start()
    wait_formed(nodes)


def test_two_on_one_machine_of_two(lab):
    """Two nodes on one machine and one on another: all see all."""
    need_binaries()
    first, second = lab.add_hosts(2)
    nodes = [Node(first, name="a"), Node(first, name="b"), Node(second, name="c")]
    for node in nodes:
        node.start()
    wait_formed(nodes)
    expect(len({entry["address"] for entry in nodes[2].nodes().values()}) == 3, "three addresses")


def test_two_meshes_on_loopback(lab):
    """Two meshes on one machine keep apart."""
    need_binaries()
    host = lab.loopback_host()
    nodes = [Node(host, name=name, mesh=mesh, data_dir=f"{lab.dir}/{mesh}/{name}")
             for mesh in ("red", "blue") for name in (f"{mesh}1", f"{mesh}2")]
    for node in nodes:
        node.start()
    wait_formed(nodes[:2])
    wait_formed(nodes[2:])
    hold_for(lambda: set(nodes[0].view()) == {"red1", "red2"}
             and set(nodes[2].view()) == {"blue1", "blue2"}, 1,
             lambda: f"red sees {nodes[0].view()}, blue sees {nodes[2].view()}")


def test_ipv6_loopback(lab):
    """--bind=[::1]: addresses are written [::1]:port."""
    need_binaries()
    lab.ipv6 = True
    host = lab.loopback_host()
    host.netns.close()
    host.netns = type(host.netns)(ipv6=True)
    nodes = [Node(host, name="a", flags=["--bind=[::1]:9001"]),
             Node(host, name="b", flags=["--bind=[::1]:9002", "--join=[::1]:9001"])]
    for node in nodes:
        node.start()
    wait_formed(nodes, 8)
    expect(nodes[0].nodes()["b"]["address"] == "[::1]:9002", f"{nodes[0].nodes()['b']['address']}")


def test_default_port_taken_by_another_program(lab):
    """Port 8471 in use by a stranger: the next free one is taken without a word."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    foreign = host.socket()
    foreign.bind(("0.0.0.0", 8471))
    node = Node(host).start()
    node.wait_up()
    expect(node.port() != 8471, "another port")
    foreign.close()


def test_same_names(lab):
    """Two nodes of one name are both shown and told apart."""
    need_binaries()
    lab.add_hosts(2)
    one = Node(lab.hosts[0], name="twin", data_dir=f"{lab.dir}/state/1").start()
    two = Node(lab.hosts[1], name="twin", data_dir=f"{lab.dir}/state/2")
    two.start()

    def both():
        listed = one.json("nodes", "list")
        return listed and len(listed) == 2 and all(entry["status"] == "alive" for entry in listed)
    wait_for(both, 6, lambda: f"{one.json('nodes', 'list')}")
    listed = one.json("nodes", "list")
    expect(len({entry["id"] for entry in listed}) == 2, "two ids")
    for entry in listed:
        expect(one.ctl("nodes", "show", entry["id"][:12]).returncode == 0, "an id's prefix will do")


def test_formed_mesh_stays(lab):
    """Nothing changes in ten seconds when nothing happens."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    time.sleep(10)  # undisturbed, also by meshctl
    for node in nodes:
        changes = [event for event in node.events(since) if event["type"] != "node.updated"]
        expect(not changes, f"{node.name} reports {changes}")
