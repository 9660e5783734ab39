# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the catalogue's entries to what runs: one unit for each pod template, with its command line and memory.

An entry that another names as its C(embedding) or C(projector) has no pods of its own: it lives in the other's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Entry = Mapping[str, Any]

MIB = 1 << 20
#: The resource of NVIDIA's device plugin.
GPU = "nvidia.com/gpu"
#: llama-api-server's physical batch where none is given (its README, 0.28).
UBATCH = 512

#: Field of ``server`` → option of llama-api-server 0.28, from its README's list of options. Pairs take one value for the
#: chat model and one for the embedding model, in this order, separated by a comma.
PAIRS = {"batch_size": "--batch-size", "ubatch_size": "--ubatch-size"}
SINGLE = {
    "n_predict": "--n-predict",
    "n_gpu_layers": "--n-gpu-layers",
    "split_mode": "--split-mode",
    "main_gpu": "--main-gpu",
    "tensor_split": "--tensor-split",
    "threads": "--threads",
    "no_mmap": "--no-mmap",
    "temp": "--temp",
    "top_p": "--top-p",
    "repeat_penalty": "--repeat-penalty",
    "presence_penalty": "--presence-penalty",
    "frequency_penalty": "--frequency-penalty",
    "grammar": "--grammar",
    "json_schema": "--json-schema",
    "reverse_prompt": "--reverse-prompt",
}
FLAGS = {"include_usage": "--include-usage"}
#: What the role itself sets, beside the above.
FIXED = (
    "--model-name",
    "--model-alias",
    "--prompt-template",
    "--ctx-size",
    "--socket-addr",
    "--port",
    "--llava-mmproj",
)
#: The one-letter forms, so that an entry's args cannot repeat an option unnoticed.
SHORT = {
    "-m": "--model-name",
    "-a": "--model-alias",
    "-c": "--ctx-size",
    "-b": "--batch-size",
    "-u": "--ubatch-size",
    "-p": "--prompt-template",
    "-r": "--reverse-prompt",
    "-n": "--n-predict",
    "-g": "--n-gpu-layers",
}
#: What an embedding model has no use for: llama-api-server passes these to chat models alone (its main.rs).
CHAT_ONLY = (
    *("n_predict", "temp", "top_p", "repeat_penalty", "presence_penalty", "frequency_penalty"),
    *("grammar", "json_schema", "reverse_prompt", "include_usage"),
)
COMPANIONS = {"embedding": "embedding", "projector": "projector"}


def model_name(entry: Entry) -> str:
    """The name that clients ask for."""
    return str(entry.get("serves") or entry["name"])


def companions(entry: Entry, catalogue: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries that live in this one's pods, by their part."""
    return {part: catalogue[entry[part]] for part in COMPANIONS if entry.get(part) in catalogue}


def units(
    catalogue: Iterable[Entry],
    families: list[dict[str, str]],
    headers: Mapping[str, Entry],
    device: str,
    resources: Mapping[str, Any],
    overhead: int,
) -> list[dict[str, Any]]:
    """Every pod template that the catalogue asks for; the entry's own fields, completed.

    :param families: rows ``{template, mark, file}``, as the role llamaedge has them.
    :param headers: what M(wasinn.cluster.gguf_info) says of an entry's file, by the entry's name, as far as known.
    :param device: the plugin's target, C(AUTO), C(CPU) or C(GPU), of models that have no C(gpu) of their own.
    :param resources: Kubernetes resources of all pods, below an entry's own.
    :param overhead: bytes of a pod besides its model: server, runtime, shim.
    """
    entries = {entry["name"]: entry for entry in catalogue}
    guests = {entry[part] for entry in entries.values() for part in COMPANIONS if entry.get(part)}
    found = []
    for entry in entries.values():
        if entry["name"] in guests or entry["kind"] == "projector":
            continue
        own = companions(entry, entries)
        aliases = {"default": entry, **({"embedding": own["embedding"]} if "embedding" in own else {})}
        files = {item["name"]: item for item in [entry, *own.values()]}
        known = [headers[name] for name in files if headers.get(name)]
        size = memory(entry, known, overhead) if len(known) == len(files) else {"request": _round(overhead)}
        wanted = wanted_resources(size, resources, gpu_resources(entry), entry["resources"])
        target = "GPU" if entry["gpu"] else device
        found.append(
            {
                **entry,
                "replicas": 1 if entry["replicas"] is None else entry["replicas"],
                "resources": wanted,
                "annotations": {**entry["annotations"], **checksums(entry, own)},
                "files": list(files.values()),
                "pools": [entry, *([own["embedding"]] if "embedding" in own else [])],
                "preload": ";".join(f"{alias}:GGML:{target}:/models/{item['file']}" for alias, item in aliases.items()),
                "command": command(with_threads(entry, wanted), own, families, headers),
            }
        )
    return found


def checksums(entry: Entry, own: Mapping[str, Entry]) -> dict[str, str]:
    """Annotations that let pods roll when a file changes under its name."""
    parts = {"model": entry, **own}
    return {f"wasinn.cluster/{part}-sha256": item["sha256"] for part, item in parts.items() if item.get("sha256")}


def command(
    entry: Entry, own: Mapping[str, Entry], families: list[dict[str, str]], headers: Mapping[str, Entry]
) -> list[str]:
    """llama-api-server's arguments for an entry and its companions, without the socket's."""
    models = [entry, *([own["embedding"]] if "embedding" in own else [])]
    words = ["--model-name", ",".join(model_name(model) for model in models)]
    templates = [prompt_template(model, families, headers.get(model["name"]) or {}) for model in models]
    words += ["--prompt-template", ",".join(templates)]
    words += ["--ctx-size", ",".join(str(model["context"]) for model in models)]
    for field, option in PAIRS.items():
        if any(field in model["server"] for model in models):
            words += [option, ",".join(str(model["server"].get(field, 512)) for model in models)]
    for field, option in SINGLE.items():
        if field in entry["server"]:
            words += [option, _word(entry["server"][field])]
    words += [option for field, option in FLAGS.items() if entry["server"].get(field)]
    if "projector" in own:
        words += ["--llava-mmproj", f"/models/{own['projector']['file']}"]
    return words + list(entry["args"])


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def prompt_template(entry: Entry, families: list[dict[str, str]], header: Entry) -> str:
    """The entry's own template, or the first family's whose mark the chat template or the file's name has, or chatml."""
    if entry["kind"] == "embedding":
        return "embedding"
    if entry["prompt_template"]:
        return str(entry["prompt_template"])
    told = header.get("chat_template") or ""
    for family in families:
        if told and family.get("mark") and all(mark in told for mark in family["mark"].split()):
            return str(family["template"])
    name = entry["file"].lower()
    for family in families:
        if not told and any(part in name for part in family["file"].split()):
            return str(family["template"])
    return "chatml"


def memory(entry: Entry, headers: list[Entry], overhead: int) -> dict[str, int]:
    """Bytes of a pod: C(request) is what it uses, mapped weights included; C(limit) is the worst case and an eighth.

    Weights are mapped, so the kernel counts them as page cache of the pod that touched them first. They can be
    dropped, but a limit below them would let the pod read its model again for each token.
    """
    ubatch = entry["server"].get("ubatch_size", UBATCH)
    totals = [header["memory"]["total"] for header in headers]
    used = overhead + sum(total + total // 10 for total in totals)  # llama.cpp's compute buffers: about a tenth
    # It reserves room for the logits of a whole batch as 32-bit floats, and touches it where a request asks for them.
    logits = sum(4 * ubatch * header.get("vocabulary", 0) for header in headers)
    return {"request": _round(used), "limit": _round((used + logits) * 9 // 8)}


def wanted_resources(size: Mapping[str, int], *given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Kubernetes resources: what was given, the later the stronger; memory as computed where nobody gave any."""
    merged: dict[str, dict[str, Any]] = {}
    for resources in given:
        for part, values in resources.items():
            merged[part] = {**merged.get(part, {}), **values}
    if not any("memory" in values for values in merged.values()):
        for part, key in (("requests", "request"), ("limits", "limit")):
            if key in size:
                merged[part] = {**merged.get(part, {}), "memory": f"{size[key] // MIB}Mi"}
    return merged


def gpu_resources(entry: Entry) -> dict[str, dict[str, Any]]:
    """The GPUs of a pod; what cannot be shared is a limit, and the request follows it."""
    return {"limits": {GPU: entry["gpu"]}} if entry["gpu"] else {}


def with_threads(entry: Entry, resources: Mapping[str, Mapping[str, Any]]) -> Entry:
    """The entry, with as many threads as it may use processors; llama.cpp's threads spin, so more are slower."""
    limit = resources.get("limits", {}).get("cpu")
    if limit is None or "threads" in entry["server"]:
        return entry
    text = str(limit)
    cores = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    return {**entry, "server": {**entry["server"], "threads": max(int(cores), 1)}}


def _round(size: int, step: int = 64 * MIB) -> int:
    return -(-size // step) * step


def option_names(words: Iterable[str]) -> set[str]:
    """The options among an entry's args, in their long form."""
    heads = (word.split("=", 1)[0] for word in words if word.startswith("-"))
    return {SHORT.get(head, head) for head in heads}
