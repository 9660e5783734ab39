# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gpu: the device plugin's manifests, and the program that writes the CDI specification."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.lint.tree import REPO
from tests.unit.manifests import GOLDEN, KUBERNETES, committed, objects_in, render

CASES = sorted(path.parent.name for path in GOLDEN.glob("device_plugin/*/vars.yml"))
REFRESH = REPO / "roles" / "gpu" / "files" / "cdi-refresh.sh"


@pytest.fixture(scope="module", params=CASES)
def rendered(request, exported, run, tmp_path_factory):
    """(case's name, {file name: text})."""
    variables = GOLDEN / "device_plugin" / request.param / "vars.yml"
    return request.param, render("gpu", variables, exported, run, tmp_path_factory.mktemp(request.param))


def test_as_committed(rendered):
    case, texts = rendered
    assert texts == committed(GOLDEN / "device_plugin" / case, texts)


def test_valid_in_kubernetes_and_by_cdi(rendered):
    config, daemon = objects_in(rendered[1])
    for item in (config, daemon):
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    settings = yaml.safe_load(config["data"]["config.yaml"])
    assert settings["version"] == "v1"
    assert settings["flags"]["plugin"]["deviceListStrategy"] == ["cdi-cri"]
    assert ("sharing" in settings) is (rendered[0] == "sliced")
    assert "runtimeClassName" not in daemon["spec"]["template"]["spec"]


@pytest.fixture
def refresh(tmp_path: Path):
    """Runs the program with a nvidia-ctk that prints the given text, or fails with it."""

    def run(text: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        tool = tmp_path / "bin" / "nvidia-ctk"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\nprintf %s '{text}'\nexit {code}\n")
        tool.chmod(0o755)
        words = ["sh", str(REFRESH), str(tmp_path / "cdi" / "nvidia.yaml")]
        env = {"PATH": f"{tool.parent}:/usr/bin:/bin"}
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    return run


def test_the_specification_is_replaced_only_by_another_one(refresh, tmp_path):
    spec = tmp_path / "cdi" / "nvidia.yaml"
    assert refresh("one").returncode == 0
    first = spec.stat()
    assert (spec.read_text(), first.st_mode & 0o777) == ("one", 0o644)
    assert refresh("one").returncode == 0
    assert spec.stat().st_ino == first.st_ino
    assert refresh("two").returncode == 0
    assert (spec.read_text(), spec.stat().st_ino != first.st_ino) == ("two", True)
    assert [path.name for path in spec.parent.iterdir()] == ["nvidia.yaml"]


@pytest.mark.parametrize(("text", "code"), [("half", 1), ("", 0)])
def test_a_failing_tool_leaves_the_old_one(refresh, tmp_path, text, code):
    refresh("one")
    assert refresh(text, code).returncode != 0
    assert (tmp_path / "cdi" / "nvidia.yaml").read_text() == "one"
    assert [path.name for path in (tmp_path / "cdi").iterdir()] == ["nvidia.yaml"]


PREFLIGHT = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {file: "%s/defaults/main.yml"}
    - ansible.builtin.include_vars: {file: "%s/vars/main.yml"}
    - ansible.builtin.copy:
        content: "{{ __gpu_findings | to_json }}"
        dest: "%s"
        mode: "0600"
      vars:
        ansible_facts: {distribution: %s, distribution_major_version: "9", os_family: RedHat, pkg_mgr: dnf, architecture: x86_64}
        __gpu_info: {findings: [], gpu: {devices: [{address: "0000:00:06.0"}]}}
        __gpu_programs: {results: [{stat: {exists: %s}}]}
"""


@pytest.mark.parametrize(
    ("distribution", "toolkit", "settings", "found"),
    [
        ("Rocky", True, {}, {}),
        ("Rocky", False, {}, {"gpu_repository_key": "gpu_toolkit_key_sha256"}),
        ("Rocky", False, {"gpu_toolkit_key_sha256": "0" * 64}, {}),
        ("Rocky", False, {"gpu_toolkit": False}, {}),
        ("Rocky", False, {"gpu_toolkit_repository": {"rpm": ""}}, {}),
        ("Rocky", True, {"gpu_driver": "distribution"}, {"gpu_driver_packages": "Rocky"}),
        ("Rocky", True, {"gpu_driver": "distribution", "gpu_driver_packages": ["kmod-nvidia"]}, {}),
        ("Fedora", True, {"gpu_driver": "nvidia"}, {"gpu_repository_key": "gpu_driver_nvidia_key_sha256"}),
        ("Rocky", False, {"gpu_driver": "none"}, {}),
    ],
)
def test_settings_that_are_missing_are_found_before_anything_changes(
    exported, run, tmp_path, distribution, toolkit, settings, found
):
    role, said = exported.path / "roles" / "gpu", tmp_path / "said.json"
    (tmp_path / "play.yml").write_text(PREFLIGHT % (role, role, said, distribution, json.dumps(toolkit)))
    run(
        *("ansible-playbook", "--inventory=localhost,", "--connection=local", tmp_path / "play.yml"),
        f"--extra-vars={json.dumps({'ansible_python_interpreter': sys.executable, **settings})}",
        ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
    )
    findings = json.loads(said.read_text())
    assert {item["check"] for item in findings} == set(found)
    for item in findings:
        assert found[item["check"]] in item["cause"] and item["cause"].endswith(".") and item["remedy"].endswith(".")
