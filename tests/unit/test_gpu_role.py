# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gpu: the device plugin's manifests, and the program that writes the CDI specification."""

from __future__ import annotations

import hashlib
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


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {{file: "{role}/defaults/main.yml"}}
    - ansible.builtin.include_vars: {{file: "{role}/vars/main.yml"}}
    - ansible.builtin.copy:
        content: "{{{{ {said} }}}}"
        dest: "{file}"
        mode: "0600"
      vars: {vars}
"""


@pytest.fixture
def says(exported, run, tmp_path):
    """What an expression gives with the role's variables."""

    def evaluated(said: str, settings: dict[str, object] | None = None, **task_vars: object) -> str:
        role, file = exported.path / "roles" / "gpu", tmp_path / "said"
        (tmp_path / "play.yml").write_text(PLAY.format(role=role, said=said, file=file, vars=json.dumps(task_vars)))
        run(
            *("ansible-playbook", "--inventory=localhost,", "--connection=local", tmp_path / "play.yml"),
            f"--extra-vars={json.dumps({'ansible_python_interpreter': sys.executable, **(settings or {})})}",
            ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2]),
        )
        return file.read_text()

    return evaluated


FACTS = {"distribution_major_version": "9", "os_family": "RedHat", "pkg_mgr": "dnf", "architecture": "x86_64"}
A_GPU = {"findings": [], "gpu": {"devices": [{"address": "0000:00:06.0"}]}}


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
        ("Fedora", False, {"gpu_driver": "nvidia", "gpu_package_files": [{"name": "driver"}]}, {}),
        ("Rocky", False, {"gpu_driver": "none"}, {}),
    ],
)
def test_settings_that_are_missing_are_found_before_anything_changes(says, distribution, toolkit, settings, found):
    said = says(
        "__gpu_findings | to_json",
        settings,
        ansible_facts={"distribution": distribution, **FACTS},
        __gpu_info=A_GPU,
        __gpu_programs={"results": [{"stat": {"exists": toolkit}}]},
    )
    findings = json.loads(said)
    assert {item["check"] for item in findings} == set(found)
    for item in findings:
        assert found[item["check"]] in item["cause"] and item["cause"].endswith(".") and item["remedy"].endswith(".")


@pytest.mark.parametrize(
    ("toolkit", "driver", "wanted", "lacks"),
    [
        (True, True, "nvidia", False),
        (False, True, "present", True),
        (True, False, "present", False),
        (True, False, "nvidia", True),
    ],
)
def test_files_of_packages_are_for_what_is_missing(says, toolkit, driver, wanted, lacks):
    said = says(
        "__gpu_lacks | to_json",
        {"gpu_driver": wanted},
        __gpu_info={"findings": [], "gpu": {"driver": {"module_there": driver}}},
        __gpu_programs={"results": [{"stat": {"exists": toolkit}}]},
    )
    assert json.loads(said) is lacks


PACKAGES = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.gpu, tasks_from: packages}
"""


@pytest.mark.parametrize("fails", [False, True])
def test_packages_are_brought_and_installed_together(play_in, tmp_path, fails):
    """By a program in the package manager's place."""
    (tmp_path / "play.yml").write_text(PACKAGES)
    files = []
    for name in ("one.deb", "two.deb"):
        (tmp_path / name).write_text(name)
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        files.append({"name": name, "url": f"file://{tmp_path / name}", "sha256": sha256})
    line = "echo two needs three; exit 100" if fails else f'cat "$@" >{tmp_path}/installed'
    settings = {
        "ansible_python_interpreter": sys.executable,
        "artifacts_architecture": "x86_64",
        "artifacts_cache": str(tmp_path / "cache"),
        "gpu_package_files": files,
        "__gpu_package_folder": str(tmp_path / "packages"),
        "__gpu_installer": ["sh", "-c", line, "installer"],
    }
    words = ("-i", "localhost,", "-c", "local", "play.yml", "-e", json.dumps(settings))
    status, output = play_in(tmp_path, *words)
    assert (status != 0) is fails, output
    if fails:
        assert "localhost: one.deb, two.deb cannot be installed: two needs three. Remedy: name in gpu_package" in output
    else:
        assert (tmp_path / "installed").read_text() == "one.debtwo.deb"


def test_another_driver_renews_the_device_plugin(says):
    """Its pods describe the driver as it was when they began."""

    def mark(driver: str) -> str:
        return says("__gpu_plugin_mark | to_json", {"__gpu_drivers": [driver]})

    assert mark("580.159.04") == mark("580.159.04") != mark("590.44.01")


def test_the_specification_is_there_before_containerd_and_comes_with_a_late_driver(says):
    file = REPO / "roles" / "gpu" / "templates" / "wasinn-cdi.service.j2"
    unit = says(f"lookup('ansible.builtin.template', '{file}')").splitlines()
    (before,) = [line for line in unit if line.startswith("Before=")]
    assert {"k3s", "k3s-agent", "rke2-server", "rke2-agent", "containerd"} == {
        name.removesuffix(".service") for name in before.removeprefix("Before=").split()
    }
    assert {"Restart=on-failure", "StartLimitIntervalSec=0"} < set(unit)


def test_packages_come_through_the_proxy_of_images(says):
    given = {
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "10.0.0.0/8",
        "CONTAINERD_HTTP_PROXY": "http://x",
        "A": "b",
    }
    said = json.loads(says("__gpu_environment | to_json", {"k3s_environment": given}))
    assert said == {"https_proxy": "http://proxy:3128", "no_proxy": "10.0.0.0/8"}
    assert json.loads(says("__gpu_environment | to_json")) == {}
