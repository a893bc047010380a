# SPDX-License-Identifier: MPL-2.0
"""A ZMTP 3.0 client and ZRE (RFC 36) messages, byte by byte, so that both can be wrong on purpose."""
import os
import socket
import struct

# ZMTP ----------------------------------------------------------------------------------------------


def greeting(mechanism=b"NULL", as_server=False):
    return (b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x00" + mechanism.ljust(20, b"\0")
            + bytes([as_server]) + bytes(31))


def frame(body, more=False, command=False):
    flags = (1 if more else 0) | (4 if command else 0)
    if len(body) > 255:
        return struct.pack("!BQ", flags | 2, len(body)) + body
    return struct.pack("!BB", flags, len(body)) + body


def ready(socket_type=b"DEALER", identity=b""):
    def prop(name, value):
        return bytes([len(name)]) + name + struct.pack("!I", len(value)) + value
    return frame(b"\x05READY" + prop(b"Socket-Type", socket_type) + prop(b"Identity", identity),
                 command=True)


def receive(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def receive_frame(sock):
    flags = receive(sock, 1)[0]
    size = struct.unpack("!Q", receive(sock, 8))[0] if flags & 2 else receive(sock, 1)[0]
    return flags, receive(sock, size)


class Dealer:
    """A connected DEALER over NULL. The handshake is complete when the constructor returns."""

    def __init__(self, host, address, port, identity, timeout=3):
        self.sock = host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect((address, port))
        self.sock.sendall(greeting())
        receive(self.sock, 64)
        self.sock.sendall(ready(identity=identity))
        receive_frame(self.sock)

    def send(self, *frames):
        data = b"".join(frame(body, more=index + 1 < len(frames))
                        for index, body in enumerate(frames))
        self.sock.sendall(data)

    def close(self):
        self.sock.close()


# ZRE -----------------------------------------------------------------------------------------------

HELLO, WHISPER, SHOUT, JOIN, LEAVE, PING, PING_OK = range(1, 8)


def string(text):
    text = text if isinstance(text, bytes) else text.encode()
    return bytes([len(text) & 255]) + text


def longstr(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("!I", len(text)) + text


def head(ident, sequence, version=2, signature=b"\xaa\xa1"):
    return signature + bytes([ident, version]) + struct.pack("!H", sequence & 0xFFFF)


def hello(sequence, endpoint, groups=(), status=0, name="zyre", headers=None):
    headers = headers or {}
    return (head(HELLO, sequence) + string(endpoint)
            + struct.pack("!I", len(groups)) + b"".join(longstr(group) for group in groups)
            + bytes([status]) + string(name)
            + struct.pack("!I", len(headers))
            + b"".join(string(key) + longstr(value) for key, value in headers.items()))


def join(sequence, group="g", status=1):
    return head(JOIN, sequence) + string(group) + bytes([status])


def leave(sequence, group="g", status=2):
    return head(LEAVE, sequence) + string(group) + bytes([status])


def identity(uuid):
    return b"\x01" + uuid


def beacon(uuid=None, port=1, version=1):
    body = b"ZRE" + bytes([version]) + (uuid or os.urandom(16)) + struct.pack("!H", port)
    return body + (os.urandom(32) if version == 3 else b"")


def each_mutation(message):
    """The message cut at each length, and with each byte set to values that lie about lengths."""
    for length in range(len(message)):
        yield message[:length]
    for index in range(len(message)):
        for value in (0, 1, 0x7f, 0x80, 0xff, message[index] ^ 1):
            if value != message[index]:
                yield message[:index] + bytes([value]) + message[index + 1:]
    yield message + b"\0"
    yield message + os.urandom(300)
    yield message * 40
