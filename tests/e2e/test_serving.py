# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two models behind the balancer, under real load: shares, discovery, pods and nodes that go, models that change.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import copy
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.machines.engine import docker

from .cluster import Cluster, changes
from .load import Answer, ask, ask_many, asking, failures, shares
from .openai_cases import OpenAICases, Target
from .scaling import external_metrics
from .waiting import wait_for

SMALL, LARGE, EMBEDDING = "smollm2-135m-instruct", "smollm2-135m-instruct-q8", "smollm2-135m-embedding"
PORT, LOCAL_PORT = 30080, 30081
KEYS = {"test": {}, "limited": {"requests_per_minute": 2}}
WEIGHTS = {SMALL: 3, LARGE: 1}
POINTS = 0.03  # a model's share may differ so much from its weight's


pytestmark = [pytest.mark.in_order, pytest.mark.slow(17)]


class Serving(Cluster):
    """The cluster with an inventory of its own, and the balancer's addresses."""

    inventory: Path
    variables: dict[str, Any]
    url: str

    def serve(self, *args: str, **variables: Any) -> Any:
        """Write the inventory's variables, changed by the given ones, and run ``site``."""
        text = yaml.safe_dump({**self.variables, **variables}, sort_keys=False)
        (self.inventory / "group_vars" / "k3s_cluster.yml").write_text(text, encoding="utf-8")
        return self.play("site", *args)

    def model(self, name: str) -> dict[str, Any]:
        """The catalogue's entry of that name."""
        return next(entry for entry in self.variables["models_catalogue"] if entry["name"] == name)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The ready pods of a Deployment of ours."""
        listed = self.kubectl("get", "pods", "-n", "llamaedge", "-l", f"app.kubernetes.io/instance={name}")["items"]
        return [
            pod
            for pod in listed
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", [])
            )
        ]

    def models(self) -> set[str]:
        """What the balancer lists."""
        with urllib.request.urlopen(f"{self.url}/v1/models", timeout=10) as reply:
            return {model["id"] for model in json.load(reply)["data"]}

    def until(self, condition: Callable[[], bool], seconds: float) -> float:
        """Seconds until the condition held five times in a row: requests go to either balancer."""
        began = first = time.monotonic()
        row = 0
        while row < 5:
            if condition():
                first = time.monotonic() if row == 0 else first
                row += 1
                continue
            row = 0
            assert time.monotonic() - began < seconds, f"not within {seconds} s"
            time.sleep(0.05)
        return first - began


@pytest.fixture(scope="module")
def serving(scenario, run_playbook, on, inventory) -> Serving:
    """Two models of one kind with 3 and 2 pods and weights of 3 to 1, an embedding model beside the second, a node port."""
    folder = inventory.parent / "serving"
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text((inventory / "hosts.yml").read_text(), encoding="utf-8")
    variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
    small, large = variables["models_catalogue"]
    assert (small["name"], large["name"]) == (SMALL, LARGE)
    small |= {"replicas": 3, "weight": WEIGHTS[SMALL]}
    large |= {"replicas": 2, "weight": WEIGHTS[LARGE], "embedding": EMBEDDING}
    embedding = {"name": EMBEDDING, "kind": "embedding", "url": small["url"], "sha256": small["sha256"]}
    variables["models_catalogue"].append({**embedding, "file": "embedding.gguf", "context": 512})
    variables |= {"balancer_service_type": "NodePort", "balancer_service_node_port": PORT}
    cluster = Serving(scenario, partial(run_playbook, inventory=folder), on)
    cluster.inventory, cluster.variables = folder, variables
    cluster.url = f"http://{scenario.address('node1')}:{PORT}"
    return cluster


def test_two_models_behind_the_balancer(serving):
    assert serving.serve().rc == 0
    assert serving.models() == {SMALL, LARGE, EMBEDDING}
    assert {name: len(serving.pods(name)) for name in (SMALL, LARGE, "balancer")} == {SMALL: 3, LARGE: 2, "balancer": 2}
    report = serving.report.read_text(encoding="utf-8")
    assert re.search(rf"^\| {SMALL} \|.*Paris", report, re.M)
    assert re.search(rf"^\| {LARGE} \|.*Paris", report, re.M)


def test_a_second_run_changes_nothing(serving):
    result = serving.serve()
    assert (result.rc, changes(result)) == (0, [])
    result = serving.serve("--check", "--diff")
    assert (result.rc, changes(result)) == (0, [])


def test_ten_in_a_row_and_ten_at_once(serving):
    for at_once in (1, 10):
        answers = ask_many(10, at_once, lambda _number: ask(serving.url, max_tokens=8))
        assert failures(answers) == []
        assert all(answer.content for answer in answers)


def test_a_thousand_are_divided_by_weight(serving):
    answers = ask_many(1000, 16, lambda _number: ask(serving.url))
    assert failures(answers) == []
    found = shares(answers)
    for model, weight in WEIGHTS.items():
        assert abs(found[model] - weight / sum(WEIGHTS.values())) <= POINTS, found


@pytest.mark.parametrize("model", [SMALL, LARGE])
def test_the_asked_model_answers(serving, model):
    answers = ask_many(50, 10, lambda _number: ask(serving.url, model))
    assert failures(answers) == []
    assert shares(answers) == {model: 1.0}


def test_only_the_balancer_reaches_the_models(serving):
    pod = serving.pods(SMALL)[0]["status"]["podIP"]
    open_socket = "python3 -c \"import socket; socket.create_connection(('{}', {}), 3)\""
    other = next(node for node in serving.nodes if node != serving.pods(SMALL)[0]["spec"]["nodeName"])
    assert serving.run(other, open_socket.format(pod, 8080), check=False).returncode != 0
    balancer = serving.pods("balancer")[0]["status"]["podIP"]
    assert serving.run(other, open_socket.format(balancer, 8080), check=False).returncode == 0


def test_a_service_comes_and_goes(serving):
    """Within two seconds, at every replica of the balancer."""
    endpoint = serving.pods(SMALL)[0]["status"]["podIP"]
    guest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "guest",
            "namespace": "llamaedge",
            "labels": {"llamaedge/target": "true"},
            "annotations": {"llamaedge/model": "guest", "llamaedge/weight": "0"},
        },
        "spec": {"ports": [{"name": "http", "port": 8080}]},
    }
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "guest-1",
            "namespace": "llamaedge",
            "labels": {"kubernetes.io/service-name": "guest"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [endpoint], "conditions": {"ready": True}}],
    }
    serving.apply(guest, slices)
    assert serving.until(lambda: "guest" in serving.models(), 10) < 2
    assert failures([ask(serving.url, "guest")]) == []
    serving.run("node1", "k3s kubectl delete -n llamaedge service/guest endpointslice/guest-1")
    assert serving.until(lambda: "guest" not in serving.models(), 10) < 2


def test_a_pod_is_killed_under_load(serving):
    """What had not begun to stream goes to another pod; a stream that breaks says so."""

    def one(number: int) -> Answer:
        return ask(serving.url, SMALL, stream=number % 2 == 1, max_tokens=12)

    with asking(20, one) as answers:
        time.sleep(3)
        for pod in serving.pods(SMALL)[:2]:
            name = pod["metadata"]["name"]
            serving.run("node1", f"k3s kubectl delete pod -n llamaedge {name} --grace-period=0 --force --wait=false")
            time.sleep(3)
        while len(answers) < 200:
            time.sleep(1)
    broken = [answer for answer in answers if answer.failure]
    # A stream may have begun before its first word came.
    assert [answer.failure for answer in broken if "broke the stream off" not in answer.failure] == []
    assert len(broken) <= 4, "one stream at most was under way on each pod, of either balancer"
    serving.until(lambda: len(serving.pods(SMALL)) == 3, 60)


def test_a_node_is_gone(serving, scenario):
    """Unplugged, not shut down: nothing closes its connections. Asked through a node that has a balancer and stays."""
    balancers = {pod["spec"]["nodeName"] for pod in serving.pods("balancer")}
    gone = next(node for node in ("node3", "node2") if balancers - {node})
    asked = next(node for node in sorted(balancers) if node != gone)
    selector = {"app.kubernetes.io/name": "balancer", "app.kubernetes.io/instance": "balancer"}
    local = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "balancer-local", "namespace": "llamaedge"},
        "spec": {
            "type": "NodePort",
            "externalTrafficPolicy": "Local",  # only the balancer of the node that is asked
            "selector": selector,
            "ports": [{"name": "http", "port": 8080, "targetPort": "http", "nodePort": LOCAL_PORT}],
        },
    }
    serving.apply(local)
    url = f"http://{scenario.address(asked)}:{LOCAL_PORT}"
    serving.until(lambda: failures([ask(url, SMALL)]) == [], 10)
    assert {pod["spec"]["nodeName"] for pod in serving.pods(SMALL)} == set(serving.nodes)
    with asking(6, lambda _number: ask(url, SMALL)) as answers:
        time.sleep(3)
        docker("network", "disconnect", scenario.network, scenario.container(gone))
        try:
            time.sleep(25)
        finally:
            docker("network", "connect", "--ip", scenario.address(gone), scenario.network, scenario.container(gone))
        count = len(answers)
        serving.until(lambda: len(answers) > count + 20, 60)
    assert failures(answers) == []
    serving.run("node1", "k3s kubectl delete -n llamaedge service/balancer-local")
    serving.until(lambda: len(serving.pods(SMALL)) == 3, 180)


def test_a_model_is_replaced_and_tried_on_a_part_without_a_failed_request(serving):
    """New options roll the pods of the one; the other becomes a canary of it with a quarter of its requests."""
    catalogue = copy.deepcopy(serving.variables["models_catalogue"])
    catalogue[0]["server"] = {**catalogue[0].get("server", {}), "batch_size": 256}
    catalogue[1]["serves"] = SMALL
    before = {pod["metadata"]["uid"] for pod in serving.pods(SMALL)}
    with asking(3, lambda _number: ask(serving.url, SMALL)) as answers:
        result = serving.serve(models_catalogue=catalogue)
        wait_for(
            lambda: len(now := serving.pods(SMALL)) == 3 and not before & {pod["metadata"]["uid"] for pod in now}, 300
        )
    assert result.rc == 0
    assert failures(answers) == []
    assert serving.models() == {SMALL, EMBEDDING}
    pools = ask_pools(serving, lambda: ask_many(80, 8, lambda _number: ask(serving.url, SMALL)))
    assert abs(pools[SMALL] - 60) <= 3, pools


def ask_pools(serving: Serving, load: Callable[[], list[Answer]]) -> Counter[str]:
    """How many requests of a load each pool got, by the balancers' own metrics."""

    def counted() -> Counter[str]:
        total: Counter[str] = Counter()
        for pod in serving.pods("balancer"):
            url = f"http://{pod['status']['podIP']}:9090/metrics"
            fetch = (
                f"python3 -c \"import urllib.request as web; print(web.urlopen('{url}', timeout=5).read().decode())\""
            )
            for line in serving.run(pod["spec"]["nodeName"], fetch).stdout.splitlines():
                if match := re.match(r'llamaedge_lb_requests_total\{.*pool="([^"]+)".*\} (\d+)', line):
                    total[match[1]] += int(match[2])
        return total

    before = counted()
    assert failures(load()) == []
    return counted() - before


def test_the_number_of_pods_follows_the_requests(serving, scenario):
    """Up under load and down when it is over, by a HorizontalPodAutoscaler; the role does not argue with it."""
    catalogue = copy.deepcopy(serving.variables["models_catalogue"])
    del catalogue[1]["replicas"]
    catalogue[1]["autoscale"] = {"min": 1, "max": 3, "target": 1, "idle_seconds": 15}
    variables = {"models_catalogue": catalogue, "balancer_monitors": [{"ipBlock": {"cidr": f"{scenario.prefix}.0/24"}}]}
    balancers = [pod["status"]["podIP"] for pod in serving.pods("balancer")]
    roles = "--tags=llamaedge,balancer"

    def pods(count: int, seconds: float) -> None:
        serving.until(lambda: len(serving.pods(LARGE)) == count, seconds)

    with external_metrics(serving, scenario.address("node1"), balancers):
        assert serving.serve(roles, **variables).rc == 0
        with asking(6, lambda _number: ask(serving.url, LARGE, max_tokens=24)) as answers:
            pods(3, 180)
            result = serving.serve(roles, **variables)
            assert (result.rc, changes(result)) == (0, [])
        assert failures(answers) == []
        pods(1, 180)
    assert serving.serve(roles).rc == 0


def test_keys_are_asked_for_without_a_restart(serving):
    keys = [{"name": name, "key": f"sk-{name}", **limits} for name, limits in KEYS.items()]
    before = {pod["metadata"]["uid"] for pod in serving.pods("balancer")}
    serving.variables |= {"balancer_keys": keys, "verify_api_key": "sk-test"}
    assert serving.serve().rc == 0
    assert {pod["metadata"]["uid"] for pod in serving.pods("balancer")} == before
    serving.until(lambda: "401" in ask(serving.url, SMALL).failure, 90)


class TestOpenAIClient(OpenAICases):
    """OpenAI's own client against the models."""

    @pytest.fixture
    def openai_target(self, serving: Serving) -> Target:
        return Target(f"{serving.url}/v1", "sk-test", "sk-limited", SMALL, EMBEDDING)


def test_a_model_that_leaves_the_catalogue_is_removed(serving):
    result = serving.serve(models_catalogue=[serving.model(SMALL)])
    assert result.rc == 0
    names = {
        item["metadata"]["name"] for item in serving.kubectl("get", "deployments,services", "-n", "llamaedge")["items"]
    }
    assert not names & {LARGE, EMBEDDING}
    assert SMALL in names


def test_a_balancer_that_is_not_wanted_goes_and_the_models_stay(serving):
    models = {pod["metadata"]["uid"] for pod in serving.pods(SMALL)}
    assert serving.serve("--tags=balancer", "--check", balancer_state="absent").rc == 0
    assert serving.pods("balancer")
    assert serving.serve("--tags=balancer", balancer_state="absent").rc == 0
    kinds = "deployments,services,secrets,serviceaccounts,networkpolicies"
    left = [item["metadata"]["name"] for item in serving.kubectl("get", kinds, "-n", "llamaedge")["items"]]
    assert not [name for name in left if name.startswith("balancer")]
    assert {pod["metadata"]["uid"] for pod in serving.pods(SMALL)} == models
    again = serving.serve("--tags=balancer", balancer_state="absent")
    assert (again.rc, changes(again)) == (0, [])
