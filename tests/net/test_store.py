# SPDX-License-Identifier: MPL-2.0
"""The store as a user meets it: how it is, compacted and checked while the node works, full and with
room again, damaged, and of an older or a newer version."""
import os
import random
import shutil

from harness import options
from lab import MESHCTL, expect, wait_for
from mesh import Node, need_binaries, refused, start_mesh, wait_formed
from netns import mount_tmpfs
from test_refusals import fill

KEYS = 40


def one_node(lab, **more):
    need_binaries()
    node = Node(lab.add_hosts(1)[0], **more).start()
    node.wait_up()
    return node


def put(node, key, value):
    return node.ctl("kv", "put", key, "-", stdin=value)


def write_some(node, count, size, rng):
    for i in range(count):
        done = put(node, f"k{i:03}", f"{i} " + "x" * rng.randrange(size))
        expect(done.returncode == 0, lambda done=done: done.stderr)


def values(node):
    return {entry["key"]: entry["value"] for entry in node.json("kv", "list")}


def test_status(lab):
    """store status: path, records by table, what was written; it grows with what is stored."""
    node = one_node(lab)
    before = node.json("store", "status")
    expect(before["path"] == os.path.join(node.data_dir, "store"), before["path"])
    expect(before["file_bytes"] == os.path.getsize(os.path.join(before["path"], "data.mdb")), before)
    expect(before["format"] == 2 and before["error"] is None and before["damaged"] == 0, before)
    expect(put(node, "a", "1").returncode == 0, "it is written")
    after = node.json("store", "status")
    expect(after["records"]["entries"] == before["records"]["entries"] + 1, after)
    expect(after["records"]["dots"] == before["records"]["dots"] + 1, after)
    expect(after["commits"] > before["commits"] and after["syncs"] == after["commits"] + 2 * after["checkpoints"], after)
    written = after["written_bytes"]
    expect(written is None or before["written_bytes"] < written, after)
    metrics = node.metric_values()
    expect(metrics["mesh_store_commits_total"] >= after["commits"], metrics)
    expect(metrics["mesh_store_full"] == 0, metrics)
    text = node.ctl("store", "status").stdout
    for word in (before["path"], "entries of the registry", "commits", "GiB", "of writes not in the file yet"):
        expect(word in text, lambda: text)


def test_free_pages_are_of_the_file(lab):
    """A large value, gone before it came into the file, takes no room there and is not called free."""
    node = one_node(lab)
    for round_ in range(4):            # small free pages in the file, so that none is taken behind them
        for i in range(4):
            expect(put(node, f"k{i}", f"{round_}" * 2000).returncode == 0, "it is written")
        expect(node.ctl("store", "check").returncode == 0, "what the journal has is in the file now")
    expect(put(node, "large", "x" * 1000000).returncode == 0, "it is written")
    expect(node.ctl("kv", "delete", "large").returncode == 0, "it is deleted")
    expect(node.ctl("store", "check").returncode == 0, "what the journal has is in the file now")
    after = node.json("store", "status")
    pages = after["used_pages"] + after["free_pages"]
    expect(pages * after["page_bytes"] <= after["file_bytes"], lambda: f"more than all of it is free: {after}")


def test_compact_and_check_at_work(lab):
    """Compacted and checked again and again while another writes: all that was acknowledged is there."""
    first, second = start_mesh(lab, 2)
    rng = random.Random(4)
    write_some(first, KEYS, 20000, rng)
    expect(first.ctl("store", "check").returncode == 0, "what the journal has is in the tables now")
    for i in range(KEYS):
        if i % 4 != 0:
            expect(first.ctl("kv", "delete", f"k{i:03}").returncode in (0, 1), "deleted, or still syncing")
    before = first.json("store", "status")
    kept = values(first)
    for round_ in range(4):
        done = first.ctl("store", "compact" if round_ % 2 == 0 else "check")
        expect(done.returncode == 0, lambda done=done: done.stdout + done.stderr)
        key = f"after{round_}"
        expect(put(first, key, "x").returncode == 0, "writing goes on")
        kept[key] = "x"
    expect(values(first) == kept, "all is there")
    after = first.json("store", "status")
    expect(after["file_bytes"] <= before["file_bytes"], (before, after))
    expect(not os.path.exists(os.path.join(first.data_dir, "store.new")), "nothing is left over")
    remote = second.ctl("--node=n1", "store", "check")
    expect(remote.returncode == 0 and "sound" in remote.stdout, remote.stdout + remote.stderr)
    first.kill()
    first.start()
    wait_formed([first, second])
    expect(values(first) == kept, "also after a kill")


@options(timeout=60)
def test_killed_while_compacting(lab):
    """kill -9 at any moment of a compaction: nothing that was acknowledged is lost."""
    node = one_node(lab)
    rng = random.Random(9)
    write_some(node, KEYS, 20000, rng)
    kept = values(node)
    for round_ in range(8):
        work = node.host.popen(f"compact{round_}", [MESHCTL, f"--data-dir={node.data_dir}", "store", "compact"])
        wait_for(lambda work=work: not work.running() or rng.random() < 0.3, 10, "it ends, or is cut off")
        node.kill()
        node.start()
        node.wait_up()
        expect(values(node) == kept, "all is there")
    expect(node.ctl("store", "check").returncode == 0, "and sound")


@options(timeout=60)
def test_full(lab):
    """Disk full: writes are refused and say so, membership goes on; with room all goes on by itself."""
    state = os.path.join(lab.dir, "state")
    os.makedirs(state)
    mount_tmpfs(state, size="4m", mode="700")
    host, other_host = lab.add_hosts(2)
    node = Node(host).start()
    node.wait_up()
    expect(put(node, "before", "1").returncode == 0, "there is room")
    other = Node(other_host, data_dir=os.path.join(lab.dir, "two", "n2"))
    os.makedirs(os.path.join(lab.dir, "two"))
    shutil.copy(os.path.join(state, "key"), os.path.join(lab.dir, "two", "key"))
    fill(state)
    refusals = []
    for i in range(40):                # the file has some free pages
        done = put(node, f"full{i}", "x" * 8000)
        if done.returncode != 0:
            refusals.append(done.stderr)
            break
    expect(refusals and "full" in refusals[0].lower(), lambda: refusals)
    status = node.json("store", "status")
    expect(status["full"] and status["error"], status)
    expect("store-failed" in [p["code"] for p in node.json("status")["problems"]], "status says it")
    text = node.ctl("store", "status").stdout
    expect("make room" in text, lambda: text)
    other.start()
    wait_formed([node, other])         # the mesh does not mind
    expect(node.ctl("kv", "get", "before").stdout.strip() == "1", "reading goes on")
    expect(put(other, "elsewhere", "y" * 200000).returncode == 0, "the other one has room")
    wait_for(lambda: [(d["key"], d["there"]) for d in other.json("registry", "diff", node.name)] ==
             [("elsewhere", None)], 10, "what the full one cannot take is told")
    wait_for(lambda: other.ctl("registry", "diff", node.name).stdout == "elsewhere: only here\n" and
             node.ctl("registry", "diff", other.name).stdout == f"elsewhere: only at {other.name}\n", 10,
             "and who lacks it")
    os.unlink(os.path.join(state, "filler"))
    wait_for(lambda: not node.json("store", "status")["full"], 15, "it goes on by itself")
    wait_for(lambda: "the store writes again" in node.log(), 3, lambda: node.log())
    expect("the disk has no room" in node.log(), lambda: node.log())
    expect(put(node, "after", "2").returncode == 0, "there is room again")
    wait_for(lambda: other.json("registry", "diff", node.name) == [], 20, "they hold the same")
    node.kill()
    node.start()
    wait_formed([node, other])
    expect(values(node)["after"] == "2" and values(node)["before"] == "1", "all is there")


def damage_entry(node, value):
    """Changes a byte of this value in the file, wherever it lies."""
    path = os.path.join(node.data_dir, "store", "data.mdb")
    with open(path, "rb") as file:
        data = file.read()
    found, at = 0, data.find(value)
    while at >= 0:
        data = data[:at] + b"#" + data[at + 1:]
        found, at = found + 1, data.find(value, at)
    expect(found > 0, "it is in the file")
    with open(path, "wb") as file:
        file.write(data)


def test_check_finds_damage(lab):
    """A record that changed on the disk: passed over, counted, and listed by store check with exit 1."""
    node = one_node(lab)
    expect(put(node, "good", "this one is well").returncode == 0, "written")
    expect(put(node, "bad", "this one is worn out").returncode == 0, "written")
    expect(node.ctl("store", "check").returncode == 0, "sound")
    node.terminate()
    damage_entry(node, b"this one is worn out")
    node.start()
    node.wait_up()
    done = node.ctl("store", "check")
    expect(done.returncode == 1 and "entries" in done.stdout and "bad" in done.stdout,
           lambda: done.stdout + done.stderr)
    found = node.json("store", "status")
    expect(found["work"]["damaged"] == 1 and found["damaged"] >= 1, found)
    expect(found["damaged_records"][0]["table"] == "entries", found)
    expect(node.metric_values()["mesh_store_damaged_total"] >= 1, "counted")
    checks = node.ctl("doctor")
    expect("damaged records" in checks.stdout, lambda: checks.stdout)
    expect(values(node).get("good") == "this one is well", "the others are well")
    expect(put(node, "bad", "anew").returncode == 0 and values(node)["bad"] == "anew", "written anew")


def test_left_overs_are_swept(lab):
    """What a compaction left that was cut short is gone after the next start."""
    node = one_node(lab)
    node.terminate()
    new = os.path.join(node.data_dir, "store.new")
    os.makedirs(new)
    for name in ("data.mdb", "lock.mdb"):
        with open(os.path.join(new, name), "wb") as file:
            file.write(b"half")
    node.start()
    node.wait_up()
    expect(not os.path.exists(new), "swept")
