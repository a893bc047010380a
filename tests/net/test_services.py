# SPDX-License-Identifier: MPL-2.0
"""Services: registered on one machine, found from another, gone with their machine, kept over restarts."""
import os
import signal
import time

from harness import options
from lab import expect, expect_typical, wait_for
from mesh import Following, Node, start_mesh, wait_formed, wait_linked

FIELDS = {"id", "name", "version", "address", "port", "tags", "meta", "node", "health"}


def do(node, *arguments, status=0):
    done = node.ctl("services", *arguments)
    expect(done.returncode == status,
           f"services {' '.join(arguments)} at {node.name}: exit {done.returncode}: {done.stderr}")
    return done.stdout + done.stderr


def services(node, *filters):
    """What it lists, None while it does not answer."""
    return node.json("services", "list", *filters)


def ids(node, *filters):
    listed = services(node, *filters)
    return None if listed is None else [service["id"] for service in listed]


def wait_ids(nodes, expected, *filters, seconds=8):
    wait_for(lambda: all(ids(node, *filters) == expected for node in nodes), seconds,
             lambda: f"{expected} everywhere: {[ids(node, *filters) for node in nodes]}", poll=0.02)


class Watch(Following):
    """`meshctl services watch` held open."""

    def __init__(self, node, *filters):
        super().__init__(node, "services", "watch", *filters)

    def ops(self):
        return [(line["op"], line["id"], line["health"]) for line in self.items]

    def wait(self, *expected, seconds=8):
        wait_for(lambda: self.ops()[-len(expected):] == list(expected), seconds,
                 lambda: f"{expected} at the end of {self.ops()}")


def test_found_everywhere(lab):
    """Registered here, found there by name, with every field; filters; deregistered; a name that is not there."""
    nodes = start_mesh(lab, 3)
    do(nodes[0], "register", "--name=web", "--port=8080", "--tag=blue", "--tag=a b", "--meta=team=x",
       "--meta=rack=1", "--version=1.2", "--ttl=1m")
    do(nodes[0], "register", "--name=web", "--port=8081")
    do(nodes[1], "register", "--name=nas", "--port=445", "--address=nas.example", "--id=files")
    wait_ids(nodes, ["files", "web", "web-8081"])
    web = services(nodes[2], "--name=web", "--tag=blue")
    expect(len(web) == 1 and set(web[0]) == FIELDS, f"fields of {web}")
    expect(web[0] == {"id": "web", "name": "web", "version": "1.2", "address": nodes[2].address_of("n1").rsplit(":", 1)[0],
                      "port": 8080, "tags": ["a b", "blue"], "meta": {"rack": "1", "team": "x"},
                      "node": "n1", "health": "passing"}, f"it is {web[0]}")
    for filters, expected in ((["--name=nas"], ["files"]), (["--node=n1"], ["web", "web-8081"]),
                              (["--version", "1.2"], ["web"]), (["--meta=rack=1", "--meta=team=x"], ["web"]),
                              (["--meta=rack=2"], []), (["--health=warning"], []),
                              (["--near=n2"], ["files", "web", "web-8081"])):
        expect(ids(nodes[2], *filters) == expected, f"{filters}: {ids(nodes[2], *filters)}")
    # Before the words --node is who is asked.
    asked = nodes[2].json("--node=n1", "services", "list", "--node=n2")
    expect([service["id"] for service in asked] == ["files"], f"asked {asked}")
    do(nodes[1], "warn", "files", "--text=slow disk")
    wait_ids(nodes, ["files"], "--health=warning")
    expect("slow disk" in do(nodes[2], "show", "nas"), "show says what the check said")
    expect("n2" in do(nodes[0], "pass", "files", status=5), "who has it is named")
    do(nodes[0], "show", "none", status=5)
    do(nodes[0], "list", "--node=n9", status=5)
    do(nodes[0], "register", "--name=No Name", "--port=1", status=2)
    # The same once more is nothing new: nothing is written.
    before = nodes[0].metric_values()["mesh_store_batches_total"]
    for _ in range(3):
        do(nodes[0], "pass", "web")
        do(nodes[0], "register", "--name=web", "--port=8081")
    expect(nodes[0].metric_values()["mesh_store_batches_total"] == before, "refreshing writes nothing")
    nodes[2].ctl("--node=n1", "services", "deregister", "web")
    wait_ids(nodes, ["files", "web-8081"])


@options(timeout=60)
def test_gone_with_its_machine(lab):
    """Gone within a second of kill -9, gone the moment a silent machine is failed, back by itself, watched."""
    nodes = start_mesh(lab, 3)
    do(nodes[2], "register", "--name=web", "--port=80")
    wait_ids(nodes, ["web"])
    watch = Watch(nodes[0], "--name=web")
    watch.wait(("put", "web", "passing"))
    gone = []
    for _ in range(3):
        begun = time.monotonic()
        nodes[2].kill()
        wait_ids(nodes[:2], [], seconds=5)
        gone.append(time.monotonic() - begun)
        watch.wait(("delete", "web", "passing"))
        nodes[2].start()
        wait_formed(nodes, 8)
        wait_ids(nodes, ["web"]) # nobody registered it again
        watch.wait(("put", "web", "passing"))
        wait_linked(nodes, 8)
    expect_typical(gone, 1, 5, "a service is gone after kill -9")
    lab.silence(nodes[2].host)
    def same_as_node():
        # Asked in this order: a node is failed before or while it is asked for.
        listed, view = ids(nodes[0]), nodes[0].view()
        expect(listed == ["web"] or view["n3"] == "failed", f"{listed} while n3 is {view['n3']}")
        return view["n3"] == "failed"
    wait_for(same_as_node, 30, "n3 is failed", poll=0.05)
    expect(ids(nodes[0]) == [], "gone with its node")
    expect(ids(nodes[2]) == ["web"], "it sees its own")


def test_restart_is_no_gap(lab):
    """A quick restart, and one after an hour that never was: the service is there as soon as its node is."""
    nodes = start_mesh(lab, 2)
    do(nodes[1], "register", "--name=web", "--port=80", "--ttl=30s")
    wait_ids(nodes, ["web"])
    for how in ("kill", "terminate"):
        if how == "kill":
            nodes[1].kill()
        else:
            nodes[1].terminate()
        nodes[1].start()
        wait_for(lambda: ids(nodes[1]) is not None, 5, "it answers")
        expect(ids(nodes[1]) == ["web"], f"at once at home after {how}: {ids(nodes[1])}")
        wait_ids(nodes, ["web"], "--health=passing")
        do(nodes[1], "pass", "web")  # who refreshes it goes on
        expect(ids(nodes[0]) == ["web"], "and stays")


def test_ttl(lab):
    """Not refreshed it turns critical, says so to a watcher, and a refresh brings it back."""
    nodes = start_mesh(lab, 2)
    do(nodes[1], "register", "--name=web", "--port=80", "--ttl=2s")
    watch = Watch(nodes[0])
    watch.wait(("put", "web", "passing"))
    for _ in range(4):
        time.sleep(0.5)
        do(nodes[1], "pass", "web")
    watch.wait(("put", "web", "critical"), seconds=10)
    expect("not refreshed" in do(nodes[0], "show", "web"), "show says why")
    do(nodes[1], "register", "--name=web", "--port=80", "--ttl=2s")
    watch.wait(("put", "web", "passing"))
    # It goes after a while; here after the least that can be asked for.
    do(nodes[1], "register", "--name=short", "--port=81", "--ttl=1s", "--deregister-after=3s")
    wait_for(lambda: ("put", "short", "passing") in watch.ops(), 8, lambda: f"{watch.ops()}")
    wait_for(lambda: ("delete", "short", "critical") in watch.ops(), 12, lambda: f"{watch.ops()}")
    expect("was not refreshed for long" in nodes[1].log(), "the log says so")


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as to:
        to.write(text)
    os.rename(path + ".new", path)


def test_files(lab):
    """services.d: read at the start, on change and on SIGHUP; a mistake leaves what was; a file removed takes
    its services with it, also while meshd is down; what a command registered is left alone."""
    files = os.path.join(lab.dir, "services.d")
    os.makedirs(files)
    web = os.path.join(files, "web.yaml")
    write(web, "- name: web\n  port: 80\n  tags: [blue]\n  meta: {team: x}\n- name: web\n  port: 81\n")
    write(os.path.join(files, "nas.yml"), "name: nas\nport: 445\naddress: 10.0.0.9\n")
    write(os.path.join(files, "README"), "not read")
    one, two = lab.add_hosts(2)
    nodes = [Node(one, flags=[f"--services-dir={files}"]).start(), Node(two, flags=["--services-dir=none"]).start()]
    wait_formed(nodes)
    wait_ids(nodes, ["nas", "web", "web-81"])
    do(nodes[0], "register", "--name=mine", "--port=90")
    expect("web.yaml" in do(nodes[0], "deregister", "web", status=1), "the file is named")
    # A mistake: file, line, column, what would be right.
    write(web, "- name: web\n  prot: 80\n")
    wait_for(lambda: "web.yaml:2:3: prot: no such key; did you mean port?" in nodes[0].log(), 8,
             lambda: f"the mistake is logged: {nodes[0].log()[-500:]}")
    expect(ids(nodes[1]) == ["mine", "nas", "web", "web-81"], f"what was stays: {ids(nodes[1])}")
    expect("did you mean port?" in nodes[0].ctl("doctor").stdout, "doctor says it too")
    # Mended and changed; then one file goes.
    write(web, "name: web\nport: 8080\n")
    wait_for(lambda: [s["port"] for s in services(nodes[1], "--name=web")] == [8080], 8,
             lambda: f"the change: {services(nodes[1], '--name=web')}")
    os.remove(os.path.join(files, "nas.yml"))
    nodes[0].process.signal(signal.SIGHUP)
    wait_ids(nodes, ["mine", "web"], seconds=8)
    nodes[0].terminate()
    os.remove(web)
    write(os.path.join(files, "new.yaml"), "name: new\nport: 1\nttl: 1h\n")
    nodes[0].start()
    wait_formed(nodes, 8)
    wait_ids(nodes, ["mine", "new"])
    write(os.path.join(files, "mine.yaml"), "name: mine\nport: 91\n")
    wait_for(lambda: "registered this id" in nodes[0].log(), 8, "the id that is taken is told")
    expect([s["port"] for s in services(nodes[0], "--name=mine")] == [90], "the command's stays")
