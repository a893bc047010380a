# SPDX-License-Identifier: MPL-2.0
"""The data directory damaged at any byte: the node starts and says what it dropped, or refuses with one
line when its identity or key cannot be read; never is it silently somebody else, and the mesh is fine."""
import os
import random
import shutil
import subprocess

from harness import options
from lab import MESHCTL, Skip, expect, wait_for
from mesh import Node, need_binaries, refused, start_mesh, wait_formed
from netns import mount_tmpfs


def flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def zero(data, rng):
    at = rng.randrange(len(data))
    size = min(len(data) - at, rng.choice((1, 16, 512, 4096, 40000)))
    return data[:at] + bytes(size) + data[at + size:]


def scramble(data, rng):
    at = rng.randrange(len(data))
    size = min(len(data) - at, rng.choice((4, 64, 4096)))
    return data[:at] + rng.randbytes(size) + data[at + size:]


def cut(data, rng):
    return data[:rng.randrange(len(data))]


def lengthen(data, rng):
    return data + rng.randbytes(rng.choice((1, 100, 8192)))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


WAYS = (flip, zero, scramble, cut, lengthen)


@options(timeout=120)
def test_store_damaged_anywhere(lab):
    """data.mdb, lock.mdb and lock, flipped, zeroed, scrambled, cut, longer: it starts, and is the same."""
    rng = random.Random(7)
    first, second = start_mesh(lab, 2)
    ident = second.self_entry()["id"]
    store = os.path.join(second.data_dir, "store")
    cases = [(os.path.join(store, "data.mdb"), way) for way in WAYS * 4]
    cases += [(os.path.join(store, "lock.mdb"), way) for way in WAYS]
    cases += [(os.path.join(second.data_dir, "lock"), way) for way in WAYS]
    for path, way in cases:
        if rng.random() < 0.5:
            second.kill()
        else:
            second.terminate()
        write(path, way(read(path), rng))
        mark = len(second.log())
        second.start()
        try:
            wait_formed([first, second], 8)
        except AssertionError as failure:
            raise AssertionError(f"{path} {way.__name__}: {failure}\n{second.log()[mark:]}") from None
        expect(second.self_entry()["id"] == ident, "the identity stays")
    aside = [name for name in os.listdir(second.data_dir) if name.startswith("store.bad-")]
    expect(1 <= len(aside) <= 3, f"the newest few are kept: {aside}")
    said = second.log().count(" moved to ")
    expect(said >= len(aside), f"each was told: {said}")


def test_identity_and_key_damaged_anywhere(lab):
    """Any change of the identity or the key ring is seen: refused with one line, and nothing is changed."""
    rng = random.Random(8)
    need_binaries()
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    ident = node.self_entry()["id"]
    node.terminate()
    for name, path in (("identity", os.path.join(node.data_dir, "identity")),
                       ("key", os.path.join(os.path.dirname(node.data_dir), "key"))):
        good = read(path)
        for number in range(12):
            wrong = WAYS[number % len(WAYS)](good, rng)
            if wrong.lower() == good.lower():
                continue               # a hexadecimal digit in the other case is the same key
            write(path, wrong)
            broken = Node(node.host, name=f"{name}{number}", data_dir=node.data_dir).start()
            refused(broken.process, 1, name)
            expect(read(path) == wrong, "the file is as it was")
        write(path, good)
    node.start()
    node.wait_up()
    expect(node.self_entry()["id"] == ident, "and with the good files it is itself")


def test_files_that_are_gone(lab):
    """A lost identity or key ring beside a store is no silent new beginning: it is said."""
    first, second = start_mesh(lab, 2)
    ident = second.self_entry()["id"]
    identity = os.path.join(second.data_dir, "identity")
    second.terminate()
    os.rename(identity, identity + ".away")
    second.start()
    second.wait_up()
    expect("no identity" in second.log(), lambda: second.log())
    expect(second.self_entry()["id"] != ident, "a new node")
    second.terminate()
    os.rename(identity + ".away", identity)
    # The ring is shared with n1, which has read it; away from n2 only.
    ring = os.path.join(lab.dir, "state", "key")
    good = read(ring)
    os.unlink(ring)
    mark = len(second.log())
    second.start()
    second.wait_up()
    expect("no mesh key" in second.log()[mark:], lambda: second.log()[mark:])
    second.terminate()
    write(ring, good)
    for name in ("data.mdb", "lock.mdb"):
        os.unlink(os.path.join(second.data_dir, "store", name))
    second.start()

    def at_first():
        return {entry["id"]: entry["status"] for entry in first.json("nodes", "list")}
    wait_for(lambda: at_first().get(ident) == "alive" and second.view().get("n1") == "alive", 8,
             lambda: f"all is well again, as the old node: {at_first()}")


def test_socket_in_the_way(lab):
    """What lies where its socket goes: an old socket or file gives way, a directory is named."""
    need_binaries()
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    path = os.path.join(node.data_dir, "meshd.sock")
    node.kill()                        # the socket stays
    node.start()
    node.wait_up()
    node.terminate()
    os.mkdir(path)
    broken = Node(node.host, name="broken", data_dir=node.data_dir).start()
    refused(broken.process, 1, "meshd.sock")
    os.rmdir(path)
    node.start()
    node.wait_up()


def test_read_only(lab):
    """A data directory on a disk that became read-only: one line that says so."""
    need_binaries()
    state = os.path.join(lab.dir, "state")
    os.makedirs(state)
    mount_tmpfs(state, size="8m", mode="700")
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    ident = node.self_entry()["id"]
    node.terminate()
    done = subprocess.run(["mount", "-o", "remount,ro", state], capture_output=True, check=False)
    if done.returncode != 0:
        raise Skip(f"cannot remount: {done.stderr}")
    broken = Node(node.host, name="broken", data_dir=node.data_dir).start()
    refused(broken.process, 1, r"[Rr]ead-only")
    subprocess.run(["mount", "-o", "remount,rw", state], check=True)
    node.start()
    node.wait_up()
    expect(node.self_entry()["id"] == ident, "the same node")


def test_copied_back_from_a_backup(lab):
    """A data directory put back from an old backup: the same node, above what it said since then."""
    first, second = start_mesh(lab, 2)
    second.terminate()
    backup = second.data_dir + ".backup"
    shutil.copytree(second.data_dir, backup, ignore=shutil.ignore_patterns("*.sock"))
    for _ in range(3):
        second.start()
        wait_formed([first, second])
        second.terminate()
    shutil.rmtree(second.data_dir)
    shutil.copytree(backup, second.data_dir)
    second.start()
    wait_formed([first, second], 8)


def test_litter_in_the_runtime_directory(lab):
    """Files, loops and links to nowhere among the links to nodes: meshctl finds the node all the same."""
    rng = random.Random(9)
    need_binaries()
    node = Node(lab.add_hosts(1)[0]).start()
    node.wait_up()
    # /run is this test's own; root's nodes are there.
    runtime = next((path for path in ("/run/meshd", lab.env["XDG_RUNTIME_DIR"] + "/meshd")
                    if os.path.isdir(path)), None)
    expect(runtime, "a runtime directory")
    false_dir = os.path.join(lab.dir, "false")
    os.mkdir(false_dir)
    write(os.path.join(false_dir, "lock"), rng.randbytes(5000))
    write(os.path.join(runtime, "file"), b"x")
    os.symlink("/nonexistent", os.path.join(runtime, "nowhere"))
    os.symlink("loop", os.path.join(runtime, "loop"))
    os.symlink(false_dir, os.path.join(runtime, "false"))
    os.symlink(false_dir, os.path.join(runtime, "\x1b[31m\n"))
    os.symlink("/etc/passwd", os.path.join(runtime, "passwd"))
    os.mkdir(os.path.join(runtime, "directory"))
    for arguments in (["status"], ["nodes", "list"], ["--node=n1", "version"]):
        done = node.host.run([MESHCTL, *arguments])
        expect(done.returncode == 0, f"{arguments}: {done.returncode} {done.stderr!r}")
        expect("\x1b" not in done.stdout + done.stderr, "no escapes of a stranger's reach the terminal")
    node.kill()
    node.start()
    node.wait_up()
    expect(node.host.run([MESHCTL, "status"]).returncode == 0, "and after a restart")
    with open("/etc/passwd", encoding="utf-8") as file:
        expect("root" in file.read(), "what links point to is not touched")
