# SPDX-License-Identifier: MPL-2.0
"""Debian's serf on a host of the lab, with LAN defaults; followed by its own log lines."""
import json
import re
import signal

_EVENT = re.compile(r"serf: EventMember(Join|Failed|Leave|Update|Reap): (\S+)")
_STATUS = {"Join": "alive", "Failed": "failed", "Leave": "left"}


def parse_log_line(line):
    """(name, status) of a member change, or None."""
    match = _EVENT.search(line)
    if match is None or match[1] not in _STATUS:
        return None
    return match[2], _STATUS[match[1]]


class SerfAgent:
    def __init__(self, host, retry_join=(), join=()):
        self.host = host
        self.name = host.name
        self.retry_join = list(retry_join)
        self.join = list(join)
        self.process = None

    def argv(self):
        argv = ["serf", "agent", f"-node={self.name}", f"-bind={self.host.address}"]
        argv += [f"-retry-join={address}" for address in self.retry_join]
        argv += [f"-join={address}" for address in self.join]
        return argv

    def members(self):
        """name -> status by `serf members`, None when the agent does not answer."""
        done = self.host.run(["serf", "members", "-format", "json"])
        if done.returncode != 0:
            return None
        return {member["name"]: member["status"] for member in json.loads(done.stdout)["members"]}

    def leave_signal(self):
        return signal.SIGINT           # SIGTERM ends serf without a leave by default
