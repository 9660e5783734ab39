# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a model one question through the node's own runtime, the way a model pod would, and says what went wrong.

Two ways: through containerd and the shim (``Container``), or with the wasmedge program alone (``Program``), which
tells a fault of the shim from one of the plugin.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.containerd import ContainerdError, Ctr
from ansible_collections.wasinn.cluster.plugins.module_utils.failures import classify
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

RUNTIME = "io.containerd.wasmedge.v1"
MODELS = "/models"
#: How our shim says why it did not start a guest: one line, cause and remedy parted by the last semicolon.
SHIM_SAYS = re.compile(r"^containerd-shim-wasmedge: (?P<cause>.+?)(?:; (?P<remedy>[^;\n]+))?$", re.MULTILINE)
#: Ends of long outputs that are kept, in characters: the cause stands near the end.
TAIL = 4000
#: llama.cpp's words for what it put onto a GPU.
OFFLOADED = re.compile(r"offloaded [1-9]\d*/\d+ layers to GPU")
#: The same, where it put nothing onto one.
KEPT_OFF = re.compile(r"offloaded 0/\d+ layers to GPU")
#: ggml's words for a CUDA build without a device; llama.cpp then says that it offloads, and computes on the processor.
NO_CUDA = re.compile(r"failed to initialize CUDA")
#: Characters of a server's log in which all that is said while a model is loaded has room.
LOADING = 1 << 18
#: More than any model has.
ALL_LAYERS = "999"
#: A probe slower than this share of its baseline is slow.
SLOW = 0.5
#: Seconds between two looks at a running probe's memory.
WATCH_SECONDS = 0.1
#: Seconds that clearing up may take after the probe's own time is over.
CLEANUP_SECONDS = 30


@dataclass(frozen=True)
class Question:
    """What to ask of which model. *device* is AUTO, CPU or GPU; *timeout* in seconds, the model's loading included."""

    model: str
    prompt: str
    max_tokens: int = 16
    alias: str = "default"
    device: str = "AUTO"
    timeout: float = 120

    def arguments(self) -> list[str]:
        """The probe module's command line."""
        layers = ["--gpu-layers", ALL_LAYERS] if self.device == "GPU" else []
        return ["--prompt", self.prompt, "--max-tokens", str(self.max_tokens), "--alias", self.alias, *layers]

    def preload(self, folder: str, file: str = "") -> str:
        """The preload entry for the model in *folder* as the guest sees it, under its own name or that of *file*."""
        name = file or os.path.basename(os.path.realpath(self.model))
        return f"{self.alias}:GGML:{self.device}:{os.path.join(folder, name)}"


@dataclass
class Outcome:
    """How a command ended. *seconds* is wall time; *code* is ``None`` if it did not end in time.

    *peak_memory_bytes* is 0 where nobody could tell.
    """

    command: list[str]
    code: int | None = None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0
    peak_memory_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


def execute(
    command: Sequence[str],
    timeout: float,
    env: dict[str, str] | None = None,
    memory: Callable[[int], int] | None = None,
) -> Outcome:
    """Runs a command in a process group of its own, and ends all of the group where it takes too long.

    *memory* tells the peak of a process, given its number, while it runs: what counts it is gone with it.
    """
    outcome = Outcome(list(command))
    started = time.monotonic()
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        cause = f"{command[0]} cannot be run: {error.strerror}."
        outcome.findings.append(finding("program_missing", cause, "Install it, or name it in the task's parameters."))
        return outcome
    deadline = started + timeout
    while outcome.code is None:
        left = deadline - time.monotonic()
        try:
            # communicate() may be called again after its timeout; nothing that was read is lost.
            outcome.stdout, outcome.stderr = child.communicate(
                timeout=max(0, min(left, WATCH_SECONDS if memory else left))
            )
            outcome.code = child.returncode
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                os.killpg(child.pid, signal.SIGKILL)
                outcome.stdout, outcome.stderr = child.communicate()
                break
            if memory:
                outcome.peak_memory_bytes = max(outcome.peak_memory_bytes, memory(child.pid))
    outcome.seconds = time.monotonic() - started
    return outcome


def process_peak(pid: int) -> int:
    """The most memory a process had resident so far, in bytes; 0 where it is gone (proc_pid_status(5), VmHWM)."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:")), 0)
    except (OSError, ValueError):
        return 0


def cgroup_peak(path: str, root: str = "/sys/fs/cgroup") -> int:
    """The most memory a cgroup used so far, in bytes, page cache counted; 0 where it is gone.

    cgroup v2 has memory.peak since Linux 5.19, v1 memory.max_usage_in_bytes; else what is used now.
    """
    for name in (f"{path}/memory.peak", f"memory/{path}/memory.max_usage_in_bytes", f"{path}/memory.current"):
        try:
            with open(f"{root}/{name}", encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return 0


@dataclass(frozen=True)
class Program:
    """The wasmedge program with the probe module."""

    wasmedge: str
    module: str
    plugin_dir: str = ""

    def ask(self, question: Question) -> Outcome:
        """Runs the probe; nothing of it stays behind."""
        folder = os.path.dirname(os.path.realpath(question.model))
        preload = ["--nn-preload", question.preload(folder)]
        command = [self.wasmedge, *preload, self.module, *question.arguments()]
        env = {"WASMEDGE_PLUGIN_PATH": self.plugin_dir} if self.plugin_dir else {}
        if not os.path.isfile(self.module):
            cause = f"There is no probe module {self.module}."
            remedy = "Run the role wasinn.cluster.verify, which brings it."
            return Outcome(command, findings=[finding("probe_module", cause, remedy)])
        return execute(command, question.timeout, env, process_peak)


@dataclass(frozen=True)
class Container:
    """A container of the probe's image, through containerd and the shim."""

    ctr: Ctr
    image: str
    snapshotter: str = ""
    runtime: str = RUNTIME  # or the path of its shim

    def ask(self, question: Question) -> Outcome:
        """Runs the probe in a container with a name of its own, which is gone afterwards in any case."""
        try:
            entrypoint = self.entrypoint()
        except ContainerdError as error:
            remedy = "Let containerd run, and name its socket, namespace and ctr in the task."
            known = classify(str(error)) or [finding("containerd", capital(f"{error}."), remedy)]
            return Outcome(list(self.ctr.command), findings=known)
        name = f"wasinn-probe-{secrets.token_hex(6)}"
        command = self.command(question, name, entrypoint)
        # ctr puts a container's cgroup at /namespace/name.
        outcome = execute(command, question.timeout, memory=lambda _pid: cgroup_peak(f"{self.ctr.namespace}/{name}"))
        if outcome.code != 0:
            self.clean(name)
        return outcome

    def command(self, question: Question, name: str, entrypoint: Sequence[str]) -> list[str]:
        """The whole command line: the model's folder read-only at /models is all the container is given."""
        folder = os.path.dirname(os.path.realpath(question.model))
        mount = f"type=bind,src={folder},dst={MODELS},options=rbind:ro"
        options = ["--rm", "--platform", "wasip1/wasm", "--runtime", self.runtime, "--mount", mount]
        options += ["--env", f"WASMEDGE_WASINN_PRELOAD={question.preload(MODELS)}"]
        options += ["--snapshotter", self.snapshotter] if self.snapshotter else []
        return [*self._base(), "run", *options, self.image, name, *entrypoint, *question.arguments()]

    def _base(self) -> list[str]:
        return [*self.ctr.command, "--address", self.ctr.address, "--namespace", self.ctr.namespace]

    def entrypoint(self) -> list[str]:
        """The image's entrypoint, which ``ctr run`` would replace by the probe's arguments.

        Raises ``ContainerdError``, also where the image is not there.
        """
        image = self.ctr.images().get(self.image)
        if image is None:
            raise ContainerdError(f'image "{self.image}": not found')
        document = json.loads(self.ctr.run("content", "get", image.digest))
        if "manifests" in document:
            document = json.loads(self.ctr.run("content", "get", document["manifests"][0]["digest"]))
        config = json.loads(self.ctr.run("content", "get", document["config"]["digest"])).get("config", {})
        words = (config.get("Entrypoint") or []) or (config.get("Cmd") or [])[:1]
        if not words:
            raise ContainerdError(f"the image {self.image} names no program to run; make it again with wasm_image")
        return [str(word) for word in words]

    def clean(self, name: str) -> None:
        """Takes the container away, whatever state it is in; says nothing where it is gone already."""
        deadline = time.monotonic() + CLEANUP_SECONDS
        while time.monotonic() < deadline:
            left = execute([*self._base(), "containers", "ls", "--quiet"], CLEANUP_SECONDS)
            if left.code != 0 or name not in left.stdout.split():
                return
            for step in (["tasks", "kill", "--signal", "SIGKILL"], ["tasks", "rm", "--force"], ["containers", "rm"]):
                execute([*self._base(), *step, name], CLEANUP_SECONDS)
            time.sleep(0.5)


def check_names(question: Question) -> list[Finding]:
    """Names a preload cannot hold: it is a list of fields separated by colons, entries by semicolons."""
    name = os.path.basename(question.model)
    if not re.search(r"[:;\s]", name + question.alias):
        return []
    cause = f"The model's file name or alias ({name}, {question.alias}) has a colon, semicolon or space in it."
    return [finding("preload_form", cause, "Rename the file; the preload separates its fields by these.")]


def report(
    outcome: Outcome, question: Question, expect: str = "", cuda: bool | None = None, baseline: float = 0
) -> dict[str, Any]:
    """What the module returns: the probe's own numbers, and findings if there is anything to find.

    *expect* is a regular expression the answer has to match anywhere. *cuda* tells whether a plugin could use a GPU at
    all (``None``: unknown), *baseline* how many tokens a second are usual (0: unknown).
    """
    answer = parse_answer(outcome.stdout)
    findings = list(outcome.findings)
    output = f"{outcome.stderr}\n{outcome.stdout}"
    if not findings and outcome.code is None:
        findings = classify(output) or [
            finding(
                "timeout",
                f"The probe gave no answer about {question.model} within {question.timeout:.0f} s.",
                "Look at the node's load and memory, take a smaller model, or give the task more time.",
            )
        ]
    elif not findings and (outcome.code or not answer):
        findings = from_shim(output) or classify(output, outcome.code) or [unknown(outcome, question)]
    elif not findings and expect and not re.search(expect, str(answer.get("text", ""))):
        cause = f"The model {question.model} answered {answer.get('text', '')!r}, which does not match {expect!r}."
        remedy = "Compare the model's checksum with the published one; a damaged or very small model talks nonsense."
        findings = [finding("answer", cause, remedy)]
    elif not findings and question.device == "GPU" and not on_gpu(output):
        findings = classify(output) or [gpu_not_used(question.model)]
    if answer:
        answer["prompt_tokens_per_second"] = per_second(answer.get("prompt_tokens"), answer.get("prompt_ms"))
        answer["device"] = device_in_use(output, question.device, cuda)
    return {
        **answer,
        **verdict(findings, answer, baseline),
        "seconds": round(outcome.seconds, 3),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "command": outcome.command,
        "return_code": outcome.code,
        "stderr_tail": outcome.stderr[-TAIL:],
        "findings": findings,
    }


def per_second(count: Any, milliseconds: Any) -> float:
    """*count* in so many milliseconds, as a rate; 0 where either is missing."""
    return round(1000 * float(count) / float(milliseconds), 1) if count and milliseconds else 0.0


def on_gpu(output: str) -> bool:
    """Whether llama.cpp says that layers of the model are on a GPU."""
    return bool(OFFLOADED.search(output)) and not NO_CUDA.search(output)


def gpu_not_used(model: str, known: Sequence[Finding] = ()) -> Finding:
    """A model on the processor in place of the GPU that it asked for; *known* may say why."""
    cause = f"The model {model} was to be computed on a GPU, but llama.cpp put no layer on one."
    remedy = "Take a CUDA build of the plugin (wasmedge_plugin_variant), give the pod a GPU (nvidia.com/gpu), and run nvidia-smi."
    if known:
        cause, remedy = f"{cause} {known[0]['cause']}", known[0]["remedy"]
    return finding("gpu_not_used", cause, remedy)


def gpu_idle(model: str, log: str, cuda: bool | None = None) -> list[Finding]:
    """Whether a model's server, by its *log*, left its GPU alone; nothing is found where neither the log nor the plugin tells.

    llama.cpp speaks while the model is loaded, so in the log's first part. *cuda* as for ``report``.
    """
    said = log[:LOADING]
    failed = NO_CUDA.search(said)
    if not failed and (OFFLOADED.search(said) or (cuda is not False and not KEPT_OFF.search(said))):
        return []
    return [gpu_not_used(model, classify(said[failed.start() :].split("\n")[0]) if failed else ())]


def device_in_use(output: str, asked: str, cuda: bool | None) -> str:
    """``GPU`` or ``CPU``, as far as plugin and llama.cpp tell; else ``unknown``."""
    if on_gpu(output):
        return "GPU"
    return "CPU" if asked == "CPU" or cuda is False else "unknown"


def verdict(findings: Sequence[Finding], answer: dict[str, Any], baseline: float) -> dict[str, Any]:
    """``failed``, ``slow`` or ``passed``, and which share of the usual speed it was (``None``: nothing to compare)."""
    speed = float(answer.get("tokens_per_second") or 0)
    share = round(speed / baseline, 2) if baseline and speed else None
    word = "failed" if findings else "slow" if share is not None and share < SLOW else "passed"
    return {"verdict": word, "share_of_baseline": share}


def from_shim(output: str) -> list[Finding]:
    """What our own shim said; it knows the container's inside better than any signature."""
    said = SHIM_SAYS.search(output)
    if said is None:
        return []
    known = classify(said.group(0))
    remedy = said.group("remedy") or (known[0]["remedy"] if known else "See the journal of containerd or k3s.")
    check = known[0]["check"] if known else "shim_refused"
    return [finding(check, capital(said.group("cause").rstrip(".") + "."), capital(remedy.rstrip(".") + "."))]


def capital(text: str) -> str:
    """*text* with a capital first letter; unlike ``str.capitalize`` it leaves the rest alone."""
    return text[:1].upper() + text[1:]


def parse_answer(stdout: str) -> dict[str, Any]:
    """The probe's line of JSON; other lines (a plugin's own) are passed over. Empty if there is none."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("{"):
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            if isinstance(answer, dict) and "text" in answer:
                return answer
    return {}


def unknown(outcome: Outcome, question: Question) -> Finding:
    """A failure no signature knows: the last line that was said is the best there is."""
    lines = [line.strip() for line in f"{outcome.stdout}\n{outcome.stderr}".splitlines() if line.strip()]
    last = " ".join(lines[-2:])[-500:] if lines else "nothing was said"
    remedy = "See stderr_tail and the journal of containerd or k3s."
    cause = f"The probe of {question.model} ended with status {outcome.code}: {last.rstrip('.')}."
    return finding("probe_failed", cause, remedy)
