# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role artifacts and both action plugins in a real play on this machine, from a mirror in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import download

COLLECTIONS = Path(download.__file__).parents[5]
WASMEDGE = "github.com/WasmEdge/WasmEdge/releases/download/0.14.1"
SERVER = "github.com/LlamaEdge/LlamaEdge/releases/download/0.28.1"

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.artifacts, tasks_from: fetch}
    - name: Archive
      wasinn.cluster.artifact_install:
        src: "{{ artifacts_fetched.wasmedge.path }}"
        sha256: "{{ artifacts_fetched.wasmedge.sha256 }}"
        name: wasmedge
        dest: "{{ root }}/wasmedge/{{ artifacts_fetched.wasmedge.version }}"
        strip: 1
        include: ["bin/*"]
        link: "{{ root }}/wasmedge/current"
    - name: File
      wasinn.cluster.artifact_install:
        src: "{{ artifacts_fetched.llama_api_server.path }}"
        sha256: "{{ artifacts_fetched.llama_api_server.sha256 }}"
        dest: "{{ root }}/server.wasm"
        unpack: false
    - name: Image
      wasinn.cluster.wasm_image:
        src: "{{ root }}/server.wasm"
        dest: "{{ root }}/images/server.tar"
        name: wasinn.local/server:0.28.1
    - name: Import
      wasinn.cluster.containerd_image:
        archive: "{{ root }}/images/server.tar"
        address: "{{ root }}/none.sock"
      when: ansible_check_mode
"""
REMOVE = """
- hosts: all
  gather_facts: false
  tasks:
    - wasinn.cluster.artifact_install:
        name: wasmedge
        dest: "{{ root }}/wasmedge/0.14.1"
        link: "{{ root }}/wasmedge/current"
        state: absent
"""
ROLE = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.wasmedge}
"""


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Two releases; for both architectures, since the play runs on this machine's own."""
    folder = tmp_path / "mirror"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in ("bin/wasmedge", "include/wasmedge.h"):
            info = tarfile.TarInfo(f"WasmEdge-0.14.1-Linux/{name}")
            info.size, info.mode = 2, 0o755
            tar.addfile(info, io.BytesIO(b"#!"))
    for arch in ("x86_64", "aarch64"):
        publish(folder / WASMEDGE / f"WasmEdge-0.14.1-manylinux_2_28_{arch}.tar.gz", content.getvalue())
    publish(folder / SERVER / "llama-api-server.wasm", b"\0asm\1\0\0\0")
    return folder


def publish(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with open(path.parent / "SHA256SUM", "a") as handle:
        handle.write(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")


def play(tmp_path: Path, text: str, *options: str, failures: int = 0) -> dict[str, Any]:
    """Runs the play; {task name: result} of the one host, and its counts as "stats"."""
    (tmp_path / "play.yml").write_text(text)
    (tmp_path / "ansible.cfg").touch()  # the user's own must not matter
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "root": str(tmp_path / "node"),
        "artifacts_wanted": ["wasmedge", "llama_api_server"],
        "artifacts_mirror": str(tmp_path / "mirror"),
        "artifacts_cache": str(tmp_path / "cache"),
    }
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_INJECT_FACT_VARS": "false",
    }
    program = Path(sys.executable).parent / "ansible-playbook"
    argv = [str(program), "-i", "host,", "-e", json.dumps(variables), str(tmp_path / "play.yml"), *options]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    start = done.stdout.find('{\n    "custom_stats"')  # lines of progress come before
    assert start >= 0, done.stdout + done.stderr
    report = json.loads(done.stdout[start:])
    results = {task["task"]["name"]: task["hosts"].get("host", {}) for task in report["plays"][0]["tasks"]}
    assert report["stats"]["host"]["failures"] == failures, json.dumps(results, indent=1)
    return {**results, "stats": report["stats"]["host"]}


def test_from_mirror_to_node(tmp_path: Path, mirror: Path) -> None:
    node, cache = tmp_path / "node", tmp_path / "cache"

    fresh = play(tmp_path, PLAY, "--check", "--diff")
    assert {name: fresh[name]["changed"] for name in ("Archive", "File", "Image", "Import")} == {
        "Archive": True,
        "File": True,
        "Image": True,
        "Import": True,
    }
    assert not node.exists()
    assert not cache.exists()

    first = play(tmp_path, PLAY, "--diff")
    assert first["stats"]["changed"] == 4
    assert "  bin/wasmedge\n" in first["Archive"]["diff"]["after"]
    assert os.readlink(node / "wasmedge/current") == "0.14.1"
    assert (node / "wasmedge/current/bin/wasmedge").read_bytes() == b"#!"
    assert not (node / "wasmedge/current/include").exists()
    assert (node / "server.wasm").read_bytes() == b"\0asm\1\0\0\0"
    assert first["Image"]["digest"].startswith("sha256:")
    assert not list((tmp_path / "ansible").glob("tmp/ansible-tmp-*"))

    assert play(tmp_path, PLAY, "-e", "artifacts_offline=true")["stats"]["changed"] == 0

    (node / "wasmedge/0.14.1/bin/wasmedge").write_bytes(b"changed by hand")
    mended = play(tmp_path, PLAY)
    assert mended["stats"]["changed"] == 1
    assert mended["Archive"]["reasons"] == [f"{node}/wasmedge/0.14.1/bin/wasmedge was modified"]

    assert play(tmp_path, REMOVE)["stats"]["changed"] == 1
    assert list((node / "wasmedge").iterdir()) == []


def test_a_version_that_fails_gives_way_to_the_one_before(tmp_path: Path, mirror: Path) -> None:
    prefix = tmp_path / "node/wasmedge"
    (prefix / "0.14.0").mkdir(parents=True)
    (prefix / "current").symlink_to("0.14.0")
    options = {"__wasmedge_prefix": str(prefix), "wasmedge_plugins": [], "wasmedge_plugin_variant": "auto"}

    result = play(tmp_path, ROLE, "-e", json.dumps(options), failures=1)  # its archive has no libwasmedge
    assert os.readlink(prefix / "current") == "0.14.0"
    assert (prefix / "0.14.1/bin/wasmedge").exists()
    assert "no libwasmedge.so.0 in" in result["wasinn.cluster.node : Refuse to go on with open findings"]["msg"]
    assert (
        "WasmEdge 0.14.0, which was active before, is active again."
        in result["wasinn.cluster.node : Refuse to go on with open findings"]["msg"]
    )


#: The role as it runs on a node where a model answered before.
PROBED = """
- hosts: all
  gather_facts: false
  module_defaults:
    wasinn.cluster.wasinn_probe: {module: "{{ root }}/probe.wasm"}
    wasinn.cluster.local_fact: {path: "{{ root }}/wasinn.fact"}
    ansible.builtin.setup: {fact_path: "{{ root }}"}
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.wasmedge}
"""
ANSWERS = """#!/bin/sh
echo '{"text": " Paris.", "prompt_tokens": 5, "completion_tokens": 2}'
"""
CRASHES = """#!/bin/sh
echo "no memory for the context" >&2; exit 1
"""


LOADS = """#!/bin/sh
echo '{"ok": true, "problems": []}'
"""
LOADS_NOT = """#!/bin/sh
echo '{"ok": false, "problems": ["the plugin does not load"]}'; exit 1
"""
BOTH = {"slow.gguf": 9, "tiny.gguf": 1}


@pytest.mark.parametrize(
    ("program", "answered", "shim", "said"),
    [
        (ANSWERS, BOTH, LOADS, ""),
        (CRASHES, BOTH, None, "ended with status 1: no memory for the context."),
        (CRASHES, {"gone.gguf": 1}, LOADS, ""),
        (CRASHES, {}, None, ""),
        (ANSWERS, BOTH, LOADS_NOT, "a container would find here: the plugin does not load."),
        (ANSWERS, {}, CRASHES, "it gave no report (exit status 1): no memory for the context"),
    ],
    ids=[
        "answers",
        "crashes",
        "the model is gone",
        "none answered before",
        "the shim does not load it",
        "the shim crashes",
    ],
)
def test_a_version_that_does_not_work_gives_way(
    tmp_path, mirror, make_library, make_plugin, gguf, program, answered, shim, said
):
    """Its files are all well, but no model answers by it, or the shim that the node has cannot load it."""
    node = tmp_path / "node"
    (node / "wasmedge/0.14.0").mkdir(parents=True)
    (node / "wasmedge/current").symlink_to("0.14.0")
    (node / "probe.wasm").write_bytes(b"\0asm\1\0\0\0")
    gguf.write(node / "tiny.gguf")
    noted = {"baseline": {name: {"file": name, "load_ms": time} for name, time in answered.items()}}
    (node / "wasinn.fact").write_text(json.dumps(noted))
    write_program(tmp_path / "wasmedge", program)
    if shim:
        write_program(node / "shim/0.1.0/containerd-shim-wasmedge-v1", shim)
    runtime = {
        "WasmEdge-0.14.1-Linux/bin/wasmedge": tmp_path / "wasmedge",
        "WasmEdge-0.14.1-Linux/lib64/libwasmedge.so.0": make_library("libwasmedge.so.0"),
    }
    plugin = {"libwasmedgePluginWasiNN.so": make_plugin("libwasmedgePluginWasiNN.so")}
    shutil.rmtree(mirror / WASMEDGE)
    for name, members in {"WasmEdge": runtime, "WasmEdge-plugin-wasi_nn-ggml": plugin}.items():
        for arch in ("x86_64", "aarch64"):
            publish(mirror / WASMEDGE / f"{name}-0.14.1-manylinux_2_28_{arch}.tar.gz", packed(members))
    options = {
        "__wasmedge_prefix": str(node / "wasmedge"),
        "artifacts_wanted": ["wasmedge", "wasmedge_plugin_ggml"],
        "wasmedge_plugin_variant": "cpu",
        "models_dir": str(node),
        "shim_prefix": str(node / "shim"),
    }

    result = play(tmp_path, PROBED, "-e", json.dumps(options), failures=1 if said else 0)
    assert os.readlink(node / "wasmedge/current") == ("0.14.0" if said else "0.14.1")
    assert ("wasmedge" in json.loads((node / "wasinn.fact").read_text())) is not bool(said)
    if said:
        refused = result["wasinn.cluster.node : Refuse to go on with open findings"]["msg"]
        assert said in refused
        assert "WasmEdge 0.14.0, which was active before, is active again." in refused


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def packed(members: dict[str, Path]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, path in members.items():
            tar.add(path, name)
    return content.getvalue()


def test_what_nobody_has_built_ends_before_the_download(tmp_path: Path, mirror: Path) -> None:
    versions = {"wasmedge": "0.13.5", "wasinn": "0.1.0", "llama_api_server": "0.28.1", "k3s": "v1.34.4+k3s1"}
    result = play(tmp_path, PLAY, "-e", json.dumps({"artifacts_versions": versions}), failures=1)
    assert (
        "The builds of WasmEdge 0.13.5 are not known"
        in result["wasinn.cluster.artifacts : Refuse what nobody has built"]["msg"]
    )
    assert not (tmp_path / "cache").exists()
