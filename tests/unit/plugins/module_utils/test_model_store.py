# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model files on a node: verified before they have their name, known again without reading them, given to other nodes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import model_peer_server, model_store
from ansible_collections.wasinn.cluster.plugins.module_utils.file_users import users_of
from ansible_collections.wasinn.cluster.plugins.module_utils.model_peer_client import Pulled, pull
from ansible_collections.wasinn.cluster.plugins.module_utils.model_peer_server import Server, proof
from ansible_collections.wasinn.cluster.plugins.module_utils.model_store import ModelFile, Register, StoreError

SECRET = "of this run"


@pytest.fixture
def content(tmp_path: Path, gguf: SimpleNamespace) -> bytes:
    return gguf.write(tmp_path / "source.gguf").read_bytes()


def wanted(tmp_path: Path, content: bytes) -> ModelFile:
    folder = tmp_path / "models"
    return ModelFile(folder / "tiny.gguf", hashlib.sha256(content).hexdigest(), Register(tmp_path / "models.json"))


@pytest.fixture
def file(tmp_path: Path, content: bytes) -> ModelFile:
    return wanted(tmp_path, content)


def bring(file: ModelFile, content: bytes) -> None:
    file.prepare(len(content))
    file.part.write_bytes(content)
    file.finish()


def test_a_file_gets_its_name_when_it_is_right(file: ModelFile, content: bytes) -> None:
    assert file.look().state == "missing"
    bring(file, content)
    assert file.look().state == "present"
    assert file.path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.path.parent.iterdir()] == ["tiny.gguf"]
    assert file.register.entries()[str(file.path)].brought


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda content: content[:-1] + b"x",
            r"arrived with sha256 [0-9a-f]{64} \(\d+ bytes\) instead of .* thrown away; run again",
        ),
        (lambda content: content[:-7], "arrived with sha256"),
    ],
)
def test_what_arrives_damaged_is_thrown_away(
    file: ModelFile, content: bytes, change: Callable[[bytes], bytes], expected: str
) -> None:
    with pytest.raises(StoreError, match=expected):
        bring(file, change(content))
    assert list(file.path.parent.iterdir()) == []


def test_the_right_checksum_of_something_else_is_no_model(tmp_path: Path) -> None:
    file = wanted(tmp_path, b"<html>Please log in</html>")
    with pytest.raises(StoreError, match="is no GGUF model"):
        bring(file, b"<html>Please log in</html>")
    assert list(file.path.parent.iterdir()) == []


def test_an_unfinished_copy_stays_and_one_of_another_version_goes(file: ModelFile, content: bytes) -> None:
    file.prepare(len(content))
    file.part.write_bytes(content[:100])
    other = file.part.with_name(".tiny.gguf.0123456789abcdef.part")
    other.write_bytes(b"of an older version")
    assert file.prepare(len(content)).part == 100
    assert not other.exists()


def test_a_verified_file_is_not_read_again(file: ModelFile, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(file, content)
    monkeypatch.setattr(model_store, "sha256_file", lambda path: pytest.fail(f"{path} was read"))
    assert file.look().state == "present"


def test_a_file_from_elsewhere_is_verified_but_not_ours(file: ModelFile, content: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    assert file.look(record=False).state == "present"
    assert not file.register.path.exists()
    assert file.look().state == "present"
    assert not file.register.entries()[str(file.path)].brought


def test_a_changed_file_is_noticed(file: ModelFile, content: bytes) -> None:
    bring(file, content)
    os.truncate(file.path, 100)
    state = file.look()
    assert (state.state, state.sha256) == ("other", hashlib.sha256(content[:100]).hexdigest())


def test_the_disk_is_asked_before_anything_is_written(file: ModelFile) -> None:
    with pytest.raises(StoreError, match=r"MB are needed in .*models for tiny\.gguf but .* are free; free some space"):
        file.prepare(1 << 60)


def test_a_damaged_register_costs_a_reading_only(file: ModelFile, content: bytes) -> None:
    bring(file, content)
    file.register.path.write_text("{")
    assert file.look().state == "present"


def test_the_register_goes_with_its_last_entry(file: ModelFile, content: bytes, tmp_path: Path) -> None:
    bring(file, content)
    file.register.forget([file.path])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "source.gguf"]


def _finish(file: ModelFile, results: multiprocessing.Queue[str]) -> None:
    try:
        file.finish()
        results.put("")
    except StoreError as exc:
        results.put(str(exc))


def test_two_runs_that_finish_the_same_copy(file: ModelFile, content: bytes) -> None:
    file.prepare(len(content))
    file.part.write_bytes(content)
    results: multiprocessing.Queue[str] = multiprocessing.Queue()
    runs = [multiprocessing.Process(target=_finish, args=(file, results)) for _run in range(4)]
    for run in runs:
        run.start()
    assert [results.get(timeout=30) for _run in runs] == [""] * 4
    assert file.look().state == "present"


# -- giving and getting ------------------------------------------------------------------------------------------------


@pytest.fixture
def giver(file: ModelFile) -> Iterator[Server]:
    config = {"secret": SECRET, "port": 0, "fan_out": 2, "files": {file.sha256: str(file.path)}}
    server = Server({**config, "register": str(file.register.path)}, "127.0.0.1")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def get(
    giver: Server, file: ModelFile, part: Path, *, secret: str = SECRET, seconds: float = 1, size: int = 0
) -> Pulled:
    part.touch()
    return pull(part, file.sha256, size, [f"127.0.0.1:{giver.server_port}"], secret, seconds)


def test_a_node_gives_what_it_has_verified(giver: Server, file: ModelFile, content: bytes, tmp_path: Path) -> None:
    part = tmp_path / "part"
    nothing = get(giver, file, part)
    assert (nothing.done, nothing.alive) == (0, False)
    assert list(nothing.refusals.values()) == ["has no verified copy yet"]

    bring(file, content)
    part.write_bytes(content[:10])
    got = get(giver, file, part, seconds=10)
    assert (got.complete, got.done, got.size) == (True, len(content), len(content))
    assert part.read_bytes() == content

    os.truncate(file.path, 50)  # not what was verified any more
    part.write_bytes(b"")
    assert not get(giver, file, part).complete


def test_a_node_gives_nothing_to_strangers(giver: Server, file: ModelFile, content: bytes, tmp_path: Path) -> None:
    bring(file, content)
    got = get(giver, file, tmp_path / "part", secret="another")
    assert (got.done, list(got.refusals.values())) == (0, ["refuses this run's secret"])
    for path in (f"/{file.sha256}", "/../../etc/passwd", "/"):
        signed = {"Authorization": proof(SECRET, path)} if path != f"/{file.sha256}" else {}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{giver.server_port}{path}", headers=signed), timeout=5
            )
        assert refused.value.code == (403 if not signed else 404)


def test_a_busy_node_is_alive(giver: Server, file: ModelFile, content: bytes, tmp_path: Path) -> None:
    bring(file, content)
    while giver.places.acquire(blocking=False):
        pass
    waiting = get(giver, file, tmp_path / "part")
    assert (waiting.done, waiting.alive, waiting.complete) == (0, True, False)
    giver.places.release()
    assert get(giver, file, tmp_path / "part", seconds=10).complete


def test_a_node_that_is_gone(file: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "part").touch()
    gone = pull(tmp_path / "part", file.sha256, 10, ["127.0.0.1:9", "[::1]:9"], SECRET, 0.5)
    assert (gone.alive, gone.complete) == (False, False)
    assert all(reason.startswith("cannot be reached") for reason in gone.refusals.values())
    assert len(gone.refusals) == 2


def test_the_server_is_a_program_of_its_own(file: ModelFile, content: bytes, tmp_path: Path) -> None:
    bring(file, content)
    config = {"secret": SECRET, "port": 0, "fan_out": 2, "files": {}, "register": str(file.register.path)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    program = tmp_path / "server.py"
    program.write_text(Path(model_peer_server.__file__).read_text())
    with subprocess.Popen(
        [sys.executable, "-I", str(program), str(tmp_path / "config.json")], stderr=subprocess.PIPE, text=True
    ) as child:
        time.sleep(1)
        running = child.poll() is None
        child.terminate()
        assert running, child.stderr.read() if child.stderr else ""


# -- who uses a file ---------------------------------------------------------------------------------------------------


def test_an_open_file_is_in_use(tmp_path: Path) -> None:
    used, unused = tmp_path / "used", tmp_path / "unused"
    used.touch()
    unused.touch()
    with used.open():
        assert list(users_of([used, unused, tmp_path / "none"])) == [used]
    assert users_of([used]) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting is for root")
def test_a_mounted_file_is_in_use(tmp_path: Path) -> None:
    used, point = tmp_path / "a model.gguf", tmp_path / "in the pod"
    used.touch()
    point.touch()
    script = 'mount --bind "$1" "$2" && echo mounted && exec sleep 60'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "-", str(used), str(point)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as pod:
        assert pod.stdout is not None
        assert pod.stdout.readline() == "mounted\n"
        found = users_of([used])
        pod.terminate()
    assert list(found) == [used]
    assert "mounted in the container of sleep" in found[used]
