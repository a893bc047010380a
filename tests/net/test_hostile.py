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
from usage import SANITIZED, Usage

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")


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
    usage.expect_flat(1024, descriptors=12)    # for the links of the new member
    expect(len(nodes[0].log().splitlines()) < 40, lambda: f"the log is quiet: {nodes[0].log()}")


# Alone: the kernel has one table of neighbours for all namespaces, a storm from 254 addresses fills it, and
# then the broadcasts of other labs are dropped without a word.
@options(timeout=60, alone=True)
def test_joining_in_a_storm(lab):
    """Beacons forged from every address of the subnet: a new node joins by --join all the same."""
    nodes = start_mesh(lab, 2)
    stranger, newcomer = lab.add_hosts(2)
    flood = beacon_flood(nodes, stranger, "spoofed", 10)
    heard = nodes[0].metric_values()["mesh_beacons_received_total"]
    wait_for(lambda: nodes[0].metric_values()["mesh_beacons_received_total"] > heard + 2000, 5,
             "the flood is heard")
    new = Node(newcomer, flags=[f"--join={nodes[0].host.address}"]).start()
    wait_formed([*nodes, new], 6)
    expect(flood.running(), "the flood was still on")


# Connections ------------------------------------------------------------------------------------------


def connect(host, address, port, data=b""):
    """An open connection, or None."""
    sock = host.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(0.3)
    try:
        sock.connect((address, port))
        sock.sendall(data)
    except OSError:
        sock.close()
        return None
    return sock


@options(timeout=90)
def test_connections_left_open(lab):
    """Thousands of connections at each port, opened and left there: bounded, and members live on."""
    nodes = start_mesh(lab, 3)
    stranger, = lab.add_hosts(1)
    node, since = nodes[0], time.time()
    usage = Usage(node)
    held = []
    openers = [b"", b"\xff", zmtp.greeting(), zmtp.greeting(b"CURVE", True), b"GET / HTTP/1.1\r\n",
               zmtp.greeting() + zmtp.ready(identity=zmtp.identity(os.urandom(16)))]
    for port in [node.port(), *node.link_ports()]:
        refused = 0
        for number in range(2000):
            sock = connect(stranger, node.host.address, port, openers[number % len(openers)])
            if sock is not None:
                held.append(sock)
            else:
                refused += 1
                if refused > 10:
                    break              # it takes no more for now, and each would cost 0.3 s
    grown = usage.grown()
    expect(grown["descriptors"] < 400, f"{grown} with {len(held)} connections")
    expect(grown["KiB"] < 8192 or SANITIZED, f"{grown} with {len(held)} connections")
    expect(node.ctl("status").returncode == 0, "it answers")
    nodes[2].kill()
    wait_status(nodes[:1], "n3", "failed", 5)
    nodes[2].start()
    wait_formed(nodes, 8)
    no_change(nodes[:2], since, allowed=("failed", "suspect"))
    for sock in held:
        sock.close()
    usage.expect_flat(4096, 15)


TLS_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(165)
TELNET = b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27root\r\nroot\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"
SMB = b"\x00\x00\x00\x85\xffSMBr" + bytes(129)


@options(timeout=60)
def test_other_protocols_on_every_port(lab):
    """Browsers, TLS, telnet, SSH, SMB, random bytes at each port, UDP as TCP; and curl if it is here."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    node, since = nodes[0], time.time()
    usage = Usage(node)
    opener = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", TLS_HELLO, TELNET, SSH, SMB, b"\n", b"\0" * 4096,
              b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"*1\r\n$4\r\nPING\r\n"]
    ports = sorted({(kind, port) for kind, address, port in node.sockets()
                    if not address.startswith("127.")})
    expect({kind for kind, _ in ports} == {"tcp", "udp"}, f"ports: {ports}")
    before = node.metric_values()
    for kind, port in ports:
        for number in range(150):
            data = opener[number % len(opener)] if number % 3 else os.urandom(number * 8)
            if kind == "udp":
                with stranger.socket() as sock:
                    sock.sendto(data, (node.host.address, port))
                continue
            sock = connect(stranger, node.host.address, port, data)
            if sock is not None:
                sock.close()
        if kind == "tcp":
            for scheme in ("http", "https", "telnet", "gopher"):
                stranger.run(["timeout", "0.5", "curl", "-sk", f"{scheme}://{node.host.address}:{port}/"])
    expect(node.process.running(), "meshd died")
    hold_for(lambda: no_change(nodes, since), 1, "a member changed", poll=0.5)
    after = node.metric_values()
    for name in ("mesh_drops_not_ours_total", "mesh_beacons_malformed_total", "mesh_zre_cut_total"):
        expect(after[name] > before[name] + 50, f"{name} counts it: {before[name]}, {after[name]}")
    expect(len(node.log().splitlines()) < 30, lambda: f"the log is quiet: {node.log()}")
    usage.expect_flat(4096)


ZMQ_TYPES = {"PAIR": 0, "PUB": 1, "SUB": 2, "REQ": 3, "REP": 4, "DEALER": 5, "ROUTER": 6, "PULL": 7,
             "PUSH": 8, "XPUB": 9, "XSUB": 10, "STREAM": 11}

# One libzmq context in a process of its own, as a program that mixed up its ports would be.
ZMQ_CLIENT = r"""
import ctypes, sys, time
zmq = ctypes.CDLL("libzmq.so.5")
zmq.zmq_ctx_new.restype = zmq.zmq_socket.restype = ctypes.c_void_p
zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
zmq.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
zmq.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
ctx = zmq.zmq_ctx_new()
end = time.monotonic() + float(sys.argv[1])
sockets = []
for endpoint in sys.argv[2:]:
    for kind in list(range(12)) * 3:
        sock = zmq.zmq_socket(ctx, kind)
        zmq.zmq_setsockopt(sock, 6, b"", 0)          # SUBSCRIBE to everything
        assert zmq.zmq_connect(sock, endpoint.encode()) == 0
        sockets.append(sock)
while time.monotonic() < end:
    for sock in sockets:
        for size in (0, 1, 250, 4000):
            zmq.zmq_send(sock, b"\xaa\xa1" + bytes(size), size + 2, 1 | 2 * (size % 2))
    time.sleep(0.05)
print("done", flush=True)
"""


@options(timeout=60)
def test_wrong_zeromq_sockets(lab):
    """Every type of ZeroMQ socket, real libzmq, at mailbox and link port: harmless, again and again."""
    try:
        ctypes.CDLL("libzmq.so.5")
    except OSError:
        raise Skip("libzmq.so.5 is not there") from None
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    node, since = nodes[0], time.time()
    usage = Usage(node)
    ends = [f"tcp://{node.host.address}:{port}" for port in [node.port(), *node.link_ports()]]
    client = stranger.popen("zmq", [sys.executable, "-c", ZMQ_CLIENT, "5", *ends])
    client.wait(30)
    expect("done" in client.log(), f"the client: {client.log()}")
    expect(node.process.running(), "meshd died")
    no_change(nodes, since)
    expect(set(node.view()) == {"n1", "n2"}, f"it sees {node.view()}")
    expect(len(node.log().splitlines()) < 30, lambda: f"the log is quiet: {node.log()}")
    usage.expect_flat(4096)


# Datagrams --------------------------------------------------------------------------------------------


def test_datagrams_of_a_false_member(lab):
    """Changed, cut and repeated datagrams that come from a member's own address and port."""
    nodes = start_mesh(lab, 3)
    stranger, = lab.add_hosts(1)
    target, member = nodes[0], nodes[1]
    with rawnet.Capture(target.host, incoming_only=True) as capture:
        wait_for(lambda: sum(d.source == member.host.address and d.target_port == target.port()
                             for d in capture.items) >= 3, 10, "datagrams of the member")
        real = [d for d in capture.items
                if d.source == member.host.address and d.target_port == target.port()]
    lies = []
    for datagram in real[:3]:
        for index in range(0, len(datagram.payload), 2):
            flipped = bytearray(datagram.payload)
            flipped[index] ^= 1 << random.randrange(8)
            lies += [(datagram, payload)
                     for payload in (bytes(flipped), datagram.payload[:index], datagram.payload)]
    before, since = target.metric_values(), time.time()

    def counted():
        after = target.metric_values()
        return sum(after[name] - before[name] for name in after if "_drops_" in name)

    for sent in range(0, len(lies), 50):       # no more at once than its socket holds
        batch = lies[sent:sent + 50]
        for datagram, payload in batch:
            packet = rawnet.ip_header(member.host.address, target.host.address, 17, 8 + len(payload))
            packet += struct.pack("!HHHH", datagram.source_port, datagram.target_port,
                                  8 + len(payload), 0) + payload
            rawnet.send_ip(stranger, packet)
        wait_for(lambda: counted() >= sent + len(batch), 5,
                 lambda: f"{counted()} of {sent + len(batch)} are counted")
    hold_for(lambda: no_change(nodes, since), 2, "a member changed", poll=0.5)
    expect(all(node.sees("n1", "n2", "n3") for node in nodes), lambda: views(nodes))


def test_datagrams_under_an_old_key(lab):
    """What a mesh sealed before its key was changed opens nothing now; it is counted as another key's."""
    nodes = start_mesh(lab, 2)
    with rawnet.Capture(nodes[0].host, incoming_only=True) as capture:
        nodes[1].kill()
        nodes[1].start()
        wait_formed(nodes)
        old = [d for d in capture.items if d.target_port == nodes[0].port()]
    expect(old, "datagrams under the first key")
    for node in nodes:
        node.terminate()
    os.rename(os.path.join(lab.dir, "state", "key"), os.path.join(lab.dir, "state", "key.old"))
    for node in nodes:
        node.start()
    wait_formed(nodes)
    since = time.time()
    before = nodes[0].metric_values()
    with rawnet.Injector(lab.switch, nodes[0].host.port) as injector:
        for _ in range(20):
            for datagram in old:
                injector.send(datagram.frame)
            time.sleep(0.02)  # what comes faster the socket's queue loses
    hold_for(lambda: no_change(nodes, since), 2, "a member changed", poll=0.5)
    after = nodes[0].metric_values()
    counted = sum(after[name] - before[name] for name in after if "_drops_" in name)
    expect(counted >= 10 * len(old), f"{counted} of {20 * len(old)} are counted")
    expect(len(nodes[0].log().splitlines()) < 40, lambda: f"the log is quiet: {nodes[0].log()}")


# The local socket --------------------------------------------------------------------------------------


def test_garbage_on_the_local_socket(lab):
    """The user's own socket, spoken to wrongly: meshctl is answered, descriptors come back."""
    nodes = start_mesh(lab, 1)
    node = nodes[0]
    path = os.path.join(node.data_dir, "meshd.sock")
    usage = Usage(node)
    openers = [b"", b"GET / HTTP/1.0\r\n\r\n", os.urandom(300), zmtp.greeting(), zmtp.greeting(b"CURVE"),
               zmtp.greeting() + zmtp.ready(),
               zmtp.greeting() + zmtp.ready() + zmtp.frame(b"id", more=True) + zmtp.frame(bytes(70000)),
               zmtp.greeting() + zmtp.ready() + zmtp.frame(b"id", more=True) + zmtp.frame(bytes(1200000)),
               zmtp.greeting() + zmtp.ready() + zmtp.frame(b"", more=True) * 1000,
               zmtp.greeting() + zmtp.ready() + struct.pack("!BQ", 2, 2 ** 62)]
    for number in range(300):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(1)
            try:
                sock.connect(path)
                sock.sendall(openers[number % len(openers)])
            except OSError:
                pass
    expect(node.ctl("status").returncode == 0 and node.process.running(), "it answers")
    usage.expect_flat(4096)
