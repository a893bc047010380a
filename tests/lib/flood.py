# SPDX-License-Identifier: MPL-2.0
"""Forged beacons, as fast as is asked for. A program of its own, so that the test's clock is not hurt.

Usage: flood.py KIND RATE SECONDS [UUID_HEX]...
  plain     random identities from this host's own address
  spoofed   the same from random addresses of 10.77.0.0/24
Every eighth is a goodbye; the UUIDs are mixed in, also with goodbyes. Prints how many were sent.
"""
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rawnet                                                   # noqa: E402
import zmtp                                                     # noqa: E402

BROADCAST = "10.77.0.255"
BATCH_SECONDS = 0.01


def plain_sender():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return lambda payload: sock.sendto(payload, (BROADCAST, 5670))


def spoofing_sender():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def send(payload):
        source = f"10.77.0.{random.randrange(1, 255)}"
        packet = rawnet.ip_header(source, BROADCAST, 17, 8 + len(payload))
        packet += struct.pack("!HHHH", 5670, 5670, 8 + len(payload), 0) + payload
        raw.sendto(packet, (BROADCAST, 0))
    return send


def main():
    kind, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    known = [bytes.fromhex(text) for text in sys.argv[4:]]
    send = spoofing_sender() if kind == "spoofed" else plain_sender()
    begun = time.monotonic()
    sent = 0
    while time.monotonic() < begun + seconds:
        due = min(int((time.monotonic() - begun) * rate), sent + rate // 10)
        while sent < due:
            uuid = random.choice(known) if known and sent % 64 == 0 else os.urandom(16)
            port = 0 if sent % 8 == 0 and random.random() < 0.9 else random.randrange(1, 65536)
            try:
                send(zmtp.beacon(uuid, port))
            except OSError:
                pass                   # the queue is full; that one is lost
            sent += 1
        time.sleep(BATCH_SECONDS)
    print(f"{sent} sent, {sent / seconds:.0f} a second", flush=True)


if __name__ == "__main__":
    main()
