# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenAI's own client against the balancer and the model server, both as WebAssembly under wasmedge, without a cluster."""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.closed_network import mirror
from tests.closed_network.builds import api_server, balancer, model, model_q8_0, plugin
from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.machines import engine, image
from tests.machines.shell import Failure

from .openai_cases import OpenAICases, Target

CONTAINER = "wasinn-openai"
CHAT, EMBEDDING = "smollm2-135m-instruct", "smollm2-135m-instruct-embedding"
KEY, LIMITED = "sk-e2e-openai", "sk-e2e-openai-limited"
START_SECONDS = 60

CONFIG = f"""
watch = false
[files]
keys = "/etc/balancer/keys.json"
admin_token = "/etc/balancer/token"
[[pools]]
name = "{CHAT}"
endpoints = ["127.0.0.1:8001"]
[[pools]]
name = "{EMBEDDING}"
kind = "embedding"
endpoints = ["127.0.0.1:8001"]
"""
RUN = """
WASMEDGE_PLUGIN_PATH=/plugin wasmedge --nn-preload "default:GGML:AUTO:/chat.gguf;embedding:GGML:AUTO:/embedding.gguf" \\
  /llama-api-server.wasm --model-name "$NAMES" --prompt-template chatml,embedding --ctx-size 1024,512 --threads 1 \\
  --socket-addr 127.0.0.1:8001 &
exec wasmedge --dir /etc/balancer:/etc/balancer /balancer.wasm /etc/balancer/config.toml
"""


@pytest.fixture(scope="module")
def base_url(
    docker_engine: None, say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The balancer's address; the same server is its chat and its embedding endpoint."""
    if mirror.upstream():
        pytest.skip("the builder's wasmedge takes the stand-ins alone")
    mirror.ensure(["api_server", "balancer", "model", "model_q8_0", "plugin"], say)
    image.ensure(image.BUILDER, say)
    folder = tmp_path_factory.mktemp("openai")
    archive = f"{plugin.RELEASES}/{plugin.VERSION}/{plugin.archive(plugin.VERSION)}"
    with tarfile.open(place(MIRROR, archive)) as packed:
        packed.extractall(folder / "plugin", filter="data")
    _write_configuration(folder / "balancer")
    mounts = {
        folder / "plugin": "/plugin",
        folder / "balancer": "/etc/balancer",
        place(MIRROR, f"{api_server.RELEASE}/llama-api-server.wasm"): "/llama-api-server.wasm",
        place(MIRROR, balancer.COMPILED): "/balancer.wasm",
        place(MIRROR, model.URL): "/chat.gguf",
        place(MIRROR, model_q8_0.URL): "/embedding.gguf",
    }
    engine.docker("rm", "-f", CONTAINER, check=False)
    volumes = [word for source, target in mounts.items() for word in ("-v", f"{source}:{target}:ro")]
    names = f"NAMES={CHAT},{EMBEDDING}"
    try:
        engine.docker(
            *("run", "-d", "--init", "--name", CONTAINER, "-e", names, *volumes, image.BUILDER.name, "sh", "-c", RUN)
        )
        address = engine.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", CONTAINER)
        _wait(f"http://{address}:8080/v1")
        yield f"http://{address}:8080/v1"
    finally:
        engine.docker("rm", "-f", CONTAINER, check=False)


def _write_configuration(folder: Path) -> None:
    folder.mkdir()
    keys = [
        {"name": "all", "sha256": hashlib.sha256(KEY.encode()).hexdigest()},
        {"name": "limited", "sha256": hashlib.sha256(LIMITED.encode()).hexdigest(), "requests_per_minute": 2},
    ]
    (folder / "keys.json").write_text(json.dumps({"keys": keys}))
    (folder / "token").write_text("not-asked-for-here")
    (folder / "config.toml").write_text(CONFIG)


def _wait(url: str) -> None:
    """Until both models answer."""
    until = time.monotonic() + START_SECONDS
    body = json.dumps({"model": CHAT, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    while True:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{url}/chat/completions", body, headers), timeout=START_SECONDS
            ):
                return
        except (OSError, urllib.error.HTTPError) as error:
            if time.monotonic() > until:
                log = engine.docker("logs", "--tail", "5", CONTAINER, check=False)
                raise Failure(f"The balancer at {url} does not answer ({error}): {log}") from None
            time.sleep(0.5)


class TestOpenAIClient(OpenAICases):
    @pytest.fixture
    def openai_target(self, base_url: str) -> Target:
        return Target(base_url, key=KEY, limited_key=LIMITED, chat=CHAT, embedding=EMBEDDING)
