# SPDX-License-Identifier: MPL-2.0
"""What goes wrong at a start: one clear line, the documented exit code, nothing damaged."""
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

from harness import options
from lab import MESHCTL, MESHD, Process, Skip, expect, hold_for, wait_for
from mesh import MESH, Node, need_binaries, no_change, refused, start_mesh, wait_formed
from netns import as_nobody, mount_tmpfs, unmount


def one_node(lab, **how):
    need_binaries()
    node = Node(lab.add_hosts(1)[0], **how).start()
    node.wait_up()
    return node


def again(node, name, **how):
    """The same node once more, with a log of its own."""
    other = Node(node.host, name=name, data_dir=node.data_dir, **how)
    return other.start()


def test_second_on_one_directory(lab):
    """A second meshd on the same data directory: refused, the holder's pid named, the first goes on."""
    node = one_node(lab)
    second = again(node, "second")
    refused(second.process, 1, rf"\b{node.pid}\b")
    expect(node.view() == {"n1": "alive"}, "the first one goes on")


def test_removed_lock(lab):
    """Somebody removes the lock file under a running meshd: still no second one, and the first one goes on."""
    node = one_node(lab)
    expect(node.ctl("kv", "put", "a", "1").returncode == 0, "it writes")
    os.unlink(os.path.join(node.data_dir, "lock"))
    for name in ("second", "third"):
        lost = node.ctl("status")
        expect(lost.returncode == 3 and "restart the one" in lost.stderr,
               lambda: f"{lost.returncode} {lost.stderr}")
        refused(again(node, name).process, 1, "lock file was removed")
    doctor = node.ctl("doctor")
    expect("lock is gone" in doctor.stdout and "-> restart it" in doctor.stdout, lambda: doctor.stdout)
    node.terminate()
    node.start()
    node.wait_up()
    expect(node.ctl("kv", "get", "a").stdout.strip() == "1", "what it acknowledged is there")


def test_lock_ends_with_its_holder(lab):
    """After kill -9 the directory is free at once."""
    node = one_node(lab)
    for _ in range(3):
        node.kill()
        node.start()
        node.wait_up()


def test_damaged_identity(lab):
    """A cut or changed identity: refused, named, and left as it is."""
    node = one_node(lab)
    node.terminate()
    path = os.path.join(node.data_dir, "identity")
    with open(path, "rb") as file:
        good = file.read()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for number, wrong in enumerate((good[:len(good) // 2], b"", bytes(len(good)), bytes(flipped),
                                    good + good)):
        with open(path, "wb") as file:
            file.write(wrong)
        broken = again(node, f"broken{number}")
        refused(broken.process, 1, "identity")
        with open(path, "rb") as file:
            expect(file.read() == wrong, "the file is as it was")
    with open(path, "wb") as file:
        file.write(good)
    node.start()
    node.wait_up()


def test_damaged_mesh_key(lab):
    """A damaged key ring is refused, and not replaced."""
    node = one_node(lab)
    node.terminate()
    path = os.path.join(os.path.dirname(node.data_dir), "key")
    with open(path, "rb") as file:
        good = file.read()
    with open(path, "wb") as file:
        file.write(good[:-20])
    broken = again(node, "broken")
    refused(broken.process, 1, "key")
    with open(path, "rb") as file:
        expect(file.read() == good[:-20], "the file is as it was")


def give_to(lab, user):
    """What n1 will keep, and the sockets, belong to another user."""
    state = os.path.join(lab.dir, "state")
    os.makedirs(os.path.join(state, "n1"))
    for path in (lab.dir, os.path.dirname(lab.dir)):
        os.chmod(path, 0o755)
    try:
        for path in (state, os.path.join(state, "n1"), lab.env["XDG_RUNTIME_DIR"]):
            os.chown(path, user, user)
    except OSError:
        raise Skip("no second user in this namespace") from None


def test_unreadable_identity(lab):
    """An identity of another user: one line with the path."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    give_to(lab, 65534)
    node = Node(host, extra=as_nobody)
    node.start()
    node.wait_up()
    expect(node.terminate()[0] == 0, "it ran as nobody")
    path = os.path.join(node.data_dir, "identity")
    os.chown(path, 0, 0)
    os.chmod(path, 0o600)
    broken = again(node, "broken", extra=as_nobody)
    line = refused(broken.process, 1, "identity")
    expect("ermission" in line, f"the reason: {line}")


def test_directory_that_cannot_be_made(lab):
    """A data directory below a file."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    path = os.path.join(lab.dir, "file")
    with open(path, "w", encoding="ascii") as file:
        file.write("x")
    process = host.popen("n1", [MESHD, f"--discover={MESH}", f"--data-dir={path}/n1"])
    refused(process, 1, "file")


def test_port_in_use(lab):
    """A port given in --bind that another program holds: refused, UDP as TCP."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    for kind, name in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
        with host.socket(socket.AF_INET, kind) as foreign:
            foreign.bind(("0.0.0.0", 9000))
            if kind == socket.SOCK_STREAM:
                foreign.listen()
            node = Node(host, name=name, flags=["--bind=0.0.0.0:9000"]).start()
            refused(node.process, 1, "9000")
    node = Node(host, name="udp", flags=["--bind=0.0.0.0:9000"]).start()
    node.wait_up()
    expect(node.port() == 9000, "and it is taken when it is free")


def test_address_of_nobody(lab):
    """--bind with an address that this machine does not have."""
    need_binaries()
    node = Node(lab.add_hosts(1)[0], flags=["--bind=192.0.2.7"]).start()
    refused(node.process, 1, r"192\.0\.2\.7")


def test_wrong_flags(lab):
    """Wrong flags, values and variables: exit 2, one line that names them and the nearest right one."""
    need_binaries()
    host = lab.loopback_host()
    good = f"--discover={MESH}"
    directory = f"--data-dir={lab.dir}/state/x"
    cases = [([f"--discver={MESH}"], {}, r"--discver.*--discover"),
             ([], {}, r"--discover"),
             ([good, "--log-level=inf"], {}, r"log-level.*inf.*info"),
             ([good, "--log-format=jason"], {}, r"log-format.*jason.*json"),
             ([good, "--bind=10.0.0.1:99999"], {}, r"bind.*99999"),
             ([good, "--bind=nonsense"], {}, r"bind.*nonsense"),
             ([good, "--join=a:b:c"], {}, r"join.*a:b:c"),
             ([good, "--join="], {}, r"join"),
             ([good, "--label=novalue"], {}, r"label.*novalue"),
             ([good, "--name=with space"], {}, r"name.*with space"),
             ([good, "extra"], {}, r"extra"),
             (["--discover="], {}, r"discover"),
             ([good, "--token"], {}, r"token"),
             ([good], {"MESHD_LOG_LEVEL": "loud"}, r"MESHD_LOG_LEVEL.*loud"),
             ([good], {"MESHD_BIND": "::zz"}, r"MESHD_BIND.*::zz")]
    for number, (flags, env, pattern) in enumerate(cases):
        process = host.popen(f"case{number}", [MESHD, directory, *flags], env={**lab.env, **env})
        refused(process, 2, pattern)
    expect(not os.path.exists(f"{lab.dir}/state/x"), "nothing was made")


def test_help_and_version(lab):
    """--help and --version answer on stdout, exit 0, and start nothing."""
    need_binaries()
    host = lab.loopback_host()
    for flag, word in (("--help", "--discover"), ("--version", ".")):
        done = host.run([MESHD, flag])
        expect(done.returncode == 0 and word in done.stdout and not done.stderr,
               f"{flag}: {done.returncode} {done.stdout!r} {done.stderr!r}")


def test_old_libzmq(lab):
    """A libzmq older than its known holes is refused at the start; --version still says which."""
    need_binaries()
    host = lab.loopback_host()
    source, shim = os.path.join(lab.dir, "old.c"), os.path.join(lab.dir, "old.so")
    with open(source, "w", encoding="ascii") as file:
        file.write("void zmq_version(int *a, int *b, int *c) { *a = 4; *b = 3; *c = 1; }\n")
    made = subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=False)
    if made.returncode != 0 or "LD_PRELOAD" in lab.env or "ASAN_OPTIONS" in lab.env:
        raise Skip("no compiler here, or sanitizers, which do not go with it")
    env = {**lab.env, "LD_PRELOAD": shim}
    done = host.run([MESHD, "--version"], env=env)
    expect("libzmq 4.3.1" in done.stdout, f"--version: {done.stdout}")
    process = host.popen("old", [MESHD, f"--discover={MESH}", f"--data-dir={lab.dir}/x"], env=env)
    refused(process, 1, r"libzmq.*4\.3\.2")
    expect(not os.path.exists(f"{lab.dir}/x"), "nothing was made")


def fill(path):
    """Leave no free byte below path."""
    with open(os.path.join(path, "filler"), "wb", buffering=0) as file:
        size = 65536
        while size >= 512:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


@options(timeout=60)
def test_full_disk(lab):
    """No room at the first start: one line, exit 1; with room it starts. Full later: it goes on."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    state = os.path.join(lab.dir, "state")
    os.makedirs(state)
    mount_tmpfs(state, size="1m", mode="700")
    os.makedirs(os.path.join(state, "n1"))
    fill(state)
    node = Node(host).start()
    refused(node.process, 1, r"[Ss]pace|full")
    os.unlink(os.path.join(state, "filler"))
    node = Node(host).start()
    node.wait_up()
    ident = node.self_entry()["id"]
    fill(state)
    other = Node(lab.add_hosts(1)[0], data_dir=os.path.join(lab.dir, "two", "n2"))
    os.makedirs(os.path.join(lab.dir, "two"))
    shutil.copy(os.path.join(state, "key"), os.path.join(lab.dir, "two", "key"))
    other.start()
    wait_formed([node, other])
    node.kill()
    node.start()
    time.sleep(0.5)                    # it may end or run without room; both are fine
    os.unlink(os.path.join(state, "filler"))
    if not node.process.running():
        node.start()
    wait_formed([node, other], 8)
    expect(node.self_entry()["id"] == ident, "the same node")


def test_long_socket_path(lab):
    """A data directory of more than 107 bytes works like any other."""
    need_binaries()
    deep = os.path.join(lab.dir, "d" * 90, "e" * 90, "n1")
    os.makedirs(os.path.dirname(deep))
    node = Node(lab.add_hosts(1)[0], data_dir=deep).start()
    node.wait_up()
    expect(node.view() == {"n1": "alive"}, "it answers")
    done = node.host.run([MESHCTL, "nodes", "list", "--format=json"])
    expect(done.returncode == 0, f"found without --data-dir: {done.stderr}")
    node.kill()
    node.start()
    node.wait_up()


def test_socket_elsewhere(lab):
    """--socket names another place, for meshctl too."""
    need_binaries()
    path = os.path.join(lab.dir, "other.sock")
    node = Node(lab.add_hosts(1)[0], flags=[f"--socket={path}"]).start()
    wait_for(lambda: node.host.run([MESHCTL, f"--socket={path}", "version"]).returncode == 0, 5,
             "it answers at its socket")
    expect(os.stat(path).st_mode & 0o077 == 0, "others cannot open it")
    node.terminate()
    expect(not os.path.exists(path), "the socket goes with the node")


def test_socket_at_a_long_path(lab):
    """A --socket of more than 107 bytes works, is found, and is asked by that name too."""
    need_binaries()
    deep = os.path.join(lab.dir, "d" * 90, "e" * 90)
    os.makedirs(deep)
    path = os.path.join(deep, "n1.sock")
    node = Node(lab.add_hosts(1)[0], flags=[f"--socket={path}"]).start()
    node.wait_up()
    for _ in range(2):
        for how in ([f"--socket={path}"], []):
            done = node.host.run([MESHCTL, *how, "nodes", "list", "--format=json"])
            expect(done.returncode == 0 and '"n1"' in done.stdout, f"{how}: {done.stderr}")
        node.kill()
        node.start()
        node.wait_up()
    node.terminate()
    expect(not os.path.exists(path), "the socket goes with the node")
    left = [entry.path for place in ("/run/meshd", os.path.join(lab.env["XDG_RUNTIME_DIR"], "meshd"))
            if os.path.isdir(place) for entry in os.scandir(place) if entry.is_symlink()]
    expect(not left, f"and its links: {left}")


def test_mistyped_key_file(lab):
    """--key-file below directories that are not there: refused, none of them is made."""
    need_binaries()
    path = os.path.join(lab.dir, "no", "such", "key")
    node = Node(lab.add_hosts(1)[0], flags=[f"--key-file={path}"]).start()
    refused(node.process, 1, rf"{lab.dir}/no/such.*--key-file")
    expect(not os.path.exists(os.path.join(lab.dir, "no")), "nothing was made")


def test_no_safe_runtime_directory(lab):
    """Where no run-time directory is safe, it runs, and says how it is found."""
    need_binaries()
    tried = [os.path.join(lab.env["XDG_RUNTIME_DIR"], "meshd"), "/run/meshd", f"/tmp/meshd-{os.geteuid()}"]
    for path in tried:
        os.makedirs(path, exist_ok=True)
        mount_tmpfs(path, size="1m", mode="777")
    try:
        node = Node(lab.add_hosts(1)[0]).start()
        node.wait_up()
        expect("meshctl finds this node only with --data-dir" in node.log(), lambda: node.log())
        node.terminate()
    finally:
        for path in tried:
            unmount(path)


def test_first_start_says_what_it_made(lab):
    """The log of a first start names the mesh, its directory and the two secrets it made; later ones do not."""
    node = one_node(lab)
    for word in ("a new node", "a new mesh key", f"mesh={node.mesh}", node.data_dir + "/identity"):
        wait_for(lambda word=word: word in node.log(), 3, lambda: f"{word!r} in: {node.log()}")
    node.terminate()
    mark = len(node.log())
    node.start()
    node.wait_up()
    expect("a new" not in node.log()[mark:] and f"mesh={node.mesh}" in node.log()[mark:], lambda: node.log()[mark:])


def test_descriptors(lab):
    """The soft limit of descriptors that a shell gives is raised to what the hard one allows."""
    node = one_node(lab, extra=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 5000)))
    limits = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    expect(limits == (5000, 5000), f"its limits are {limits}")


def test_too_few_descriptors(lab):
    """A hard limit that libzmq would abort at: one line that says what to raise."""
    need_binaries()
    host = lab.add_hosts(1)[0]
    for most in (24, 127):
        node = Node(host, name=f"n{most}", extra=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
        refused(node.start().process, 1, rf"only {most} files.*needs 128.*ulimit -n")
    one_node(lab, extra=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))


def test_files_that_may_not_grow(lab):
    """ulimit -f: too little for the store is told in a line, and a log that is at its end stops no node."""
    need_binaries()
    host = lab.add_hosts(1)[0]

    def limit(size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    process = Node(host, extra=limit(8192)).start().process
    refused(process, 1, r"store")
    full = os.path.join(lab.dir, "full.log")
    with open(full, "wb") as file:
        file.truncate(2 << 20)
    node = Node(host, extra=limit(2 << 20))
    os.makedirs(os.path.dirname(node.data_dir), exist_ok=True)
    node.process = host.popen("limited", ["sh", "-c", f'exec "$@" 2>>{full}', "sh"] + node.argv(), extra=limit(2 << 20))
    node.wait_up()
    os.kill(node.pid, signal.SIGHUP)   # which it logs
    expect(node.ctl("kv", "put", "a", "b").returncode == 0, "it goes on")
    expect(node.terminate()[0] == 0, "it ends when it is told to")


def test_reload_during_the_start(lab):
    """SIGHUP while the store is being checked: it starts, then reads its configuration again."""
    node = one_node(lab)
    node.terminate()
    with open(os.path.join(node.data_dir, "store", "lock.mdb"), "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1)   # the check waits for it
        node.start()

        def checks():
            with open(f"/proc/{node.pid}/task/{node.pid}/children", encoding="ascii") as children:
                return children.read()
        wait_for(checks, 5, "a process that checks the store")
        mark = len(node.log())
        node.process.signal(signal.SIGHUP)
        hold_for(node.process.running, 0.2, "it is not ended by that")
    node.wait_up()
    wait_for(lambda: "configuration read again" in node.log()[mark:], 5, lambda: node.log()[mark:])


def test_no_room_for_threads(lab):
    """A user or container that may have three processes: one line, not a meshd that hangs or aborts."""
    need_binaries()
    user = 100000 + os.getpid()        # nobody else's: what a user may start is counted for all of it
    give_to(lab, user)

    def limited():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        resource.setrlimit(resource.RLIMIT_NPROC, (3, 3))
    node = Node(lab.add_hosts(1)[0], extra=limited).start()
    refused(node.process, 1, r"threads.*ulimit -u")


def test_modes(lab):
    """Secrets and the directory are the user's alone."""
    node = one_node(lab)
    for path in (node.data_dir, os.path.join(node.data_dir, "identity"),
                 os.path.join(os.path.dirname(node.data_dir), "key")):
        expect(os.stat(path).st_mode & 0o077 == 0, f"mode of {path}: {os.stat(path).st_mode:o}")


def test_stuck_stderr(lab):
    """Nobody reads its log: it goes on."""
    need_binaries()
    hosts = lab.add_hosts(2)
    read, write = os.pipe()
    node = Node(hosts[0], flags=["--log-level=debug"])
    os.makedirs(os.path.dirname(node.data_dir), exist_ok=True)
    popen = hosts[0].netns.popen(node.argv(), stdin=subprocess.DEVNULL, stdout=write, stderr=write,
                                 env=lab.env)
    os.close(write)
    node.process = Process("n1", popen, os.devnull)
    lab.processes.append(node.process)
    wait_for(node.view, 5, "it answers")
    for number in range(40):
        node.ctl("nodes", "show", f"nobody{number}")
    other = Node(hosts[1]).start()
    wait_formed([node, other])
    hold_for(lambda: no_change([other], time.time() - 1), 3, "a member changed", poll=0.5)
    os.close(read)


def test_json_log(lab):
    """--log-format=json: every line an object; member changes say who and why."""
    nodes = start_mesh(lab, 2, flags=["--log-format=json"])
    nodes[1].kill()
    wait_for(lambda: nodes[0].view().get("n2") == "failed", 5, "n2 failed")

    def told():
        lines = [json.loads(line) for line in nodes[0].log().splitlines()]
        return [line for line in lines if "refused" in json.dumps(line) and "n2" in json.dumps(line)]
    wait_for(told, 2, lambda: f"the log tells of n2: {nodes[0].log()[-800:]}")
    expect(all(isinstance(line["incarnation"], int) for line in told() if "incarnation" in line),
           "incarnations are numbers")
