# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine looks like, so that before and after can be compared: files, units, interfaces, firewall, users, ports."""

from __future__ import annotations

from collections.abc import Callable

# What any login, boot or clock changes by itself.
VOLATILE = (
    *(
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/tmp",
        "/var/tmp",
        "/var/log/journal",
        "/root/.ansible",
        "/var/lib/systemd/timers",
    ),
    *("/var/lib/systemd/random-seed", "/var/log/wtmp", "/var/log/lastlog", "/var/log/wtmp.db", "/var/lib/wtmpdb"),
    *(
        "/root/.ssh",
        "/var/lib/systemd/linger",
        "/var/lib/private",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/hostname",
        "/root/.kube",
    ),
)
PRUNED = " -o ".join(f"-path {path}" for path in VOLATILE)
COMMANDS = {
    # Type, mode, owner and, of plain files, the content.
    "files": rf"find / \( {PRUNED} \) -prune -o -printf '%y %m %u:%g %p %l\n' | sort",
    "contents": rf"find /etc /usr/local /opt /root \( {PRUNED} \) -prune -o -type f -print0 | sort -z | xargs -0 -r sha256sum",
    "run": "ls /run /run/netns 2>/dev/null | sort",
    # Where logind runs, each login has a scope.
    "units": "systemctl list-unit-files --no-legend --plain | grep -v '^session-' | sort; systemctl list-units --type service --no-legend --plain "
    "| cut -d' ' -f1 | grep -v '^user' | sort",
    "interfaces": "ip -brief link | cut -d@ -f1 | awk '{print $1}' | sort; ip route | sort; ip -6 route | sed 's/ expires [0-9]*sec//' | sort",
    # Rules: an empty chain that lets everything through is left by whoever calls iptables. Docker's name server has another port at each
    # start of a machine.
    "firewall": r"nft list ruleset | grep -v '127\.0\.0\.11' | grep -vE '^\s*(table .*|chain .*|type .*|\}|#.*)?$' "
    "| sed -E 's/counter packets [0-9]+ bytes [0-9]+ //; s/^\\s+//' | sort",
    "users": "getent passwd; getent group",
    "ports": r"ss -Hltn | awk '{print $4}' | grep -v '^127\.0\.0\.11:' | sort",
    "mounts": "awk '{print $2}' /proc/self/mounts | grep -vE '^/(proc|sys|dev)' | sort",
    "processes": "ps -e -o comm= | grep -vE '^(ps|sort|sh|sshd.*|grep|uniq|systemd.*|\\(sd-pam\\)|python.*|sftp-server|kworker.*)$' | sort -u",
}

Snapshot = dict[str, list[str]]


def snapshot(shell: Callable[[str], str]) -> Snapshot:
    """Read the machine behind ``shell``, which runs a line as root and gives what it prints."""
    return {name: shell(command).splitlines() for name, command in COMMANDS.items()}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is missing and what is new, a line each."""
    found = []
    for name, lines in before.items():
        old, new = set(lines), set(after[name])
        found += [f"{name}: missing {line}" for line in lines if line not in new]
        found += [f"{name}: new {line}" for line in after[name] if line not in old]
    return found
