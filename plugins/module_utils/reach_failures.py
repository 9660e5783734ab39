# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why Ansible cannot work on a machine: what ssh, sudo and Python said to its ping, the cause and the remedy.

Order matters as in :mod:`failures`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.failures import Signature
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

SIGNATURES = (
    Signature(
        "reach_name",
        r"Could not resolve hostname (?P<name>[^\s:]{1,200})",
        "The controller finds no address for the name {name}.",
        "Correct ansible_host, or the controller's resolver (getent hosts {name} has to answer).",
        "ssh: Could not resolve hostname node9: Name or service not known",
        source="OpenSSH",
    ),
    Signature(
        "reach_host_key",
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|No \S{1,20} host key is known for",
        "The machine's host key is not the one that the controller knows: it was made anew, was never seen, or is another machine.",
        "Make sure that it is the right machine, then take the old key out (ssh-keygen -R ADDRESS) and log in once by ssh.",
        "Host key verification failed.",
        source="OpenSSH",
    ),
    Signature(
        "reach_key",
        r"Permission denied \((?:publickey|password|keyboard)|Too many authentication failures|Invalid/incorrect password",
        "The machine does not let the user in.",
        "Set ansible_user and ansible_ssh_private_key_file, and see that the key stands in that user's ~/.ssh/authorized_keys there.",
        "root@192.0.2.11: Permission denied (publickey,password).",
        source="OpenSSH",
    ),
    Signature(
        "reach_no_ssh",
        r"connect to host (?P<address>\S{1,200}) port (?P<port>\d{1,5}): Connection refused",
        "The machine {address} answers, but no SSH server listens on its port {port}.",
        "Start sshd there, or correct ansible_host and ansible_port.",
        "ssh: connect to host 192.0.2.11 port 22: Connection refused",
        source="OpenSSH",
    ),
    Signature(
        "reach_network",
        r"connect to host (?P<address>\S{1,200}) port \d{1,5}: (?P<why>[A-Z][a-z ]{5,60})"
        r"|(?P<how>Timeout, server \S{1,200} not responding|Connection timed out|Connection (?:reset|closed) by [^\n]{1,100})",
        "The machine cannot be reached ({why}{how}).",
        "See that it is switched on and plugged in, that ansible_host is its address, and that no firewall keeps the controller from it.",
        "ssh: connect to host 192.0.2.11 port 22: No route to host",
        source="OpenSSH",
    ),
    Signature(
        "reach_become_password",
        r"Missing (?:sudo|su|doas|become) password|Incorrect (?:sudo|su|doas) password|(?:sudo|doas): a (?:password|terminal) is required"
        r"|Timeout \(\d+s\) waiting for privilege escalation",
        "The user needs a password to become root.",
        "Run with --ask-become-pass, or let sudo take this user without a password (NOPASSWD in /etc/sudoers.d).",
        "Missing sudo password",
        source="ansible-core, plugins/connection/ssh.py",
    ),
    Signature(
        "reach_become_right",
        r"is not in the sudoers file|is not allowed to (?:execute|run sudo)|may not run sudo",
        "The user may not become root.",
        "Let sudo take this user (/etc/sudoers.d), or log in as one who may (ansible_user).",
        "operator is not in the sudoers file.",
        source="sudo",
    ),
    Signature(
        "reach_become_missing",
        r"(?:sudo|su|doas): (?:command )?not found|the (?:sudo|su|doas) command was not found",
        "The machine has no program to become root with.",
        "Install sudo there, set ansible_become_method to what it has, or log in as root (ansible_user).",
        "/bin/sh: 1: sudo: not found",
        source="dash, bash",
    ),
    Signature(
        "reach_python_old",
        r"requires a minimum of Python|requires Python [\d.]+ or newer|future feature annotations is not defined"
        r"|SyntaxError: invalid syntax|'type' object is not subscriptable",
        "The machine's Python is too old for Ansible.",
        "Install Python 3.9 or newer there, and set ansible_python_interpreter to it.",
        "ansible-core requires a minimum of Python version 3.8. Current version: 3.6.8",
        source="ansible-core, module_utils/basic.py",
    ),
    Signature(
        "reach_python",
        r"interpreter '?(?P<path>[^\s']{1,200})'? was not found|(?P<other>\S{0,100}python[\d.]*): (?:command )?not found"
        r"|(?P<third>\S{0,100}/python[\d.]*): (?:No such file or directory|Permission denied)|No python interpreters found",
        "The machine has no Python at {path}{other}{third}.",
        "Install python3 there (3.9 or newer), or set ansible_python_interpreter to where it is.",
        "The module interpreter '/usr/bin/python3' was not found.",
        source="ansible-core, plugins/action/__init__.py",
    ),
    Signature(
        "reach_disk",
        r"No space left on device",
        "A disk of the machine is full, so that Ansible can put nothing there.",
        "Make room in the user's home and in /tmp (df -h and df -i tell where it is missing).",
        "mkdir: cannot create directory '/root/.ansible/tmp/x': No space left on device",
        source="Linux, errno ENOSPC",
    ),
    Signature(
        "reach_temporary",
        r"Failed to create temporary directory|Read-only file system",
        "Ansible can make no folder in the user's home on the machine.",
        "See that the home is there, is the user's own and is not mounted read-only, or set ansible_remote_tmp to another place.",
        "Failed to create temporary directory. In some cases, you may have been able to authenticate",
        source="ansible-core, plugins/action/__init__.py",
    ),
)


def classify(result: Mapping[str, Any]) -> list[Finding]:
    """The finding in the result of Ansible's ping, or none where the machine answered."""
    if result.get("ping") == "pong":
        return []
    words = [str(result.get(key) or "") for key in ("msg", "module_stderr", "module_stdout", "exception")]
    text = "\n".join(words)
    for signature in SIGNATURES:
        if match := re.search(signature.pattern, text):
            fields = {name: (value or "").strip() for name, value in match.groupdict().items()}
            return [finding(signature.check, signature.cause.format(**fields), signature.remedy.format(**fields))]
    said = " ".join(next((word for word in words if word.strip()), "it gave no reason").split())[:500].rstrip(".")
    remedy = "See that ansible -m ansible.builtin.ping with --become reaches it; -vvv shows all of what was said."
    return [finding("reach", f"Ansible cannot work on the machine: {said}.", remedy)]
