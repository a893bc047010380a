# SPDX-License-Identifier: MPL-2.0
"""meshd's configuration file, read at the start and again on SIGHUP, and what a service manager hears."""
import json
import os
import re
import signal
import socket
import time

from lab import MESHD, expect, hold_for, wait_for
from mesh import Node, need_binaries, refused, wait_formed


def write(path, *lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


class Configured(Node):
    """A node that knows only where its file is; the file has its name and its mesh."""

    def __init__(self, host, name, more=(), **options):
        super().__init__(host, name=name, **options)
        self.file = os.path.join(self.lab.dir, f"{name}.yaml")
        self.configure(*more)

    def argv(self, more=()):
        return [MESHD, f"--config={self.file}", *self.flags, *more]

    def configure(self, *more):
        write(self.file, "discover: lab", f"name: {self.name}", f"data-dir: {self.data_dir}", *more)

    def reload(self):
        before = self.log().count("configuration read again")
        self.process.signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("configuration read again") > before, 5,
                 lambda: f"the file is read again: {self.log()[-500:]}")

    def line(self, pattern):
        return next((line for line in self.log().splitlines() if re.search(pattern, line)), None)


def shown(lab, *arguments, env=None):
    done = lab.hosts[0].run([MESHD, *arguments], env={**lab.env, **(env or {})})
    expect(done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def test_file(lab):
    """Two nodes that were told everything by their files meet; flags and variables win over it."""
    need_binaries()
    hosts = lab.add_hosts(2)
    nodes = [Configured(hosts[0], "n1", ["role: storage", "label: {rack: cellar}"]).start(),
             Configured(hosts[1], "n2", ["role: of-file", "log-format: json"], flags=["--role=flag"],
                        env={"MESHD_LABEL": "rack=attic"}).start()]
    wait_formed(nodes)
    wait_for(lambda: nodes[1].nodes()["n1"]["labels"].get("rack") == "cellar", 5, "labels arrive")
    labels = nodes[1].self_entry()["labels"]
    expect(labels["role"] == "flag" and labels["rack"] == "attic", f"who wins: {labels}")
    expect(json.loads(nodes[1].log().splitlines()[0])["self"] == "n2", "the log is JSON")


def test_default_places(lab):
    """$XDG_CONFIG_HOME/meshd/meshd.yaml is found by itself; --config=none leaves it alone."""
    need_binaries()
    lab.loopback_host()
    os.makedirs(f"{lab.dir}/meshd")
    write(f"{lab.dir}/meshd/meshd.yaml", "discover: found")
    env = {"XDG_CONFIG_HOME": lab.dir, "MESHD_CONFIG": ""}
    if os.path.exists("/etc/meshd/meshd.yaml"):
        return
    expect("discover: found" in shown(lab, "--print-config", env=env), "it is read")
    expect("# discover:" in shown(lab, "--print-config", "--config=none", env=env), "it is not")


def test_wrong_file(lab):
    """A wrong file: exit 2 and one line with file, line, column and what would be right."""
    need_binaries()
    host = lab.loopback_host()
    for lines, pattern in ((["log-level: wran"], r"n1\.yaml:4:12: log-level: wran: .*did you mean warn"),
                           (["nmae: x"], r"n1\.yaml:4:1: nmae: no such key; did you mean name"),
                           (["name: again"], r"n1\.yaml:4:1: name is there twice, first in line 2"),
                           (["label:", "\ta: b"], r"n1\.yaml:5:1: a tab"),
                           (["join: {a: b}"], r"n1\.yaml:4:7: join: a list is expected, not a map"),
                           (["role: &x y"], r"n1\.yaml:4:.*anchors"),
                           (["role: \"x"], r"n1\.yaml:4:.*not YAML")):
        node = Configured(host, "n1", lines)
        lab.processes.clear()
        if os.path.exists(f"{lab.dir}/n1.log"):
            os.remove(f"{lab.dir}/n1.log")
        refused(node.start().process, 2, pattern)
        done = host.run([MESHD, f"--config={node.file}", "--check-config"])
        expect(done.returncode == 2 and re.search(pattern, done.stderr), f"check: {done.stderr}")
    done = host.run([MESHD, f"--config={lab.dir}/none.yaml", "--check-config"])
    expect(done.returncode == 2 and "none.yaml" in done.stderr, f"no such file: {done.stderr}")
    write(f"{lab.dir}/good.yaml", "discover: lab")
    done = host.run([MESHD, f"--config={lab.dir}/good.yaml", "--check-config"])
    expect(done.returncode == 0 and done.stdout == f"{lab.dir}/good.yaml: ok\n", f"good: {done}")


def test_token_in_file(lab):
    """A token in the configuration lets a node in; if others can read the file, the log says so."""
    need_binaries()
    hosts = lab.add_hosts(2)
    first = Configured(hosts[0], "n1").start()
    first.wait_up()
    token = first.ctl("token").stdout.strip()
    other = os.path.join(lab.dir, "elsewhere")
    second = Configured(hosts[1], "n2", [f"token: {token}"], data_dir=os.path.join(other, "n2"))
    os.chmod(second.file, 0o644)
    second.start()
    wait_formed([first, second])
    expect(second.line("warn .*others may read the token in the configuration file"), second.log())
    expect(token not in second.log(), "the token is in the log")
    second.reload()
    expect(second.sees("n1", "n2"), "reading it again does no harm")


def test_print_config(lab):
    """Every value says where it came from, no secret is shown, and the text can be read again."""
    need_binaries()
    lab.loopback_host()
    write(f"{lab.dir}/m.yaml", "discover: lab", "", "name: n1", "join: [a, 'b:1']",
          "label: {x: z}", "token: hm1-secret")
    flags = [f"--config={lab.dir}/m.yaml", "--bind=:9000"]
    env = {"MESHD_LOG_LEVEL": "warn"}
    text = shown(lab, *flags, "--print-config", env=env)
    for pattern in (r"discover: lab +# .*m\.yaml:1", r"name: n1 +# .*m\.yaml:3",
                    r'join: \[a, "b:1"\] +# .*m\.yaml:4', r"label: {x: z} +# .*m\.yaml:5",
                    r"log-level: warn +# MESHD_LOG_LEVEL", r'bind: ":9000" +# --bind',
                    r"log-format: text +# default", r"data-dir: \S+ +# default",
                    r"# role: +# not set", r"# token: \(not shown\) +# .*m\.yaml:6"):
        expect(re.search(pattern, text), f"{pattern} is not in:\n{text}")
    expect("secret" not in text, "a secret is shown")
    write(f"{lab.dir}/again.yaml", text)
    again = shown(lab, f"--config={lab.dir}/again.yaml", "--print-config")

    def values(printed):
        return [re.sub(" +# .*", "", line) for line in printed.splitlines() if line[0] != "#"]
    expect(values(again) == values(text), f"{text}\nread again:\n{again}")
    options = json.loads(shown(lab, *flags, "--print-config", "--format=json", env=env))["options"]
    expect(options["join"] == {"value": ["a", "b:1"], "source": "file",
                               "from": f"{lab.dir}/m.yaml:4"}, f"{options['join']}")
    expect(options["log-level"]["source"] == "variable" and options["role"]["value"] is None
           and options["token"]["value"] is None and options["label"]["value"] == {"x": "z"},
           f"{options}")


def test_reload(lab):
    """SIGHUP: what can change does and others see it; what cannot is named; a wrong file changes nothing."""
    need_binaries()
    hosts = lab.add_hosts(2)
    one = Configured(hosts[0], "n1", ["role: old", "label: {rack: cellar}"]).start()
    two = Configured(hosts[1], "n2").start()
    wait_formed([one, two])
    pid = one.pid
    one.configure("role: new", "label: {rack: attic, x: y}", "capabilities: [gpu]", "bind: :9999",
                  "log-level: warn")
    one.reload()
    wait_for(lambda: two.nodes()["n1"]["labels"].get("role") == "new", 5,
             lambda: f"n2 sees the new labels: {two.nodes()['n1']}")
    labels = two.nodes()["n1"]["labels"]
    expect(labels["rack"] == "attic" and labels["x"] == "y" and labels["capabilities"] == "gpu",
           f"{labels}")
    for pattern in (r"info .*configuration changed: role .*before=old after=new .*n1\.yaml:4",
                    r"configuration changed: log-level .*before=info after=warn",
                    r"warn .*new bind takes effect only after a restart .*after=:9999",
                    r"read again; changed: role, capabilities, label, log-level; needs a restart: bind"):
        expect(one.line(pattern), f"{pattern} is not in:\n{one.log()}")
    expect(not one.line("info .*event=member-updated"), "the new level counts at once")
    for event in ("option-changed", "restart-needed", "configuration-read"):
        expect(one.line(f"event={event}( |$)"), f"programs find {event}:\n{one.log()}")
    # Wrong: nothing changes, and the node goes on.
    write(one.file, "discover: lab", "role: third", "log-level: wran")
    one.process.signal(signal.SIGHUP)
    wait_for(lambda: one.line(r"error .*not changed, the old one stays: .*n1\.yaml:3:12: log-level"), 5,
             lambda: f"it says what is wrong: {one.log()[-500:]}")
    expect(one.self_entry()["labels"]["role"] == "new", "the old one stays")
    # Back: the list shrinks, and what needed a restart no longer does.
    one.configure("log-format: json")
    one.reload()
    wait_for(lambda: "role" not in two.nodes()["n1"]["labels"], 5, "labels go too")
    last = json.loads(one.log().splitlines()[-1])
    expect(last["self"] == "n1" and one.pid == pid, f"{last}")
    expect("needs a restart: nothing" in one.log(), one.log()[-600:])
    expect(one.sees("n1", "n2") and two.sees("n1", "n2"), "nobody was lost")


def test_reload_join(lab):
    """An address to join that is added by SIGHUP is tried at once."""
    need_binaries()
    hosts = lab.add_hosts(2)
    lab.block("udp dport 5670 drop")
    nodes = [Configured(host, host.name).start() for host in hosts]
    for node in nodes:
        node.wait_up()
    hold_for(lambda: not nodes[0].sees("n2"), 1, "they met without being told of each other")
    nodes[0].configure(f"join: {hosts[1].address}")
    nodes[0].reload()
    wait_formed(nodes)


def test_auto_role(lab):
    """--auto-role gives one of the documented roles; a role that was said wins."""
    need_binaries()
    hosts = lab.add_hosts(2)
    nodes = [Configured(hosts[0], "n1", ["auto-role: true"]).start(),
             Configured(hosts[1], "n2", ["auto-role: true"], flags=["--role=mine"]).start()]
    wait_formed(nodes)
    role = nodes[0].self_entry()["labels"].get("role")
    expect(role in ("portable", "gateway", "storage", "compute", "edge"), f"role {role}")
    expect(nodes[1].self_entry()["labels"]["role"] == "mine", "the one that was said wins")


class Listener:
    """A datagram socket as a service manager or a journal has it."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.messages = []             # (arrival, bytes)

    def all(self):
        while True:
            try:
                self.messages.append((time.monotonic(), self.socket.recv(65536)))
            except BlockingIOError:
                return [message for _, message in self.messages]

    def wait(self, wanted, seconds=5):
        wait_for(lambda: any(re.search(wanted, message) for message in self.all()), seconds,
                 lambda: f"{wanted} among {self.all()}")


def test_service_manager(lab):
    """READY, STATUS with the members, WATCHDOG from the loop, RELOADING and STOPPING reach the manager."""
    need_binaries()
    hosts = lab.add_hosts(2)
    manager = Listener(f"{lab.dir}/notify")
    node = Configured(hosts[0], "n1", env={"NOTIFY_SOCKET": f"{lab.dir}/notify",
                                           "WATCHDOG_USEC": "600000"}).start()
    manager.wait(rb"^READY=1$")
    manager.wait(rb"^STATUS=n1 in mesh lab: 1 alive$")
    other = Configured(hosts[1], "n2").start()
    manager.wait(rb"^STATUS=.*: 2 alive$")
    other.kill()
    manager.wait(rb"^STATUS=.*: 1 alive, 1 failed$", 20)
    wait_for(lambda: manager.all().count(b"WATCHDOG=1") >= 4, 10, "the watchdog is fed")
    # A loop that hangs feeds no watchdog.
    node.pause()
    time.sleep(0.1)  # what it had sent before is read
    fed = manager.all().count(b"WATCHDOG=1")
    hold_for(lambda: manager.all().count(b"WATCHDOG=1") == fed, 1,
             "a stopped process fed the watchdog")
    node.resume()
    wait_for(lambda: manager.all().count(b"WATCHDOG=1") > fed, 5, "and again")
    node.reload()
    manager.wait(rb"^RELOADING=1\nMONOTONIC_USEC=[0-9]+$")
    wait_for(lambda: manager.all().count(b"READY=1") == 2, 5, "ready again")
    node.terminate()
    manager.wait(rb"^STOPPING=1$")
    expect(manager.all().index(b"READY=1") < manager.all().index(b"STOPPING=1"), "in that order")


def test_journal(lab):
    """Where stderr is the journal, entries with fields go to its socket; without it, to stderr with levels."""
    need_binaries()
    host = lab.loopback_host()
    with open(f"{lab.dir}/n1.log", "wb") as log:
        stat = os.fstat(log.fileno())
    node = Configured(host, "n1", env={"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
    journal = Listener("/run/systemd/journal/socket")
    node.start()
    journal.wait(rb"(?m)^MESHD_EVENT=started$")
    entry = next(entry for entry in journal.all() if b"MESHD_EVENT=started\n" in entry)
    fields = dict(line.split("=", 1) for line in entry.decode().splitlines())
    expect(fields["MESHD_NODE"] == "n1" and fields["PRIORITY"] == "6"
           and fields["SYSLOG_IDENTIFIER"] == "meshd" and len(fields["MESHD_ID"]) == 32
           and "this node is n1" in fields["MESSAGE"], f"{fields}")
    expect(node.log() == "", f"nothing goes to stderr: {node.log()}")
    os.remove("/run/systemd/journal/socket")
    node.process.signal(signal.SIGHUP)
    wait_for(lambda: re.search("(?m)^<6>n1: configuration read again", node.log()), 5,
             lambda: f"lines go to stderr: {node.log()}")


def test_watchdog_costs_little(lab):
    """With WatchdogSec=30 an idle node wakes up no more often than without."""
    need_binaries()
    manager = Listener(f"{lab.dir}/notify")
    node = Configured(lab.loopback_host(), "n1", env={"NOTIFY_SOCKET": f"{lab.dir}/notify",
                                                      "WATCHDOG_USEC": "30000000"}).start()
    node.wait_up()
    manager.wait(rb"^READY=1$")
    time.sleep(2)  # what belongs to the start is over
    before = len(manager.all())
    time.sleep(2)  # and nothing happens
    expect(len(manager.all()) == before, f"{manager.all()[before:]} while nothing happens")
