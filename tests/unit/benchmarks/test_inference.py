# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inference benchmark makes of streams, logs, /proc and measurements."""

from __future__ import annotations

import json

import pytest
import yaml

from benchmarks.inference import __main__, inside, machine, node, peers, report, starts
from tests.demo import one_node
from tests.machines.scenario import Scenario

SPEC = {
    "runtimeClassName": "wasinn",
    "topologySpreadConstraints": [{}],
    "containers": [
        {
            "image": "server:1",
            "args": ["--ctx-size", "1024"],
            "env": [{"name": "WASMEDGE_WASINN_PRELOAD"}],
            "lifecycle": {"preStop": {"sleep": {"seconds": 30}}},
            "startupProbe": {"periodSeconds": 1},
            "volumeMounts": [{"name": "model"}],
        }
    ],
    "volumes": [{"name": "model"}],
}


def event(text: str | None, usage: dict[str, int] | None = None) -> bytes:
    choices = [] if text is None else [{"delta": {"content": text}}]
    return b"data: " + json.dumps({"choices": choices, "usage": usage}).encode() + b"\n\n"


def test_a_stream_is_timed_from_token_to_token():
    lines = [event("a"), event("b"), event("c"), event(None, {"prompt_tokens": 7, "completion_tokens": 3})]
    marks = [(100.0, 10.0), (300.0, 200.0), (320.0, 215.0), (345.0, 230.0), (999.0, 999.0)]
    assert peers.figures(lines, marks) == {
        "prompt_tokens": 7,
        "tokens": 3,
        "prompt_ms": 200.0,
        "generate_ms": 45.0,  # the usage that comes after the last token takes no part
        "prompt_cpu_ms": 190.0,
        "generate_cpu_ms": 30.0,
        "text": "abc",
    }


@pytest.mark.parametrize("count", [1, 3])
def test_events_that_are_not_tokens_are_refused(count):
    lines = [event("a"), event("b"), event(None, {"prompt_tokens": 7, "completion_tokens": count})]
    with pytest.raises(node.Broken, match="held back"):
        peers.figures(lines, [(0.0, 0.0)] * 4)


class Said:
    """A peer that says what it is told to."""

    def __init__(self, name: str, text: str, asked: list[str]) -> None:
        self.name, self._text, self._asked = name, text, asked

    def ask(self, prompt: str, tokens: int) -> dict[str, object]:
        self._asked.append(f"{self.name} {prompt} {tokens}")
        return {"text": self._text}


def plan(rounds: int) -> inside.Plan:
    return inside.Plan("m", rounds, 64, "short", "long", 1, [], "")


def test_each_round_has_the_other_first_and_the_first_only_warms_up():
    asked: list[str] = []
    lines = list(inside.speed(plan(2), Said("pod", "x", asked), Said("native", "x", asked)))
    assert [(line["round"], line["peer"], line["kind"]) for line in lines] == [
        (number, peer, kind)
        for number, order in ((0, ("native", "pod")), (1, ("pod", "native")))
        for peer in order
        for kind in ("prompt", "generation")
    ]
    assert asked[:4] == ["pod long 2", "pod short 64", "native long 2", "native short 64"]
    assert len(asked) == 12


def test_different_answers_are_no_measurement():
    with pytest.raises(node.Broken, match="not the same work"):
        list(inside.speed(plan(1), Said("pod", "x", []), Said("native", "y", [])))


def test_pods_differ_in_what_is_compared_alone():
    specs = starts.pod_specs(SPEC, "http:1")
    wasm, runc = specs["wasm"], specs["runc"]
    assert (wasm.pop("runtimeClassName"), runc.get("runtimeClassName")) == ("wasinn", None)
    mine, other = wasm["containers"][0], runc["containers"][0]
    assert (mine.pop("image"), other.pop("image")) == ("server:1", "http:1")
    assert (mine.pop("args"), mine.pop("env")[0]["name"]) == (["--ctx-size", "1024"], "WASMEDGE_WASINN_PRELOAD")
    assert wasm == runc
    assert "lifecycle" not in mine and "topologySpreadConstraints" not in wasm
    assert "lifecycle" in SPEC["containers"][0], "the Deployment's own is left alone"


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("2026-11-27T02:30:00.123456789Z", 0.123456), ("2026-11-27T03:30:01.5+01:00", 1.5)],
)
def test_the_log_says_since_when_a_server_listens(stamp, seconds):
    log = f"2026-11-27T02:29:59.1Z stderr F loading\n{stamp} stdout F server: listening on 0.0.0.0:8080\n"
    assert starts.listening_at(log) - 1795746600 == pytest.approx(seconds, abs=1e-5)


def test_a_server_that_never_listened_is_named():
    with pytest.raises(node.Broken, match="never said"):
        starts.listening_at("2026-11-27T02:29:59.1Z stderr F no memory\n")


def process(proc, pid, comm, cmdline, cgroup, smaps):
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "comm").write_text(comm + "\n")
    (folder / "cmdline").write_bytes(cmdline)
    (folder / "cgroup").write_text(f"0::{cgroup}\n")
    (folder / "smaps").write_text(smaps)


def test_memory_is_summed_over_shims_and_pods(tmp_path):
    model = (
        "7f00-7f01 r--s 00000000 08:01 12    /models/x.gguf\nSize: 99 kB\nRss: 2048 kB\nPss: 1024 kB\nPss_Dirty: 5 kB\n"
    )
    heap = "5500-5501 rw-p 00000000 00:00 0    [heap]\nRss: 512 kB\nPss: 512 kB\nVmFlags: rd wr\n"
    process(tmp_path, 1, "systemd", b"init", "/init.scope", heap)
    process(tmp_path, 2, "containerd-shim", b"/usr/bin/containerd-shim-wasmedge-v1\0-id", "/system.slice/k3s", heap)
    process(tmp_path, 3, "containerd-shim", b"/usr/bin/containerd-shim-runc-v2\0-id", "/system.slice/k3s", heap)
    process(tmp_path, 4, "containerd-shim", b"/app.wasm", "/kubepods/burstable/pod1/2", model + heap)
    (tmp_path / "self").mkdir()
    found = node.shims_and_pods(tmp_path)
    assert sorted(folder.name for folder in found) == ["2", "4"]
    assert node.memory_mib(found) == {"pss": 2.0, "rss": 3.0, "model_pss": 1.0, "model_rss": 2.0}


@pytest.mark.parametrize(
    ("marker", "path", "uid"),
    [
        ("", "cpuacct/kubepods/burstable/podab-cd", "ab-cd"),
        ("cgroup.controllers", "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_cd.slice", "ab-cd"),
    ],
)
def test_a_pods_control_group_is_found(tmp_path, monkeypatch, marker, path, uid):
    monkeypatch.setattr(node, "CGROUPS", tmp_path)
    (tmp_path / path / "container").mkdir(parents=True)
    if marker:
        (tmp_path / marker).write_text("cpu memory")
    assert node.cgroup("cpuacct", uid) == tmp_path / path
    with pytest.raises(node.Broken, match="no control group"):
        node.cgroup("cpuacct", "ef-01")


def test_processor_time_and_memory_in_either_version(tmp_path):
    (tmp_path / "cpu.stat").write_text("usage_usec 2500\nuser_usec 2000\n")
    (tmp_path / "memory.current").write_text("2097152\n")
    assert (node.processor_ms(tmp_path), node.charged_mib(tmp_path)) == (2.5, 2.0)
    (tmp_path / "cpuacct.usage").write_text("3000000\n")
    assert node.processor_ms(tmp_path) == 3.0


def run(peer: str, kind: str, number: int, ms: float) -> dict[str, object]:
    times = {"prompt_ms": ms, "generate_ms": ms, "prompt_cpu_ms": ms / 2, "generate_cpu_ms": ms / 2}
    return {"round": number, "peer": peer, "kind": kind, "prompt_tokens": 400, "tokens": 65, **times}


@pytest.fixture
def results() -> report.Results:
    """Three rounds: the pod takes a 50th longer, and in the second everybody is ten times slower."""
    found = report.Results()
    for number, ms in enumerate((1000.0, 10000.0, 1000.0)):
        for kind in report.KINDS:
            found.take(run("native", kind, number, ms))
            found.take(run("pod", kind, number, ms * 1.02))
    for kind, ms in (("wasm", 700.0), ("runc", 500.0)):
        found.take({"start": 0, "kind": kind, "listening_ms": ms, "ready_ms": ms + 900})
    for count in (1, 2):
        sizes = {"pss": 100.0 + 40 * count, "rss": 200.0 * count, "model_pss": 94.0, "model_rss": 94.0 * count}
        found.take({"replicas": count, **sizes, "charged": 60.0 * count, "charged_pods": [60.0] * count})
    return found


def test_ratios_are_those_of_the_rounds(results):
    assert results.rates("native", "generation") == [64.0, 6.4, 64.0]  # 64 of 65 tokens: the first came with the prompt
    assert results.rates("native", "prompt", "cpu_") == [800.0, 80.0, 800.0]
    assert results.ratio("generation") == pytest.approx(1 / 1.02)
    assert report.verdict(results) == "ratio=0.980"


def test_the_error_shrinks_with_the_rounds():
    assert report.error([0.9, 1.1]) == pytest.approx(0.1253, abs=1e-4)
    assert report.error([0.9, 1.1] * 8) == pytest.approx(0.0324, abs=1e-4)
    assert report.error([1.0]) == float("inf")


def test_the_goal_needs_both_rates(results):
    assert report.met(results)
    for line in results.runs["pod", "prompt"]:
        line["prompt_ms"] *= 1.03
    assert not report.met(results)
    assert report.verdict(results) == "ratio=0.980"


def test_the_table_has_every_figure(results):
    text = report.table(results)
    assert "| generation, tokens/s | 62.7 (6.3 to 62.7) | 64.0 (6.4 to 64.0) | 0.980 ± 0.000 (0.980 to 0.980) |" in text
    assert "| to Ready | 1,600.0 (1,600.0 to 1,600.0) | 1,400.0 (1,400.0 to 1,400.0) |" in text
    assert "| PSS of all pods' processes and their shims | 140.0 | 180.0 | 40.0 |" in text
    assert "| of it the model's file, RSS | 94.0 | 188.0 | 94.0 |" in text


def test_the_picture_is_drawn(results, tmp_path):
    assert [path.name for path in report.draw(results, tmp_path)] == ["inference.png", "inference.svg"]
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())


def test_the_cluster_has_one_model_with_the_programs_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(one_node, "CACHE", tmp_path)
    folder, model = machine._inventory(Scenario("bench-inference", "10.213.28", ("node1",)), 3)
    variables = yaml.safe_load((folder / "group_vars" / "k3s_cluster.yml").read_text())
    (entry,) = variables["models_catalogue"]
    assert (entry["name"], entry["server"]["threads"], variables["balancer_state"]) == (model, 3, "absent")
    # What the program is told besides has to be what the pod has.
    assert entry["context"] == __main__.CONTEXT
    assert entry["url"].rpartition("/")[2] == __main__.MODEL_FILE.rpartition("/")[2]
    hosts = json.loads((folder / "hosts.json").read_text())["all"]["children"]["k3s_cluster"]
    assert hosts["children"]["k3s_server"]["hosts"] == {"node1": {"ansible_host": "10.213.28.11"}}


def test_measurements_are_told_in_a_line(results):
    run = results.runs["pod", "prompt"][0]
    assert __main__.told(run) == "round  0  prompt      pod       392.2 tokens/s"
    assert "listening    700 ms  Ready   1600 ms" in __main__.told(results.starts["wasm"][0])
    assert "replicas 2  PSS 180 MiB" in __main__.told(results.replicas[2])
