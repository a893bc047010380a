# SPDX-License-Identifier: MPL-2.0
"""Keys, tokens, strangers: who gets in, and what those outside can do (nothing)."""
import ctypes
import os
import random
import re
import resource
import socket
import struct
import time

import rawnet
import zmtp
from harness import options
from lab import Failed, Skip, expect, hold_for, wait_for
from mesh import (Node, need_binaries, no_change, refused, start_mesh, views, wait_formed, wait_status)


def token_of(node):
    done = node.ctl("token")
    expect(done.returncode == 0, f"meshctl token: {done.stderr}")
    found = re.search(r"hm1-\S+", done.stdout)
    expect(found, f"no token in: {done.stdout}")
    return found[0]


def elsewhere(lab, host, flags=(), env=None):
    """A node of another user: its mesh key is not the others'."""
    return Node(host, data_dir=os.path.join(lab.dir, f"elsewhere-{host.name}", host.name), flags=flags,
                env=env)


def start_with_stdin(node, text, more=()):
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    try:
        node.start(["--token=-", *more], stdin=read)
    finally:
        os.close(read)
    return node


def test_two_meshes_on_one_wire(lab):
    """Two meshes on one wire see nothing of each other."""
    need_binaries()
    hosts = lab.add_hosts(4)
    nodes = [Node(host, mesh=mesh, data_dir=f"{lab.dir}/{mesh}/{host.name}").start()
             for host, mesh in zip(hosts, ("red", "red", "blue", "blue"))]
    wait_formed(nodes[:2])
    wait_formed(nodes[2:])
    since = time.time()
    hold_for(lambda: no_change(nodes, since), 3, "a member changed", poll=0.5)
    expect(set(nodes[0].view()) == {"n1", "n2"}, f"red sees {nodes[0].view()}")
    expect(set(nodes[3].view()) == {"n3", "n4"}, f"blue sees {nodes[3].view()}")


def test_same_name_other_key(lab):
    """The mesh's name with another key: reported with what mends it, not joined, nobody disturbed."""
    nodes = start_mesh(lab, 2)
    since = time.time()
    stranger = elsewhere(lab, lab.add_hosts(1)[0]).start()
    stranger.wait_up()
    for node in (stranger, nodes[0]):
        wait_for(lambda node=node: re.search("token.*event=foreign-key", node.log()), 15,
                 lambda node=node: f"{node.name} says what mends it: {node.log()[-800:]}")
        status = node.ctl("status")
        expect("token" in status.stdout, f"status of {node.name} says it: {status.stdout}")
    hold_for(lambda: no_change(nodes, since), 2, "a member changed", poll=0.5)
    expect(stranger.view() == {"n3": "alive"}, f"the stranger sees {stranger.view()}")
    expect(all(set(node.view()) == {"n1", "n2"} for node in nodes), lambda: views(nodes))
    # And the command does mend it.
    stranger.terminate()
    start_with_stdin(stranger, token_of(nodes[0]))
    wait_formed([*nodes, stranger], 8)


@options(timeout=90)
def test_key_made_at_the_same_moment(lab):
    """Five nodes of one user started together end with one mesh key."""
    need_binaries()
    hosts = lab.add_hosts(5)
    for attempt in range(3):
        nodes = [Node(host, data_dir=f"{lab.dir}/try{attempt}/{host.name}") for host in hosts]
        for node in nodes:
            node.start()
        wait_formed(nodes)
        names = os.listdir(f"{lab.dir}/try{attempt}")
        expect(sorted(set(names) - {node.name for node in nodes}) == ["key"], f"files: {names}")
        for node in nodes:
            node.kill()


def test_key_file(lab):
    """--key-file names another place, made there if absent, and shared."""
    need_binaries()
    path = os.path.join(lab.dir, "elsewhere.key")
    nodes = [Node(host, data_dir=f"{lab.dir}/{host.name}/x/{host.name}", flags=[f"--key-file={path}"])
             .start() for host in lab.add_hosts(2)]
    wait_formed(nodes)
    expect(os.stat(path).st_mode & 0o777 == 0o600, "0600")


def test_token_on_stdin(lab):
    """A token printed here and fed there, with --join: it joins, and again without the token."""
    nodes = start_mesh(lab, 2)
    lab.add_hosts(1)
    lab.block("udp dport 5670 drop")
    new = elsewhere(lab, lab.hosts[2], flags=[f"--join={lab.hosts[0].address}"])
    start_with_stdin(new, token_of(nodes[0]) + "\n")
    wait_formed([*nodes, new], 8)
    expect(token_of(nodes[0])[4:] not in new.log(), "the token is not in the log")
    new.terminate()
    new.start()
    wait_formed([*nodes, new], 8)


def test_token_in_the_environment(lab):
    """MESHD_TOKEN alone: the addresses in it are enough where nothing is broadcast."""
    nodes = start_mesh(lab, 2)
    lab.add_hosts(1)
    lab.block("udp dport 5670 drop")
    token = token_of(nodes[1])
    new = elsewhere(lab, lab.hosts[2], env={"MESHD_TOKEN": token})
    new.start()
    wait_formed([*nodes, new], 8)
    with open(f"/proc/{new.pid}/environ", encoding="utf-8") as file:
        expect(token not in file.read(), "the token is gone from /proc/PID/environ")


def test_damaged_token(lab):
    """A token with a wrong letter, cut, or none at all: one line, exit 1, nothing made."""
    nodes = start_mesh(lab, 1)
    token = token_of(nodes[0])
    lab.add_hosts(1)
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    for number, wrong in enumerate((token[:middle] + other + token[middle + 1:], token[:-5], "hello",
                                    "")):
        new = elsewhere(lab, lab.hosts[1])
        new.name = f"wrong{number}"
        start_with_stdin(new, wrong)
        refused(new.process, 1, "token")
        made = os.path.join(os.path.dirname(new.data_dir), "key")
        expect(not os.path.exists(made), "no key was made")


def test_token_of_another_mesh(lab):
    """A token of mesh red is no token of mesh blue."""
    need_binaries()
    first, second = lab.add_hosts(2)
    red = Node(first, mesh="red").start()
    red.wait_up()
    blue = elsewhere(lab, second)
    blue.mesh = "blue"
    start_with_stdin(blue, token_of(red))
    line = refused(blue.process, 1, "red")
    expect("blue" in line, f"both names: {line}")


def refuses_token(node, token, pattern, ring):
    """It ends with one line that says why, and the key ring is as it was."""
    with open(ring, "rb") as file:
        before = file.read()
    mark = len(node.process.log()) if node.process else 0
    start_with_stdin(node, token)
    status = node.process.wait(5)
    lines = node.log()[mark:].splitlines()
    expect(status == 1 and len(lines) == 1, f"exit {status}: {lines}")
    expect(re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}")
    with open(ring, "rb") as file:
        expect(file.read() == before, "the key ring is as it was")
    expect(not os.path.exists(f"{ring}.old"), "and none was put away")


def foreign_token(host):
    """A token of another mesh of the same name; its node is gone again."""
    other = elsewhere(host.lab, host).start()
    other.wait_up()
    token = token_of(other)
    other.kill()
    return token


def test_token_where_a_mesh_is(lab):
    """A node with members on its roster refuses another key's token, though nobody shares its ring."""
    nodes = start_mesh(lab, 1)
    second, third = lab.add_hosts(2)
    lone = start_with_stdin(elsewhere(lab, second), token_of(nodes[0]))
    wait_formed([*nodes, lone], 8)
    lone.terminate()
    foreign = foreign_token(third)
    refuses_token(lone, foreign, "1 other member ", f"{os.path.dirname(lone.data_dir)}/key")
    lone.start()
    wait_formed([*nodes, lone], 8)


def test_token_where_a_node_runs(lab):
    """A new node refuses another key's token while a node runs on its ring, wherever that one lies."""
    first, second = lab.add_hosts(2)
    ring = f"{lab.dir}/shared.key"
    foreign = foreign_token(second)
    sharer = Node(first, "sharer", data_dir=f"{lab.dir}/x/sharer", flags=[f"--key-file={ring}"]).start()
    sharer.wait_up()
    new = Node(first, "new", data_dir=f"{lab.dir}/y/new", flags=[f"--key-file={lab.dir}/y/../shared.key"])
    refuses_token(new, foreign, rf"node sharer \(pid {sharer.pid}\)", ring)
    sharer.terminate()
    start_with_stdin(new, foreign)
    new.wait_up()
    wait_for(lambda: f"kept={ring}.old" in new.log(), 3, lambda: f"it says so: {new.log()}")
    expect(os.path.exists(f"{ring}.old"), "the key it had is kept")


def test_token_where_nodes_are_stopped(lab):
    """A new node beside stopped ones does not move them to another mesh."""
    nodes = start_mesh(lab, 2)
    foreign = foreign_token(lab.add_hosts(1)[0])
    for node in nodes:
        node.kill()
    new = Node(lab.hosts[2], "new")
    refuses_token(new, foreign, re.escape(f"{lab.dir}/state/n"), f"{lab.dir}/state/key")
    for node in nodes:
        node.start()
    wait_formed(nodes)


def test_data_directory_of_another_mesh(lab):
    """A data directory stays its mesh's: another name is refused with one line and changes nothing."""
    node, = start_mesh(lab, 1)
    node.terminate()
    other = Node(node.host, name="other", mesh="blue", data_dir=node.data_dir).start()
    refused(other.process, 1, rf"belongs to the mesh {node.mesh}.*--discover={node.mesh}")
    node.start()
    node.wait_up()
    expect("dropped" not in node.log() and "damaged" not in node.log(), lambda: node.log())
    # Two meshes side by side share a key: that is said.
    beside = Node(lab.add_hosts(1)[0], name="beside", mesh="blue").start()
    beside.wait_up()
    expect("two meshes share one key" in beside.log(), lambda: beside.log())


# Strangers on the mailbox and the beacon port ---------------------------------------------------------


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def zre_messages(endpoint):
    yield zmtp.hello(1, endpoint, ["g", "group two"], 2, "stranger", {"X-A": "b", "key": "value"})
    yield zmtp.head(zmtp.WHISPER, 2)
    yield zmtp.head(zmtp.SHOUT, 2) + zmtp.string("g")
    yield zmtp.join(2)
    yield zmtp.leave(2)
    yield zmtp.head(zmtp.PING, 2)
    yield zmtp.head(zmtp.PING_OK, 2)
    yield zmtp.head(8, 2) + zmtp.string("g") + zmtp.string("elect")
    yield zmtp.head(10, 2)


def send_all(stranger, node, port, messages, first):
    """Each message on a connection that said HELLO, a new one for every 40."""
    dealer = None
    for index, message in enumerate(messages):
        if index % 40 == 0:
            if dealer is not None:
                dealer.close()
            dealer = zmtp.Dealer(stranger, node.host.address, port, zmtp.identity(os.urandom(16)))
            dealer.send(first)
        try:
            dealer.send(message, b"content") if index % 3 == 0 else dealer.send(message)
        except OSError:
            dealer = zmtp.Dealer(stranger, node.host.address, port, zmtp.identity(os.urandom(16)))
    if dealer is not None:
        dealer.close()
    return len(messages)


@options(timeout=120)
def test_mutated_zre(lab):
    """Every ZRE message, cut at each length and with each byte changed: nothing but a count."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    port = nodes[0].port()
    endpoint = f"tcp://{stranger.address}:4444"
    good = zmtp.hello(1, endpoint)
    since, pid = time.time(), nodes[0].pid
    before = rss_kib(pid)
    malformed = nodes[0].metric_values()["mesh_zre_malformed_total"]
    for message in zre_messages(endpoint):
        send_all(stranger, nodes[0], port, list(zmtp.each_mutation(message)), good)
        expect(nodes[0].process.running(), f"meshd died of mutations of {message.hex()}")
    for ident in (b"", b"\x01", b"\x02" + os.urandom(16), os.urandom(200), zmtp.identity(bytes(16))):
        dealer = zmtp.Dealer(stranger, nodes[0].host.address, port, ident)
        dealer.send(good)
        dealer.send(b"")
        dealer.close()
    expect(nodes[0].ctl("status").returncode == 0 and nodes[0].pid == pid, "it goes on")
    no_change(nodes, since)
    expect(all(set(node.view()) == {"n1", "n2"} for node in nodes), lambda: views(nodes))
    expect(rss_kib(pid) - before < 8192, f"{rss_kib(pid) - before} KiB more memory")
    counted = nodes[0].metric_values()["mesh_zre_malformed_total"] - malformed
    expect(counted > 500, f"only {counted:g} are counted as malformed")


def flood(sock, data, seconds):
    """Sends it again and again until the other side closes, or for so long."""
    sent, end = 0, time.time() + seconds
    try:
        while time.time() < end:
            sock.sendall(data)
            sent += len(data)
    except OSError:
        pass
    return sent


@options(timeout=90)
def test_endless_messages(lab):
    """Messages of which no last frame ever comes, large and small: cut off, and no memory grows."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    address, port, pid = nodes[0].host.address, nodes[0].port(), nodes[0].pid
    since, before = time.time(), rss_kib(pid)
    cut = nodes[0].metric_values().get("mesh_zre_cut_total", 0)
    attacks = [zmtp.frame(bytes(60000), more=True), zmtp.frame(b"", more=True) * 1000,
               zmtp.frame(b"x" * 200, more=True) * 100, struct.pack("!BQ", 3, 2 ** 62) + bytes(65536),
               zmtp.frame(b"\x04PING\0\x01", command=True) * 1000]
    most = 0
    for attack in attacks:
        for _ in range(4):
            dealer = zmtp.Dealer(stranger, address, port, zmtp.identity(os.urandom(16)))
            flood(dealer.sock, attack, 0.5)
            most = max(most, rss_kib(pid) - before)
            dealer.close()
    expect(most <= 8192, f"{most} KiB more memory")
    counted = nodes[0].metric_values()["mesh_zre_cut_total"] - cut
    expect(counted >= 16, f"{counted:g} connections are counted as cut")
    # All the connections there may be, each with as much as it may leave there.
    held = []
    for _ in range(200):
        dealer = zmtp.Dealer(stranger, address, port, zmtp.identity(os.urandom(16)))
        held.append(dealer)
        try:
            dealer.sock.sendall(zmtp.frame(bytes(8192))[:-1])
        except OSError:
            pass
    more = rss_kib(pid) - before
    expect(more <= 8192, f"{more} KiB more memory with {len(held)} connections")
    for dealer in held:
        dealer.close()
    expect(nodes[0].ctl("status").returncode == 0 and nodes[0].pid == pid, "it goes on")
    no_change(nodes, since)
    expect(all(set(node.view()) == {"n1", "n2"} for node in nodes), lambda: views(nodes))


def test_zre_identity_of_a_member(lab):
    """Who claims a member's UUID in a mailbox, with gaps and leaves, changes nothing for it."""
    nodes = start_mesh(lab, 3)
    stranger, = lab.add_hosts(1)
    uuid = bytes.fromhex(nodes[1].self_entry()["id"])
    since = time.time()
    port = nodes[0].port()
    for _ in range(20):
        dealer = zmtp.Dealer(stranger, nodes[0].host.address, port, zmtp.identity(uuid))
        dealer.send(zmtp.hello(1, f"tcp://{nodes[1].host.address}:{nodes[1].port()}", ["lab"]))
        dealer.send(zmtp.head(zmtp.WHISPER, 3), b"after a gap")
        dealer.send(zmtp.leave(9, "lab"))
        dealer.send(zmtp.join(10, "lab", 77))
        dealer.send(zmtp.head(10, 11))
        dealer.close()
    hold_for(lambda: no_change(nodes, since), 3, "a member changed", poll=0.5)
    expect(all(node.sees("n1", "n2", "n3") for node in nodes), lambda: views(nodes))


def test_zre_answers(lab):
    """A Zyre peer that says HELLO is answered at its endpoint: HELLO first, then PING-OK."""
    nodes = start_mesh(lab, 1)
    peer, = lab.add_hosts(1)
    listener = peer.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((peer.address, 0))
    listener.listen()
    listener.settimeout(5)
    uuid = os.urandom(16)
    dealer = zmtp.Dealer(peer, nodes[0].host.address, nodes[0].port(), zmtp.identity(uuid))
    endpoint = f"tcp://{peer.address}:{listener.getsockname()[1]}"
    dealer.send(zmtp.hello(1, endpoint, ["g"], 1, "zyre"))
    dealer.send(zmtp.head(zmtp.PING, 2))
    try:
        back, _ = listener.accept()
    except (TimeoutError, socket.timeout):
        raise Failed("it does not connect back") from None
    back.settimeout(5)
    zmtp.receive(back, 10)
    back.sendall(zmtp.greeting())
    zmtp.receive(back, 54)
    flags, body = zmtp.receive_frame(back)
    expect(flags & 4 and body.startswith(b"\x05READY"), f"READY, not {body!r}")
    own = bytes.fromhex(nodes[0].self_entry()["id"])
    expect(b"\x01" + own in body, "its identity is 01 and its node id")
    back.sendall(zmtp.ready(b"ROUTER"))
    _, message = zmtp.receive_frame(back)
    expect(message[:6] == zmtp.head(zmtp.HELLO, 1), f"HELLO with sequence 1: {message.hex()}")
    _, message = zmtp.receive_frame(back)
    while message[2] != zmtp.PING_OK:
        _, message = zmtp.receive_frame(back)
    expect(set(nodes[0].view()) == {"n1"}, "and is no member")
    dealer.close()


@options(timeout=90)
def test_forged_beacons(lab):
    """Goodbyes for members, ten thousand UUIDs, garbage: no member changes, memory stays."""
    nodes = start_mesh(lab, 3)
    stranger, = lab.add_hosts(1)
    ids = [bytes.fromhex(entry["id"]) for entry in nodes[0].nodes().values()]
    sock = stranger.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    everyone = ("10.77.0.255", 5670)
    before = rss_kib(nodes[0].pid)
    since = time.time()
    for _ in range(50):
        for ident in ids:
            sock.sendto(zmtp.beacon(ident, 0), everyone)
            sock.sendto(zmtp.beacon(ident, 9), everyone)
    for index, node in enumerate(nodes):       # and with the member's own address as the source
        payload = zmtp.beacon(ids[index], 0)
        other = nodes[(index + 1) % 3].host.address
        packet = rawnet.ip_header(node.host.address, other, 17, 8 + len(payload))
        packet += struct.pack("!HHHH", 5670, 5670, 8 + len(payload), 0) + payload
        for _ in range(20):
            rawnet.send_ip(stranger, packet)
    for count in range(10000):
        port = random.randrange(1, 65536)
        sock.sendto(zmtp.beacon(None, port, random.choice((1, 1, 1, 3))), everyone)
        if count % 50 == 0:
            time.sleep(0.01)  # a flood, but one that the sender's queue holds
    for length in range(0, 80):
        sock.sendto(os.urandom(length), everyone)
        sock.sendto((zmtp.beacon(ids[0], 1) + os.urandom(80))[:length], everyone)
    sock.close()
    hold_for(lambda: no_change(nodes, since), 4, "a member changed", poll=0.5)
    expect(all(set(node.view()) == {"n1", "n2", "n3"} for node in nodes), lambda: views(nodes))
    expect(rss_kib(nodes[0].pid) - before < 8192, f"{rss_kib(nodes[0].pid) - before} KiB more")


def test_garbage_datagrams(lab):
    """Random bytes, cut and changed datagrams at the sealed port: dropped and counted."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    port = nodes[0].port()
    with rawnet.Capture(nodes[0].host, incoming_only=True) as capture:
        def caught():
            return [d.payload for d in capture.items if d.target_port == port]

        wait_for(lambda: len(caught()) >= 4, 10, "datagrams to change")
        real = caught()
    lies = [os.urandom(length) for length in range(0, 1300, 3)]
    for payload in real[:4]:
        for index in range(len(payload)):
            lies.append(payload[:index] + bytes([payload[index] ^ 0x55]) + payload[index + 1:])
            lies.append(payload[:index])

    def dropped():
        return sum(value for name, value in nodes[0].metric_values().items() if "drop" in name)

    sock = stranger.socket()
    since = time.time()
    before = dropped()
    for sent in range(0, len(lies), 50):       # no more at once than its socket holds
        batch = lies[sent:sent + 50]
        for payload in batch:
            sock.sendto(payload, (nodes[0].host.address, port))
        wait_for(lambda: dropped() >= before + sent + len(batch), 5,
                 lambda: f"{sent + len(batch)} are counted as dropped: {before} before, {dropped()} now")
    sock.close()
    hold_for(lambda: no_change(nodes, since), 2, "a member changed", poll=0.5)


# Strangers on the link port ---------------------------------------------------------------------------


def test_garbage_on_tcp(lab):
    """Web browsers, TLS, port scanners, wrong ZMTP mechanisms: each closed, nothing else."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    ports = nodes[0].link_ports()
    expect(ports, f"a link port: {nodes[0].sockets()}")
    since, pid = time.time(), nodes[0].pid
    curve = zmtp.greeting(b"CURVE")
    openers = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes.fromhex("16030100a5010000a10303") + bytes(165),
               b"\r\n\r\n", b"", zmtp.greeting(), zmtp.greeting() + zmtp.ready(identity=b"x"),
               zmtp.greeting(b"PLAIN") + zmtp.frame(b"\x05HELLO\x01a\x01b", command=True),
               curve + zmtp.frame(b"\x05HELLO\x01\x00" + bytes(72) + os.urandom(120), command=True),
               curve + zmtp.frame(b"\x08INITIATE" + os.urandom(300), command=True),
               zmtp.greeting(b"GSSAPI"), b"\xff" + bytes(8) + b"\x7f"]
    for port in [nodes[0].port(), *ports]:
        for number in range(1000 if port != nodes[0].port() else 300):
            opener = openers[number % len(openers)] if number % 2 else os.urandom(number % 400)
            sock = stranger.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.settimeout(2)
            try:
                sock.connect((nodes[0].host.address, port))
                sock.sendall(opener)
            except OSError:
                pass
            sock.close()
        expect(nodes[0].process.running() and nodes[0].pid == pid, f"meshd died of garbage at {port}")
    no_change(nodes, since)
    expect(set(nodes[0].view()) == {"n1", "n2"}, f"it sees {nodes[0].view()}")
    expect(nodes[0].ctl("status").returncode == 0, "it answers")


@options(timeout=90)
def test_connections_that_stay(lab):
    """Strangers who connect and sit there: no descriptor runs out, and members still come and go."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    pid = nodes[0].pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, 256))
    held = []
    for port in [nodes[0].port(), *nodes[0].link_ports()]:
        for number in range(400):
            sock = stranger.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.settimeout(2)
            held.append(sock)
            try:
                sock.connect((nodes[0].host.address, port))
                sock.sendall(zmtp.greeting() + zmtp.ready(identity=b"\1" + os.urandom(16)))
            except OSError:
                pass
    expect(len(os.listdir(f"/proc/{pid}/fd")) < 240, "descriptors are left")
    expect(nodes[0].ctl("status").returncode == 0, "it answers")
    nodes[1].kill()
    wait_status(nodes[:1], "n2", "failed", 3)
    nodes[1].start()
    wait_formed(nodes)
    wait_for(lambda: nodes[1].ctl("nodes", "show", "n1", "--node=n1").returncode == 0, 5,
             "a link among the strangers")
    expect(nodes[0].pid == pid and nodes[0].process.running(), "meshd died")
    for sock in held:
        sock.close()


CURVE_CLIENT = r"""
import ctypes, os, sys
zmq = ctypes.CDLL("libzmq.so.5")
zmq.zmq_ctx_new.restype = zmq.zmq_socket.restype = ctypes.c_void_p
zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
zmq.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
zmq.zmq_close.argtypes = [ctypes.c_void_p]
zmq.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
zmq.zmq_poll.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long]
endpoint, server_key, count = sys.argv[1].encode(), sys.argv[2].encode(), int(sys.argv[3])
ctx = zmq.zmq_ctx_new()
batch = []
for number in range(count):
    public, secret = ctypes.create_string_buffer(41), ctypes.create_string_buffer(41)
    assert zmq.zmq_curve_keypair(public, secret) == 0
    sock = zmq.zmq_socket(ctx, 5)
    linger = ctypes.c_int(0)
    zmq.zmq_setsockopt(sock, 17, ctypes.string_at(ctypes.byref(linger), 4), 4)
    for option, value in ((50, server_key), (48, public.value), (49, secret.value)):
        assert zmq.zmq_setsockopt(sock, option, value, 40) == 0
    assert zmq.zmq_connect(sock, endpoint) == 0
    zmq.zmq_send(sock, b"hello", 5, 1)
    batch.append(sock)
    if len(batch) == 50 or number + 1 == count:
        zmq.zmq_poll(None, 0, 300)
        for sock in batch:
            zmq.zmq_close(sock)
        batch = []
"""


def z85(data):
    letters = ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")
    text = ""
    for index in range(0, len(data), 4):
        number = int.from_bytes(data[index:index + 4], "big")
        text += "".join(letters[number // 85 ** power % 85] for power in (4, 3, 2, 1, 0))
    return text


def curve_key(node):
    """The public key of its links, from the identity file: an attacker who knows even that."""
    try:
        sodium = ctypes.CDLL("libsodium.so.23")
    except OSError:
        raise Skip("libsodium.so.23 is not there") from None
    with open(os.path.join(node.data_dir, "identity"), encoding="ascii") as file:
        text = file.read()
    ident = bytes.fromhex(node.self_entry()["id"])
    for word in re.findall(r"[0-9a-f]{64,128}", text):
        raw = bytes.fromhex(word)
        seeds = [raw[:32]]
        for seed in seeds:
            public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
            sodium.crypto_sign_seed_keypair(public, secret, seed)
            for candidate in (public.raw, raw[-32:]):
                digest = ctypes.create_string_buffer(16)
                sodium.crypto_generichash(digest, 16, candidate, ctypes.c_ulonglong(32), None, 0)
                if digest.raw == ident:
                    curve = ctypes.create_string_buffer(32)
                    sodium.crypto_sign_ed25519_pk_to_curve25519(curve, candidate)
                    return z85(curve.raw)
    raise Failed(f"no key in the identity file gives the node id:\n{text[:60]}")


@options(timeout=120)
def test_unknown_curve_keys(lab):
    """A thousand CURVE clients with keys of their own at the link port: none gets in."""
    nodes = start_mesh(lab, 2)
    stranger, = lab.add_hosts(1)
    key = curve_key(nodes[0])
    before = nodes[0].metric_values()
    since, pid = time.time(), nodes[0].pid
    for port in nodes[0].link_ports():
        done = stranger.run(["/usr/bin/env", "python3", "-c", CURVE_CLIENT,
                             f"tcp://{nodes[0].host.address}:{port}", key, "1000"], timeout=90)
        expect(done.returncode == 0, f"the client: {done.stderr}")
    expect(nodes[0].process.running() and nodes[0].pid == pid, "meshd goes on")
    no_change(nodes, since)
    expect(set(nodes[0].view()) == {"n1", "n2"}, f"it sees {nodes[0].view()}")
    after = nodes[0].metric_values()
    denied = after["mesh_link_denied_total"] - before["mesh_link_denied_total"]
    # On a busy machine the client gives many up before their handshake is through.
    expect(denied >= 100, f"{denied:g} of {1000 * len(nodes[0].link_ports())} refusals are counted")
    expect(after["mesh_links_up_total"] == before["mesh_links_up_total"], "and no link came up")
    expect(nodes[0].ctl("status").returncode == 0, "it answers")
