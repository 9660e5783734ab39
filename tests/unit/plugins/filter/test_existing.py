# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""containerd's configuration there and back, in the forms that people have, and what is wrong with an existing cluster."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wasinn.cluster.plugins.filter.existing import (
    containerd_config,
    containerd_config_ours,
    containerd_config_restored,
    existing_findings,
)

TYPE = "io.containerd.wasmedge.v1"
# What Debian's package has.
DEBIAN = """version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd/opt"
"""
# As people with kubeadm have it: containerd config default, with systemd's cgroups.
DEFAULT = """disabled_plugins = []
imports = []
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  enable_cdi = false # by default
  sandbox_image = "registry.k8s.io/pause:3.10"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
SECOND = "version = 3\n\n[plugins.'io.containerd.cri.v1.images']\n  snapshotter = 'overlayfs'\n"


def runtimes(text: str) -> dict[str, Any]:
    plugins = tomllib.loads(text)["plugins"]
    section = plugins.get("io.containerd.cri.v1.runtime") or plugins["io.containerd.grpc.v1.cri"]
    return section["containerd"]["runtimes"]


@pytest.mark.parametrize("cdi", [False, True])
@pytest.mark.parametrize("before", [DEBIAN, DEFAULT, SECOND, "", "# nothing\n"])
def test_the_runtime_comes_and_goes_without_a_trace(before: str, cdi: bool) -> None:
    after = containerd_config(before, "wasmedge", TYPE, 2, True, cdi)
    assert runtimes(after)["wasmedge"] == {"runtime_type": TYPE, "options": {"SystemdCgroup": True}}
    assert containerd_config(after, "wasmedge", TYPE, 2, True, cdi) == after
    assert containerd_config_restored(after) == before
    assert TYPE in containerd_config_ours(after)
    assert containerd_config_ours(before) == ""


def test_what_others_have_stays() -> None:
    after = tomllib.loads(containerd_config(DEFAULT, "wasmedge", TYPE, cdi=True))
    section = after["plugins"]["io.containerd.grpc.v1.cri"]
    assert section["sandbox_image"] == "registry.k8s.io/pause:3.10"
    assert section["containerd"]["runtimes"]["runc"]["options"] == {"SystemdCgroup": True}
    assert section["enable_cdi"] is True
    assert tomllib.loads(containerd_config(DEBIAN, "wasmedge", TYPE, cdi=True))["plugins"]["io.containerd.grpc.v1.cri"][
        "enable_cdi"
    ]


def test_what_others_write_meanwhile_stays() -> None:
    after = containerd_config(DEBIAN, "wasmedge", TYPE, cdi=True)
    edited = after.replace("/usr/lib/cni", "/opt/cni/bin") + '\n[plugins."mine"]\n'
    assert containerd_config_restored(edited) == DEBIAN.replace("/usr/lib/cni", "/opt/cni/bin") + '\n[plugins."mine"]\n'


def test_a_file_of_our_own_is_known_as_such() -> None:
    made = containerd_config(None, "wasmedge", TYPE, 3)
    assert tomllib.loads(made)["version"] == 3
    assert "io.containerd.cri.v1.runtime" in made
    assert "which made this file" in made
    assert containerd_config(made, "wasmedge", TYPE, 3) == made
    assert containerd_config_restored(made) == ""


def test_the_files_own_version_decides() -> None:
    """containerd 2 reads files of version 2 as well."""
    assert "io.containerd.grpc.v1.cri" in containerd_config(DEBIAN, "wasmedge", TYPE, 3)


def test_the_same_runtime_there_already_is_enough() -> None:
    own = f'{DEFAULT}[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.wasmedge]\n  runtime_type = "{TYPE}"\n'
    assert containerd_config(own, "wasmedge", TYPE) == own
    with pytest.raises(AnsibleFilterError, match=r"of another type than .* Remedy: "):
        containerd_config(own.replace(TYPE, "io.containerd.wasmtime.v1"), "wasmedge", TYPE)


def test_the_first_version_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"names no version.* Remedy: "):
        containerd_config('[plugins.cri]\n  sandbox_image = "pause"\n', "wasmedge", TYPE)


def node(name: str, runtime: str = "containerd://1.7.24") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"nodeInfo": {"containerRuntimeVersion": runtime}}}


def test_nodes_that_cannot_be_used() -> None:
    nodes = [node("a"), node("b", "cri-o://1.30.0")]
    assert existing_findings({"one": "a"}, nodes, "kubeadm") == {}
    found = existing_findings({"one": "a", "two": "b", "three": "c"}, nodes, "kubeadm")
    assert [(host, items[0]["check"]) for host, items in found.items()] == [
        ("two", "existing_runtime"),
        ("three", "existing_node"),
    ]
    assert "no node c; its nodes are a, b." in found["three"][0]["cause"]
    assert "k3s_node_name" in found["three"][0]["remedy"]


def test_an_api_that_does_not_answer_is_told_once() -> None:
    found = existing_findings({"one": "a", "two": "b"}, None, "rke2", "connection refused.")
    assert list(found) == ["one"]
    assert found["one"][0]["cause"].endswith("does not answer the controller: connection refused.")
    assert "k3s_existing_fetch" in found["one"][0]["remedy"]
