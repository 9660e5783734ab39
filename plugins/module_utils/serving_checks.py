# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What in the catalogue contradicts itself, told before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding
from ansible_collections.wasinn.cluster.plugins.module_utils.serving import (
    CHAT_ONLY,
    COMPANIONS,
    FIXED,
    FLAGS,
    GPU,
    PAIRS,
    SINGLE,
    UBATCH,
    model_name,
    option_names,
)

Entry = Mapping[str, Any]
CHECK = "model_options"
#: Architectures of llama.cpp that give embeddings and no text.
ENCODERS = ("bert", "nomic-bert", "jina-bert-v2", "t5encoder")


def judge(catalogue: Iterable[Entry]) -> list[Finding]:
    """Every contradiction in the completed catalogue."""
    entries = {entry["name"]: entry for entry in catalogue}
    found: list[Finding] = []
    for entry in entries.values():
        for check in (_options, _gpus, _arguments, _companions, _scale):
            found += [finding(CHECK, f"{_the(entry)} {cause}.", remedy) for cause, remedy in check(entry, entries)]
    return found + list(_names(entries.values()))


def judge_headers(catalogue: Iterable[Entry], headers: Mapping[str, Entry]) -> list[Finding]:
    """What an entry says of its file, against the file's own header."""
    found = []
    for entry in catalogue:
        architecture = (headers.get(entry["name"]) or {}).get("architecture")
        if entry["kind"] == "chat" and architecture in ENCODERS:
            cause = f"{_the(entry)} is of kind chat, but its file has the architecture {architecture}, which gives embeddings alone."
            found.append(finding(CHECK, cause, "Set kind: embedding."))
    return found


def _the(entry: Entry) -> str:
    return f"The model {entry['name']}"


def _options(entry: Entry, _entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    server, kind = entry["server"], entry["kind"]
    if kind != "chat" and (wrong := [field for field in CHAT_ONLY if server.get(field) is not None]):
        yield (
            f"is of kind {kind}, for which server.{', server.'.join(wrong)} has no meaning",
            "Remove it, or set kind: chat.",
        )
    template = entry["prompt_template"]
    if template and (kind == "embedding") != (template == "embedding"):
        yield f"is of kind {kind}, but has prompt_template: {template}", "Leave prompt_template out, or correct kind."
    if server.get("grammar") and server.get("json_schema"):
        yield (
            "has both server.grammar and server.json_schema, which constrain the same text",
            "Keep one of the two.",
        )
    batch, ubatch = server.get("batch_size", 512), server.get("ubatch_size", UBATCH)
    if "ubatch_size" in server and ubatch > batch:
        yield (
            f"has server.ubatch_size {ubatch} above its batch_size {batch}",
            "Give a physical batch that is not above the logical one.",
        )
    if server.get("split_mode") == "none" and server.get("tensor_split"):
        yield (
            "has server.tensor_split together with split_mode: none, which uses one GPU",
            "Remove one of the two.",
        )


def _gpus(entry: Entry, _entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    count, server = entry["gpu"], entry["server"]
    if count < 0:
        yield f"has gpu: {count}", "Give a number of GPUs that is not negative."
    if count <= 0:
        return
    if any(GPU in (entry["resources"].get(part) or {}) for part in ("limits", "requests")):
        yield f"has both gpu and {GPU} among its resources", f"Remove {GPU} from its resources; gpu is enough."
    shares = [share for share in str(server.get("tensor_split") or "").split(",") if share]
    if len(shares) > count:
        yield (
            f"has {len(shares)} shares in server.tensor_split, but gpu: {count}",
            "Give at most as many shares as GPUs.",
        )
    if (server.get("main_gpu") or 0) >= count:
        yield f"has server.main_gpu {server['main_gpu']}, but gpu: {count}", "A pod counts its own GPUs from 0."


def _arguments(entry: Entry, _entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    named = {option: field for table in (PAIRS, SINGLE, FLAGS) for field, option in table.items()}
    for option in sorted(option_names(entry["args"])):
        if option in FIXED:
            yield f"repeats {option} in args, which the role sets", f"Remove {option} from args."
        elif option in named and named[option] in entry["server"]:
            yield (
                f"has {option} both in args and as server.{named[option]}",
                f"Remove it from args; server.{named[option]} is enough.",
            )


def _companions(entry: Entry, entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    for part, kind in COMPANIONS.items():
        if not (name := entry.get(part)):
            continue
        other = entries.get(name)
        if entry["kind"] != "chat":
            yield f"is of kind {entry['kind']}, but names {name} as its {part}", f"Only a chat model has a {part}."
        elif other is None:
            yield f"names {name} as its {part}, which models_catalogue does not have", f"Add {name}, or correct {part}."
        elif other["kind"] != kind:
            yield f"names {name} as its {part}, which is of kind {other['kind']}", f"Set kind: {kind} there."
        elif missing := _hosts_without(entry, other):
            yield (
                f"may run on {missing}, where the file of its {part} {name} is not kept",
                f"Give {name} at least the hosts of {entry['name']}.",
            )


def _hosts_without(entry: Entry, other: Entry) -> str:
    if not other["hosts"]:
        return ""
    if not entry["hosts"]:
        return "every host"
    return ", ".join(host for host in entry["hosts"] if host not in other["hosts"])


def _scale(entry: Entry, _entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    for field in ("weight", "slots", "replicas"):
        if entry[field] is not None and entry[field] < (1 if field == "slots" else 0):
            yield f"has {field}: {entry[field]}", f"Give a {field} that is not negative (slots: at least 1)."
    scale = entry["autoscale"]
    if not scale:
        return
    low, high = scale.get("min", 1), scale.get("max")
    if high is None or low < 0 or high < max(low, 1):
        yield (
            f"has autoscale with min {low} and max {high}, between which there is no number of pods",
            "Give a max of at least 1 that is not below min.",
        )
    if scale.get("target", 1) < 1:
        yield f"has autoscale.target {scale['target']}", "Give at least 1 request a pod."
    if entry["replicas"] is not None:
        yield (
            "has both replicas and autoscale",
            "Remove replicas: the autoscaler chooses the number between min and max.",
        )


def _names(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Names and aliases: each leads to one model, and a model is of one kind."""
    entries = [entry for entry in entries if entry["kind"] != "projector"]
    kinds: dict[str, set[str]] = {}
    owners: dict[str, set[str]] = {}
    for entry in entries:
        kinds.setdefault(model_name(entry), set()).add(entry["kind"])
        for alias in entry["aliases"]:
            owners.setdefault(alias, set()).add(model_name(entry))
    for model, several in kinds.items():
        if len(several) > 1:
            yield finding(
                CHECK,
                f"The model name {model} is served by entries of the kinds {' and '.join(sorted(several))}.",
                "Give entries that serve one model the same kind.",
            )
    for alias, models in owners.items():
        if len(models) > 1 or alias in kinds.keys() - models:
            leads = ", ".join(sorted(models | ({alias} if alias in kinds else set())))
            yield finding(CHECK, f"The alias {alias} leads to several models: {leads}.", "Give it to one of them.")
