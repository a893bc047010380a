# SPDX-License-Identifier: MPL-2.0
"""What meshd says as a ZRE peer, byte for byte as RFC 36 lays it out: beacon, HELLO, PING, PING-OK;
and that it takes WHISPER, SHOUT, JOIN and LEAVE as the RFC writes them. The bytes are put together
here from the text of the RFC, not by any code of ours."""
import os
import socket
import time

import rawnet
import zmtp
from lab import expect, wait_for
from mesh import MESH, Node, need_binaries


def start(lab):
    need_binaries()
    first, second = lab.add_hosts(2)
    node = Node(first).start()
    node.wait_up()
    return node, second, bytes.fromhex(node.self_entry()["id"])


def test_beacon_bytes(lab):
    """'Z' 'R' 'E' %x01, UUID, port in network order, to port 5670; at the end with port 0."""
    node, other, uuid = start(lab)
    port = node.port()
    with rawnet.Capture(other, incoming_only=True) as capture:
        def seen(number):
            wanted = b"ZRE\x01" + uuid + bytes([number >> 8, number & 255])
            return [d for d in capture.items if d.target_port == 5670 and d.payload == wanted]
        wait_for(lambda: seen(port), 15, "the beacon")
        node.terminate()
        wait_for(lambda: seen(0), 5, "the goodbye")
        beacons = [d for d in capture.items if d.target_port == 5670]
        expect(all(len(d.payload) == 22 for d in beacons), "22 bytes each")
        expect(all(d.source == node.host.address for d in beacons), "from the node's own address")
        expect(all(d.target == "10.77.0.255" for d in beacons), "to the broadcast address")


class Mailbox:
    """Waits for the node's DEALER, and shakes hands as a ROUTER of libzmq does."""

    def __init__(self, host):
        self.listener = host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((host.address, 0))
        self.listener.listen()
        self.listener.settimeout(10)
        self.port = self.listener.getsockname()[1]
        self.sock = None

    def accept(self):
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(10)
        self.sock.sendall(zmtp.greeting())
        zmtp.receive(self.sock, 64)
        ready = zmtp.receive_frame(self.sock)[1]
        self.sock.sendall(zmtp.ready(b"ROUTER"))
        return ready

    def message(self):
        """The next message; the RFC's messages but for content are one frame."""
        flags, body = zmtp.receive_frame(self.sock)
        expect(flags == 0, f"one frame: flags {flags}")
        return body


def test_message_bytes(lab):
    """HELLO first and numbered 1, then what is asked for; every byte of it."""
    node, other, uuid = start(lab)
    mailbox = Mailbox(other)
    dealer = zmtp.Dealer(other, node.host.address, node.port(), b"\x01" + os.urandom(16))
    endpoint = f"tcp://{other.address}:{mailbox.port}".encode()
    # HELLO = signature %d1 version sequence endpoint groups status name headers
    dealer.send(b"\xaa\xa1\x01\x02\x00\x01" + bytes([len(endpoint)]) + endpoint
                + b"\x00\x00\x00\x02" + b"\x00\x00\x00\x05GLOB1" + b"\x00\x00\x00\x05GLOB2"
                + b"\x02" + b"\x04name"
                + b"\x00\x00\x00\x02" + b"\x05NAME1" + b"\x00\x00\x00\x06VALUE1"
                + b"\x05NAME2" + b"\x00\x00\x00\x06VALUE2")
    ready = mailbox.accept()
    expect(b"\x08Identity\x00\x00\x00\x11\x01" + uuid in ready, f"identity 01 and UUID: {ready!r}")
    own = f"tcp://{node.host.address}:{node.port()}".encode()
    mesh = MESH.encode()
    expected = (b"\xaa\xa1\x01\x02\x00\x01" + bytes([len(own)]) + own
                + b"\x00\x00\x00\x01" + b"\x00\x00\x00" + bytes([len(mesh)]) + mesh
                + b"\x01" + b"\x02n1"
                + b"\x00\x00\x00\x01" + b"\x0aX-HOMEMESH" + b"\x00\x00\x00" + bytes([len(mesh)]) + mesh)
    got = mailbox.message()
    expect(got == expected, f"HELLO is {got.hex()}, expected {expected.hex()}")
    # WHISPER and SHOUT have content behind them; JOIN and LEAVE a group and a status.
    dealer.send(b"\xaa\xa1\x02\x02\x00\x02", b"content", b"in two frames")
    dealer.send(b"\xaa\xa1\x03\x02\x00\x03\x05GLOB1", b"content")
    dealer.send(b"\xaa\xa1\x04\x02\x00\x04\x05GLOB3\x03")
    dealer.send(b"\xaa\xa1\x05\x02\x00\x05\x05GLOB3\x04")
    dealer.send(b"\xaa\xa1\x06\x02\x00\x06")
    got = mailbox.message()
    while got == b"\xaa\xa1\x06\x02" + got[4:6]:        # its own PING, if this machine is slow
        got = mailbox.message()
    expect(got[:4] == b"\xaa\xa1\x07\x02" and len(got) == 6, f"PING-OK is {got.hex()}")
    number = int.from_bytes(got[4:], "big")
    got = mailbox.message()                             # after 5 s of silence
    expect(got == b"\xaa\xa1\x06\x02" + (number + 1).to_bytes(2, "big"), f"PING is {got.hex()}")
    metrics = node.metric_values()
    expect(metrics["mesh_zre_received_total"] == 6, f"six understood: {metrics}")
    expect(metrics["mesh_zre_malformed_total"] == 0, "none malformed")
    dealer.close()


def test_gap_in_the_sequence(lab):
    """A skipped number: the RFC's peer is invalid, so it is met anew; a member would not notice."""
    node, other, _ = start(lab)
    since = time.time()
    mailbox = Mailbox(other)
    dealer = zmtp.Dealer(other, node.host.address, node.port(), zmtp.identity(os.urandom(16)))
    hello = zmtp.hello(1, f"tcp://{other.address}:{mailbox.port}")
    for _ in range(3):
        dealer.send(hello)
        mailbox.accept()
        expect(mailbox.message()[2] == zmtp.HELLO, "a HELLO")
        dealer.send(zmtp.head(zmtp.PING, 2))
        expect(mailbox.message()[2] == zmtp.PING_OK, "a PING-OK")
        dealer.send(zmtp.head(zmtp.PING, 9))
        expect(mailbox.sock.recv(1) == b"", "it hangs up")
    expect(node.events(since) == [], "and that is no event")
    dealer.close()
