# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models' modules and action plugins in real plays on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import download

from tests.servers.hub import TOKEN, Repo, hub

COLLECTIONS = Path(download.__file__).parents[5]
URL = "https://example.org/models/tiny.gguf"
BRING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Look
      wasinn.cluster.model_preflight:
        directory: "{{ root }}/models"
        register: "{{ root }}/models.json"
        models: [{name: tiny, file: tiny.gguf, sha256: "{{ sha256 }}", size: "{{ size }}"}]
    - name: Bring
      wasinn.cluster.model_install:
        name: tiny
        src: "{{ src }}"
        dest: "{{ root }}/models/tiny.gguf"
        register: "{{ root }}/models.json"
"""
PRUNE = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Prune
      wasinn.cluster.model_prune:
        directory: "{{ root }}/models"
        register: "{{ root }}/models.json"
        keep: "{{ keep }}"
        used: "{{ used }}"
"""
ASK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Ask
      wasinn.cluster.model_source_info:
        artifacts: "{{ artifacts }}"
        cache: "{{ root }}/cache"
        mirror: "{{ mirror | default('') }}"
        contexts: {tiny: 512}
        retries: 0
        credentials: "{{ credentials | default({}) }}"
"""


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """``play(text, *options, **variables)``: {task name: result} of the one host, and all output as ["output"]."""
    (tmp_path / "ansible.cfg").touch()  # the user's own must not matter

    def run(text: str, *options: str, ok: bool = True, **variables: Any) -> dict[str, Any]:
        (tmp_path / "play.yml").write_text(text)
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "root": str(tmp_path / "node"),
        }
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        }
        program = Path(sys.executable).parent / "ansible-playbook"
        argv = [
            str(program),
            "-i",
            "host,",
            "-e",
            json.dumps({**known, **variables}),
            str(tmp_path / "play.yml"),
            *options,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
        start = done.stdout.find('{\n    "custom_stats"')  # lines of progress come before
        assert start >= 0, done.stdout + done.stderr
        report = json.loads(done.stdout[start:])
        results = {task["task"]["name"]: task["hosts"].get("host", {}) for task in report["plays"][0]["tasks"]}
        assert (done.returncode == 0) is ok, json.dumps(results, indent=1)
        return {**results, "output": done.stdout + done.stderr}

    return run


@pytest.fixture
def model(tmp_path: Path, gguf: SimpleNamespace) -> Path:
    """A model of some pieces: 12 MB."""
    tensors = (("token_embd.weight", (1024, 3000), 0, 1024 * 3000 * 4),)
    written: Path = gguf.write(tmp_path / "source.gguf", tensors=tensors)
    return written


def described(model: Path) -> dict[str, Any]:
    content = model.read_bytes()
    return {"src": str(model), "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def test_a_model_is_brought_once(play: Any, model: Path, tmp_path: Path) -> None:
    dest = tmp_path / "node/models/tiny.gguf"
    fresh = play(BRING, "--check", "--diff", **described(model))
    assert fresh["Look"]["missing"] == ["tiny"]
    assert fresh["Bring"]["changed"]
    assert f"sha256 {described(model)['sha256']}, 12 MB" in fresh["Bring"]["diff"]["after"]
    assert not (tmp_path / "node").exists()

    first = play(BRING, **described(model))
    assert first["Bring"]["changed"]
    assert first["Bring"]["source"] == "controller"
    assert "host: tiny: 12 MB in " in first["output"]
    assert dest.read_bytes() == model.read_bytes()

    second = play(BRING, **described(model))
    assert (second["Look"]["missing"], second["Look"]["needed"]) == ([], 0)
    assert not second["Bring"]["changed"]


def test_a_cut_copy_is_carried_on(play: Any, model: Path, tmp_path: Path) -> None:
    known = described(model)
    folder = tmp_path / "node/models"
    folder.mkdir(parents=True)
    part = folder / f".tiny.gguf.{known['sha256'][:16]}.part"
    part.write_bytes(model.read_bytes()[:5_000_000])
    result = play(BRING, **known)
    assert result["Look"]["needed"] == known["size"] - 5_000_000
    assert "host: tiny: carrying on at 5 of 12 MB" in result["output"]
    assert (folder / "tiny.gguf").read_bytes() == model.read_bytes()
    assert not part.exists()


def test_a_cut_copy_of_something_else_is_found_out(play: Any, model: Path, tmp_path: Path) -> None:
    known = described(model)
    folder = tmp_path / "node/models"
    folder.mkdir(parents=True)
    (folder / f".tiny.gguf.{known['sha256'][:16]}.part").write_bytes(b"x" * 5_000_000)
    failed = play(BRING, ok=False, **known)
    assert "arrived with sha256" in failed["Bring"]["msg"]
    assert play(BRING, **known)["Bring"]["changed"]


def test_a_disk_that_is_too_small_is_a_finding(play: Any, tmp_path: Path, model: Path) -> None:
    known = {**described(model), "size": 1 << 60}
    (found,) = play(BRING, **known)["Look"]["findings"]
    assert found["check"] == "disk"
    assert "1048576.0 TiB of models are still to come" in found["cause"]


def test_only_what_was_brought_and_nobody_uses_is_pruned(play: Any, model: Path, tmp_path: Path) -> None:
    play(BRING, **described(model))
    folder = tmp_path / "node/models"
    (folder / "somebody-elses.gguf").write_bytes(b"GGUF")
    (folder / ".gone.gguf.0123456789abcdef.part").write_bytes(b"GGUF")
    tiny = str(folder / "tiny.gguf")

    assert play(PRUNE, keep=["tiny.gguf"], used=[])["Prune"]["removed"] == [
        str(folder / ".gone.gguf.0123456789abcdef.part")
    ]
    needed = play(PRUNE, keep=[], used=[tiny])["Prune"]
    assert (needed["changed"], needed["left"]) == (False, {tiny: "needed by the cluster"})
    with open(tiny, "rb"):
        opened = play(PRUNE, keep=[], used=[])["Prune"]
    assert (opened["changed"], list(opened["left"])) == (False, [tiny])
    assert play(PRUNE, "--check", keep=[], used=[])["Prune"]["removed"] == [tiny]
    assert Path(tiny).exists()
    assert play(PRUNE, keep=[], used=[])["Prune"]["removed"] == [tiny]
    assert [path.name for path in folder.iterdir()] == ["somebody-elses.gguf"]
    assert not (tmp_path / "node/models.json").exists()


def test_a_header_is_read_without_the_model(play: Any, tmp_path: Path, gguf: SimpleNamespace) -> None:
    tensors = (("token_embd.weight", (1024, 3000), 0, 1024 * 3000 * 4),)
    content = gguf.write(tmp_path / "model", tensors=tensors).read_bytes()
    with hub({"org/open": Repo({"tiny.gguf": content})}) as models:
        source = {"repo": "org/open", "file": "tiny.gguf", "endpoint": models.url}
        told = play(ASK, artifacts=[{"name": "tiny", "huggingface": source}])["Ask"]["models"]["tiny"]
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert (told["size"], told["reached"], told["in_cache"], told["findings"]) == (len(content), True, False, [])
    assert told["model"]["memory"] == {
        "context": 512,
        "weights": 1024 * 3000 * 4,
        "kv_cache": 2 * 4 * (8 + 8) * 512 * 2,
        "total": 1024 * 3000 * 4 + 2 * 4 * (8 + 8) * 512 * 2,
    }
    assert not list((tmp_path / "node").rglob("tiny.gguf"))


def test_what_stops_a_download_is_told_without_the_token(play: Any) -> None:
    with hub({"org/gated": Repo({"tiny.gguf": b"GGUF"}, gated=True)}) as models:
        source = {"repo": "org/gated", "file": "tiny.gguf", "endpoint": models.url}
        credentials = {models.url.removeprefix("http://"): {"token": "hf_not_allowed"}}
        result = play(ASK, "-vvv", artifacts=[{"name": "tiny", "huggingface": source}], credentials=credentials)
    (found,) = result["Ask"]["models"]["tiny"]["findings"]
    assert found["check"] == "model_source"
    assert "is gated and the account of the token given has not accepted its terms" in found["cause"]
    assert found["remedy"].startswith("Accept the terms")
    assert "hf_not_allowed" not in json.dumps(result["Ask"])
    assert TOKEN not in result["output"]


def test_a_short_file_is_told_before_it_is_fetched(play: Any, tmp_path: Path, gguf: SimpleNamespace) -> None:
    content = gguf.write(tmp_path / "model").read_bytes()
    with hub({"org/open": Repo({"tiny.gguf": content[:-100]})}) as models:
        source = {"repo": "org/open", "file": "tiny.gguf", "endpoint": models.url}
        told = play(ASK, artifacts=[{"name": "tiny", "huggingface": source}])["Ask"]["models"]["tiny"]
    assert [found["check"] for found in told["findings"]] == ["gguf_truncated"]
