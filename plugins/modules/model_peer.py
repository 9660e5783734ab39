#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: model_peer
short_description: Let a node give its model files to other nodes for a while
version_added: 0.1.0
author: The wasinn.cluster authors (@wasinn)
description:
  - Starts a small HTTP server that gives verified model files by their sha256, and nothing else, to those who know the
    secret of this run. M(wasinn.cluster.model_install) asks it.
  - It runs without rights in a transient systemd unit, which ends by itself after O(lifetime) even if nobody stops it.
  - Files need not be there yet; each is given from the moment it has been verified.
extends_documentation_fragment:
  - wasinn.cluster.attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is started or stopped.
  diff_mode:
    support: none
options:
  state:
    description: Whether it runs.
    type: str
    choices: [started, stopped]
    default: started
  files:
    description: The files' paths by their sha256.
    type: dict
    default: {}
  secret:
    description: What callers have to know. Required for O(state=started).
    type: str
  port:
    description: TCP port it listens on.
    type: int
    default: 8731
  fan_out:
    description: To how many others it gives something at a time.
    type: int
    default: 3
  lifetime:
    description: Seconds after which it ends in any case.
    type: int
    default: 14400
  register:
    description: File on the node that notes which model files were verified, and which of them were brought.
    type: path
    default: /var/lib/wasinn/models.json
notes:
  - It is no part of the node's configuration, so that starting and stopping it is not reported as a change.
"""

EXAMPLES = r"""
- name: Give the model to other nodes
  wasinn.cluster.model_peer:
    secret: "{{ secret_of_this_run }}"
    files:
      b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53: /var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf

- name: End it
  wasinn.cluster.model_peer:
    state: stopped
"""

RETURN = r"""
running:
  description: Whether it answers now.
  returned: success
  type: bool
reason:
  description: Why it does not.
  returned: when it should and does not
  type: str
"""

import inspect
import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wasinn.cluster.plugins.module_utils import model_peer_server
from ansible_collections.wasinn.cluster.plugins.module_utils.model_store import REGISTER

UNIT = "wasinn-model-peer.service"
FOLDER = Path("/run/wasinn-model-peer")
# What systemd 239 (RHEL 8) knows already.
LIMITS = (
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_DAC_READ_SEARCH",
    "RestrictAddressFamilies=AF_INET AF_INET6",
    "MemoryMax=256M",
    "TasksMax=256",
)

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
    "files": {"type": "dict", "default": {}},
    "secret": {"type": "str", "no_log": True},
    "port": {"type": "int", "default": 8731},
    "fan_out": {"type": "int", "default": 3},
    "lifetime": {"type": "int", "default": 14400},
    "register": {"type": "path", "default": REGISTER},
}


def stop(module):
    """Ends the unit and takes its files away."""
    module.run_command(["systemctl", "stop", UNIT])
    module.run_command(["systemctl", "reset-failed", UNIT])
    shutil.rmtree(FOLDER, ignore_errors=True)


def start(module):
    """Starts it anew with this run's secret; returns why it does not answer, empty if it does."""
    params = module.params
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    server, config = FOLDER / "server.py", FOLDER / "config.json"
    server.write_text(inspect.getsource(model_peer_server))
    settings = {key: params[key] for key in ("secret", "port", "fan_out", "files", "register")}
    with open(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(settings, handle)
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--property=RuntimeMaxSec={params['lifetime']}"]
    argv += [f"--property={limit}" for limit in LIMITS]
    code, _out, error = module.run_command([*argv, sys.executable, "-I", str(server), str(config)])
    if code:
        return error.strip() or f"systemd-run ended with {code}"
    for _attempt in range(50):
        try:
            socket.create_connection(("127.0.0.1", params["port"]), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        return f"port {params['port']} does not answer: {_last_words(module)}"
    if module.run_command(["systemctl", "is-active", "--quiet", UNIT])[0]:
        return f"port {params['port']} is somebody else's: {_last_words(module)}"
    return ""


def _last_words(module):
    _code, out, _error = module.run_command(["journalctl", "--no-pager", "-n", "1", "-o", "cat", "-u", UNIT])
    return out.strip() or "its journal is empty"


def main():
    """Runs the module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True, required_if=[("state", "started", ("secret",))])
    os.umask(0o077)
    if module.check_mode:
        module.exit_json(changed=False, running=False)
    stop(module)
    if module.params["state"] == "stopped":
        module.exit_json(changed=False, running=False)
    reason = start(module)
    module.exit_json(changed=False, running=not reason, reason=reason)


if __name__ == "__main__":
    main()
