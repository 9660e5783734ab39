# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of clusters in every state, written by the module in real plays on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report import document as report
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report import history
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report.render import bars, cell, lines, render

from tests.report_data import data, endpoints, made, node, phase, pod, probe, replica

ROOT = Path(report.__file__).parents[3]
COLLECTIONS = ROOT.parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Report
      wasinn.cluster.cluster_report: "{{ given }}"
      register: made
    - ansible.builtin.copy:
        content: "{{ made | to_json }}"
        dest: "{{ out }}"
      check_mode: false
"""


def checks(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["severity"], each["check"]) for each in document["findings"]]


def test_a_healthy_cluster_passes():
    document = made()
    assert document["findings"] == []
    assert document["verdict"]["passed"]
    assert document["verdict"]["sentence"] == "Everything passed: 1 node, 1 pod, 1 model, 30 of 30 requests answered."
    (row,) = document["pods"]
    assert (row["ready"], row["age_seconds"]) == ("1/1", 3 * 3600)
    assert document["nodes"][0]["usage"] == {"cpu": "150m", "memory": "2Gi"}


WAITING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
OOM = {"lastState": {"terminated": {"reason": "OOMKilled"}}}
FOUND = {"check": "gguf_truncated", "cause": "m.gguf ends early.", "remedy": "Copy it again."}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"nodes": [node(ready="Unknown")]}, [("error", "node_not_ready")]),
        ({"nodes": [node(DiskPressure="True")]}, [("error", "node_pressure")]),
        ({"nodes": [node(verified="")]}, [("error", "node_unverified")]),
        ({"nodes": [{**node(), "spec": {"unschedulable": True}}]}, [("warning", "node_cordoned")]),
        ({"pods": [pod(ready=False, **WAITING)]}, [("error", "pod_not_ready")]),
        ({"pods": [pod(phase="Pending", ready=False)]}, [("error", "pod_not_ready")]),
        ({"pods": [pod(restarts=6)]}, [("warning", "pod_restarts")]),
        ({"pods": [pod(restarts=1, **OOM)]}, [("warning", "pod_oom")]),
        ({"pods": [pod(phase="Succeeded", ready=False)]}, []),
        ({"endpoint_slices": [endpoints("smollm2", False, False)]}, [("error", "service_not_ready")]),
        ({"endpoint_slices": []}, [("warning", "service_empty")]),
        (
            {"balancer": {"replicas": [replica(state="ejected"), replica("b2", "ejected")]}},
            [("warning", "balancer_ejected")],
        ),
        ({"balancer": {"replicas": [{**replica(), "status": {}}]}}, [("warning", "balancer_silent")]),
        ({"balancer": {"replicas": [replica(pools=[])]}}, []),
        ({"probes": {"node1": [probe(findings=[FOUND])]}}, [("error", "gguf_truncated")]),
        ({"probes": {"node1": [probe(29, baseline={"tokens_per_second": 60})]}}, [("warning", "probe_slow")]),
        ({"probes": {"node1": [probe(31, baseline={"tokens_per_second": 60})]}}, []),
        ({"findings": [{**FOUND, "subject": "node9"}]}, [("error", "gguf_truncated")]),
        ({"load": {"phases": [], "shares": [], "findings": [FOUND]}}, [("error", "gguf_truncated")]),
    ],
)
def test_each_fault_is_a_finding(given, expected):
    document = made(**given)
    assert checks(document) == expected
    assert document["verdict"]["passed"] == all(severity == "warning" for severity, _check in expected)
    assert all(each["cause"] and each["remedy"] for each in document["findings"])


def test_a_pods_reason_has_its_own_remedy():
    (found,) = made(pods=[pod(ready=False, **WAITING)])["findings"]
    assert "0/1 containers, CrashLoopBackOff" in found["cause"]
    assert "logs --previous" in found["remedy"]


def test_a_node_slower_than_half_of_its_peers_is_told():
    names = ("node1", "node2", "node3")
    speeds = dict(zip(names, (60.0, 25.0, 70.0), strict=True))
    document = made(
        nodes=[node(name) for name in names],
        probes={name: [probe(speed)] for name, speed in speeds.items()},
        runtimes={},
    )
    (found,) = document["findings"]
    assert (found["check"], found["subject"], found["severity"]) == ("probe_slow", "node2", "warning")


def test_what_two_sources_found_is_told_once():
    assert checks(made(probes={"node1": [probe(findings=[FOUND])]}, findings=[FOUND])) == [("error", "gguf_truncated")]


def test_warnings_of_kubernetes_are_grouped():
    about = {
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "llamaedge"},
        "reason": "Unhealthy",
        "message": "no",
    }
    events = [
        {"type": "Warning", **about, "count": 3, "lastTimestamp": "2026-11-24T08:00:00Z"},
        {"type": "Warning", **about, "series": {"count": 2}, "lastTimestamp": "2026-11-24T08:30:00Z"},
        {"type": "Warning", **about, "reason": "Failed", "eventTime": "2026-11-24T08:10:00Z"},
        {"type": "Normal", **about},
    ]
    rows = made(events=events)["events"]
    assert [(row["reason"], row["count"], row["last"][11:16]) for row in rows] == [
        ("Unhealthy", 5, "08:30"),
        ("Failed", 1, "08:10"),
    ]


EMPTY: dict[str, Any] = {
    name: [] for name in ("nodes", "pods", "services", "endpoint_slices", "answers", "node_metrics")
} | {name: {} for name in ("probes", "runtimes", "balancer", "load")}


SILENT = {"balancer": {"replicas": [{**replica(), "status": {}}, replica(state="ejected")]}}


def test_each_replica_of_the_balancer_shows_its_queues_and_endpoints():
    (row,) = made()["balancer"]["replicas"][0]["pools"]
    assert (row["weight"], row["in_flight"], row["waiting"], row["queue_limit"], row["requests"]) == (2, 1, 3, 64, 35)
    assert (row["endpoints"][0]["pod"], row["endpoints"][0]["state"]) == ("smollm2-1", "ready")
    shown = "| balancer-1 | smollm2 | smollm2 | 2 | 1 | 3 of 64 | 35 | 0 | 10.42.0.9:8080 ready, 0 of 1 |"
    assert shown in render("markdown", made()).splitlines()
    assert '<td class="n">3 of 64</td>' in render("html", made())
    assert "NO ANSWER" in render("markdown", made(**SILENT))


@pytest.mark.parametrize(
    "given",
    [{}, EMPTY, {"pods": [pod(ready=False, **WAITING)]}, SILENT],
    ids=["healthy", "empty", "failed", "silent"],
)
def test_every_document_keeps_to_the_schema(given):
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(render("json", made(**given))), schema)


def test_a_pod_with_two_address_families_is_one_endpoint():
    families = [
        {
            **endpoints("smollm2"),
            "endpoints": [{"addresses": [address], "targetRef": {"name": "pod"}, "conditions": {"ready": True}}],
        }
        for address in ("10.42.0.5", "fd00::5")
    ]
    (service,) = made(endpoint_slices=families)["services"]
    assert (service["endpoints"], service["ready_endpoints"]) == (1, 1)


@pytest.mark.parametrize("form", ["markdown", "json", "html"])
def test_characters_that_steer_terminals_or_cannot_be_written_are_replaced(form):
    answer = {**data()["answers"][0], "model": "m\x1b[2J", "content": "\ud800\x00 fine\n\u00e9"}
    text = render(form, made(answers=[answer], findings=[{**FOUND, "cause": "\x1b]0;x\x07 ends."}]))
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "\u00e9" in text


def test_a_line_of_the_history_with_what_is_no_number_is_dropped(tmp_path):
    good = {"passed": True, "generated": "2026-11-24T09:00:00Z", "p95_ms": 1.5}
    lines = [json.dumps({**good, "p95_ms": value}) for value in (1.5, float("inf"), float("nan"))]
    (tmp_path / history.NAME).write_text("\n".join(lines), encoding="utf-8")
    runs, damaged = history.read(tmp_path)
    assert ([run["p95_ms"] for run in runs], damaged) == ([1.5], 2)


class Page(HTMLParser):
    """Which elements and links a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [str(value) for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("given", [{}, EMPTY, SILENT], ids=["healthy", "empty", "silent"])
def test_the_page_needs_nothing_else(given):
    page = Page(render("html", made(**given)))
    assert page.open == []
    assert page.links == [] and "script" not in page.tags


def test_hostile_text_stays_text():
    said = "<script>alert(1)</script> | a `b`\n# c"
    answers = [{"model": "m", "nodes": ["n"], "asker": "n", "content": said, "latency_s": 1, "tokens": 1}]
    document = made(answers=answers, pods=[pod("<img src=x>")])
    page = Page(render("html", document))
    assert "script" not in page.tags and "img" not in page.tags
    markdown = render("markdown", document)
    row = next(line for line in markdown.splitlines() if "alert" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    assert r"\<script\>alert(1)\</script\> \| a \`b\` # c" in row


def test_markdown_tables_have_a_row_a_line():
    markdown = render("markdown", made(probes={"node1": [probe(), probe(model="other")]}, **SILENT))
    for table in re.split(r"\n\n", markdown):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(columns) <= 1, table


def test_drawings():
    rows = bars([phase()])
    assert [row["width"] for row in rows if row["kind"] == "answer"] == [50, 95, 100]
    assert bars([phase(latency_ms={}, first_token_ms={})]) == []
    runs = [{"p95_ms": 10, "errors": 0}, {"p95_ms": None, "errors": 0}, {"p95_ms": 20, "errors": 0}]
    assert [(line["title"], line["first"], line["last"]) for line in lines(runs)] == [
        ("p95 latency, ms", 10, 20),
        ("errors", 0, 0),
    ]
    assert cell("a|b\nc") == r"a\|b c"


def play(tmp_path: Path, given: dict[str, Any], *args: str) -> dict[str, Any]:
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "vars.json").write_text(json.dumps({"given": given, "out": str(tmp_path / "out.json")}))
    (tmp_path / "out.json").unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", *args]
    run = subprocess.run(
        [*command, "-e", f"@{tmp_path / 'vars.json'}", str(tmp_path / "play.yml")],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads((tmp_path / "out.json").read_text()) if (tmp_path / "out.json").exists() else {}
    return {**result, "rc": run.returncode, "output": run.stdout + run.stderr}


def test_a_play_writes_three_files_and_a_history(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "history.jsonl").write_text('{"generated": "2026-11-23T09:00:00Z", "passed": true}\n{"half\n')
    given = {**data(), "dest": str(folder), "history": 2}
    first = play(tmp_path, given)
    assert first["rc"] == 0, first["output"]
    assert first["passed"] and first["changed"] and "1 damaged lines" in first["output"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.jsonl",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert len(json.loads((folder / "report.json").read_text())["history"]) == 2
    play(tmp_path, {**given, "pods": [pod(ready=False)]})
    runs = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [run["passed"] for run in runs] == [True, False]
    assert runs[0]["p95_ms"] == 1900.0


def test_a_bad_verdict_fails_after_the_files_are_written(tmp_path):
    given = {**data(pods=[pod(ready=False)]), "dest": str(tmp_path / "report"), "fail_on_findings": True}
    result = play(tmp_path, given)
    assert result["rc"] != 0
    assert "The cluster did not pass: 1 error; the first: Pod llamaedge/smollm2-1 is not ready" in result["output"]
    assert (tmp_path / "report" / "report.html").exists()


def test_check_mode_writes_nothing(tmp_path):
    result = play(tmp_path, {**data(), "dest": str(tmp_path / "report")}, "--check")
    assert result["rc"] == 0 and result["passed"]
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    result = play(tmp_path, {**data(), "dest": str(tmp_path / "file")})
    assert result["rc"] != 0
    assert f"The report cannot be written to {tmp_path / 'file'}: " in result["output"]


def test_prometheus_reads_the_figures():
    text = render("prometheus", made(nodes=[node('a"b'), node("c", ready="False")], probes={"c": [probe(41.5)]}))
    labels = r'\{(\w+="([^"\\]|\\.)*",?)+\}'
    line = re.compile(rf"# (HELP|TYPE) wasinn_report_\w+ .+|wasinn_report_\w+({labels})? [-0-9.e+]+")
    assert all(line.fullmatch(each) for each in text.splitlines())
    assert 'wasinn_report_node_ready{node="a\\"b"} 1.0' in text
    assert 'wasinn_report_node_ready{node="c"} 0.0' in text
    assert "wasinn_report_passed 0.0" in text
    assert 'wasinn_report_probe_tokens_per_second{node="c",model="smollm2"} 41.5' in text
    assert 'wasinn_report_load_latency_seconds{phase="concurrent",quantile="0.95"} 1.9' in text
    families = re.findall(r"# TYPE (\w+)", text)
    assert len(families) == len(set(families)) == 11
    assert "model_share" not in render("prometheus", made(**EMPTY))
