# SPDX-License-Identifier: MPL-2.0
"""Network namespaces without names.

A namespace is held by a file descriptor of this process and by the processes started inside it.
Nothing is left behind in /run/netns, whatever way a test ends: when the last of these is gone, the
kernel takes the namespace and its links away. Needs root, or the user namespace that
enter_user_namespace() makes.
"""
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_user_namespace():
    """Start the program again inside `unshare -Urnm` unless it is root already."""
    if os.geteuid() == 0:
        return
    if os.environ.get("HM_IN_USERNS"):
        raise SystemExit("unshare -Urnm did not make us root: user namespaces are switched off here")
    os.environ["HM_IN_USERNS"] = "1"
    os.execvp("unshare", ["unshare", "-Urnm", "--", sys.executable] + sys.argv)


def _make_private():
    """What is mounted from now on stays with this process. In a chroot / is no mount, and the one it lies on
    is above it: that is where to go, and back."""
    if _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0:
        return
    here, root = os.open(".", os.O_PATH), os.open("/", os.O_PATH)
    try:
        with tempfile.TemporaryDirectory() as below:
            os.chroot(below)        # the working directory is above the root now, and .. has no end there
            os.fchdir(root)
            while not os.path.samestat(os.stat("."), os.stat("..")):
                os.chdir("..")
            result = _libc.mount(b"none", b".", None, MS_REC | MS_PRIVATE, None)
            number = ctypes.get_errno()
            os.fchdir(root)
            os.chroot(".")
            os.fchdir(here)
        if result != 0:
            raise OSError(number, f"make mounts private: {os.strerror(number)}")
    finally:
        os.close(here)
        os.close(root)


def private_mounts(*tmpfs_dirs):
    """Give this process a mount table of its own, with an empty tmpfs over each directory."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare mounts")
    _make_private()
    for path in tmpfs_dirs:
        mount_tmpfs(path)


def mount_tmpfs(path, size="64m", mode="755"):
    options = f"size={size},mode={mode}".encode()
    _check(_libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, options), f"mount {path}")


def bind_mount(source, target):
    """Lays a file over another, for this process and its children."""
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None),
           f"mount {source} over {target}")


def unmount(path):
    _check(_libc.umount2(os.fsencode(path), 2), f"umount {path}")


def _before_exec(namespace_fd, extra):
    """Runs in the child: dies with its parent, lives in the namespace."""
    def run():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if namespace_fd is not None:
            _check(_libc.setns(namespace_fd, CLONE_NEWNET), "setns")
        if extra is not None:
            extra()
    return run


def own_hostname(name):
    """For Netns.popen's `extra`: the child believes that the machine is called so."""
    def run():
        _check(_libc.unshare(CLONE_NEWUTS), "unshare host name")
        socket.sethostname(name)
    return run


def as_nobody():
    """For Netns.popen's `extra`: the child is no longer root."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


class Netns:
    """One network namespace. Its loopback is up."""

    def __init__(self, ipv6=False):
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.unshare(CLONE_NEWNET), "unshare network")
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            if not ipv6:
                for where in ("all", "default"):
                    self._sysctl(f"ipv6/conf/{where}/disable_ipv6", "1")
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns back")
            os.close(home)
        self.ip("link set lo up\n")

    @staticmethod
    def _sysctl(name, value):
        try:
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                file.write(value)
        except FileNotFoundError:
            pass                       # a kernel without IPv6

    @property
    def path(self):
        """A path that `ip link … netns` takes."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def popen(self, command, extra=None, **options):
        options.setdefault("start_new_session", True)
        return subprocess.Popen(command, preexec_fn=_before_exec(self.fd, extra), **options)

    def run(self, command, stdin=None, timeout=20, env=None, check=False):
        """Run to the end; text in and out."""
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=timeout,
                              env=env, preexec_fn=_before_exec(self.fd, None), errors="replace",
                              stdin=None if stdin is not None else subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def ip(self, batch):
        """Lines for `ip -batch`."""
        self.run(["ip", "-batch", "-"], stdin=batch, check=True)

    def nft(self, rules):
        self.run(["nft", "-f", "-"], stdin=rules, check=True)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_DGRAM, protocol=0):
        """A socket of this process that belongs to the namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(self.fd, CLONE_NEWNET), "setns")
            return socket.socket(family, kind, protocol)
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns back")
            os.close(home)

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
