# SPDX-License-Identifier: MPL-2.0
"""What a daemon uses: memory, descriptors, threads, processor time."""
import os

from lab import PATIENCE, expect, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
SANITIZED = PATIENCE > 1 or any(name in os.environ for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"))


def usage_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file.read().splitlines())
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        times = file.read().rpartition(")")[2].split()
    return {"KiB": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"]),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "cpu": (int(times[11]) + int(times[12])) / TICKS}


class Usage:
    """A daemon's use now and when this was made."""

    def __init__(self, node):
        self.pid = node.pid
        self.before = self.now()

    def now(self):
        return usage_of(self.pid)

    def grown(self):
        now = self.now()
        return {key: now[key] - value for key, value in self.before.items()}

    def expect_flat(self, kib, seconds=10, descriptors=2):
        """No more than so much memory more, and soon as many descriptors and threads as before."""
        def flat():
            grown = self.grown()
            return grown["descriptors"] <= descriptors and grown["threads"] <= 0
        wait_for(flat, seconds, lambda: f"flat again: {self.grown()}", poll=0.2)
        grown = self.grown()["KiB"]
        expect(grown <= (16 * kib if SANITIZED else kib), f"{grown} KiB more, {kib} are the most")
