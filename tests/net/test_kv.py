# SPDX-License-Identifier: MPL-2.0
"""Keys and values through meshctl: what is printed, exit codes, and what is still there afterwards."""
import json
import os
import subprocess
import threading
import time

from lab import MESHCTL, expect, wait_for
from mesh import Following, start_alone, start_mesh, wait_formed

DONE, REFUSED, USAGE, NO_DAEMON, PARTIAL, NO_SUCH = range(6)
WRITTEN_FIELDS = {"key", "value", "version", "origin", "modified", "conflicts"}


def kv(node, *arguments, code=DONE, stdin=None):
    done = node.ctl("kv", *arguments, stdin=stdin)
    expect(done.returncode == code, f"kv {' '.join(arguments)}: exit {done.returncode}, expected "
                                    f"{code}: {done.stdout[:300]!r} {done.stderr!r}")
    return done


def get(node, key):
    """The value, None if there is none."""
    done = node.ctl("kv", "get", key)
    expect(done.returncode in (DONE, NO_SUCH), f"kv get {key}: {done.returncode} {done.stderr}")
    return done.stdout if done.returncode == DONE else None


def version(node, key):
    return node.json("kv", "get", key)["version"]


class Watch(Following):
    """`meshctl kv watch` held open."""

    def __init__(self, node, *arguments):
        super().__init__(node, "kv", "watch", *arguments)

    def shown(self):
        return [(item["op"], item["key"], item["value"]) for item in list(self.items)]

    def wait(self, *expected):
        wait_for(lambda: self.shown()[-len(expected):] == list(expected), 10,
                 lambda: f"the watcher shows {expected}, not {self.shown()}")


def test_kv_commands(lab):
    """Put, get, list, delete: output to the letter, exit codes, errors that help."""
    node = start_alone(lab)
    kv(node, "get", "dns/domain", code=NO_SUCH)
    expect(kv(node, "put", "dns/domain", "home.example").stdout == "", "a write says nothing")
    expect(get(node, "dns/domain") == "home.example", "nothing is added")
    listed = node.json("kv", "list", "dns/")
    expect(len(listed) == 1 and WRITTEN_FIELDS <= set(listed[0]), f"{listed}")
    item = listed[0]
    expect(item["key"] == "dns/domain" and item["value"] == "home.example"
           and item["origin"] == "one" and item["conflicts"] == 0, f"{item}")
    expect(12 <= len(item["version"]) <= 20 and " " not in item["version"], f"{item['version']}")
    expect(node.json("kv", "list", "nothing/") == [], "no key begins so")
    expect("dns/domain" in kv(node, "list").stdout, "a table")
    done = kv(node, "list", "--node=nosuch", code=NO_SUCH)
    expect(done.stdout == "" and "nosuch" in done.stderr, f"only the error: {done}")
    kv(node, "put", "from/stdin", stdin="two\nlines\n")
    expect(get(node, "from/stdin") == "two\nlines\n", "stdin as it is")
    kv(node, "put", "from/dash", "-", stdin="dash")
    expect(get(node, "from/dash") == "dash", "- is stdin")
    kv(node, "put", "empty", "")
    expect(get(node, "empty") == "", "an empty value is one")
    kv(node, "delete", "dns/domain")
    kv(node, "get", "dns/domain", code=NO_SUCH)
    done = kv(node, "delete", "dns/domain", code=NO_SUCH)
    expect('"dns/domain"' in done.stderr, f"the key is named: {done.stderr}")
    done = kv(node, "put", "x" * 513, "v", code=USAGE)
    expect("513 bytes" in done.stderr and "512" in done.stderr, f"{done.stderr}")
    kv(node, "put", "x" * 512, "v")
    expect(get(node, "x" * 512) == "v", "the longest key")


def test_kv_bytes(lab):
    """Any bytes, up to 1 MiB, from a file and to a file."""
    node = start_alone(lab)
    path, out = os.path.join(lab.dir, "value"), os.path.join(lab.dir, "out")
    for value in (b"\x00\xff\r\n\x1b[31m", os.urandom(1 << 20)):
        with open(path, "wb") as to:
            to.write(value)
        kv(node, "put", "bytes", f"--file={path}")
        with open(out, "wb") as to:
            node.host.netns.popen([MESHCTL, f"--data-dir={node.data_dir}", "kv", "get", "bytes"],
                                  stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.DEVNULL,
                                  env=lab.env).wait()
        with open(out, "rb") as came:
            expect(came.read() == value, f"{len(value)} bytes come back as they were")
    expect("base64" in node.json("kv", "list")[0]["value"], "no text: base64")
    with open(path, "ab") as to:
        to.write(b"x")
    done = kv(node, "put", "more", f"--file={path}", code=REFUSED)
    expect("1 MiB" in done.stderr, f"the limit is named: {done.stderr}")
    kv(node, "get", "more", code=NO_SUCH)
    kv(node, "put", "more", f"--file={path}.not", code=REFUSED)
    kv(node, "put", "hostile", "a\033[31mred\u202eback")
    table = kv(node, "list", "hostile").stdout
    expect("\033" not in table and "\u202e" not in table, f"nothing a terminal obeys: {table!r}")


def test_kv_if_version(lab):
    """Compare and set: of two who read the same, one writes."""
    node = start_alone(lab)
    kv(node, "put", "lock", "a", "--if-version=absent")
    kv(node, "put", "lock", "b", "--if-version=absent", code=REFUSED)
    first = version(node, "lock")
    kv(node, "put", "lock", "b", f"--if-version={first}")
    done = kv(node, "put", "lock", "c", f"--if-version={first}", code=REFUSED)
    expect(version(node, "lock") in done.stderr, f"the present version is said: {done.stderr}")
    expect(get(node, "lock") == "b", "nothing was written")
    kv(node, "delete", "lock", f"--if-version={first}", code=REFUSED)
    winners = []

    def race(number, seen):
        done = node.ctl("kv", "put", "lock", str(number), f"--if-version={seen}")
        if done.returncode == DONE:
            winners.append(number)
    for _ in range(3):
        winners.clear()
        seen = version(node, "lock")
        threads = [threading.Thread(target=race, args=(i, seen)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(len(winners) == 1 and get(node, "lock") == str(winners[0]), f"winners: {winners}")


def test_kv_sets_and_counters(lab):
    """Sets and counters; a key has one type."""
    node = start_alone(lab)
    for element in ("b", "a", "b", "c"):
        kv(node, "put", "s", element, "--type=set")
    expect(get(node, "s") == "a\nb\nc\n", "an element a line")
    kv(node, "delete", "s", "b")
    kv(node, "delete", "s", "--element=c")
    kv(node, "delete", "s", "c", code=NO_SUCH)
    expect(node.json("kv", "get", "s")["value"] == ["a"], "what is left")
    kv(node, "put", "s", "x", code=REFUSED)
    for amount in ((), ("41",), ("-2",)):
        kv(node, "put", "hits", *amount, "--type=counter")
    expect(get(node, "hits") == "40", "1 + 41 - 2")
    node.terminate()
    node.start()
    node.wait_up()
    kv(node, "put", "hits", "--type=counter")
    expect(get(node, "hits") == "41", "another life goes on where the first one was")
    kv(node, "delete", "hits")
    kv(node, "get", "hits", code=NO_SUCH)


def test_kv_put_at_once(lab):
    """Who writes as soon as a starting meshd answers is never told to come back later."""
    node = start_alone(lab)
    for number in range(10):
        node.kill()
        node.start()
        done = None
        deadline = time.monotonic() + 20
        while done is None or done.returncode == NO_DAEMON:
            expect(time.monotonic() < deadline, lambda: f"no answer: {done}")
            done = node.ctl("kv", "put", "a", str(number))
        expect(done.returncode == DONE, lambda: f"{done.returncode} {done.stderr}")
    expect(get(node, "a") == "9", "the last one")


def test_kv_killed(lab):
    """kill -9 at any moment: what was acknowledged is there."""
    node = start_alone(lab)
    acknowledged = {}
    done = [0] * 4                     # acknowledgements of each writer
    stop = threading.Event()

    def write(writer):
        number = 0
        while not stop.is_set():
            key = f"w/{writer}/{number % 20}"
            if node.ctl("kv", "put", key, str(number)).returncode == DONE:
                acknowledged[key] = number
                done[writer] += 1
            number += 1
    threads = [threading.Thread(target=write, args=(i,)) for i in range(len(done))]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = list(done)
        wait_for(lambda: all(now >= then + 3 for now, then in zip(done, before)), 20,
                 lambda: f"every writer is answered: {before} {done}")
        node.kill()
        node.start()
        node.wait_up()
    stop.set()
    for thread in threads:
        thread.join()
    node.kill()
    node.start()
    node.wait_up()
    values = {item["key"]: int(item["value"]) for item in node.json("kv", "list", "w/")}
    # A write that was cut off may have been done: it is then of the same key, and newer.
    lost = {key: number for key, number in acknowledged.items() if values.get(key, -1) < number}
    expect(acknowledged and not lost, f"{len(acknowledged)} acknowledged, lost: {lost}")


def test_kv_watch(lab):
    """The state, then every change; over a restart only what differs; resumed without a gap."""
    node = start_alone(lab)
    kv(node, "put", "a/1", "one")
    kv(node, "put", "b/1", "elsewhere")
    watch = Watch(node, "a/")
    watch.wait(("put", "a/1", "one"))
    for value in ("1", "2", "3"):
        kv(node, "put", "a/2", value)
    kv(node, "put", "b/2", "elsewhere")
    kv(node, "delete", "a/1")
    watch.wait(("put", "a/1", "one"), ("put", "a/2", "1"), ("put", "a/2", "2"),
               ("put", "a/2", "3"), ("delete", "a/1", None))
    place = watch.items[0]["since"]
    expect({"op", "key", "value", "version", "origin"} <= set(watch.items[0]), f"{watch.items[0]}")
    again = Watch(node, "a/", f"--since={place}")
    again.wait(("put", "a/2", "1"), ("put", "a/2", "2"), ("put", "a/2", "3"),
               ("delete", "a/1", None))
    expect(len(again.items) == 4, f"nothing else: {again.shown()}")
    before = len(watch.items)
    node.kill()
    node.start()
    node.wait_up()
    kv(node, "put", "a/3", "after")
    watch.wait(("delete", "a/1", None), ("put", "a/3", "after"))
    expect(len(watch.items) == before + 1, f"only what differs: {watch.shown()[before:]}")
    late = Watch(node, "a/", f"--since={place}")
    late.wait(("put", "a/2", "3"), ("put", "a/3", "after"))
    with open(late.stderr_path, encoding="utf-8") as err:
        expect("not kept any more" in err.read(), "it is said that all is shown")
    history = node.json("kv", "history", "a/3")
    expect([item["value"] for item in history] == ["after"], f"{history}")


def test_kv_pages(lab):
    """Any number of keys: imported, listed, exported; importing again writes nothing."""
    node = start_alone(lab)
    count = 6000
    lines = [json.dumps({"key": f"k/{i:06}", "type": "register", "value": f"v{i}"})
             for i in range(count)]
    lines.append(json.dumps({"key": "s", "type": "set", "value": ["x", {"base64": "/w=="}]}))
    lines.append(json.dumps({"key": "c", "type": "counter", "value": "7"}))
    text = "\n".join(lines) + "\n"
    done = node.ctl("registry", "import", "--dry-run", stdin=text)
    expect(done.returncode == DONE and f"{count + 3} of {count + 3} would" in done.stdout,
           f"{done.stdout[-200:]} {done.stderr}")
    expect(node.json("kv", "list") == [], "a dry run writes nothing")
    done = node.ctl("registry", "import", "--timeout=60s", stdin=text)
    expect(done.returncode == DONE and f"{count + 3} of {count + 3} written" in done.stdout,
           f"{done.stdout[-200:]} {done.stderr}")
    listed = node.json("kv", "list", "k/")
    expect([item["key"] for item in listed] == [f"k/{i:06}" for i in range(count)], "all, in order")
    exported = node.ctl("registry", "export").stdout
    expect(sorted(exported.splitlines()) == sorted(lines), "an export is what was imported")
    done = node.ctl("registry", "import", stdin=exported)
    expect(f"0 of {count + 3} written" in done.stdout, f"{done.stdout}")
    done = node.ctl("registry", "import", stdin='{"key": "a", "type": "register"}\n')
    expect(done.returncode == REFUSED and "line 1" in done.stderr, f"{done.stderr}")
    done = node.ctl("registry", "import", stdin='{"key": "a\\u0000b", "type": "register", "value": "x"}\n')
    expect(done.returncode == REFUSED and "zero byte" in done.stderr, f"{done.stdout}{done.stderr}")
    expect(get(node, "a") is None, "no other key is written instead")


def test_kv_two_nodes(lab):
    """Written on one, read and watched on the other; both write apart: the same conflict on both."""
    nodes = start_mesh(lab, 2)
    a, b = nodes
    watch = Watch(b, "x/")
    kv(a, "put", "x/1", "from a")
    watch.wait(("put", "x/1", "from a"))
    expect(get(b, "x/1") == "from a" and get(b, "x/1") == get(a, "x/1"), "the same on both")
    kv(a, "--node=n2", "put", "x/2", "asked of b")
    wait_for(lambda: get(a, "x/2") == "asked of b", 5, "what b wrote for a")
    expect(a.json("kv", "get", "x/2")["origin"] == "n2", "b wrote it")
    kv(a, "put", "s", "old", "--type=set")
    wait_for(lambda: get(b, "s") == "old\n", 5, "the set at b")
    kv(b, "delete", "s", "old")
    wait_for(lambda: get(a, "s") is None, 5, "what b took out is gone at a")
    lab.partition([a.host], [b.host])
    kv(a, "put", "x/1", "left")
    kv(b, "put", "x/1", "right")
    kv(a, "put", "s", "l", "--type=set")
    kv(b, "put", "s", "r", "--type=set")
    kv(a, "put", "c", "2", "--type=counter")
    kv(b, "put", "c", "3", "--type=counter")
    lab.heal()
    wait_formed(nodes, 15)

    def agree():
        left, right = a.json("registry", "status"), b.json("registry", "status")
        return left["hash"] == right["hash"]
    wait_for(agree, 20, "both hold the same")
    expect(get(a, "x/1") == get(b, "x/1") and get(a, "x/1") in ("left", "right"), "one is shown")
    for node in nodes:
        conflict = node.json("kv", "conflicts")
        expect(len(conflict) == 1 and conflict[0]["key"] == "x/1", f"{conflict}")
        expect({value["value"] for value in conflict[0]["values"]} == {"left", "right"}, f"{conflict}")
        expect(get(node, "s") == "l\nr\n" and get(node, "c") == "5", "sets and counters merge")
    other = next(value["version"] for value in a.json("kv", "conflicts")[0]["values"]
                 if not value["shown"])
    kept = a.json("kv", "get", "x/1", other)["value"]
    kv(a, "resolve", "x/1", other)
    wait_for(lambda: get(b, "x/1") == kept and b.json("kv", "conflicts") == [], 10,
             "the conflict is over on both")
    status = wait_for(lambda: next((s for s in [a.json("registry", "status")]
                                    if s["divergent_seconds"] == 0 and not s["syncing"]), None),
                      20, "in step")
    expect({"hash", "entries", "tombstones", "bytes", "peers"} <= set(status), f"{status}")
    expect([peer["node"] for peer in status["peers"]] == ["n2"], f"{status['peers']}")
