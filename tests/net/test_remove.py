# SPDX-License-Identifier: MPL-2.0
"""`meshctl nodes remove`: off every list for good, told to the removed node, and nothing of it comes back."""
import subprocess

from harness import options
from lab import expect, wait_for
from mesh import start_mesh, wait_formed, wait_status


def names(node):
    return sorted(entry["name"] for entry in node.json("nodes", "list") or [])


def wait_names(nodes, wanted, seconds=10):
    for node in nodes:
        wait_for(lambda n=node: names(n) == sorted(wanted), seconds, f"{node.name} lists {wanted}")


def says_removed(node, by):
    status = node.json("status") or {"removed": False}
    return status["removed"] and any(
        problem["code"] == "removed" and f"by {by}" in problem["text"] and
        "--new-identity" in problem["mend"] for problem in status["problems"])


@options(timeout=90)
def test_one_that_is_off(lab):
    """R6.2, R7.3, R10.2: removed while it is off, by the one node that is up; it returns and is told."""
    one, two, three = nodes = start_mesh(lab, 3)
    expect(three.ctl("kv", "put", "shared", "of three").returncode == 0, "three writes")
    expect(three.ctl("kv", "put", "old", "x").returncode == 0, "three writes more")
    wait_for(lambda: one.ctl("kv", "get", "old").returncode == 0, 10, "one has it")
    wait_for(lambda: not one.json("registry", "status")["syncing"], 20, "one may delete")
    three.kill()
    wait_status([one, two], three.name, "failed", 15)
    two.terminate()
    wait_status([one], two.name, "left", 10)
    expect(one.ctl("kv", "delete", "old").returncode == 0, "one deletes while three is away")
    done = one.ctl("nodes", "remove", three.name)
    expect(done.returncode == 0 and "removed from mesh" in done.stdout and
           "key has not changed" in done.stdout, f"it is removed: {done.stdout}{done.stderr}")
    expect(names(one) == sorted([one.name, two.name]), "it is off the list when the command ends")
    events = [e for e in one.events() if e["type"] == "node.removed"]
    expect([(e["node"], e["observer"]) for e in events] == [(three.name, one.name)], f"{events}")
    done = one.ctl("nodes", "remove", three.name)
    expect(done.returncode == 5 and "was removed" in done.stderr, f"once is enough: {done.stderr}")
    two.start()
    wait_names([one, two], [one.name, two.name])
    wait_for(lambda: one.json("registry", "status")["tombstones"] == 0, 20, "no mark waits for it")

    three.start()
    wait_for(lambda: says_removed(three, one.name), 15, "three knows it")
    expect("this node was removed from the mesh by " + one.name in three.log(), "and its log says it")
    doctor = three.ctl("doctor", "--format=json")
    expect('"removed"' in doctor.stdout and doctor.returncode == 1, f"and doctor: {doctor.stdout}")
    done = three.ctl("kv", "put", "x", "y")
    expect(done.returncode == 1 and "was removed" in done.stderr, f"it writes nothing: {done.stderr}")
    expect(three.ctl("kv", "get", "shared").stdout == "of three", "its data stays")
    three.terminate()
    three.start()
    wait_for(lambda: says_removed(three, one.name), 5, "it knows it at the next start")
    three.terminate()

    subprocess.run(three.argv(["--new-identity"]), check=True, capture_output=True, timeout=20)
    three.start()
    wait_names(nodes, [one.name, two.name, three.name])
    wait_for(lambda: three.ctl("kv", "get", "old").returncode == 5, 15, "what was deleted is gone there, too")
    expect(one.ctl("kv", "get", "old").returncode == 5, "and did not come back")
    expect(one.ctl("kv", "get", "shared").stdout == "of three", "what it wrote for all is there")


@options(timeout=60)
def test_one_that_is_up(lab):
    """It is asked for --yes first, learns it at once, and is quiet then."""
    one, two, three = nodes = start_mesh(lab, 3)
    done = one.ctl("nodes", "remove", three.name)
    expect(done.returncode == 1 and "--yes" in done.stderr and "alive" in done.stderr, done.stderr)
    done = one.ctl("nodes", "remove", one.name)
    expect(done.returncode == 1 and "meshctl leave" in done.stderr, done.stderr)
    expect(one.ctl("nodes", "remove", "nobody").returncode == 5, "no such node")
    wait_formed(nodes)
    done = one.ctl("--node=" + two.name, "nodes", "remove", "--yes", three.name)
    expect(done.returncode == 0, f"{done.stderr}")
    wait_for(lambda: says_removed(three, two.name), 5, "three knows it")
    wait_names([one, two], [one.name, two.name])
    expect(not [e for e in one.events() if e["type"] == "node.failed"], "nobody thought it had failed")
    expect(three.process.running, "its meshd is still there to be asked")
