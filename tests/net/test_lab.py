# SPDX-License-Identifier: MPL-2.0
"""The lab itself: a fault that does not happen would let every other test pass."""
import os
import socket
import subprocess
import time

import rawnet
import serf
from harness import options
from lab import Skip, expect, wait_for


def udp(host, port=9999):
    sock = host.socket()
    sock.bind(("0.0.0.0", port))
    sock.settimeout(0.3)
    return sock


def arrived(sender, receiver, target, count=1):
    for _ in range(count):
        sender.sendto(b"x", (target.address, 9999))
    got = 0
    receiver.settimeout(0.1)
    try:
        while got < count:
            receiver.recvfrom(10)
            got += 1
    except (TimeoutError, socket.timeout):
        pass
    return got


def test_faults_meet_the_packets(lab):
    """Partition, silence, cable and loss do what they say, and heal."""
    one, two, three = lab.add_hosts(3)
    a, b, c = udp(one), udp(two), udp(three)
    expect(arrived(a, b, two) == 1, "a datagram between two hosts")
    lab.partition([one], [two, three])
    expect(arrived(a, b, two) == 0 and arrived(c, a, one) == 0, "a partition keeps packets back")
    expect(arrived(b, c, three) == 1, "one side of a partition talks")
    lab.heal()
    expect(arrived(a, b, two) == 1, "healed")
    lab.silence(two)
    expect(arrived(a, b, two) == 0 and arrived(b, c, three) == 0, "a silent host")
    lab.heal()
    lab.cable(two, False)
    expect(arrived(a, b, two) == 0, "a pulled cable")
    lab.cable(two, True)
    wait_for(lambda: arrived(a, b, two) == 1, 5, "the cable is back")
    lab.loss(25)
    got = sum(arrived(a, b, two, 100) for _ in range(10))
    expect(690 <= got <= 810, f"of 1000 datagrams at 25 % loss {got} came")


def test_capture_and_inject(lab):
    """Datagrams are captured, sent again as they were, and ICMP errors forged."""
    one, two, three = lab.add_hosts(3)
    a, b = udp(one), udp(two)
    with rawnet.Capture(two, incoming_only=True) as capture:
        expect(arrived(a, b, two) == 1, "a datagram")
        seen = wait_for(lambda: [d for d in capture.items if d.target_port == 9999], 2, "a capture")
    with rawnet.Injector(one) as injector:
        injector.send(seen[0].frame)
    expect(b.recvfrom(10)[0] == b"x", "sent again")
    a.connect((two.address, 9999))
    rawnet.send_ip(three, rawnet.port_unreachable(two.address, one.address, 9999, two.address, 9999))

    def refused():
        try:
            a.send(b"y")
        except ConnectionRefusedError:
            return True
        return False
    wait_for(refused, 2, "the forged report reaches the socket")


def test_nothing_outlives_the_lab(lab):
    """Processes end with the lab, also when it is forgotten."""
    host = lab.loopback_host()
    sleeper = host.popen("sleeper", ["sleep", "1000"])
    expect(sleeper.running(), "it runs")
    links = host.run(["ip", "-o", "link"]).stdout.splitlines()
    expect(len([line for line in links if "UP" in line.split("<")[1].split(">")[0]]) == 1,
           f"loopback only: {links}")
    lab.close()
    expect(not os.path.exists(f"/proc/{sleeper.pid}"), "it was ended")


@options(timeout=60)
def test_serf_sees_a_crash(lab):
    """The whole way with another daemon: three serf agents, one killed, two say failed."""
    try:
        subprocess.run(["serf", "version"], stdout=subprocess.DEVNULL, check=True)
    except OSError:
        raise Skip("serf is not installed") from None
    hosts = lab.add_hosts(3)
    agents = []
    for host in hosts:
        agent = serf.SerfAgent(host, retry_join=[hosts[0].address] if agents else [])
        agent.process = host.popen(host.name, agent.argv())
        agents.append(agent)
        wait_for(agent.members, 5, "serf answers")
    wait_for(lambda: all(len(agent.members()) == 3 for agent in agents), 40, "all see all", poll=0.2)
    agents[2].process.kill()
    begun = time.monotonic()
    wait_for(lambda: all(agent.members()["n3"] == "failed" for agent in agents[:2]), 20,
             "n3 failed", poll=0.2)
    expect(time.monotonic() - begun > 1, "serf needs its suspicion time")
