# SPDX-License-Identifier: MPL-2.0
"""A tiny DNS server on a host of the lab: A, AAAA and SRV records from a table, UDP only."""
import os
import socket
import struct
import threading

from netns import bind_mount

A, AAAA, SRV = 1, 28, 33


def _name(text):
    return b"".join(bytes([len(part)]) + part.encode() for part in text.strip(".").split(".")) + b"\0"


def _read_name(data, at):
    parts = []
    while data[at]:
        parts.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts).lower(), at + 1


def _data(kind, value):
    if kind == SRV:
        priority, weight, port, target = value
        return struct.pack("!HHH", priority, weight, port) + _name(target)
    return socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, value)


class Dns:
    """records: {(name, kind): [values]}; may be changed while it runs. The lab's hosts ask it after
    point_to() has laid a resolv.conf over theirs."""

    def __init__(self, host, address, records=None):
        self.records = records or {}
        self.asked = []
        self._ended = False
        self._socket = host.socket()
        self._socket.bind((address, 53))
        self._socket.settimeout(0.2)
        self.address = address
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def point_to(self, directory):
        path = os.path.join(directory, "resolv.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"nameserver {self.address}\noptions timeout:1 attempts:1\n")
        bind_mount(path, os.path.realpath("/etc/resolv.conf"))

    def _answer(self, query):
        name, end = _read_name(query, 12)
        kind = struct.unpack("!H", query[end:end + 2])[0]
        self.asked.append((name, kind))
        values = self.records.get((name, kind), [])
        known = values or any(key[0] == name for key in self.records)
        head = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, len(values), 0, 0)
        body = query[12:end + 4]
        for value in values:
            data = _data(kind, value)
            body += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(data)) + data
        return head + body

    def _serve(self):
        while not self._ended:
            try:
                query, peer = self._socket.recvfrom(2048)
                self._socket.sendto(self._answer(query), peer)
            except (TimeoutError, OSError, IndexError, struct.error):
                continue

    def close(self):
        self._ended = True
        self._thread.join(2)
        self._socket.close()
