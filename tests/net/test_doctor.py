# SPDX-License-Identifier: MPL-2.0
"""meshctl doctor: a healthy mesh is well; each trouble is named while it lasts, with what to do."""
import json
import os
import shutil
import signal
import sys

from lab import MESHCTL, MESHD, Skip, expect, wait_for
from mesh import Node, need_binaries, start_mesh, wait_formed

DONE, REFUSED, NO_DAEMON = 0, 1, 3
LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")
FIELDS = ["check", "status", "node", "text", "fix"]


def doctor(node, *arguments):
    """Its lines and its exit status, which must fit them."""
    done = node.ctl("doctor", "--format=json", *arguments, timeout=40)
    lines = json.loads(done.stdout)
    for line in lines:
        expect(list(line) == FIELDS, f"fields of {line}")
        expect(line["status"] in ("ok", "warn", "fail"), f"status of {line}")
        expect(line["status"] == "ok" or line["fix"] or line["check"] == "reach",
               f"no word of what to do: {line}")
    failed = any(line["status"] == "fail" for line in lines)
    expect(done.returncode in (REFUSED if failed else DONE, NO_DAEMON),
           f"exit {done.returncode}: {done.stdout} {done.stderr}")
    return lines, done.returncode


def find(lines, check, *words, status=None, node=None):
    return [line for line in lines if line["check"] == check and
            (status is None or line["status"] == status) and
            (node is None or line["node"] == node) and all(word in line["text"] for word in words)]


def troubles(lines):
    return [line for line in lines if line["status"] != "ok"]


def wait_named(asked, check, *words, seconds=20, **what):
    """Doctor names it."""
    last = []

    def named():
        last[:] = doctor(asked)[0]
        return find(last, check, *words, **what)
    return wait_for(named, seconds, lambda: f"{check} {words} {what} is named: {troubles(last)}")


def wait_well(node, seconds=20):
    last = []

    def well():
        last[:] = troubles(doctor(node)[0])
        return not last
    wait_for(well, seconds, lambda: f"all is well: {last}")


def test_healthy(lab):
    """A healthy mesh: every check is there, every line ok, exit 0; plain text without colours."""
    nodes = start_mesh(lab, 3)
    wait_well(nodes[0])
    lines, status = doctor(nodes[0])
    expect(status == DONE, f"exit {status}")
    for check in ("nodes", "views", "reach", "broadcast", "identity", "clock", "interfaces", "mtu", "ports", "key",
                  "foreign-key", "strangers", "disk", "load", "limits", "versions"):
        expect(find(lines, check), f"{check} is not looked at")
    for name in ("n1", "n2", "n3"):
        expect(find(lines, "disk", "ms", node=name), f"the disk of {name} was not measured")
        expect(find(lines, "interfaces", "eth0", "10.77.0.", node=name), f"interfaces of {name}")
    plain = nodes[0].ctl("doctor")
    expect(plain.returncode == DONE and "all is well" in plain.stdout and not plain.stderr,
           f"exit {plain.returncode}: {plain.stdout} {plain.stderr}")
    expect("\x1b" not in plain.stdout, "no colours into a pipe")
    one, status = doctor(nodes[0], "--node=n2")
    expect(status == DONE and {line["node"] for line in one} == {"n2"}, f"only of n2: {one}")
    every = json.loads(nodes[0].ctl("--all", "doctor", "--format=json").stdout)
    expect(len(every["nodes"]) == 3 and not every["errors"], f"--all: {every}")


def test_one_way(lab):
    """UDP blocked from one node to another only: the pair and the direction are named (R6.8, R9.3)."""
    nodes = start_mesh(lab, 3)
    lab.block("ip saddr 10.77.0.2 ip daddr 10.77.0.3 ip protocol udp udp dport 8471 drop")
    named = wait_named(nodes[0], "reach", "UDP from n2 does not arrive at n3", "n3 to n2 it does")
    expect("10.77.0.2 to 10.77.0.3" in named[0]["fix"], f"where to look: {named}")
    lines, _ = doctor(nodes[2])
    expect(len(find(lines, "reach")) == 1, f"nothing else is blamed: {find(lines, 'reach')}")
    plain = nodes[1].ctl("doctor").stdout
    row = next(line for line in plain.splitlines() if line.startswith("n2 "))
    expect(row.split()[1:] == ["arrives", "-", "LOST"], f"the matrix: {plain}")
    lab.rules = []
    lab.block("ip saddr 10.77.0.2 ip protocol udp udp dport 8471 drop")
    wait_named(nodes[0], "reach", "no UDP from n2 arrives", node="n2")
    lab.rules = []
    lab.heal()
    wait_well(nodes[0])


def test_broadcast_blocked(lab):
    """Broadcast blocked everywhere, then one node's: a warning, and what to do (R2.7)."""
    nodes = start_mesh(lab, 3)
    lab.block("udp dport 5670 drop")
    named = wait_named(nodes[0], "broadcast", "drops broadcast", status="warn")
    expect("--join" in named[0]["fix"], f"what to do: {named}")
    lab.rules = []
    lab.block(f"iifname {nodes[1].host.port} udp dport 5670 drop")
    wait_named(nodes[0], "broadcast", "hears its beacons", status="warn", node="n2")
    lab.rules = []
    lab.heal()
    wait_well(nodes[0])


def test_closed_firewall(lab):
    """A machine that lets nothing in is heard and does not answer: told by the others, and by itself what may be."""
    nodes = start_mesh(lab, 2)
    host = lab.add_hosts(1)[0]
    host.close_firewall()
    closed = Node(host).start()
    closed.wait_up()
    for node in nodes:
        named = wait_named(nodes[0], "unanswered", "10.77.0.3:8471", status="warn", seconds=40, node=node.name)
        expect("8471/udp, 5670/udp, 8471/tcp and 9471/tcp" in named[0]["fix"], f"what to do: {named}")
    expect(find(doctor(closed)[0], "broadcast", "5670/udp", status="ok"), "the lonely one is told")
    host.open_firewall()
    wait_formed(nodes + [closed], 20)
    wait_well(nodes[0])


def test_cable_to_wifi(lab):
    """Cable and Wi-Fi in one subnet, beaconing both; the cable is pulled: that the old address was heard a moment ago is
    no copied identity."""
    hosts = lab.add_hosts(2)
    hosts[1].add_wire("wlan0", bridge="br0", address="10.77.0.102/24")
    nodes = start_mesh(lab, 2, hosts=hosts)
    wait_well(nodes[0])
    hosts[1].netns.ip("link set eth0 down\naddr flush dev eth0\n")
    wait_for(lambda: nodes[0].address_of("n2").startswith("10.77.0.102:"), 10, lambda: f"{nodes[0].nodes()}")
    lines = doctor(nodes[0])[0]
    expect(find(lines, "identity", status="ok"), f"nobody's identity is copied: {lines}")


def test_joins_in_vain(lab):
    """Told to join an address where nobody is, and its own: it says that it is alone, and where it looks."""
    hosts = lab.add_hosts(2)
    node = Node(hosts[0], flags=["--join=10.77.0.2", "--join=10.77.0.1"]).start()
    wait_named(node, "join", "answers at 10.77.0.2:8471, where", status="warn", seconds=20)


def test_another_key(lab):
    """A mesh of the same name with another key on the wire: every node that hears it says so."""
    nodes = start_mesh(lab, 2)
    host = lab.add_hosts(1)[0]
    Node(host, data_dir=os.path.join(lab.dir, "elsewhere", host.name)).start().wait_up()
    named = wait_named(nodes[0], "foreign-key", "another key", "10.77.0.3", status="warn", node="n1")
    expect("meshctl token" in named[0]["fix"], f"what to do: {named}")
    wait_named(nodes[0], "foreign-key", "another key", status="warn", node="n2")


def test_copied_data_directory(lab):
    """Two machines with one identity: the node is named, and where the other one is."""
    nodes = start_mesh(lab, 3)
    nodes[1].terminate()
    copy = os.path.join(lab.dir, "copy", "n2")
    shutil.copytree(nodes[1].data_dir, copy)
    shutil.copy(os.path.join(lab.dir, "state", "key"), os.path.join(lab.dir, "copy", "key"))
    nodes[1].start()
    wait_formed(nodes)
    other = lab.add_hosts(1)[0]
    Node(other, name="n2", data_dir=copy).start()
    last = []

    def named():
        last[:] = doctor(nodes[0])[0]
        return [line for line in last if line["status"] == "fail" and line["node"] == "n2" and
                line["check"] in ("identity", "same-identity")]
    wait_for(named, 20, lambda: f"the copy is named: {troubles(last)}")


def faketime():
    with open(MESHD, "rb") as file:
        if b"__asan_init" in file.read():
            raise Skip("libfaketime and the address sanitizer do not go together")
    for path in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                 "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
                 "/usr/lib/faketime/libfaketime.so.1", "/usr/lib64/faketime/libfaketime.so.1"):
        if os.path.exists(path):
            return path
    raise Skip("libfaketime is not there (package faketime)")


def test_clock_of_1970(lab):
    """A board that boots in 1970 is a member like the others, and is named."""
    need_binaries()
    hosts = lab.add_hosts(3)
    # Only what is displayed: the boot clock stays.
    fake = {"LD_PRELOAD": faketime(), "FAKETIME": "@1970-01-02 00:00:00",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    nodes = [Node(host, env=fake if host is hosts[2] else None).start() for host in hosts]
    wait_formed(nodes, 10)
    wait_named(nodes[0], "clock", "behind the others", status="warn", node="n3")
    lines, _ = doctor(nodes[0])
    expect(find(lines, "clock", "1970", status="warn", node="n3"), f"{find(lines, 'clock')}")
    expect(not [line for line in find(lines, "clock") if line["node"] in ("n1", "n2")],
           f"nobody else is blamed: {find(lines, 'clock')}")


def test_stopped_and_failed(lab):
    """A node that is stopped, then failed: named; and the local daemon stopped, dead, never there."""
    nodes = start_mesh(lab, 3)
    nodes[2].pause()
    lines, status = doctor(nodes[0])
    expect(status == REFUSED and [line for line in find(lines, "nodes", node="n3")
                                  if line["status"] != "ok"], f"{troubles(lines)}")
    nodes[2].resume()
    nodes[2].kill()
    wait_named(nodes[0], "nodes", "failed", status="fail", node="n3")
    nodes[1].pause()
    lines, status = doctor(nodes[1])
    nodes[1].resume()
    expect(status == NO_DAEMON, f"exit {status}")
    stopped = find(lines, "daemon", "is stopped", status="fail")
    expect(stopped and stopped[0]["fix"] == f"kill -CONT {nodes[1].pid}", f"why: {lines}")
    nodes[1].kill()
    lines, status = doctor(nodes[1])
    expect(status == NO_DAEMON and find(lines, "daemon", "no meshd runs", status="fail"), f"{lines}")
    expect(find(lines, "disk", status="ok") and find(lines, "ports", "free"), f"{lines}")
    done = nodes[0].host.run([MESHCTL, f"--data-dir={lab.dir}/none", "doctor"])
    expect(done.returncode == NO_DAEMON and "none" in done.stdout, f"{done.stdout} {done.stderr}")


def test_lost_secrets(lab):
    """The file of the mesh key, then that of the identity, is taken away under a node that runs: told as that."""
    need_binaries()
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    for path in (os.path.join(os.path.dirname(node.data_dir), "key"), os.path.join(node.data_dir, "identity")):
        os.rename(path, path + ".away")
        lines, status = doctor(node)
        expect(status == REFUSED and find(lines, "key", "not there any more", path, status="fail"), f"{lines}")
        os.rename(path + ".away", path)
        lines, _ = doctor(node)
        expect(len(find(lines, "key", status="ok")) == 2, f"{lines}")


def test_interface_without_address(lab):
    """An interface that comes and brings no address: what is said of it is what it is now."""
    need_binaries()
    node = Node(lab.add_hosts(1)[0], flags=["--interface=eth0", "--interface=eth7"]).start()
    node.wait_up()
    wait_named(node, "interfaces", "eth7", "no interface is called so")
    node.host.netns.ip("link add eth7 type veth peer name peer7\n")
    wait_named(node, "interfaces", "eth7", "switched off")


def test_loss(lab):
    """A quarter of all packets lost, then only large ones at one node: each is told as what it is."""
    nodes = start_mesh(lab, 4)
    lab.loss(25)
    wait_named(nodes[0], "loss", "between all nodes", status="warn", seconds=60)
    lab.loss(0)
    lab.block(f"iifname {nodes[3].host.port} meta length > 1000 drop")
    named = wait_named(nodes[0], "loss", "large datagrams between it and 3 others", node="n4", seconds=60)
    expect("ping -M do" in named[0]["fix"], f"what to do: {named}")


def test_flood(lab):
    """Forged beacons, thousands a second from one machine: told as that, and not as lost broadcast."""
    nodes = start_mesh(lab, 2)
    stranger = lab.add_hosts(1)[0]
    flood = stranger.popen("flood", [sys.executable, os.path.join(LIB, "flood.py"), "plain", "4000", "20"])
    named = wait_named(nodes[0], "strangers", "floods this network", status="warn", node="n1")
    expect("10.77.0.3" in named[0]["fix"], f"who sends them: {named}")
    expect(not [line for line in find(doctor(nodes[0])[0], "broadcast") if line["status"] != "ok"],
           "broadcast is not blamed")
    flood.kill()


def test_wrong_configuration(lab):
    """A configuration that was wrong when it was read again is told as long as it is wrong."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    config = os.path.join(lab.dir, "meshd.yaml")

    def write(text):
        with open(config, "w", encoding="ascii") as file:
            file.write(text)
    write("log-level: info\n")
    node = Node(host, flags=[f"--config={config}"]).start()
    node.wait_up()
    write("log-levle: debug\n")
    node.process.signal(signal.SIGHUP)
    wait_named(node, "config", f"{config}:1:1", "log-level?", status="warn", node="n1")
    write("log-level: info\n")
    node.process.signal(signal.SIGHUP)
    wait_well(node)


def test_damaged_store(lab):
    """A store that was damaged when the node started: told, although the node has mended it."""
    need_binaries()
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    node.terminate()
    with open(os.path.join(node.data_dir, "store", "data.mdb"), "r+b") as file:
        file.write(bytes(8192))
    node.start()
    node.wait_up()
    wait_named(node, "store", "damaged", status="warn", node="n1")
    node.terminate()
    node.start()
    node.wait_up()
    wait_well(node)


def test_where_to_look(lab):
    """Of a node that is gone: whether its meshd has ended, or is stopped."""
    nodes = start_mesh(lab, 4)
    nodes[3].pause()
    wait_named(nodes[0], "nodes", "failed", "its machine takes connections", node="n4")
    nodes[3].resume()
    wait_formed(nodes, 15)
    nodes[3].kill()
    gone = wait_named(nodes[0], "nodes", "failed", "refuse", status="fail", node="n4")
    expect("systemctl start meshd" in gone[0]["fix"], f"what to do: {gone}")


def test_cut_off(lab):
    """A cable is out: the others say that the machine does not answer, the node blames itself first."""
    nodes = start_mesh(lab, 4)
    lab.cable(nodes[3].host, False)
    gone = wait_named(nodes[0], "nodes", "failed", "does not answer either", status="fail", node="n4")
    expect("ping 10.77.0.4" in gone[0]["fix"], f"what to do: {gone}")
    wait_named(nodes[3], "isolated", "eth0 has no carrier", status="fail", node="n4")
    lines, _ = doctor(nodes[3])
    expect(lines[0]["check"] == "isolated", f"the cause comes first: {troubles(lines)}")
    expect(len([line for line in find(lines, "nodes") if line["status"] != "ok"]) == 1,
           f"nobody else is blamed: {troubles(lines)}")


def test_disk_read_only(lab):
    """The disk under the data directory becomes read-only while it runs: fail, with the reason."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    data_dir = os.path.join(lab.dir, "disk", "n1")
    os.makedirs(os.path.dirname(data_dir))
    mounted = host.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", os.path.dirname(data_dir)])
    if mounted.returncode != 0:
        raise Skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    node = Node(host, data_dir=data_dir).start()
    node.wait_up()
    wait_well(node)
    # Files that are open for writing keep it from being remounted: a full disk does as well.
    with open(os.path.join(os.path.dirname(data_dir), "fill"), "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    wait_named(node, "disk", "No space left", status="fail", node="n1")
    os.unlink(os.path.join(os.path.dirname(data_dir), "fill"))
    wait_well(node)
