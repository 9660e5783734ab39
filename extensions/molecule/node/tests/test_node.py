# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles of the node layer leave on a machine, seen from outside with testinfra."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

# molecule's own inventory knows no addresses, so Ansible runs each command with the scenario's.
INVENTORY = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
testinfra_hosts = [f"ansible://node1?ansible_inventory={INVENTORY}&force_ansible=True"]

SHIM = "/usr/local/bin/containerd-shim-wasmedge-v1"


def test_the_runtime_is_there_by_version(host):
    current = host.file("/opt/wasinn/wasmedge/current")
    assert current.is_symlink
    assert host.file(f"{current.linked_to}/plugin/libwasmedgePluginWasiNN.so").is_file
    assert host.run(f"{current.linked_to}/bin/wasmedge --version").rc == 0


def test_the_shim_is_on_the_path_and_finds_its_library(host):
    assert host.file(SHIM).is_symlink
    assert host.file("/opt/wasinn/shim/current").linked_to == os.path.dirname(host.file(SHIM).linked_to)
    doctor = host.run(f"{SHIM} --doctor")
    assert doctor.rc == 0, doctor.stdout + doctor.stderr
    assert json.loads(doctor.stdout)


def test_containerd_runs_and_knows_the_runtime(host):
    assert host.service("containerd").is_running
    assert host.service("containerd").is_enabled
    assert "io.containerd.wasmedge.v1" in host.check_output("containerd config dump")


def test_nothing_is_writable_by_everyone(host):
    assert host.check_output("find /opt/wasinn /etc/wasinn /var/lib/wasinn /etc/ansible -perm -002 ! -type l") == ""


def test_the_local_facts_tell_what_was_verified(host):
    facts = json.loads(host.file("/etc/ansible/facts.d/wasinn.fact").content_string)
    assert facts["probe"]["passed"] is True
    assert re.fullmatch(r"wasmedge-0\.14\.1_plugin-ggml_shim-0\.1\.0_[0-9a-f]{8}", facts["probe"]["tuple"])
    assert facts["wasmedge"]["version"] == "0.14.1"
    assert set(facts) == {"wasmedge", "shim", "models", "probe", "baseline"}


def test_the_probe_left_no_container_behind(host):
    assert host.check_output("ctr --namespace wasinn containers list --quiet") == ""
    assert host.check_output("ctr --namespace wasinn tasks list --quiet") == ""
