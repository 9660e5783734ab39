# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the machine with the GPU: ``python3 -m tests.gpu.there PARTS OUT [STAGE…]``; what each stage said lies in OUT.

Every stage runs whatever the one before it gave, so that one run tells as much as it can; the exit status counts the failed ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.gpu import machine

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
ENVIRONMENT = """export PYTHONPATH=/opt/wasinn/python PATH=/opt/wasinn/python/bin:$PATH HOME=/root LC_ALL=C.UTF-8
export ANSIBLE_COLLECTIONS_PATH=/opt/wasinn/collections ANSIBLE_INVENTORY=/opt/wasinn/inventory/hosts.yml ANSIBLE_GATHERING=explicit
export ANSIBLE_CALLBACK_RESULT_FORMAT=yaml ANSIBLE_LOCALHOST_WARNING=False KUBECONFIG=/opt/wasinn/kubeconfig
kubectl() { k3s kubectl "$@"; }
cd /opt/wasinn
"""
PROBE = json.dumps(
    {
        "model": "/var/lib/wasinn/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        "mode": "wasmedge",
        "max_tokens": 100,
        "device": "GPU",
    }
)
SLICED = json.dumps(
    {
        "gpu_device_plugin_time_slicing": {"resources": [{"name": "nvidia.com/gpu", "replicas": 4}]},
        "verify_pods": True,
        "verify_pod_resources": {"limits": {"nvidia.com/gpu": 1}},
        "verify_probe_max_tokens": 100,
    }
)


@dataclass(frozen=True)
class Stage:
    """*must* decides whether it failed, *look* is for whoever reads its log."""

    name: str
    seconds: int
    must: str = ":"
    look: str = ":"

    def script(self) -> str:
        return f"{ENVIRONMENT}rc=0\n{{ {self.must}; }} || rc=$?\n{self.look}\nexit $rc\n"


SITE = "ansible-playbook wasinn.cluster.site"
STAGES = (
    Stage(
        "look",
        60,
        "nvidia-smi && ansible node1 -m wasinn.cluster.gpu_info && ansible node1 -m wasinn.cluster.wasmedge_build_info -a version=0.14.1",
    ),
    Stage(
        "site",
        420,
        f"mkdir -p /var/lib/rancher/k3s/agent/images && cp device-plugin.tar /var/lib/rancher/k3s/agent/images/ && {SITE}",
    ),
    Stage(
        "cluster",
        60,
        "kubectl get nodes -o json | grep -E 'nvidia.com/gpu|wasinn.cluster/'",
        "kubectl get pods -A -o wide; kubectl get events -A | tail -40; kubectl describe pods -A -l app.kubernetes.io/instance=on-gpu;"
        " cat /var/run/cdi/nvidia.yaml; ls -la /var/run/cdi",
    ),
    Stage("ask", 120, "python3 ask.py", "nvidia-smi"),
    Stage(
        "memory",
        30,
        look='for peak in $(find /sys/fs/cgroup/kubepods* -mindepth 3 -name memory.peak); do echo "$peak $(cat $peak)";'
        " grep -E '^(anon|file|shmem|kernel|file_mapped) ' ${peak%peak}stat; cat ${peak%memory.peak}cgroup.procs | while read pid; do"
        " tr '\\0' ' ' </proc/$pid/cmdline | cut -c1-100; echo; grep ^Cap /proc/$pid/status; ls /proc/$pid/root/dev; done; done",
    ),
    Stage("probe", 60, f"ansible node1 -m wasinn.cluster.wasinn_probe -a '{PROBE}'"),
    Stage(
        "logs",
        60,
        look="for pod in $(kubectl get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name} {end}'); do"
        ' echo "##### $pod"; kubectl logs -n ${pod%/*} ${pod#*/} --all-containers --tail=150; done',
    ),
    Stage("again", 240, f"{SITE} >again.txt; rc=$?; cat again.txt; [ $rc = 0 ] && ! grep -E 'changed=[1-9]' again.txt"),
    # Four pods may share the GPU, so that one of the probe finds room beside the model's.
    Stage(
        "sliced",
        240,
        f"{SITE} -v -e '{SLICED}' && kubectl get nodes -o json | grep 'nvidia.com/gpu\": \"4'",
    ),
    # A model without a GPU of its own, on a node whose plugin is a CUDA build, and the server's own number of layers.
    Stage(
        "without",
        90,
        "sed -i 's/n_gpu_layers: 0/n_gpu_layers: 99/' inventory/group_vars/k3s_cluster.yml;"
        f" {SITE} --tags llamaedge -e llamaedge_rollout_timeout=40 && python3 ask.py",
        "kubectl logs -n llamaedge -l app.kubernetes.io/instance=on-cpu --tail 100; kubectl get pods -A; nvidia-smi",
    ),
    Stage(
        "reset", 180, "ansible-playbook wasinn.cluster.reset", "ls -la /var/run/cdi /etc/systemd/system; ip -br link"
    ),
)
#: What the machine itself said, after the stages.
JOURNAL = "systemctl --failed; journalctl -b -p notice --no-pager | tail -200; journalctl -u k3s --no-pager | tail -200"


def main() -> int:
    parts, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[3:] or [stage.name for stage in STAGES]
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f}] {text}", flush=True)

    if not machine.runs(parts):  # it stays up between runs
        machine.unpack(parts)
        say("unpacked")
        say(f"{len(machine.give_driver())} files of the driver and of CUDA")
        say(f"systemd: {(state := machine.boot(parts))}")
        if not state.startswith(("running", "degraded")):
            return 1
        say(f"network: {machine.network(parts)}")
    # What changes more often than the parts is taken from the checkout.
    copies = [
        (REPO / name, "collections/ansible_collections/wasinn/cluster")
        for name in ("meta", "playbooks", "plugins", "roles")
    ]
    copies += [(HERE / name, "") for name in ("inventory", "ask.py")]
    for source, target in copies:
        subprocess.run(["cp", "-r", str(source), str(machine.ROOT / "opt/wasinn" / target)], check=True)
    failed = 0
    for stage in STAGES:
        name = stage.name
        if name not in wanted:
            continue
        (machine.ROOT / f"opt/wasinn/{name}.sh").write_text(stage.script())
        with (out / f"{name}.log").open("w") as log:
            done = machine.inside(parts, f"timeout {stage.seconds} sh /opt/wasinn/{name}.sh", stdout=log, stderr=log)
        last = [text for text in (out / f"{name}.log").read_text(errors="replace").splitlines() if text.strip()][-3:]
        say(f"{name}: rc={done.returncode}\n        " + "\n        ".join(text[:300] for text in last))
        failed += done.returncode != 0
    with (out / "journal.log").open("w") as log:
        machine.inside(parts, JOURNAL, stdout=log, stderr=log)
    return failed


if __name__ == "__main__":
    sys.exit(main())
