# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role bundle: images and packages that no release has, from a bundle to the cache of a controller that has nothing else."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import pytest

NAMES = (
    *("wasmedge", "wasmedge_plugin_ggml", "shim", "probe", "balancer", "watcher"),
    *("llama_api_server", "k3s", "k3s_images"),
)
DIGEST = f"sha256:{'0' * 64}"
KUBE_VIP = "ghcr.io/kube-vip/kube-vip"
DEVICE_PLUGIN = "nvcr.io/nvidia/k8s-device-plugin:v0.18.2"
INVENTORY = """
k3s_cluster:
  children:
    k3s_server: {hosts: {s1: {ansible_host: 192.0.2.11, ansible_connection: local}}}
"""
FETCH = """
- hosts: s1
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.artifacts, tasks_from: settings, public: true}
    - ansible.builtin.include_role: {name: wasinn.cluster.k3s, tasks_from: fetch}
    - ansible.builtin.include_role: {name: wasinn.cluster.artifacts, tasks_from: fetch}
      vars: {artifacts_extra: "{{ gpu_package_files }}"}
    - ansible.builtin.debug:
        msg: "at {{ artifacts_fetched[k3s_image_archives[0].name].path }} and {{ artifacts_fetched.toolkit.path }}"
"""


@pytest.fixture
def play(play_in, tmp_path):
    """``play(playbook, **variables) -> (exit status, output on one line)``, where each file that is wanted has its own name as content."""
    source = tmp_path / "source"
    source.mkdir()
    for name in (*NAMES, "image.tar", "toolkit.deb"):
        (source / name).write_text(name)
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "fetch.yml").write_text(FETCH)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.iterdir()}
    common = {
        "ansible_python_interpreter": sys.executable,
        "artifacts_architecture": "x86_64",
        "artifacts_urls": {name: f"file://{source / name}" for name in NAMES},
        "artifacts_checksums": {name: sums[name] for name in NAMES},
        "gpu_package_files": [
            {"name": "toolkit", "url": f"file://{source / 'toolkit.deb'}", "sha256": sums["toolkit.deb"]}
        ],
        "bundle_dir": str(tmp_path / "bundles"),
        "k3s_kube_vip_image": f"{KUBE_VIP}:v1@{DIGEST}",
        "k3s_image_archives": [
            {"name": f"{KUBE_VIP}@{DIGEST}", "url": f"file://{source / 'image.tar'}", "sha256": sums["image.tar"]}
        ],
    }

    def run(playbook: str, **variables: Any) -> tuple[int, str]:
        extra = json.dumps({**common, "artifacts_cache": str(tmp_path / "cache"), **variables})
        return play_in(tmp_path, "-i", "hosts.yml", playbook, "-e", extra)

    return run


def test_what_is_named_is_in_it_and_where_the_bundle_is_opened(play, tmp_path):
    status, output = play("wasinn.cluster.bundle")
    assert status == 0, output
    assert "Not in the bundle" not in output
    for file in (tmp_path / "source").iterdir():
        file.unlink()
    alone = {"artifacts_cache": str(tmp_path / "other"), "artifacts_offline": True}
    status, output = play("wasinn.cluster.bundle_open", **alone)
    assert status == 0, output
    status, output = play("fetch.yml", **alone)
    assert status == 0, output
    (image,) = (tmp_path / "other").rglob("image.tar")
    (package,) = (tmp_path / "other").rglob("toolkit.deb")
    assert f"at {image} and {package}" in output
    assert (image.read_text(), package.read_text()) == ("image.tar", "toolkit.deb")


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({"k3s_image_archives": []}, f"{KUBE_VIP}@{DIGEST}"),
        ({"bundle_variants": ["cpu", "cuda12"]}, DEVICE_PLUGIN),
        ({"bundle_variants": ["cuda12"], "gpu_device_plugin": False}, ""),
    ],
)
def test_an_image_that_machines_would_lack_is_named(play, more, lacks):
    status, output = play("wasinn.cluster.bundle", **more)
    assert status == 0, output
    said = f"Not in the bundle: {lacks}. Remedy: name an archive of each in k3s_image_archives"
    assert said in output if lacks else "Not in the bundle" not in output
