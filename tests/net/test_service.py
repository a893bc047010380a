# SPDX-License-Identifier: MPL-2.0
"""meshd as a service of the machine: a user of its own, directories a service manager made."""
import json
import os

from lab import MESHCTL, MESHD, Skip, expect, wait_for
from mesh import Node, need_binaries

SERVICE = 1                            # Debian's and Fedora's user and group "daemon"
STRANGER = 65534


def as_user(uid, groups):
    """For Netns.popen's `extra`."""
    def run():
        os.setgroups(groups)
        os.setgid(groups[0] if uid == SERVICE else STRANGER)
        os.setuid(uid)
    return run


def need_users():
    need_binaries()
    if os.getuid() != 0:
        raise Skip("needs root, for several users")
    with open("/proc/self/uid_map", encoding="ascii") as file:
        if file.read().split() != ["0", "0", "4294967295"]:
            raise Skip("needs real root: one user namespace has one user only")
    for path in (MESHD, MESHCTL):
        while path != "/":
            if not os.stat(path).st_mode & 0o001:
                raise Skip(f"other users cannot reach {path}: {MESHD} cannot run as one")
            path = os.path.dirname(path)


class Service(Node):
    """What systemd does for meshd.service, without systemd."""

    def __init__(self, host, group="daemon", flags=()):
        os.makedirs("/run/meshd", exist_ok=True)
        os.makedirs("/var/lib/meshd", exist_ok=True)
        for path, mode in (("/run/meshd", 0o755), ("/var/lib/meshd", 0o750)):
            os.chmod(path, mode)
            os.chown(path, SERVICE, SERVICE)
        super().__init__(host, data_dir=f"/var/lib/meshd/lab/{host.name}", flags=flags,
                         extra=as_user(SERVICE, [SERVICE]),
                         env={"STATE_DIRECTORY": "/var/lib/meshd", "RUNTIME_DIRECTORY": "/run/meshd",
                              "MESHD_GROUP": group})

    def argv(self, more=()):
        return [MESHD, "--discover=lab", f"--name={self.name}", *self.flags, *more]

    def start(self, more=(), stdin=-3):
        self.process = self.host.popen(self.name, self.argv(more), extra=self.extra,
                                       env={"PATH": "/usr/bin:/bin", **self.extra_env})
        return self

    def wait_up(self, seconds=5):
        return wait_for(lambda: self.host.run([MESHCTL, "version"]).returncode == 0, seconds,
                        lambda: f"root finds the node of the service's user: {self.log()[-600:]}")


def ask(host, uid, groups, *arguments):
    """meshctl without options, as that user."""
    process = host.popen(f"ask-{uid}-{len(groups)}", [MESHCTL, *arguments],
                         extra=as_user(uid, groups), env={"PATH": "/usr/bin:/bin"})
    status = process.wait(10)
    text = process.log()
    os.unlink(process.log_path)
    return status, text


def test_root_and_group_find_it(lab):
    """Root and members of the group ask the service's node with no option; others are told why not."""
    need_users()
    host = lab.add_hosts(1)[0]
    node = Service(host).start()
    node.wait_up()
    done = host.run([MESHCTL, "nodes", "list", "--format=json"])
    expect(done.returncode == 0 and json.loads(done.stdout)[0]["name"] == node.name, done.stderr)
    status, text = ask(host, STRANGER, [STRANGER, SERVICE], "nodes", "list")
    expect(status == 0 and node.name in text, f"a member of the group: {status} {text}")
    status, text = ask(host, STRANGER, [STRANGER], "nodes", "list")
    expect(status == 3 and "group daemon" in text and "usermod" in text, f"{status} {text}")
    for secret in ("../key", "identity", "store/data.mdb"):
        mode = os.stat(os.path.join(node.data_dir, secret)).st_mode
        expect(mode & 0o077 == 0, f"{secret} has mode {mode:o}")
    expect(node.terminate()[0] == 0, "it stops")
    status, text = ask(host, STRANGER, [STRANGER], "nodes", "list")
    expect(status == 3 and "no meshd of this user" in text, f"{status} {text}")


def test_traps_in_the_runtime_directory(lab):
    """What the service's user may put in /run/meshd does not hold up root's meshctl."""
    need_users()
    host = lab.add_hosts(1)[0]
    node = Service(host).start()
    node.wait_up()
    trap = os.path.join(lab.dir, "trap")
    os.mkdir(trap)
    os.mkfifo(os.path.join(trap, "lock"))
    os.symlink(trap, "/run/meshd/0badf00d")
    os.symlink("/", "/run/meshd/1badf00d")
    os.symlink("nowhere", "/run/meshd/2badf00d")
    done = host.run([MESHCTL, "nodes", "list", "--format=json"], timeout=10)
    expect(done.returncode == 0 and json.loads(done.stdout)[0]["name"] == node.name, done.stderr)


def test_without_group_only_root(lab):
    """No --group: the group gets no access."""
    need_users()
    host = lab.add_hosts(1)[0]
    node = Service(host, group="").start()
    node.wait_up()
    status, text = ask(host, STRANGER, [STRANGER, SERVICE], "nodes", "list")
    expect(status == 3, f"{status} {text}")


def test_foreign_group_is_refused(lab):
    """A group the service's user is no member of: it does not start, and says what would be right."""
    need_users()
    host = lab.add_hosts(1)[0]
    node = Service(host, group="root").start()
    expect(node.process.wait(10) == 1, "it ends with 1")
    expect("--group" in node.log() and "member" in node.log(), node.log())


def test_token_file(lab):
    """A token in a file joins; an empty file says nothing; a missing one is an error."""
    need_binaries()
    first, second = lab.add_hosts(2)
    one = Node(first).start()
    one.wait_up()
    path = os.path.join(lab.dir, "token")
    two = Node(second, flags=[f"--token-file={path}"],
               data_dir=os.path.join(lab.dir, "elsewhere", second.name))
    two.start()
    expect(two.process.wait(10) == 1 and path in two.log(), two.log())
    with open(path, "w", encoding="ascii") as file:
        file.write(one.ctl("token").stdout)
    two.start()
    wait_for(lambda: one.sees(two.name) and two.sees(one.name), 10, lambda: f"{two.log()[-600:]}")
    with open(path, encoding="ascii") as file:
        expect(file.read().strip() not in two.log(), "the log does not have the token")
    expect(two.terminate()[0] == 0, "it stops")
    with open(path, "w", encoding="ascii"):
        pass
    two.start()
    wait_for(lambda: one.sees(two.name), 10, "back with the key it keeps")
