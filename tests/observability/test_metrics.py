# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancer tells Prometheus, asked by a real Prometheus with the dashboard's own questions."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.machines.shell import REPO
from tests.observability.balancer import HOST, TOKEN, Balancer, ask, free_port
from tests.observability.test_alerts import RULES
from tests.observability.upstream import USAGE, WORDS, Upstream

DASHBOARD = REPO / "roles" / "balancer" / "files" / "dashboard.json"
PAGE = REPO / "docs" / "observability.md"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def busy(balancer: Balancer, upstreams: Callable[[], Upstream]) -> Balancer:
    """A balancer that has seen everything that there is a figure for."""
    chat, queued = upstreams(), upstreams()
    balancer.register("good", chat.port, "m", weight=3)
    balancer.register("dead", free_port(), "m")
    balancer.register("slow", queued.port, "s")
    _traffic(balancer, queued)
    return balancer


def _traffic(balancer: Balancer, slow: Upstream) -> None:
    """Answers, streams, retries and an ejection, a wrong key, an unknown model, a client that leaves, a full queue."""
    for stream in (False, True) * 4:
        assert balancer.chat("m", stream=stream).status == 200
    assert balancer.chat("m", key="sk-wrong").status == 401
    assert balancer.chat("made-up-model").status == 404
    slow.go.clear()
    with contextlib.suppress(OSError):
        balancer.chat("s", timeout=0.3)
    waiting = [threading.Thread(target=balancer.chat, args=("s",)) for _number in range(8)]
    for one in waiting:
        one.start()
    time.sleep(0.5)
    slow.go.set()
    for one in waiting:
        one.join()


@pytest.fixture(scope="module")
def prometheus(
    busy: Balancer, upstreams: Callable[[], Upstream], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Prometheus that scrapes the balancer while it works."""
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    scrape = {"job_name": "balancer", "static_configs": [{"targets": [f"{HOST}:{busy.ops}"]}]}
    intervals = {"scrape_interval": "250ms", "evaluation_interval": "1s"}
    config = {"global": intervals, "rule_files": [str(RULES)], "scrape_configs": [scrape]}
    (home / "prometheus.yml").write_text(json.dumps(config))
    argv = ["prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([*argv, f"--web.listen-address={HOST}:{port}"], stdout=log, stderr=log)
    address = f"http://{HOST}:{port}/api/v1"
    slow = upstreams()
    busy.register("slow", slow.port, "s")
    try:
        end = time.monotonic() + 40
        while not _value(address, "count_over_time(llamaedge_lb_build_info[1m]) > 8"):
            assert process.poll() is None and time.monotonic() < end, (home / "log").read_text()
            _traffic(busy, slow)  # so that counters grow between scrapes
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _value(address: str, query: str) -> list[Any]:
    """The result of an instant query; nothing while Prometheus does not answer."""
    try:
        answer = ask(f"{address}/query?{urllib.parse.urlencode({'query': query})}")
    except OSError:
        time.sleep(0.1)
        return []
    document: dict[str, Any] = answer.json() if answer.status in (200, 400, 422) else {"status": "starting"}
    assert document["status"] != "error", f"{query}: {document['error']}"
    return list(document["data"]["result"]) if document["status"] == "success" else []


def _panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"])


def _queries() -> list[Any]:
    return [
        pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
        for panel in _panels()
        for target in panel.get("targets", [])
    ]


def test_prometheus_tool_finds_nothing_to_mend(busy: Balancer) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=busy.metrics(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_is_documented_with_type_and_labels(busy: Balancer) -> None:
    text = busy.metrics()
    told = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        suffix = "_bucket" if kind == "histogram" else ""
        sample = re.search(rf"^{name}{suffix}(?:{{(.*)}})? ", text, re.M)
        assert sample, f"{name} has no sample: the traffic of this module does not make one"
        labels = re.findall(r'(\w+)="', sample[1] or "")
        told[name] = (kind, set(labels) - {"le"})
    table = PAGE.read_text(encoding="utf-8").partition("<!-- metrics -->")[2].partition("<!-- /metrics -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\|", table, re.M)
    documented = {name: (kind, set(labels.replace(",", " ").split())) for name, kind, labels in rows}
    assert told == documented


def test_no_made_up_name_and_no_word_of_a_prompt_is_told(busy: Balancer) -> None:
    log = (busy.home / "access").read_text() + (busy.home / "log").read_text()
    assert "made-up-model" not in busy.metrics()
    assert "made-up-model" in log, "the log tells what was asked for"
    for secret in ("secret words", "Rome", "sk-", TOKEN):
        assert secret not in log + busy.metrics(), f"{secret} is told"


def test_each_request_is_one_line_of_the_access_log(busy: Balancer) -> None:
    lines = busy.log()
    assert len({line["id"] for line in lines}) == len(lines) == busy.status()["totals"]["requests"]
    stream = next(line for line in lines if line["stream"])
    plain = next(line for line in lines if line["status"] == 200 and not line["stream"])
    assert (stream["tokens_out"], plain["tokens_in"]) == (len(WORDS), USAGE["prompt_tokens"])
    assert stream["route"] == CHAT and stream["key"] == "team" and stream["first_byte_s"] <= stream["total_s"]
    assert {"client_gone", "queue_full", "model_not_found"} <= {line.get("error") for line in lines}


@pytest.mark.parametrize("query", _queries())
def test_dashboard_query_has_an_answer(prometheus: str, query: str) -> None:
    for variable, value in (("model", ".*"), ("instance", ".*"), ("__rate_interval", "30s")):
        query = query.replace(f"${variable}", value)
    assert "$" not in query, "a variable that the dashboard does not have"
    assert _value(prometheus, query), "nothing comes back"


def test_alerts_are_evaluated(prometheus: str) -> None:
    groups = ask(f"{prometheus}/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules and all(rule["health"] != "err" for rule in rules), rules


def test_dashboard_is_well_formed() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = _panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, f"{panel['title']} lies over another panel"
        taken |= cells
    assert {"model", "instance", "datasource"} == {one["name"] for one in dashboard["templating"]["list"]}


def test_autoscalers_see_what_waits(balancer: Balancer, upstreams: Callable[[], Upstream]) -> None:
    held = upstreams()
    balancer.register("held", held.port, "held.model", slots=1)
    held.go.clear()
    threads = [threading.Thread(target=balancer.chat, args=("held.model",)) for _number in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 5
    wanted = {"in_flight": 1, "queued": 2, "wanted": 3, "endpoints": 1, "slots": 1}
    seen: dict[str, int] = {}
    while seen != wanted and time.monotonic() < end:
        queue = ask(balancer.on_ops("/queue.json")).json()
        seen = queue["models"]["held.model"]
        assert queue["pools"]["held"] == seen
    held.go.set()
    for thread in threads:
        thread.join()
    assert seen == wanted
