# SPDX-License-Identifier: MPL-2.0
"""Machines that are odd: half cut off, asleep, with another's name or identity."""
import os
import shutil
import time

from harness import options
from lab import MESHD, expect, hold_for, wait_for
from mesh import MESH, Node, no_change, start_mesh, views, wait_formed, wait_status
from usage import SANITIZED, Usage


def rules(host, text):
    """What this machine's firewall does; nothing takes it away again."""
    host.netns.nft("table inet odd {}\ndelete table inet odd\n" + text)


def drop(host, match, chains=("input", "output")):
    body = "".join(f"chain {chain} {{\ntype filter hook {chain} priority 0;\n{match} drop\n}}\n"
                   for chain in chains)
    rules(host, "table inet odd {\n" + body + "}\n")


def path(node, name):
    return node.nodes().get(name, {}).get("path")


def problems(node):
    status = node.json("status")
    return {} if status is None else {one["code"]: one for one in status["problems"]}


def notices(node, reason, since):
    return [event for event in node.events(since)
            if event["type"] == "node.notice" and event["reason"] == reason]


@options(timeout=90)
def test_udp_blocked(lab):
    """R9.3: UDP blocked but TCP open: the node stays alive over its links, and all say so."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    drop(nodes[2].host, "meta l4proto udp")
    wait_for(lambda: path(nodes[0], "n3") == "link" and path(nodes[2], "n1") == "link", 30,
             lambda: f"the path is the link: {[path(node, 'n3') for node in nodes]}")
    hold_for(lambda: no_change(nodes, since, allowed=("suspect",)), 2, "n3 failed", poll=0.5)
    expect(nodes[0].sees("n1", "n2", "n3"), lambda: views(nodes))
    expect("path" in problems(nodes[0]), lambda: f"status names it: {problems(nodes[0])}")
    expect(notices(nodes[0], "path-link", since) or notices(nodes[0], "path-relayed", since),
           "an event tells of it")
    expect(not nodes[2].json("status")["isolated"], "n3 is reached, so it is not isolated")
    text = nodes[0].ctl("nodes", "show", "n3").stdout
    expect("UDP is blocked" in text, lambda: f"nodes show says so: {text}")
    rules(nodes[2].host, "")
    wait_for(lambda: path(nodes[0], "n3") == "direct", 30, "n3 is reached directly again")
    expect(notices(nodes[0], "path-direct", since), "an event tells of it")


@options(timeout=90)
def test_isolated(lab):
    """R1.2: a node that hears but cannot send says that it is isolated; others blame only it."""
    nodes = start_mesh(lab, 4)
    odd, others = nodes[0], nodes[1:]
    since = time.time()
    drop(odd.host, "oifname eth0", chains=("output",))
    wait_for(lambda: odd.json("status")["isolated"], 20, "n1 is isolated")
    expect(odd.metric_values()["mesh_isolated"] == 1, "the metric says so")
    expect("isolated" in problems(odd), "status says so")
    expect(notices(odd, "isolated", since), "an event says so")
    wait_status(others, "n1", "failed", 20)
    rules(odd.host, "")
    wait_formed(nodes, 20)
    wait_for(lambda: not odd.json("status")["isolated"], 10, "n1 is isolated no more")
    for node in others:
        bad = [event for event in node.events(since)
               if event["type"] == "node.failed" and event["node"] != "n1"]
        expect(not bad, lambda: f"{node.name} blamed another: {bad}")
    expect(not problems(others[0]).get("isolated"), "the others are not isolated")


@options(timeout=60)
def test_stopped_for_a_while(lab):
    """R9.4: a stopped process (SIGSTOP) that goes on declares nobody failed."""
    nodes = start_mesh(lab, 3)
    since = time.time()
    nodes[1].pause()
    wait_status([nodes[0], nodes[2]], "n2", "failed", 15)
    time.sleep(4)  # stopped for longer than it takes to be called failed
    nodes[1].resume()
    wait_formed(nodes, 15)
    hold_for(lambda: nodes[1].event("failed", "n1", since) is None
             and nodes[1].event("failed", "n3", since) is None, 3, "n2 called somebody failed",
             poll=0.5)
    expect("held up" in nodes[1].log(), "its log says that it was held up")


@options(timeout=90)
def test_restart_storm(lab):
    """R2.10: a node restarted a hundred times a minute: at most one joining for each start, and the
    others stay as they are and have next to nothing to do."""
    restarts = 12
    nodes = start_mesh(lab, 3)
    since, begun = time.time(), time.monotonic()
    usages = [Usage(node) for node in nodes[:2]]
    for _ in range(restarts):
        nodes[2].kill()
        time.sleep(0.3)
        nodes[2].start()
        time.sleep(0.3)
    used = max(usage.grown()["cpu"] for usage in usages)
    share = used / (time.monotonic() - begun)
    expect(share < 0.05 * (10 if SANITIZED else 1), f"the others used {100 * share:.1f} % of a core")
    wait_formed(nodes)
    for node in nodes[:2]:
        events = [event for event in node.events(since) if event["node"] != "n3"]
        expect(not events, f"{node.name} tells of others: {events}")
        joins = [event for event in node.events(since) if event["type"] == "node.alive"]
        expect(len(joins) <= restarts, f"{node.name} tells of {len(joins)} joinings")


def test_one_name_twice(lab):
    """R1.5a: two nodes of one name are told apart everywhere; a new name stays after a restart."""
    hosts = lab.add_hosts(3)
    nodes = [Node(hosts[0]).start()]
    for host in hosts[1:]:
        nodes.append(Node(host, name="pi", data_dir=f"{lab.dir}/state/{host.name}",
                          env={"MESHD_NAME": ""}))
        nodes[-1].argv = lambda more=(), node=nodes[-1]: [
            MESHD, f"--discover={MESH}", f"--data-dir={node.data_dir}", *more]
        nodes[-1].process = host.popen(host.name, ["unshare", "--uts", "sh", "-c", "hostname pi; exec "
                                                   + " ".join(nodes[-1].argv())])
    wait_for(lambda: all(set(node.nodes()) == {"n1", "pi", "pi~2"} for node in nodes), 20,
             lambda: f"pi and pi~2: {[sorted(node.nodes()) for node in nodes]}")
    ids = [{name: entry["id"] for name, entry in node.nodes().items()} for node in nodes]
    expect(ids[0] == ids[1] == ids[2], lambda: f"all call them the same: {ids}")
    expect("same-name" in problems(nodes[0]), lambda: f"status names it: {problems(nodes[0])}")
    second = next(node for node in nodes[1:] if node.self_entry()["name"] == "pi~2")
    done = nodes[0].ctl("--node=pi~2", "nodes", "rename", "attic")
    expect(done.returncode == 0, lambda: f"rename: {done.stderr}")
    wait_for(lambda: all(set(node.nodes()) == {"n1", "pi", "attic"} for node in nodes), 10,
             lambda: f"attic: {[sorted(node.nodes()) for node in nodes]}")
    expect("same-name" not in problems(nodes[0]), "no problem any more")
    wait_for(lambda: " attic: this node is now named attic" in second.log(), 3,
             lambda: f"its log lines bear the new name: {second.log()[-500:]}")
    expect(nodes[0].ctl("nodes", "rename", "attic").returncode == 1, "a taken name is refused")
    expect(nodes[0].ctl("nodes", "rename", "At tic").returncode in (1, 2), "no name at all")
    second.kill()
    second.process = second.host.popen("again", ["unshare", "--uts", "sh", "-c", "hostname pi; exec "
                                                 + " ".join(second.argv())])
    wait_for(lambda: second.nodes() and second.self_entry()["name"] == "attic", 10,
             lambda: f"it is still attic: {second.log()}")
    second.kill()
    second.process = second.host.popen("given", second.argv(["--name=cellar"]))
    wait_for(lambda: second.nodes() and second.self_entry()["name"] == "cellar", 10,
             "the name given at the start wins")
    expect("nodes rename" in second.log(), lambda: f"and that is told: {second.log()}")


@options(timeout=90)
def test_copied_identity(lab):
    """R1.5b: a copied data directory: both are told, others too, one keeps out, nobody is disturbed."""
    nodes = start_mesh(lab, 3)
    odd = lab.add_hosts(1)[0]
    since = time.time()
    copy_dir = os.path.join(lab.dir, "copied")
    shutil.copytree(nodes[0].data_dir, copy_dir,
                    ignore=lambda folder, names: [n for n in names if n.endswith((".sock", "lock"))])
    shutil.copy(os.path.join(os.path.dirname(nodes[0].data_dir), "key"), os.path.join(lab.dir, "key"))
    copy = Node(odd, name="copy", data_dir=copy_dir).start()
    wait_for(lambda: (copy.json("status") or {}).get("aside"), 15,
             lambda: f"the copy stands aside: {copy.log()}")
    wait_for(lambda: "same-identity" in problems(nodes[0]) and "same-identity" in problems(copy), 15,
             lambda: f"both are told: {problems(nodes[0])} {problems(copy)}")
    expect("uses this node's identity" in nodes[0].log(), "the log of the original says so")
    expect("uses this node's identity" in copy.log(), "the log of the copy says so")
    incarnation = nodes[0].json("status")["incarnation"]
    expect(incarnation < 20, f"incarnations do not race: {incarnation}")
    settled = time.time()
    hold_for(lambda: no_change(nodes, settled), 4, "somebody is disturbed", poll=0.5)
    expect(all(set(node.nodes()) == {"n1", "n2", "n3"} for node in nodes), lambda: views(nodes))
    address = nodes[1].nodes()["n1"]["address"]
    expect(address.startswith(nodes[0].host.address + ":"), f"n1 is where it was: {address}")
    now = nodes[0].json("status")["incarnation"]
    expect(now <= incarnation + 2, f"nothing goes on in secret: from {incarnation} to {now}")
    for node in nodes:
        expect(node.event("failed", "n1", since) is None, f"{node.name} says that n1 failed")
    # The mend.
    refusal = odd.run(copy.argv(["--new-identity"]))
    expect(refusal.returncode == 1 and "in use" in refusal.stderr, lambda: refusal.stderr)
    copy.terminate()
    done = odd.run(copy.argv(["--new-identity"]))
    expect(done.returncode == 0 and "kept as" in done.stdout, lambda: done.stdout + done.stderr)
    copy.start()
    wait_for(lambda: all(node.sees("n1", "n2", "n3", "copy") for node in nodes + [copy]), 15,
             lambda: f"four nodes: {views(nodes)}")
