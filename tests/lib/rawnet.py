# SPDX-License-Identifier: MPL-2.0
"""Raw packets: forged ICMP, captured and replayed datagrams."""
import socket
import struct
import threading

ETH_P_ALL = 3
OUTGOING = 4                           # PACKET_OUTGOING


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return ~total & 0xFFFF


def ip_header(source, target, protocol, payload_bytes):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + payload_bytes, 1, 0, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def port_unreachable(reporter, victim, source_port, target, target_port, code=3):
    """An IP packet: `reporter` tells victim that its datagram to target:target_port was refused."""
    quoted = ip_header(victim, target, 17, 8 + 40) + struct.pack("!HHHH", source_port, target_port,
                                                                 48, 0)
    body = struct.pack("!BBHI", 3, code, 0, 0) + quoted
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ip_header(reporter, victim, 1, len(body)) + body


def send_ip(host, packet):
    """Send a whole IP packet from the host, whatever source it names."""
    with host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))


class Datagram:
    """A UDP datagram as seen on a wire."""

    def __init__(self, frame):
        start = 14
        head = (frame[start] & 15) * 4
        self.source = socket.inet_ntoa(frame[start + 12:start + 16])
        self.target = socket.inet_ntoa(frame[start + 16:start + 20])
        udp = start + head
        self.source_port, self.target_port, length = struct.unpack("!HHH", frame[udp:udp + 6])
        self.payload = frame[udp + 8:udp + length]
        # Between namespaces the checksum is left to hardware that is not there: 0 says "none".
        self.frame = frame[:udp + 6] + b"\0\0" + frame[udp + 8:]


def parse_udp(frame):
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    return Datagram(frame)


class Capture:
    """Collects the UDP datagrams that pass an interface of a host; thread of its own."""

    def __init__(self, host, interface="eth0", incoming_only=False):
        self.items = []
        self._incoming_only = incoming_only
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._ended:
            try:
                frame, where = self._socket.recvfrom(65536)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            if self._incoming_only and where[2] == OUTGOING:
                continue
            datagram = parse_udp(frame)
            if datagram is not None:
                self.items.append(datagram)

    def close(self):
        self._ended = True
        self._thread.join(2)
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()


class Injector:
    """Sends whole Ethernet frames into a host's wire."""

    def __init__(self, host, interface="eth0"):
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((interface, ETH_P_ALL))

    def send(self, frame):
        self._socket.send(frame)

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()
