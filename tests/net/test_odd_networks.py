# SPDX-License-Identifier: MPL-2.0
"""Several interfaces, changing addresses, IPv6, networks that carry no broadcast (R1.4, R2.3, R2.4, R2.7)."""
import time

import dns
import rawnet
from harness import options
from lab import Lab, expect, hold_for, wait_for
from mesh import (Node, need_binaries, no_change, start_mesh, views, wait_event, wait_formed,
                  wait_linked, wait_settled, wait_status)


def fails(nodes, since):
    """Nobody was called failed since then; a suspicion that was cleared is allowed."""
    return no_change(nodes, since, allowed=("suspect",))


def many_interfaces(host):
    """A private network first, a docker0 that all have with one address, an alias, and the shared one."""
    host.netns.ip("addr flush dev eth0\n")
    host.add_bridge("docker0", "172.17.0.1/16")
    host.add_wire("lan0", bridge=f"br1{host.index}", address="192.168.9.2/24")
    host.add_wire("wg0", bridge=f"br2{host.index}", address=f"10.8.0.{host.index + 1}/24")
    host.netns.ip("addr add 10.99.0.1/24 brd + dev eth0\n"
                  f"addr add {host.address}/24 brd + dev eth0\n")


def test_four_interfaces(lab):
    """Four interfaces, docker0 and an alias among them: the mesh forms on the shared one (R2.3)."""
    need_binaries()
    hosts = lab.add_hosts(3)
    for host in hosts:
        many_interfaces(host)
    with rawnet.Capture(hosts[0], interface="docker0") as docker, \
            rawnet.Capture(hosts[0], interface="wg0") as tunnel:
        nodes = [Node(host).start() for host in hosts]
        wait_formed(nodes, 10)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    wait_for(lambda node=node, other=other: node.address_of(other.name)
                             .startswith(other.host.address + ":"), 10,
                             lambda node=node: f"reached on the shared network: {node.nodes()}")
        expect(not [d for d in docker.items + tunnel.items if d.target_port == 5670],
               "no beacon goes to docker0 or wg0")
    since = time.time()
    nodes[1].kill()
    wait_event([nodes[0], nodes[2]], "failed", "n2", since, 10)


def test_named_interface(lab):
    """--interface takes what is passed over otherwise, and only that; one that is not there is said."""
    need_binaries()
    hosts = lab.add_hosts(2)
    for host in hosts:
        host.netns.ip(f"addr flush dev eth0\naddr add 192.168.9.{host.index + 1}/24 dev eth0\n")
        host.add_wire("wg0", address=f"10.8.0.{host.index + 1}/24")
    lab.block("ether type ip ip daddr 192.168.9.0/24 drop")
    nodes = [Node(host, flags=["--interface=wg0", "--interface=usb7"]).start() for host in hosts]
    wait_formed(nodes)
    expect(nodes[0].address_of("n2").startswith("10.8.0.2:"), nodes[0].address_of("n2"))
    expect("usb7" in nodes[0].log(), "the interface that is not there is named")


def test_beacon_port(lab):
    """--beacon-port keeps two groups of nodes on one subnet apart, whatever their keys (R2.8)."""
    need_binaries()
    hosts = lab.add_hosts(3)
    nodes = [Node(host, flags=[f"--beacon-port={port}"]).start()
             for host, port in zip(hosts, (5671, 5671, 5672))]
    wait_formed(nodes[:2])
    hold_for(lambda: set(nodes[2].view()) == {"n3"}, 1, lambda: f"n3 sees {nodes[2].view()}")


def second_wires(hosts):
    return [host.add_wire("eth1", address=f"10.78.0.{host.index + 1}/24") for host in hosts]


@options(timeout=90)
def test_one_of_two_wires_is_cut(lab):
    """Two wires each; the one in use goes dead with its link up: the other takes over, nobody fails."""
    need_binaries()
    hosts = lab.add_hosts(3)
    ports = second_wires(hosts)
    nodes = start_mesh(lab, 3, hosts=hosts)
    wait_settled(nodes)
    first = nodes[0].address_of("n3").startswith("10.77.")
    dead, net = (hosts[2].port, "10.78.") if first else (ports[2], "10.77.")
    since = time.time()
    lab.silence_port(dead)
    wait_for(lambda: all(node.address_of("n3").startswith(net) for node in nodes[:2]), 10,
             lambda: f"n3 is reached on {net}: {nodes[0].nodes()}")
    fails(nodes, since)
    # and back, with the other one cut
    lab.heal()
    lab.silence_port(ports[2] if first else hosts[2].port)
    other = "10.77." if first else "10.78."
    wait_for(lambda: all(node.address_of("n3").startswith(other) for node in nodes[:2]), 10,
             lambda: f"n3 is reached on {other}: {nodes[0].nodes()}")
    hold_for(lambda: fails(nodes, since), 3, "a false failure", poll=1)
    wait_formed(nodes)


@options(timeout=90)
def test_two_interfaces_on_one_subnet(lab):
    """Cable and Wi-Fi in one subnet; the one in use goes dead: the other takes over."""
    need_binaries()
    hosts = lab.add_hosts(2)
    wlan = hosts[1].add_wire("wlan0", bridge="br0", address="10.77.0.102/24")
    for name in ("all", "eth0", "wlan0"):
        hosts[1].run(["sysctl", "-qw", f"net.ipv4.conf.{name}.arp_ignore=1"])
    nodes = start_mesh(lab, 2, hosts=hosts)
    wait_settled(nodes)
    used_cable = nodes[0].address_of("n2").startswith("10.77.0.2:")
    since = time.time()
    lab.cable(hosts[1], False, port=None if used_cable else wlan)
    wanted = "10.77.0.102:" if used_cable else "10.77.0.2:"
    wait_for(lambda: nodes[0].address_of("n2").startswith(wanted), 10,
             lambda: f"{wanted} takes over: {nodes[0].nodes()}")
    wait_formed(nodes, 10)
    fails(nodes, since)


@options(timeout=90)
def test_link_goes_and_comes(lab):
    """A link that is down for long: alive everywhere within seconds of its return (R2.4)."""
    nodes = start_mesh(lab, 3)
    nodes[2].host.netns.ip("link set eth0 down\n")
    wait_status(nodes[:2], "n3", "failed", 15)
    wait_for(lambda: nodes[2].sees("n1", "n2", status="failed"), 20, lambda: views(nodes))
    nodes[2].host.netns.ip("link set eth0 up\n")
    wait_formed(nodes, 5)


def test_new_address_while_running(lab):
    """A new DHCP lease: alive everywhere at the new address within 5 s, and never failed (R1.4, R2.4)."""
    nodes = start_mesh(lab, 3)
    wait_settled(nodes, 0.5)
    since = time.time()
    nodes[2].host.change_address("10.77.0.203")
    wait_for(lambda: all(node.sees("n3") and node.address_of("n3").startswith("10.77.0.203:")
                         for node in nodes[:2]), 5, lambda: f"{nodes[0].nodes()}")
    hold_for(lambda: fails(nodes, since), 3, "a false failure", poll=0.5)
    # Links stand again: an answer that travels over one comes at once.
    wait_for(lambda: nodes[0].ctl("--node=n3", "version").returncode == 0, 5, "n3 is asked over a link")
    expect(not any("conflict" in node.log().lower() for node in nodes), "no conflict is spoken of")


@options(timeout=120)
def test_hundred_cycles(lab):
    """A hundred address changes and link drops: alive within 5 s, no descriptor lost (R2.4)."""
    nodes = start_mesh(lab, 3)
    wait_settled(nodes)
    before = [node.descriptors() for node in nodes]
    for cycle in range(100):
        nodes[2].host.netns.ip(
            "link set eth0 down\nlink set eth0 up\naddr flush dev eth0\n"
            f"addr add 10.77.0.{100 + cycle}/24 brd + dev eth0\n")
        if cycle % 10 == 9:
            wait_for(lambda cycle=cycle: all(node.address_of("n3").startswith(f"10.77.0.{100 + cycle}:")
                                             and node.sees("n3") for node in nodes[:2]), 5,
                     lambda: f"{views(nodes)} {nodes[0].nodes()}")
    wait_formed(nodes, 5)
    wait_for(lambda: all(node.descriptors() <= count for node, count in zip(nodes, before)), 20,
             lambda: f"descriptors: {before} before, {[node.descriptors() for node in nodes]} now")


def ipv6_lab(lab, count):
    lab.ipv6 = True
    hosts = lab.add_hosts(count)
    for host in hosts:
        host.netns.ip("addr flush dev eth0 scope global\n")
    return hosts


def test_ipv6_link_local_only(lab):
    """Machines that have nothing but their link-local addresses: they form, and a crash is noticed."""
    need_binaries()
    hosts = ipv6_lab(lab, 3)
    nodes = [Node(host).start() for host in hosts]
    wait_formed(nodes, 15)
    local = hosts[1].link_local()
    wait_for(lambda: nodes[0].address_of("n2") == f"[{local}]:8471", 5,
             lambda: f"{nodes[0].address_of('n2')} is not [{local}]:8471")
    wait_linked(nodes)
    since = time.time()
    nodes[1].kill()
    events = wait_event([nodes[0], nodes[2]], "failed", "n2", since, 10)
    expect(all(event["reason"] == "refused" for event in events), f"reasons {events}")


def test_ipv6_global(lab):
    """IPv6 addresses of one's own beside the link-local ones, no IPv4: told first, written [addr]:port."""
    need_binaries()
    hosts = ipv6_lab(lab, 2)
    for host in hosts:
        host.netns.ip(f"addr add fd00:77::{host.index + 1}/64 dev eth0 nodad\n")
    nodes = [Node(host).start() for host in hosts]
    wait_formed(nodes, 15)
    wait_for(lambda: nodes[0].self_entry()["address"] == "[fd00:77::1]:8471", 5,
             lambda: f"{nodes[0].self_entry()}")
    expect(nodes[0].address_of("n2").startswith("["), nodes[0].address_of("n2"))


def test_ipv6_joined_by_hand(lab):
    """--bind=[::] and --join=[fe80::…%eth0]:PORT, where nothing is multicast."""
    need_binaries()
    hosts = ipv6_lab(lab, 2)
    lab.block("udp dport 5670 drop")
    local = hosts[0].link_local()
    hosts[1].link_local()
    nodes = [Node(hosts[0], flags=["--bind=[::]:9000"]),
             Node(hosts[1], flags=["--bind=[::]", f"--join=[{local}%eth0]:9000"])]
    for node in nodes:
        node.start()
    wait_formed(nodes, 15)
    expect(nodes[1].address_of("n1") == f"[{local}]:9000", nodes[1].address_of("n1"))


def test_ipv6_new_address(lab):
    """IPv4 goes away while IPv6 stays: alive throughout."""
    need_binaries()
    lab.ipv6 = True
    hosts = lab.add_hosts(2)
    for host in hosts:
        host.link_local()
    nodes = start_mesh(lab, 2, hosts=hosts)
    wait_settled(nodes)
    since = time.time()
    hosts[1].netns.ip("addr flush dev eth0 scope global\n")
    wait_for(lambda: nodes[0].address_of("n2").startswith("[fe80:"), 10,
             lambda: f"{nodes[0].nodes()}")
    hold_for(lambda: fails(nodes, since), 2, "a false failure", poll=0.5)


def test_no_broadcast_between_stations(lab):
    """An access point that isolates stations from each other's broadcasts: --join forms the mesh, and
    restarts find each other again (R2.7)."""
    need_binaries()
    hosts = lab.add_hosts(3)
    lab.block("ether daddr ff:ff:ff:ff:ff:ff ether type != arp drop")
    lab.block("ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 ether type != arp drop")
    nodes = [Node(hosts[0]), Node(hosts[1], flags=["--join=10.77.0.1"]),
             Node(hosts[2], flags=["--join=10.77.0.2"])]
    for node in nodes:
        node.start()
    wait_formed(nodes, 10)
    for node in nodes:
        node.flags = []
        node.kill()
    for node in nodes:
        node.start()
    wait_formed(nodes, 10)


def test_srv_records(lab):
    """--join=dns+srv:NAME: hosts and ports from DNS, also when the records come later (R2.7)."""
    need_binaries()
    hosts = lab.add_hosts(4)
    lab.block("udp dport 5670 drop")
    server = dns.Dns(hosts[3], "10.77.0.4")
    server.point_to(lab.dir)
    service = "_homemesh._udp.home.test"
    nodes = [Node(hosts[0], flags=["--bind=:9100"]), Node(hosts[1], flags=["--bind=:9200"]),
             Node(hosts[2], flags=[f"--join=dns+srv:{service}"])]
    for node in nodes:
        node.start()
    wait_for(lambda: (service, dns.SRV) in server.asked, 10, "the records are asked for")
    wait_for(lambda: "no SRV records" in nodes[2].log(), 10, "the log says that there are none")
    server.records.update({
        (service, dns.SRV): [(20, 0, 9200, "two.home.test"), (10, 0, 9100, "one.home.test"),
                             (10, 5, 9100, "gone.home.test")],
        ("one.home.test", dns.A): ["10.77.0.1"], ("two.home.test", dns.A): ["10.77.0.2"]})
    wait_formed(nodes, 20)
    names = [name for name, kind in server.asked if kind == dns.A and name.endswith("home.test")]
    expect(names.index("gone.home.test") < names.index("one.home.test") < names.index("two.home.test"),
           f"asked in the order of priority and weight: {names}")
    server.close()


def test_name_with_many_addresses(lab):
    """A name with several addresses, of which one answers: all are tried."""
    need_binaries()
    hosts = lab.add_hosts(3)
    lab.block("udp dport 5670 drop")
    server = dns.Dns(hosts[2], "10.77.0.3", {
        ("home.test", dns.A): ["10.77.0.99", "192.0.2.1", "10.77.0.1"],
        ("home.test", dns.AAAA): ["fd00:dead::1"]})
    server.point_to(lab.dir)
    nodes = [Node(hosts[0]).start(), Node(hosts[1], flags=["--join=home.test"]).start()]
    wait_formed(nodes, 10)
    server.close()


def test_small_datagrams(lab):
    """No datagram is larger than 1,200 bytes, however many members have news at once."""
    need_binaries()
    hosts = lab.add_hosts(8)
    for host in hosts:
        for number in range(3):
            host.netns.ip(f"addr add 10.9{number}.0.{host.index + 1}/24 dev eth0\n")
    with rawnet.Capture(hosts[0]) as capture:
        nodes = [Node(host, name=f"{host.name}-{'x' * 55}") for host in hosts]
        for node in nodes:
            node.start()
        wait_formed(nodes, 20)
        nodes[7].kill()
        wait_status(nodes[:7], nodes[7].name, "failed", 10)
        sizes = [len(datagram.payload) for datagram in capture.items]
    expect(len(sizes) > 50 and max(sizes) <= 1200, f"{len(sizes)} datagrams, {max(sizes)} bytes")
    expect(max(sizes) > 600, f"the test does not come near the limit: {max(sizes)} bytes")


@options(timeout=90)
def test_no_udp_at_all(lab):
    """UDP is blocked from the start and TCP is not: first contact goes by mail, then links carry it (R9.3)."""
    need_binaries()
    hosts = lab.add_hosts(3)
    lab.block("meta l4proto udp drop")
    nodes = [Node(hosts[0]).start(), Node(hosts[1], flags=["--join=10.77.0.1"]).start()]
    wait_formed(nodes, 15)
    since = time.time()
    nodes.append(Node(hosts[2], flags=["--join=10.77.0.2"]).start())
    wait_formed(nodes, 20)
    hold_for(lambda: fails(nodes, since), 4, "a false failure", poll=1)
    wait_for(lambda: nodes[0].ctl("--node=n3", "version").returncode == 0, 20, "n3 is asked over a link")
    nodes[1].kill()
    wait_status([nodes[0], nodes[2]], "n2", "failed", 20)
    expect(nodes[0].sees("n3") and nodes[2].sees("n1"), lambda: views([nodes[0], nodes[2]]))


def test_closed_firewall(lab):
    """One machine's firewall lets nobody in, and it joins by itself: both replicate, and are asked, both ways (R9.3).
    Who dials whom is a matter of identities, so there are several pairs."""
    need_binaries()
    hosts = lab.add_hosts(3)
    hosts[1].close_firewall()
    hosts[2].close_firewall("reject with icmpx admin-prohibited")
    nodes = [Node(hosts[0]).start()]
    nodes += [Node(host, flags=["--join=10.77.0.1"]).start() for host in hosts[1:]]
    wait_for(lambda: all(nodes[0].sees(node.name) for node in nodes[1:]), 10, lambda: views(nodes))
    since = time.time()
    for number, node in enumerate(nodes):
        expect(node.ctl("kv", "put", f"k{number}", "1").returncode == 0, f"{node.name} writes")
    for node in nodes:
        for number in range(len(nodes)):
            wait_for(lambda: node.ctl("kv", "get", f"k{number}").stdout == "1", 10,
                     f"{node.name} has what n{number + 1} wrote")
    for node in nodes[1:]:
        for one, other in ((nodes[0], node), (node, nodes[0])):
            wait_for(lambda: one.ctl(f"--node={other.name}", "version").returncode == 0, 10,
                     f"{other.name} is asked by {one.name}")
    expect(fails(nodes, since), "nobody is called failed")


def replicate(nodes, size=1, seconds=10):
    """What each writes, all have."""
    for node in nodes:
        expect(node.ctl("kv", "put", f"of-{node.name}-{size}", "-", stdin="x" * size).returncode == 0,
               f"{node.name} writes")
    for node in nodes:
        for other in nodes:
            wait_for(lambda: len(node.ctl("kv", "get", f"of-{other.name}-{size}").stdout) == size, seconds,
                     f"{node.name} has what {other.name} wrote")


def test_behind_nat(lab):
    """Two virtual machines with user networking, both at 10.0.2.15 behind the address of their hosts: whom they
    are told to join they reach, nobody reaches them but over their links; members all the same (R6.8)."""
    need_binaries()
    hosts = lab.add_hosts(3)
    nodes = [Node(hosts[0]).start()]
    nodes += [Node(lab.add_behind(host), flags=["--join=10.77.0.1"]).start() for host in hosts[1:]]
    wait_formed(nodes, 10)
    since = time.time()
    replicate(nodes)
    for node in nodes[1:]:
        for one, other in ((nodes[0], node), (node, nodes[0])):
            wait_for(lambda: one.ctl(f"--node={other.name}", "version").returncode == 0, 10,
                     f"{other.name} is asked by {one.name}")
    expect(fails(nodes, since), "nobody is called failed")


def test_joined_at_another_address(lab):
    """The machine has two addresses, and is asked at the one that its own packets do not leave from; who asks has a
    firewall that lets in only answers."""
    need_binaries()
    hosts = lab.add_hosts(2)
    hosts[0].netns.ip("addr add 10.77.0.101/24 brd + dev eth0\n")
    hosts[1].close_firewall()
    nodes = [Node(hosts[0]).start(), Node(hosts[1], flags=["--join=10.77.0.101"]).start()]
    wait_formed(nodes, 10)
    replicate(nodes)


def test_joined_over_a_tunnel(lab):
    """Two machines in networks of their own, with a tunnel between them: named with --join, it is used at both ends,
    and both are reached by datagram there."""
    need_binaries()
    hosts = lab.add_hosts(2)
    hosts[1].netns.ip("link del eth0\n")
    hosts[1].add_wire("eth0", bridge="br1", address="10.78.0.2/24")
    for host in hosts:
        host.add_wire("wg0", bridge="br2", address=f"10.8.0.{host.index + 1}/24")
    nodes = [Node(hosts[0]).start(), Node(hosts[1], flags=["--join=10.8.0.1"]).start()]
    wait_formed(nodes, 10)
    since = time.time()
    replicate(nodes)
    for node, other in (nodes, nodes[::-1]):
        wait_for(lambda: node.address_of(other.name) == f"10.8.0.{other.host.index + 1}:8471", 10,
                 lambda: f"{other.name} is reached over the tunnel: {node.nodes()}")
    hold_for(lambda: fails(nodes, since), 3, "a false failure", poll=1)


def test_small_packets_only(lab):
    """What is between two machines carries 1,280 bytes and does not say so, as tunnels do whose ICMP is filtered:
    values larger than a packet get through, and doctor has nothing to say."""
    need_binaries()
    hosts = lab.add_hosts(2)
    for namespace, name in ((hosts[1].netns, "eth0"), (lab.switch, hosts[0].port), (hosts[0].netns, "eth0")):
        namespace.ip(f"link set {name} gso_max_segs 1\n")  # as packets are on a wire
    lab.block("meta length > 1280 drop")
    nodes = start_mesh(lab, 2, hosts=hosts)
    replicate(nodes, 40000, 5)
    done = nodes[0].ctl("doctor")
    expect(done.returncode == 0 and "all is well" in done.stdout, done.stdout)


@options(timeout=90)
def test_restarts_without_udp(lab):
    """The same, and nodes come back with nothing but their memory: one, then all."""
    need_binaries()
    hosts = lab.add_hosts(2)
    lab.block("meta l4proto udp drop")
    nodes = [Node(hosts[0]).start(), Node(hosts[1], flags=["--join=10.77.0.1"]).start()]
    wait_formed(nodes, 15)
    nodes[1].flags = []
    nodes[1].kill()
    wait_status(nodes[:1], "n2", "failed", 20)
    nodes[1].start()
    wait_formed(nodes, 30)
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start()
    wait_formed(nodes, 30)


@options(timeout=90)
def test_interface_comes_and_goes(lab):
    """A network card that is plugged in, pulled out and plugged in again, both families."""
    need_binaries()
    lab.ipv6 = True
    hosts = lab.add_hosts(2)
    hosts[1].netns.ip("link del eth0\n")
    nodes = [Node(host).start() for host in hosts]
    nodes[1].wait_up()
    before = nodes[1].descriptors()
    for number, address in enumerate(("10.77.0.2/24", None)):
        hosts[1].add_wire("eth0", bridge="br0", address=address)
        if address is None:
            hosts[0].netns.ip("addr flush dev eth0 scope global\n")
        wait_formed(nodes, 20)
        expect(nodes[0].address_of("n2").startswith("[fe80:" if address is None else "10.77.0.2:"),
               f"round {number}: {nodes[0].address_of('n2')}")
        hosts[1].netns.ip("link del eth0\n")
        wait_status(nodes[:1], "n2", "failed", 20)
        wait_for(lambda: nodes[1].sees("n1", status="failed"), 20, lambda: views(nodes))
    wait_for(lambda: nodes[1].descriptors() <= before + 1, 20,
             lambda: f"{before} descriptors before, {nodes[1].descriptors()} now")
