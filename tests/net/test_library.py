# SPDX-License-Identifier: MPL-2.0
"""libhomemesh against real daemons: keys, watching and services, over restarts of meshd (R7.1, R7.12)."""
import os
import signal

from lab import BUILD_DIR, expect, hold_for, wait_for
from mesh import Node, need_binaries, start_alone, wait_formed

LIBRARY = os.path.join(BUILD_DIR, "tests/net/library")
EXAMPLES = os.path.join(BUILD_DIR, "docs/examples")
CRITICAL = "3"


def socket_of(node):
    return f"{node.data_dir}/meshd.sock"


def start(node, name, what, *arguments):
    return node.host.popen(name, [LIBRARY, what, socket_of(node), *arguments])


def lines(process):
    return process.log().splitlines()


def put(node, key, value):
    """A node that has just started refuses writes for a moment."""
    wait_for(lambda: node.ctl("kv", "put", key, value).returncode == 0, 10, f"put {key}")


def restart(node):
    node.kill()
    node.start()
    node.wait_up()


def wait_lines(process, *expected, seconds=10):
    """Waits until the last lines are these."""
    wait_for(lambda: lines(process)[-len(expected):] == list(expected), seconds,
             lambda: f"{process.name} says {expected}, not {lines(process)[-20:]}")


def found(node, name):
    """(version, address, port, node, health, rest) of each that a program on this node finds."""
    done = node.host.run([LIBRARY, "find", socket_of(node), name])
    expect(done.returncode == 0, f"find: {done.stdout} {done.stderr}")
    return [line.split(" ") for line in done.stdout.splitlines()]


def test_library_kv(lab):
    """Registers, sets, counters, the largest value, refusals; 3,000 reads and 300 writes at once."""
    node = start_alone(lab, LIBRARY)
    program = start(node, "kv", "kv")
    expect(program.wait(30) == 0 and lines(program) == ["right"], program.log())
    expect(node.metric_values()["mesh_replies_lost_total"] == 0, "every reply was read")


def test_library_watch(lab):
    """State, then changes; what happened while meshd or the watcher was away is told, and nothing twice."""
    node = start_alone(lab, LIBRARY)
    put(node, "w/1", "a")
    put(node, "x", "no")
    watch = start(node, "watch", "watch", "w/")
    wait_lines(watch, "put w/1 a", "synced")
    put(node, "w/2", "b")
    node.ctl("kv", "delete", "w/1")
    wait_lines(watch, "put w/2 b", "delete w/1")
    restart(node)
    wait_lines(watch, "delete w/1", "synced")
    put(node, "w/3", "c")
    wait_lines(watch, "put w/3 c")
    # Away, while something comes and something goes, and the log of changes is lost with meshd.
    put(node, "w/4", "d")
    wait_lines(watch, "put w/4 d")
    watch.signal(signal.SIGSTOP)
    put(node, "w/3", "changed")
    expect(node.ctl("kv", "delete", "w/4").returncode == 0, "deleted")
    restart(node)
    before = len(lines(watch))
    watch.signal(signal.SIGCONT)
    wait_lines(watch, "synced")
    told = lines(watch)[before:]
    expect(told in (["put w/3 changed", "delete w/4", "synced"],
                    ["put w/3 changed", "delete w/4", "synced", "synced"],
                    ["synced", "put w/3 changed", "delete w/4", "synced"]), f"the difference: {told}")
    watch.signal(signal.SIGTERM)
    expect(watch.wait(5) == 0, watch.log())


def test_library_no_gap(lab):
    """A thousand writes while meshd is killed twice: each is acknowledged, stays, and is told to the watcher."""
    node = start_alone(lab, LIBRARY)
    watch = start(node, "watch", "watch", "g/")
    wait_lines(watch, "synced")
    writer = start(node, "writer", "write", "g/", "1000")
    for part in (150, 500):
        wait_for(lambda: len(lines(watch)) > part or not writer.running(), 20,
                 lambda: f"{len(lines(watch))} lines")
        node.kill()
        node.start()
    expect(writer.wait(40) == 0 and lines(writer) == ["written"], writer.log())
    node.wait_up()
    wanted = {f"put g/{i} {i}" for i in range(1000)}
    wait_for(lambda: wanted <= set(lines(watch)), 20,
             lambda: f"not told: {sorted(wanted - set(lines(watch)))[:5]}")
    expect(set(lines(watch)) == wanted | {"synced"}, "nothing else is told")
    listed = {item["key"] for item in node.json("kv", "list", "g/")}
    expect(len(listed) == 1000, f"{len(listed)} keys are there")


def test_library_services(lab):
    """A program keeps its service up, over a restart of its meshd; it is found from another node."""
    need_binaries(LIBRARY)
    a, b = [Node(host, name=name).start() for host, name in zip(lab.add_hosts(2), "ab")]
    wait_formed([a, b])
    program = start(a, "program", "register", "echo")
    wait_for(lambda: "registered echo" in lines(program), 10, program.log)
    good = ["echo", "1.2", a.host.address, "4711", "a", "1", "blue", "fast", "path=/x"]
    wait_for(lambda: found(b, "echo") == [good], 10, lambda: f"{found(b, 'echo')}")
    hold_for(lambda: found(b, "echo") == [good], 2.5, lambda: f"kept up: {found(b, 'echo')}")
    program.signal(signal.SIGUSR1)
    wait_for(lambda: [s[5] for s in found(b, "echo")] == [CRITICAL], 10, lambda: f"{found(b, 'echo')}")
    a.kill()
    wait_for(lambda: found(b, "echo") == [], 15, "gone with its node")
    a.start()
    wait_for(lambda: [s[5] for s in found(b, "echo")] == [CRITICAL], 15,
             "back with its node, and as it was said to be")
    program.signal(signal.SIGTERM)
    wait_for(lambda: found(b, "echo") == [], 10, "deregistered")
    expect(program.wait(5) == 0 and lines(program)[-1] == "deregistered", program.log())
    program = start(a, "killed", "register", "echo")
    wait_for(lambda: found(b, "echo") == [good], 10, lambda: f"{found(b, 'echo')}")
    program.kill()
    wait_for(lambda: [s[5] for s in found(b, "echo")] == [CRITICAL], 10,
             "nobody refreshes it any more")


def test_library_examples(lab):
    """The programs of docs/examples do what they say."""
    node = start_alone(lab, LIBRARY)
    config = node.host.popen("config", [f"{EXAMPLES}/watch-config", "app/greeting", socket_of(node)])
    wait_lines(config, "up to date")
    put(node, "app/greeting", "good morning")
    wait_lines(config, 'app/greeting is "good morning" (by one)')
    echo = node.host.popen("echo", [f"{EXAMPLES}/echo-service", "serve", socket_of(node)])
    wait_for(lambda: "registered as echo" in echo.log(), 10, echo.log)
    done = node.host.run([f"{EXAMPLES}/echo-service", "ask", "hello", socket_of(node)])
    expect(done.returncode == 0 and done.stdout.endswith("says hello\n"),
           f"{done.returncode} {done.stdout} {done.stderr}")
    echo.signal(signal.SIGTERM)
    expect(echo.wait(5) == 0, echo.log())
    done = node.host.run([f"{EXAMPLES}/echo-service", "ask", "hello", socket_of(node)])
    expect(done.returncode == 1 and "no echo service" in done.stderr, f"{done.stderr}")
