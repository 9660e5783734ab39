# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the catalogue to command lines, preloads, memory, and the contradictions that are refused."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.wasinn.cluster.plugins.filter.models import models_on
from ansible_collections.wasinn.cluster.plugins.filter.serving import (
    serving_findings,
    serving_headers,
    serving_units,
)
from ansible_collections.wasinn.cluster.plugins.module_utils import serving

from tests.lint.tree import REPO

FAMILIES = yaml.safe_load((REPO / "roles/llamaedge/defaults/main.yml").read_text())["llamaedge_families"]
SPEC = yaml.safe_load((REPO / "roles/models/meta/argument_specs.yml").read_text())
FIELDS = SPEC["argument_specs"]["main"]["options"]["models_catalogue"]["options"]

CHAT = {"name": "chat", "path": "/m/chat.gguf"}
EMBED = {"name": "embed", "path": "/m/embed.gguf", "kind": "embedding", "context": 512}
EYES = {"name": "eyes", "path": "/m/mmproj.gguf", "kind": "projector"}
HEADER = {"architecture": "llama", "vocabulary": 50_000, "memory": {"total": 1000 << 20}}


def unit(*catalogue, **options):
    """The only unit of a catalogue."""
    [found] = serving_units(list(catalogue), FAMILIES, **options)
    return found


def option(words, name):
    """The value of an option on a command line."""
    return words[words.index(name) + 1]


def test_every_server_option_of_the_spec_reaches_the_command_line_under_its_own_name():
    tables = {**serving.PAIRS, **serving.SINGLE, **serving.FLAGS}
    assert tables.keys() == FIELDS["server"]["options"].keys()
    assert all(flag == "--" + field.replace("_", "-") for field, flag in tables.items())


def test_what_an_entry_leaves_out_is_what_the_spec_says():
    (model,) = models_on([CHAT])
    for name, option_spec in FIELDS.items():
        if "default" in option_spec and name in model:
            assert model[name] == option_spec["default"], name


def test_options_become_words():
    server = {"threads": 4, "temp": 0.0, "no_mmap": False, "include_usage": True, "json_schema": {"type": "object"}}
    words = unit({**CHAT, "serves": "assistant", "server": server, "args": ["--log-stat"]})["command"]
    assert option(words, "--model-name") == "assistant"
    assert option(words, "--threads") == "4"
    assert option(words, "--temp") == "0.0"
    assert option(words, "--no-mmap") == "false"
    assert option(words, "--json-schema") == '{"type": "object"}'
    assert "--include-usage" in words
    assert words[-1] == "--log-stat"


def test_a_flag_that_is_off_is_left_out():
    assert "--include-usage" not in unit({**CHAT, "server": {"include_usage": False}})["command"]


def test_companions_live_in_the_pod_of_the_model_that_names_them():
    chat = {**CHAT, "embedding": "embed", "projector": "eyes", "server": {"batch_size": 256}}
    found = unit(chat, EMBED, EYES)
    words = found["command"]
    assert option(words, "--model-name") == "chat,embed"
    assert option(words, "--prompt-template") == "chatml,embedding"
    assert option(words, "--ctx-size") == "2048,512"
    assert option(words, "--batch-size") == "256,512"
    assert option(words, "--llava-mmproj") == "/models/mmproj.gguf"
    assert found["preload"] == "default:GGML:AUTO:/models/chat.gguf;embedding:GGML:AUTO:/models/embed.gguf"
    assert [entry["name"] for entry in found["files"]] == ["chat", "embed", "eyes"]
    assert [entry["name"] for entry in found["pools"]] == ["chat", "embed"]


def test_an_embedding_model_alone_is_the_servers_default_model():
    found = unit(EMBED)
    assert found["preload"] == "default:GGML:AUTO:/models/embed.gguf"
    assert option(found["command"], "--prompt-template") == "embedding"


@pytest.mark.parametrize(
    ("template", "file", "expected"),
    [
        ("{{ '<|im_start|>' + role }}", "x.gguf", "chatml"),
        ("<|im_start|>user<|im_sep|>", "x.gguf", "phi-4-chat"),
        ("<|start_header_id|>system", "x.gguf", "llama-3-chat"),
        ("<start_of_turn>user", "x.gguf", "gemma-instruct"),
        ("<start_of_turn>user<start_of_image>", "x.gguf", "gemma-3"),
        ("[INST] {{ message }} [/INST]", "x.gguf", "mistral-instruct"),
        ("[INST] <<SYS>>", "x.gguf", "llama-2-chat"),
        # The header counts for more than the name.
        ("<|im_start|>", "Llama-3-finetune.gguf", "chatml"),
        ("something new", "Llama-3-finetune.gguf", "chatml"),
        ("", "Meta-Llama-3-8B-Instruct.Q4_K_M.gguf", "llama-3-chat"),
        ("", "gemma-2-2b-it-Q4.gguf", "gemma-instruct"),
        ("", "SmolLM2-135M-Instruct.Q4_1.gguf", "chatml"),
        ("", "unheard-of.gguf", "chatml"),
    ],
)
def test_the_prompt_template_follows_the_family(template, file, expected):
    header = {**HEADER, "chat_template": template}
    words = unit({**CHAT, "path": f"/m/{file}"}, headers={"chat": header})["command"]
    assert option(words, "--prompt-template") == expected


def test_the_entrys_own_template_wins():
    words = unit({**CHAT, "prompt_template": "zephyr"}, headers={"chat": {**HEADER, "chat_template": "<|im_start|>"}})
    assert option(words["command"], "--prompt-template") == "zephyr"


def test_memory_counts_weights_cache_buffers_and_the_server():
    resources = unit(CHAT, headers={"chat": HEADER}, overhead="256Mi")["resources"]
    # 1000 + 100 (a tenth) + 256 = 1356 MiB; with 98 for 512 x 50,000 floats and an eighth 1635 MiB. Both rounded up to 64.
    assert resources == {"requests": {"memory": "1408Mi"}, "limits": {"memory": "1664Mi"}}


def test_memory_of_companions_adds_up_and_is_not_guessed_where_one_is_unknown():
    chat = {**CHAT, "embedding": "embed"}
    both = unit(chat, EMBED, headers={"chat": HEADER, "embed": HEADER})["resources"]
    assert both["requests"]["memory"] == "2368Mi"
    assert unit(chat, EMBED, headers={"chat": HEADER})["resources"] == {"requests": {"memory": "128Mi"}}


def test_memory_that_somebody_gives_is_left_alone():
    chat = {**CHAT, "resources": {"limits": {"memory": "3Gi"}}}
    resources = unit(chat, headers={"chat": HEADER}, resources={"requests": {"cpu": "1"}})["resources"]
    assert resources == {"requests": {"cpu": "1"}, "limits": {"memory": "3Gi"}}


@pytest.mark.parametrize(("cpu", "threads"), [("4", "4"), (2, "2"), ("1500m", "1"), ("500m", "1"), ("2.5", "2")])
def test_threads_follow_the_limit_of_processors(cpu, threads):
    words = unit({**CHAT, "resources": {"limits": {"cpu": cpu}}})["command"]
    assert option(words, "--threads") == threads


def test_threads_that_somebody_gives_are_left_alone():
    words = unit({**CHAT, "server": {"threads": 3}, "resources": {"limits": {"cpu": "8"}}})["command"]
    assert option(words, "--threads") == "3"


def test_checksums_are_annotations_so_that_pods_roll():
    chat = {**CHAT, "sha256": "a" * 64, "embedding": "embed"}
    annotations = unit(chat, {**EMBED, "sha256": "b" * 64})["annotations"]
    assert annotations == {"wasinn.cluster/model-sha256": "a" * 64, "wasinn.cluster/embedding-sha256": "b" * 64}


def test_weight_aliases_and_slots_do_not_reach_the_pods():
    plain = unit(CHAT)
    moved = unit({**CHAT, "weight": 9, "aliases": ["x"], "slots": 2})
    pods = ("command", "preload", "resources", "annotations", "labels")
    assert [plain[key] for key in pods] == [moved[key] for key in pods]


def test_headers_are_found_on_the_hosts_that_have_them():
    hostvars = {
        "n1": {"looked": {"results": [{"item": {"name": "chat"}, "model": {"path": "/m/chat.gguf"}}]}},
        "n2": {"looked": {"results": [{"item": {"name": "chat"}, "model": HEADER}]}},
        "n3": {},
    }
    assert serving_headers(hostvars, ["n1", "n2", "n3"], "looked") == {"chat": HEADER}


@pytest.mark.parametrize(
    ("catalogue", "cause"),
    [
        ([{**EMBED, "server": {"temp": 0.5}}], "server.temp has no meaning"),
        ([{**EMBED, "prompt_template": "chatml"}], "is of kind embedding, but has prompt_template: chatml"),
        ([{**CHAT, "prompt_template": "embedding"}], "is of kind chat, but has prompt_template: embedding"),
        ([{**CHAT, "server": {"grammar": "x", "json_schema": "{}"}}], "both server.grammar and server.json_schema"),
        ([{**CHAT, "server": {"batch_size": 64, "ubatch_size": 128}}], "ubatch_size 128 above its batch_size 64"),
        ([{**CHAT, "server": {"split_mode": "none", "tensor_split": "3,2"}}], "split_mode: none"),
        ([{**CHAT, "args": ["-c", "4096"]}], "repeats --ctx-size in args"),
        ([{**CHAT, "args": ["--port=80"]}], "repeats --port in args"),
        ([{**CHAT, "server": {"threads": 2}, "args": ["--threads", "1"]}], "both in args and as server.threads"),
        ([{**CHAT, "embedding": "gone"}], "names gone as its embedding, which models_catalogue does not have"),
        ([{**CHAT, "embedding": "eyes"}, EYES], "which is of kind projector"),
        ([{**EMBED, "projector": "eyes"}, EYES], "is of kind embedding, but names eyes as its projector"),
        ([{**CHAT, "embedding": "embed"}, {**EMBED, "hosts": ["n1"]}], "may run on every host"),
        ([{**CHAT, "embedding": "embed", "hosts": ["n1", "n2"]}, {**EMBED, "hosts": ["n1"]}], "may run on n2"),
        ([{**CHAT, "weight": -1}], "has weight: -1"),
        ([{**CHAT, "slots": 0}], "has slots: 0"),
        ([{**CHAT, "autoscale": {"min": 3, "max": 2}}], "min 3 and max 2"),
        ([{**CHAT, "autoscale": {"min": 0}}], "max None"),
        ([{**CHAT, "autoscale": {"max": 2, "target": 0}}], "autoscale.target 0"),
        ([{**CHAT, "autoscale": {"max": 2}, "replicas": 1}], "both replicas and autoscale"),
        ([{**CHAT, "gpu": -1}], "has gpu: -1"),
        ([{**CHAT, "gpu": 1, "resources": {"limits": {"nvidia.com/gpu": 1}}}], "both gpu and nvidia.com/gpu"),
        ([{**CHAT, "gpu": 1, "server": {"tensor_split": "3,2"}}], "2 shares in server.tensor_split, but gpu: 1"),
        ([{**CHAT, "gpu": 2, "server": {"main_gpu": 2}}], "server.main_gpu 2, but gpu: 2"),
        ([{**CHAT, "serves": "m"}, {**EMBED, "serves": "m"}], "by entries of the kinds chat and embedding"),
        ([{**CHAT, "aliases": ["a"]}, {**CHAT, "name": "b", "aliases": ["a"]}], "The alias a leads to several models"),
        ([{**CHAT, "aliases": ["b"]}, {**CHAT, "name": "b"}], "The alias b leads to several models: b, chat"),
    ],
)
def test_contradictions_are_refused(catalogue, cause):
    found = serving_findings(catalogue)
    assert len(found) == 1, found
    assert cause in found[0]["cause"]
    assert found[0]["remedy"]


def test_a_model_of_the_wrong_kind_is_told_by_its_header():
    (found,) = serving_findings([CHAT], {"chat": {"architecture": "nomic-bert"}})
    assert "gives embeddings alone" in found["cause"]


def test_a_sound_catalogue_has_no_findings():
    chat = {
        **CHAT,
        "embedding": "embed",
        "projector": "eyes",
        "aliases": ["default"],
        "autoscale": {"min": 0, "max": 4},
    }
    canary = {
        **CHAT,
        "name": "chat-next",
        "serves": "chat",
        "aliases": ["default"],
        "weight": 0,
        "server": {"temp": 0.2},
    }
    assert serving_findings([chat, canary, EMBED, EYES], {"chat": HEADER}) == []
