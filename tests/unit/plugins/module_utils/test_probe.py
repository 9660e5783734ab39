# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe's handling of commands: small scripts stand where wasmedge and ctr would, to fail in every way.

That the real ones answer is shown by the journey tests, which run them on nodes.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.containerd import Ctr
from ansible_collections.wasinn.cluster.plugins.module_utils.probe import (
    LOADING,
    Container,
    Outcome,
    Program,
    Question,
    cgroup_peak,
    check_names,
    execute,
    gpu_idle,
    parse_answer,
    process_peak,
    report,
)

ANSWER = {"text": " Paris.", "tokens_per_second": 30.0, "load_ms": 300.0}

#: A ctr that has one image and runs it; what it is told goes to a log beside it.
CTR = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/log"
shift 4
case "$1 $2" in
  "images ls") printf 'REF TYPE DIGEST SIZE PLATFORMS LABELS\\n'
    printf 'wasinn.local/probe:0.1.0 application/x sha256:index 212.3 KiB wasip1/wasm -\\n' ;;
  "content get") cat "$here/blobs/$3" ;;
  "containers ls") cat "$here/containers" 2>/dev/null ;;
  "containers rm") rm -f "$here/containers" ;;
  "tasks "*) ;;
  run\\ *) . "$here/run" ;;
esac
"""
BLOBS = {
    "sha256:index": {"manifests": [{"digest": "sha256:manifest"}]},
    "sha256:manifest": {"config": {"digest": "sha256:config"}},
    "sha256:config": {"config": {"Entrypoint": ["/wasinn-probe.wasm"]}},
}


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def only(outcome: dict[str, Any]) -> dict[str, str]:
    (item,) = outcome["findings"]
    return item


@pytest.fixture
def question(tmp_path: Path) -> Question:
    return Question(model=str(tmp_path / "m.gguf"), prompt="The capital of France is", timeout=20)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "probe.wasm").write_bytes(b"\0asm")
    script(tmp_path / "wasmedge", f"#!/bin/sh\necho noise\necho '{json.dumps(ANSWER)}'\necho said >&2\n")
    return Program(str(tmp_path / "wasmedge"), str(tmp_path / "probe.wasm"), "/plugins")


@pytest.fixture
def container(tmp_path: Path, monkeypatch) -> Container:
    (tmp_path / "blobs").mkdir()
    for name, document in BLOBS.items():
        (tmp_path / "blobs" / name).write_text(json.dumps(document))
    (tmp_path / "run").write_text(f"echo '{json.dumps(ANSWER)}'")
    script(tmp_path / "ctr", CTR)
    bound = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    bound.bind("s")
    bound.close()
    return Container(Ctr(str(tmp_path / "s"), "wasinn", (str(tmp_path / "ctr"),)), "wasinn.local/probe:0.1.0")


def log(container: Container) -> str:
    return Path(container.ctr.command[0]).with_name("log").read_text()


def test_program_answers(program: Program, question: Question) -> None:
    answer = report(program.ask(question), question, "Paris")
    assert answer["findings"] == []
    assert answer["text"] == " Paris."
    assert answer["stderr_tail"] == "said\n"
    assert f"default:GGML:AUTO:{question.model}" in answer["command"]


def test_another_answer_than_expected(program: Program, question: Question) -> None:
    item = only(report(program.ask(question), question, "Berlin"))
    assert item["check"] == "answer"
    assert "' Paris.'" in item["cause"]


@pytest.mark.parametrize(
    ("said", "device", "check"),
    [
        ("llm_load_tensors: offloaded 31/31 layers to GPU", "GPU", None),
        ("llm_load_tensors: offloaded 0/31 layers to GPU", "unknown", "gpu_not_used"),
        # A CUDA build without a device says both (llama.cpp of September 2024, tried).
        (
            "ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version\n"
            "llm_load_tensors: offloaded 31/31 layers to GPU",
            "unknown",
            "cuda_driver",
        ),
        ("ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected", "unknown", "cuda_missing"),
    ],
)
def test_a_model_that_is_to_be_on_the_gpu(question: Question, said: str, device: str, check: str | None) -> None:
    question = replace(question, device="GPU")
    assert question.arguments()[-2:] == ["--gpu-layers", "999"]
    answer = report(Outcome(["x"], code=0, stdout=json.dumps(ANSWER), stderr=said), question)
    assert answer["device"] == device
    assert [item["check"] for item in answer["findings"]] == ([check] if check else [])


NO_DEVICE = "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected"
ALL, NONE = (f"llm_load_tensors: offloaded {count}/31 layers to GPU" for count in (31, 0))


@pytest.mark.parametrize(
    ("log", "cuda", "cause"),
    [
        (ALL, True, None),
        (ALL, None, None),
        (NONE, True, "put no layer on one."),
        (f"{NO_DEVICE}\n{ALL}\n", True, "The plugin finds no GPU it can use."),
        ("listening", True, None),  # the lines are gone, or the server wants none of them
        ("listening", None, None),
        ("listening", False, "put no layer on one."),
        (f"{ALL}\n{'x' * LOADING}{NO_DEVICE}", True, None),  # somebody asked about it
    ],
)
def test_a_server_that_leaves_its_gpu_alone(log: str, cuda: bool | None, cause: str | None) -> None:
    found = gpu_idle("large", log, cuda)
    assert [item["check"] for item in found] == (["gpu_not_used"] if cause else [])
    assert not cause or cause in found[0]["cause"]


def test_known_failure(program: Program, question: Question) -> None:
    script(Path(program.wasmedge), "#!/bin/sh\necho 'unknown option: nn-preload'\nexit 1\n")
    assert only(report(program.ask(question), question))["check"] == "plugin_not_loaded"


def test_what_the_shim_said_comes_first(container: Container, tmp_path: Path, question: Question) -> None:
    """As seen on a node with a plugin of another API version."""
    said = (
        "containerd-shim-wasmedge: unknown import: /wasinn-probe.wasm imports wasi_ephemeral_nn, which nothing on this "
        "node provides: plugin p.so: it has plugin API version 3, but WasmEdge 0.14.1 takes 4 only; install the plugin "
        "of WasmEdge 0.14.1"
    )
    (tmp_path / "run").write_text(f"echo '{said}' >&2; exit 125")
    item = only(report(container.ask(question), question))
    assert item["check"] == "plugin_api"
    assert item["cause"].startswith("Unknown import: /wasinn-probe.wasm imports wasi_ephemeral_nn")
    assert item["cause"].endswith("takes 4 only.")
    assert item["remedy"] == "Install the plugin of WasmEdge 0.14.1."
    (tmp_path / "run").write_text("echo 'containerd-shim-wasmedge: no good' >&2; exit 125")
    item = only(report(container.ask(question), question))
    assert (item["check"], item["cause"]) == ("shim_refused", "No good.")


def test_unknown_failure_tells_the_last_line(program: Program, question: Question) -> None:
    script(Path(program.wasmedge), "#!/bin/sh\necho first >&2\necho what now. >&2\nexit 3\n")
    item = only(report(program.ask(question), question))
    assert item["check"] == "probe_failed"
    assert "status 3: first what now" in item["cause"]


@pytest.mark.parametrize(
    ("end", "check"),
    [
        ("kill -9 $$", "memory_killed"),
        ("exit 137", "memory_killed"),
        ("kill -ILL $$", "cpu_instructions"),
        ("kill -BUS $$", "mapped_file_cut"),
    ],
)
def test_an_end_by_a_signal(program: Program, question: Question, end: str, check: str) -> None:
    script(Path(program.wasmedge), f"#!/bin/sh\necho loading the model\n{end}\n")
    assert only(report(program.ask(question), question))["check"] == check


def test_success_without_an_answer(program: Program, question: Question) -> None:
    script(Path(program.wasmedge), "#!/bin/sh\nexit 0\n")
    assert only(report(program.ask(question), question))["check"] == "probe_failed"


def test_program_or_module_missing(program: Program, question: Question) -> None:
    os.unlink(program.wasmedge)
    assert only(report(program.ask(question), question))["check"] == "program_missing"
    os.unlink(program.module)
    item = only(report(program.ask(question), question))
    assert item["check"] == "probe_module"
    assert "wasinn.cluster.verify" in item["remedy"]


def test_timeout_ends_the_whole_group(tmp_path: Path, monkeypatch, question: Question) -> None:
    hang = script(tmp_path / "hang", "#!/bin/sh\nsleep 300 & echo $! > child; wait\n")
    started = time.monotonic()
    monkeypatch.chdir(tmp_path)
    outcome = execute([str(hang)], 1)
    assert time.monotonic() - started < 10
    assert outcome.code is None
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()
    item = only(report(outcome, question))
    assert item["check"] == "timeout"
    assert question.model in item["cause"]


def test_container_gets_its_model_and_nothing_else(container: Container, question: Question) -> None:
    answer = report(container.ask(question), question, "Paris")
    assert answer["findings"] == []
    command = " ".join(answer["command"])
    folder = os.path.dirname(question.model)
    assert f"--mount type=bind,src={folder},dst=/models,options=rbind:ro" in command
    assert command.count("--mount") == 1
    assert "--env WASMEDGE_WASINN_PRELOAD=default:GGML:AUTO:/models/m.gguf" in command
    assert "/wasinn-probe.wasm --prompt The capital of France is --max-tokens 16 --alias default" in command


def test_the_shim_by_its_path(container: Container, question: Question) -> None:
    named = " ".join(replace(container, runtime="/usr/local/bin/shim").ask(question).command)
    assert "--runtime /usr/local/bin/shim --mount" in named
    assert "--runtime io.containerd.wasmedge.v1 --mount" in " ".join(container.ask(question).command)


def test_names_of_containers_are_unique(container: Container, question: Question) -> None:
    commands = [container.ask(question).command for _turn in range(3)]
    assert len({command[command.index(container.image) + 1] for command in commands}) == 3


def test_image_missing(container: Container, question: Question) -> None:
    other = Container(container.ctr, "wasinn.local/probe:9")
    item = only(report(other.ask(question), question))
    assert item["check"] == "image_missing"
    assert "wasinn.local/probe:9" in item["cause"]


def test_containerd_missing(container: Container, question: Question) -> None:
    os.unlink(container.ctr.address)
    item = only(report(container.ask(question), question))
    assert item["check"] == "containerd"
    assert container.ctr.address in item["cause"]


def test_container_that_hangs_is_taken_away(container: Container, tmp_path: Path) -> None:
    (tmp_path / "run").write_text(
        'for word in "$@"; do case $word in wasinn-probe-*) echo $word > containers;; esac; done\nsleep 300'
    )
    question = Question(model="/m.gguf", prompt="x", timeout=1)
    assert only(report(container.ask(question), question))["check"] == "timeout"
    assert not (tmp_path / "containers").exists()
    assert "tasks kill --signal SIGKILL wasinn-probe-" in log(container)
    assert "tasks rm --force wasinn-probe-" in log(container)


@pytest.mark.parametrize("name", ["a:b.gguf", "a;b.gguf", "a b.gguf"])
def test_names_a_preload_cannot_hold(name: str) -> None:
    assert check_names(Question(model=f"/models/{name}", prompt="x"))[0]["check"] == "preload_form"
    assert check_names(Question(model="/models/SmolLM2-135M.Q4_1.gguf", prompt="x")) == []


def test_answer_among_other_lines() -> None:
    assert parse_answer('{"no": 1}\n{"text": "a"}\n{broken\nnoise') == {"text": "a"}
    assert parse_answer("") == {}


def test_long_outputs_are_cut(question: Question) -> None:
    outcome = Outcome(["x"], code=1, stderr="x" * 100_000 + "\nthe end")
    answer = report(outcome, question)
    assert len(answer["stderr_tail"]) == 4000
    assert answer["stderr_tail"].endswith("the end")


def test_memory_is_read_while_the_command_runs(tmp_path: Path) -> None:
    """The page cache and the cgroup go with the process: a figure read afterwards would be 0."""
    seen = iter([5, 9, 7])
    outcome = execute(["sleep", "0.6"], 20, memory=lambda _pid: next(seen, 1))
    assert (outcome.code, outcome.peak_memory_bytes) == (0, 9)
    fill = "import time; held = b'x' * (64 << 20); time.sleep(0.5)"
    assert execute(["python3", "-c", fill], 20, memory=process_peak).peak_memory_bytes > 64 << 20
    assert process_peak(2**22 + 1) == 0


def test_output_is_whole_however_often_memory_is_looked_at() -> None:
    outcome = execute(["sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.15; done"], 20, memory=lambda _pid: 1)
    assert outcome.stdout == "1\n2\n3\n4\n"


@pytest.mark.parametrize(
    "name", ["wasinn/p/memory.peak", "memory/wasinn/p/memory.max_usage_in_bytes", "wasinn/p/memory.current"]
)
def test_a_cgroups_peak_is_found_in_both_versions(tmp_path: Path, name: str) -> None:
    assert cgroup_peak("wasinn/p", str(tmp_path)) == 0
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("1234\n")
    assert cgroup_peak("wasinn/p", str(tmp_path)) == 1234
