# SPDX-License-Identifier: MPL-2.0
"""meshctl: what it prints, whom it asks, and its exit codes."""
import fcntl
import json
import os
import re
import select
import socket
import struct
import subprocess
import time

import zmtp
from harness import options
from lab import MESHCTL, PATIENCE, expect, wait_for
from mesh import Events, Node, need_binaries, start_mesh, wait_event, wait_formed, wall

DONE, REFUSED, USAGE, NO_DAEMON, PARTIAL, NO_SUCH = range(6)


def ctl(lab, *arguments):
    return lab.hosts[0].run([MESHCTL, *arguments])


def code(done, expected, what):
    expect(done.returncode == expected,
           f"{what}: exit {done.returncode}, expected {expected}: {done.stdout!r} {done.stderr!r}")
    return done


def test_no_node(lab):
    """No node runs: exit 3, one line."""
    need_binaries()
    lab.loopback_host()
    for arguments in (["nodes", "list"], [f"--data-dir={lab.dir}/none", "nodes", "list"],
                      [f"--socket={lab.dir}/none.sock", "status"]):
        done = code(ctl(lab, *arguments), NO_DAEMON, arguments)
        expect(len(done.stderr.strip().splitlines()) == 1 and not done.stdout,
               f"one line: {done.stderr!r}")


def test_one_node_two_nodes(lab):
    """The only node needs no option; of two, a list to choose from."""
    need_binaries()
    host = lab.loopback_host()
    one = Node(host, name="a").start()
    one.wait_up()
    done = code(ctl(lab, "nodes", "list", "--format=json"), DONE, "one node")
    expect([entry["name"] for entry in json.loads(done.stdout)] == ["a"], done.stdout)
    two = Node(host, name="b").start()
    two.wait_up()
    done = ctl(lab, "nodes", "list")
    expect(done.returncode in (REFUSED, USAGE), f"two nodes: exit {done.returncode}")
    for node in (one, two):
        expect(node.data_dir in done.stdout + done.stderr,
               f"{node.data_dir} is to choose from: {done.stdout} {done.stderr}")
    code(ctl(lab, f"--data-dir={two.data_dir}", "status"), DONE, "chosen")
    code(ctl(lab, "status", f"--data-dir={two.data_dir}"), DONE, "options after the command")
    one.kill()
    code(ctl(lab, "nodes", "list", "--format=json"), DONE, "one is left")


def test_daemon_that_hangs(lab):
    """A daemon that does not answer: exit 4 (or 3) after a while, and no hang."""
    need_binaries()
    node = Node(lab.loopback_host()).start()
    node.wait_up()
    node.pause()
    begun = time.monotonic()
    done = node.ctl("status", timeout=30)
    node.resume()
    expect(done.returncode in (NO_DAEMON, PARTIAL), f"exit {done.returncode}")
    expect(time.monotonic() - begun < 20, "it gave up late")


def test_commands(lab):
    """Every command answers, plain and as JSON."""
    nodes = start_mesh(lab, 3)
    wait_for(lambda: nodes[0].nodes()["n2"]["rtt_ms"] is not None, 10, "a round trip is known")
    for arguments in (["status"], ["nodes", "list"], ["nodes", "show", "n2"], ["nodes", "events"],
                      ["events"], ["rtt", "n2"], ["rtt", "n2", "n3"], ["peers"], ["limits"], ["metrics"],
                      ["version"], ["token"]):
        plain = code(nodes[0].ctl(*arguments), DONE, arguments)
        expect(plain.stdout.strip() and not plain.stderr, f"{arguments}: {plain.stderr!r}")
        expect("\x1b" not in plain.stdout, f"{arguments}: no colours into a pipe")
        code(nodes[0].ctl("--format=json", *arguments), DONE, f"{arguments} as JSON")
        nodes[0].json(*arguments)
    for node in nodes:
        expect(node.json("version")["version"] if isinstance(node.json("version"), dict) else True,
               "a version")
    plain = nodes[0].ctl("nodes", "list").stdout
    expect(all(name in plain for name in ("n1", "n2", "n3", "alive")), plain)
    starts = {line.index("alive") for line in plain.splitlines() if "alive" in line}
    expect(len(starts) == 1, f"columns are aligned:\n{plain}")


def test_help(lab):
    """help, and help of each command with an example, need no daemon."""
    need_binaries()
    lab.loopback_host()
    plain = code(ctl(lab, "help"), DONE, "help").stdout
    for word in ("status", "nodes", "events", "rtt", "leave", "token", "metrics", "version",
                 "peers", "limits", "completion"):
        expect(word in plain, f"{word} is in the help")
        done = code(ctl(lab, "help", word), DONE, f"help {word}")
        expect(word in done.stdout, done.stdout)
        expect(word == "nodes" or f"meshctl {word}" in done.stdout, f"no example: {done.stdout}")
    code(ctl(lab, "nodes", "list", "--help"), DONE, "--help of a command")


def test_wrong_usage(lab):
    """Wrong commands, options and values: exit 2, the nearest right one named."""
    need_binaries()
    lab.loopback_host()
    cases = [(["nods", "list"], "nodes"), (["nodes", "lst"], "list"), ([], "help"),
             (["nodes", "list", "--formt=json"], "--format"),
             (["nodes", "list", "--format=jsn"], "json"),
             (["get", "dns/domain"], 'did you mean "kv get"[?]'),
             (["list"], '"nodes list" or "kv list" or "services list"[?]'),
             (["nodes", "show"], "NAME|name"), (["status", "surplus"], "surplus"),
             (["events", "--folow"], "--follow"), (["--data-dir"], "data-dir")]
    for arguments, pattern in cases:
        done = code(ctl(lab, *arguments), USAGE, arguments)
        expect(re.search(pattern, done.stderr), f"{arguments}: {pattern} is not in {done.stderr!r}")


def test_no_such_node(lab):
    """A name that nobody has: exit 5, and the name in the line."""
    nodes = start_mesh(lab, 2)
    for arguments in (["nodes", "show", "nosuch"], ["rtt", "nosuch"], ["--node", "nosuch", "status"]):
        done = code(nodes[0].ctl(*arguments), NO_SUCH, arguments)
        expect("nosuch" in done.stderr, f"{arguments}: {done.stderr!r}")


def test_names_and_ids(lab):
    """Wherever a name goes, an id or its unique prefix goes."""
    nodes = start_mesh(lab, 2)
    ident, own = (nodes[0].nodes()[name]["id"] for name in ("n2", "n1"))
    unique = next(size for size in range(1, 33) if ident[:size] != own[:size])
    for what in ("n2", ident, ident[:10], ident[:unique]):
        shown = nodes[0].json("nodes", "show", what)
        expect(shown["id"] == ident and shown["name"] == "n2", f"show {what}: {shown}")
        code(nodes[0].ctl("rtt", what), DONE, f"rtt {what}")
        code(nodes[0].ctl(f"--node={what}", "status"), DONE, f"--node {what}")


def test_ask_another_node(lab):
    """--node NAME asks that node through the local one."""
    nodes = start_mesh(lab, 3)

    def own(*arguments):
        done = code(nodes[0].ctl(*arguments, "nodes", "list", "--format=json"), DONE, arguments)
        return [entry["name"] for entry in json.loads(done.stdout) if entry["self"]]
    expect(own() == ["n1"], "asked here")
    expect(own("--node", "n2") == ["n2"], "asked n2")
    expect(own("--node=n3") == ["n3"], "asked n3")
    done = code(nodes[0].ctl("nodes", "list", "--node", "n3", "--format=json"), DONE, "after")
    expect([e["name"] for e in json.loads(done.stdout) if e["self"]] == ["n3"], "option after")
    for arguments in (["metrics"], ["version"], ["status"], ["events"]):
        code(nodes[0].ctl("--node=n2", *arguments), DONE, f"--node=n2 {arguments}")


def test_ask_a_dead_node(lab):
    """--node with a node that is known to have failed: exit 3 at once, and says so."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    nodes[2].kill()
    wait_event(nodes[:1], "failed", "n3", since, 4)
    begun = time.monotonic()
    done = nodes[0].ctl("--node=n3", "status", timeout=30)
    expect(done.returncode == NO_DAEMON, f"exit {done.returncode}: {done.stderr}")
    expect("n3 is failed" in done.stderr, done.stderr)
    expect(time.monotonic() - begun < 2, "it gave up late")


QUERIES = (["status"], ["nodes", "list"], ["nodes", "show", "n2"], ["nodes", "events"], ["events"],
           ["rtt", "n2"], ["peers"], ["limits"], ["metrics"], ["version"])


def test_all(lab):
    """--all on every query: under each node's id what that node alone prints."""
    nodes = start_mesh(lab, 3)
    ids = {name: entry["id"] for name, entry in nodes[0].nodes().items()}
    for arguments in QUERIES:
        done = code(nodes[0].ctl("--all", "--format=json", *arguments), DONE, arguments)
        both = json.loads(done.stdout)
        expect(set(both) == {"nodes", "errors"} and not both["errors"], f"{arguments}: {both}")
        expect(set(both["nodes"]) == set(ids.values()), f"{arguments}: of whom? {both['nodes']}")
        alone = nodes[0].json("--node=n3", *arguments)
        asked = both["nodes"][ids["n3"]]
        expect(type(asked) is type(alone), f"{arguments}: {asked} is unlike {alone}")
        if isinstance(alone, dict):
            expect(set(asked) == set(alone), f"{arguments}: fields {set(asked) ^ set(alone)}")
        plain = code(nodes[0].ctl("--all", *arguments), DONE, f"{arguments} as text").stdout
        heads = [line for line in plain.splitlines() if line.startswith("== ")]
        expect(heads == ["== n1", "== n2", "== n3"], f"{arguments}: grouped by name: {plain}")
    names = {ident: {entry["name"] for entry in listed if entry["self"]} for ident, listed in
             json.loads(nodes[0].ctl("--all", "nodes", "list", "--format=json").stdout)["nodes"].items()}
    expect(names == {ident: {name} for name, ident in ids.items()}, f"who answered: {names}")


def test_all_and_a_stopped_node(lab):
    """--all: who does not answer until the one deadline is named; exit 4, the others' answers."""
    nodes = start_mesh(lab, 3)
    ids = {name: entry["id"] for name, entry in nodes[0].nodes().items()}
    nodes[2].pause()
    begun = time.monotonic()
    done = nodes[0].ctl("--all", "version", "--format=json", "--timeout=2s")
    took = time.monotonic() - begun
    code(done, PARTIAL, "one is stopped")
    both = json.loads(done.stdout)
    expect(set(both["nodes"]) == {ids["n1"], ids["n2"]}, f"who answered: {both}")
    expect(set(both["errors"]) == {ids["n3"]} and "n3" in both["errors"][ids["n3"]], f"{both}")
    expect("1 of 3" in done.stderr and "n3" in done.stderr, f"stderr {done.stderr!r}")
    expect(took < 2 + 3 * PATIENCE, f"one deadline for all: {took:.1f} s")
    since = time.time()
    nodes[2].resume()
    nodes[2].kill()
    wait_for(lambda: nodes[0].view()["n3"] == "failed", 10, "n3 is failed")
    done = code(nodes[0].ctl("--all", "version"), PARTIAL, "one has failed")
    expect("n3 is failed" in done.stdout, f"the failed one is named: {done.stdout}")
    expect(time.time() - since < 60, "it gave up late")
    code(nodes[0].ctl("--all", "nodes", "show", "nosuch"), NO_SUCH, "a name that nobody has")


def test_rtt_between(lab):
    """rtt A B: A is asked about B, through the local node."""
    nodes = start_mesh(lab, 3)
    wait_for(lambda: nodes[1].json("rtt", "n3")["samples_ms"], 10, "n2 has measured n3")
    rtt = nodes[0].json("rtt", "n2", "n3")
    expect((rtt["from"], rtt["node"]) == ("n2", "n3"), f"between whom: {rtt}")
    expect(rtt["samples_ms"] and rtt["rtt_ms"] is not None, f"measured by n2: {rtt}")
    plain = code(nodes[0].ctl("rtt", "n2", "n3"), DONE, "rtt n2 n3").stdout
    expect("n2" in plain and "n3" in plain, plain)
    by_coordinates = nodes[0].json("--node=n1", "rtt", "n2", "n3")
    expect(by_coordinates["samples_ms"] == [], f"n1 has measured nothing there: {by_coordinates}")
    code(nodes[0].ctl("rtt", "nosuch", "n3"), NO_SUCH, "an end that nobody has")
    code(nodes[0].ctl("rtt", "n2", "nosuch"), NO_SUCH, "the other one")


def test_peers(lab):
    """peers: a Zyre program that said HELLO, with groups and headers, followed; then it is gone."""
    nodes = start_mesh(lab, 2)
    expect(nodes[0].json("peers") == [], "nobody yet; members are no peers")
    other = lab.add_hosts(1)[0]
    listener = other.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((other.address, 49155))
    listener.listen()
    uuid = bytes(range(16))
    dealer = zmtp.Dealer(other, nodes[0].host.address, nodes[0].port(), zmtp.identity(uuid))
    dealer.send(zmtp.hello(1, f"tcp://{other.address}:49155", ["CHAT"], 1, "chatter",
                           {"X-COLOR": "blue", "X-BAD": b"\x1b[31m"}))

    def seen():
        return nodes[0].json("peers")
    peer = wait_for(seen, 5, "it is listed")[0]
    expect((peer["name"], peer["address"]) == ("chatter", f"{other.address}:49155"), f"{peer}")
    expect(peer["id"] == uuid.hex() and peer["groups"] == ["CHAT"], f"{peer}")
    expect(peer["headers"]["X-COLOR"] == "blue" and "\x1b" not in peer["headers"]["X-BAD"], f"{peer}")
    expect(peer["mesh"] is None and not peer["is_cut"] and peer["last_heard_ms"] < 30000, f"{peer}")
    dealer.send(zmtp.join(2, "NEWS", 2))
    dealer.send(zmtp.leave(3, "CHAT", 3))
    wait_for(lambda: seen()[0]["groups"] == ["NEWS"], 5, "its groups are followed")
    plain = code(nodes[0].ctl("peers"), DONE, "peers").stdout
    expect("chatter" in plain and "NEWS" in plain and "X-COLOR=blue" in plain, plain)
    both = json.loads(nodes[0].ctl("--all", "peers", "--format=json").stdout)
    expect(sorted(len(peers) for peers in both["nodes"].values()) == [0, 1], f"--all: {both}")
    dealer.send(zmtp.head(zmtp.PING, 9))  # a gap in its numbers: it is to begin anew
    wait_for(lambda: seen() == [], 5, "it is forgotten")
    dealer.close()
    listener.close()


COMPLETE = r"""
source <("$1" completion bash) || exit 1
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_meshctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def test_completion(lab):
    """meshctl completion: shells accept it; commands, options, values and names are completed."""
    nodes = start_mesh(lab, 2)
    where = ["--data-dir", "=", nodes[0].data_dir]

    def complete(*words):
        done = nodes[0].host.run(["bash", "-c", COMPLETE, "bash", MESHCTL, MESHCTL, *words])
        expect(done.returncode == 0 and not done.stderr, f"{words}: {done.stderr!r}")
        return set(done.stdout.split())
    expect({"status", "nodes", "events", "rtt", "help", "completion"} <= complete(""), "commands")
    expect(complete("stat") == {"status"}, f"stat: {complete('stat')}")
    expect({"put", "get", "delete", "list", "watch"} <= complete("kv", ""), f"{complete('kv', '')}")
    expect({"--type=", "--if-version=", "--file="} <= complete("kv", "put", "--"), "options of kv put")
    expect("--dry-run" in complete("registry", "import", "--d"), "a switch has no =")
    expect({"list", "show", "events"} <= complete("nodes", ""), f"nodes: {complete('nodes', '')}")
    expect(complete("help", "nodes", "l") == {"list"}, "help of a command")
    expect(complete("--format", "=", "j") == {"json"}, "values of an option")
    expect("--since=" in complete("events", "--"), "options of the command")
    expect("--all" not in complete("leave", "--"), "not those that it has not")
    expect("--all" in complete("status", "--a"), "those that it has")
    for words in (["nodes", "show", ""], ["rtt", ""], ["rtt", "n1", ""], ["--node", "="],
                  ["--node", "=", "n"]):
        expect(complete(*where, *words) == {"n1", "n2"}, f"{words}: {complete(*where, *words)}")
    expect(complete(*where, "nodes", "show", "n1", "") == set(), "nothing behind the last word")
    for shell in ("bash", "zsh"):
        script = code(nodes[0].ctl("completion", shell), DONE, shell).stdout
        found = nodes[0].host.run(["sh", "-c", f"command -v {shell}"]).returncode == 0
        if found:
            done = nodes[0].host.run([shell, "-n", "/dev/stdin"], stdin=script)
            expect(done.returncode == 0 and not done.stderr, f"{shell} -n: {done.stderr!r}")


@options(alone=True)
def test_rtt(lab):
    """The round trip on one machine is far below 20 ms."""
    nodes = start_mesh(lab, 2)
    wait_for(lambda: nodes[0].nodes()["n2"]["rtt_ms"] is not None, 10, "a round trip is known")
    wait_for(lambda: nodes[0].nodes()["n2"]["rtt_ms"] < 20, 10, "a plausible round trip")
    expect(nodes[0].nodes()["n1"]["rtt_ms"] in (None, 0), "none to itself")
    done = code(nodes[0].ctl("rtt", "n2"), DONE, "rtt")
    expect("ms" in done.stdout or "µs" in done.stdout, f"with a unit: {done.stdout}")


EVENT_FIELDS = {"time", "type", "node", "id", "observer", "reason", "seq"}


def test_events(lab):
    """events: each field, seq rising; nodes events NAME tells of that node only."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    nodes[2].kill()
    wait_event(nodes[:1], "failed", "n3", since, 4)
    events = nodes[0].events()
    for event in events:
        expect(EVENT_FIELDS <= set(event), f"fields of {event}")
        expect(event["type"] in ("node.alive", "node.suspect", "node.failed", "node.left",
                                 "node.updated"), f"type {event['type']}")
        expect(abs(wall(event["time"]) - time.time()) < 60, f"time {event['time']}")
    numbers = [event["seq"] for event in events]
    expect(numbers == sorted(set(numbers)), f"seq rises: {numbers}")
    mine = nodes[0].json("nodes", "events", "n3")
    expect(mine and all(event["node"] == "n3" for event in mine), f"only of n3: {mine}")


def test_events_follow(lab):
    """events --follow: one object a line, as it happens; it survives a restart of its node."""
    nodes = start_mesh(lab, 3)
    follower = Events(nodes[0])
    wait_for(follower.all, 5, "the follower's first events")
    since = time.time()
    nodes[2].kill()
    wait_for(lambda: follower.find("failed", "n3", since), 4, "the event comes by itself")
    nodes[2].start()
    wait_for(lambda: follower.find("alive", "n3", since), 6, "and the return")
    numbers = [event["seq"] for event in follower.all()]
    expect(numbers == sorted(set(numbers)), f"seq rises: {numbers}")
    expect(not follower.bad, f"no JSON: {follower.bad}")
    nodes[0].terminate()
    nodes[0].start()
    wait_formed(nodes)
    since = time.time()
    nodes[2].kill()
    wait_for(lambda: follower.find("failed", "n3", since), 6, "it goes on after a restart")
    numbers = [event["seq"] for event in follower.all()]
    expect(numbers == sorted(set(numbers)), f"seq rises across the restart: {numbers}")


def test_follower_that_stops_reading(lab):
    """A follower that is stopped holds nothing up."""
    nodes = start_mesh(lab, 2)
    follower = Events(nodes[0])
    wait_for(follower.all, 5, "the follower's first events")
    os.kill(follower.popen.pid, 19)
    for _ in range(3):
        nodes[1].kill()
        nodes[1].start()
        wait_formed(nodes)
    begun = time.monotonic()
    code(nodes[0].ctl("status"), DONE, "status")
    expect(time.monotonic() - begun < 1, "it answers at once")
    os.kill(follower.popen.pid, 18)


def test_metrics(lab):
    """metrics: valid Prometheus text; the same numbers as JSON."""
    nodes = start_mesh(lab, 2)
    done = code(nodes[0].ctl("metrics", "--format=prometheus"), DONE, "metrics")
    typed, samples = set(), 0
    for line in done.stdout.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif line and not line.startswith("#"):
            match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)", line)
            expect(match, f"no sample: {line}")
            float(match[3])
            expect(re.sub("_(bucket|sum|count)$", "", match[1]) in typed or match[1] in typed,
                   f"no TYPE before {line}")
            samples += 1
    expect(samples >= 10, f"{samples} samples")
    expect(any("stall" in name for name in typed), "loop stalls are there")
    expect(nodes[0].json("metrics"), "as JSON")


def test_leave_twice(lab):
    """meshctl leave when nobody is there: exit 3."""
    nodes = start_mesh(lab, 2)
    code(nodes[1].ctl("leave"), DONE, "leave")
    nodes[1].process.wait(2)
    code(nodes[1].ctl("leave"), NO_DAEMON, "leave again")


def test_closed_pipe(lab):
    """meshctl | head: no error, no hang."""
    nodes = start_mesh(lab, 2)  # who joined is an event
    command = f"{MESHCTL} --data-dir={nodes[0].data_dir} metrics --format=prometheus | head -1"
    done = nodes[0].host.run(["sh", "-c", command])
    expect(done.returncode == 0 and not done.stderr, f"{done.returncode} {done.stderr!r}")
    popen = nodes[0].host.netns.popen(
        [MESHCTL, f"--data-dir={nodes[0].data_dir}", "events", "--follow", "--format=json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=lab.env)
    wait_for(lambda: select.select([popen.stdout], [], [], 0)[0], 5, "the follower's first line")
    popen.terminate()
    popen.wait(3)
    popen.stdout.close()
    popen.stderr.close()


def test_closed_descriptors(lab):
    """Started with stdin, stdout and stderr closed: no file and no socket of theirs is written there."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    closed = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"]
    node = Node(host)
    os.makedirs(os.path.dirname(node.data_dir), exist_ok=True)
    node.process = host.popen("closed", closed + node.argv())
    node.wait_up()
    for fd in range(3):
        expect(os.readlink(f"/proc/{node.pid}/fd/{fd}") == "/dev/null", f"{fd} is taken")
    code(host.run(closed + [MESHCTL, f"--data-dir={node.data_dir}", "kv", "put", "a", "b"]), DONE, "a write")
    done = host.run(["sh", "-c", f"exec {MESHCTL} --data-dir={node.data_dir} kv put c 0<&-"])
    expect("Bad file descriptor" in code(done, REFUSED, "nothing to read").stderr, done.stderr)
    done = host.run(["sh", "-c", f"exec {MESHCTL} --data-dir={node.data_dir} kv get a 1>&-"])
    code(done, REFUSED, "nowhere to write")
    expect(node.terminate()[0] == 0, "it ends when it is told to")


def test_starting(lab):
    """A meshd that has its data directory and no socket yet is said to be starting, named or found."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    data_dir = os.path.join(lab.dir, "meshd", "home", "nas")
    os.makedirs(data_dir)
    with open(os.path.join(data_dir, "lock"), "w", encoding="ascii") as lock:
        lock.write("pid 4242\n")
        lock.flush()
        fcntl.fcntl(lock, 37, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK
        for arguments in ((f"--data-dir={data_dir}",), ()):
            for command in (("nodes", "list"), ("doctor",)):
                done = code(host.run([MESHCTL, *arguments, *command], env={**lab.env, "XDG_STATE_HOME": lab.dir}),
                            NO_DAEMON, command[0])
                text = done.stdout + done.stderr
                expect("is still starting" in text and data_dir in text, f"{arguments} {command}: {text}")


def test_many_clients(lab):
    """Forty meshctl at once are all answered."""
    nodes = start_mesh(lab, 2)
    running = [nodes[0].host.netns.popen(
        [MESHCTL, f"--data-dir={nodes[0].data_dir}", "nodes", "list", "--format=json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=lab.env) for _ in range(40)]
    codes = [popen.wait(20) for popen in running]
    expect(codes == [0] * 40, f"exit codes {codes}")
