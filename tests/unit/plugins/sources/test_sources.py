# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models out of a real registry, a real S3-compatible store that checks signatures, and a hub that answers as the real one."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.download import Cache, Fetched
from ansible_collections.wasinn.cluster.plugins.module_utils.fetching import artifact_of, open_following
from ansible_collections.wasinn.cluster.plugins.module_utils.source import DownloadError
from ansible_collections.wasinn.cluster.plugins.module_utils.source_s3 import signed
from ansible_collections.wasinn.cluster.plugins.module_utils.sources import Credentials

from tests.servers.hub import COMMIT, TOKEN, Hub, Repo, hub
from tests.servers.registry import PASSWORD, USER, Registry, registry
from tests.servers.s3 import REGION, Store, store

MODEL = b"GGUF" + os.urandom(3_000_000)
SHA = hashlib.sha256(MODEL).hexdigest()
KEY = "folder with blanks/Möbius+1 (Q4).gguf"
Fetch = Callable[..., Fetched]


class Fetcher:
    """Fetches one entry; ``credentials`` by host, ``environ`` as the controller's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines = folder, []  # type: tuple[Path, list[str]]
        self.credentials: dict[str, dict[str, str]] = {}
        self.environ: dict[str, str] = {}

    def cache(self, **options: Any) -> Cache:
        settings = {"retries": 1, "delay": 0.01, "notify": self.lines.append, **options}
        return Cache(str(self.folder), open_following, **settings)

    def __call__(self, entry: dict[str, Any], **options: Any) -> Fetched:
        artifact = artifact_of({"name": "tiny", **entry}, Credentials(self.credentials, self.environ))
        return self.cache(**options).fetch(artifact)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "cache")


# -- Hugging Face ------------------------------------------------------------------------------------------------------


@pytest.fixture
def models() -> Iterator[Hub]:
    repos = {
        "org/open": Repo({"tiny.gguf": MODEL, "sub/other.gguf": b"GGUF other"}),
        "org/gated": Repo({"tiny.gguf": MODEL}, gated=True),
        "org/private": Repo({"tiny.gguf": MODEL}, private=True),
    }
    with hub(repos) as running:
        running.moved["org/old"] = "org/gated"
        yield running


def on_hub(models: Hub, repo: str = "org/open", file: str = "tiny.gguf", revision: str = "main") -> dict[str, Any]:
    return {"huggingface": {"repo": repo, "file": file, "revision": revision, "endpoint": models.url}}


def test_the_hub_tells_the_checksum(models: Hub, fetch: Fetcher) -> None:
    got = fetch(on_hub(models))
    assert got.changed
    assert got.sha256 == SHA
    assert Path(got.path).read_bytes() == MODEL
    assert [seen[:2] for seen in models.asked] == [("hub", "HEAD"), ("hub", "HEAD"), ("hub", "GET"), ("storage", "GET")]


def test_blanks_and_umlauts_in_an_address_are_encoded(models: Hub) -> None:
    with pytest.raises(HTTPError, match="404"):
        open_following(f"{models.url}/modèles/my model.gguf", {}, 5)
    assert models.asked[-1][2] == "/mod%C3%A8les/my%20model.gguf"


def test_what_the_hub_told_is_trusted_on(models: Hub, fetch: Fetcher) -> None:
    fetch(on_hub(models))
    models.asked.clear()
    models.repos["org/open"].files["tiny.gguf"] = b"GGUF another one"
    assert not fetch(on_hub(models)).changed
    assert not fetch(on_hub(models), offline=True).changed
    assert models.asked == []


def test_a_pin_that_the_hub_contradicts_stops_before_the_download(models: Hub, fetch: Fetcher) -> None:
    with pytest.raises(DownloadError, match=rf"the hub says .* sha256 {SHA}, but 0{{64}} is pinned.*correct the pin"):
        fetch({**on_hub(models), "sha256": "0" * 64})
    assert all(server == "hub" for server, *_rest in models.asked)


def test_the_token_goes_to_the_hub_alone(models: Hub, fetch: Fetcher) -> None:
    fetch.environ["HF_TOKEN"] = TOKEN
    assert fetch(on_hub(models, "org/gated", revision=COMMIT)).sha256 == SHA
    shown = {(server, authorization) for server, _method, _path, authorization in models.asked}
    assert shown == {("hub", f"Bearer {TOKEN}"), ("storage", "")}


def test_a_renamed_repository_keeps_the_token(models: Hub, fetch: Fetcher) -> None:
    fetch.credentials[models.url.removeprefix("http://")] = {"token": TOKEN}
    assert fetch(on_hub(models, "org/old")).sha256 == SHA


@pytest.mark.parametrize(
    ("entry", "token", "expected"),
    [
        ({"repo": "org/gated"}, "", r"org/gated on .* is gated and no token was given \(401\); accept the terms"),
        ({"repo": "org/gated"}, "hf_wrong", r"is gated and the account of the token given has not accepted .* \(403\)"),
        ({"repo": "org/private"}, "", r"there is no org/private on .*, or it is not for you without a token"),
        ({"repo": "org/none"}, TOKEN, r"there is no org/none on .*, or it is not for the token given to see"),
        (
            {"file": "none.gguf"},
            "",
            r"org/open on .* has no file none\.gguf at revision main \(404\); correct huggingface",
        ),
        ({"revision": "v9"}, "", r"has no revision v9 \(404\); correct huggingface\.revision"),
    ],
)
@pytest.mark.parametrize("pin", ["", SHA], ids=["no pin", "pinned"])
def test_the_hubs_refusals(
    models: Hub, fetch: Fetcher, entry: dict[str, str], token: str, expected: str, pin: str
) -> None:
    fetch.environ["HF_TOKEN"] = token
    with pytest.raises(DownloadError, match=expected) as failure:
        fetch({**on_hub(models, **entry), "sha256": pin})
    assert "hf_" not in str(failure.value)


def test_a_filled_cache_is_a_mirror_of_the_hub(models: Hub, fetch: Fetcher, tmp_path: Path) -> None:
    fetch(on_hub(models))
    second = Fetcher(tmp_path / "second")
    assert second({**on_hub(models), "sha256": SHA}, mirror=str(fetch.folder)).sha256 == SHA
    with pytest.raises(DownloadError, match=r"the mirror does not say which sha256 .* has; pin its sha256"):
        Fetcher(tmp_path / "third")(on_hub(models), mirror=str(fetch.folder))


# -- S3 ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store({KEY: MODEL}) as running:
        yield running


def in_store(s3: Store, key: str = KEY, bucket: str = "models") -> dict[str, Any]:
    return {
        "s3": {"bucket": bucket, "key": key, "endpoint": s3.endpoint, "region": REGION},
        "sha256": SHA,
    }


def keys(given: dict[str, str]) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": given["access_key"], "AWS_SECRET_ACCESS_KEY": given["secret_key"]}


def test_a_signed_object(s3: Store, fetch: Fetcher) -> None:
    fetch.environ = keys(s3.reader)
    got = fetch(in_store(s3))
    assert got.changed
    assert Path(got.path).read_bytes() == MODEL
    assert not fetch(in_store(s3), offline=True).changed


def test_a_cut_download_of_an_object_is_carried_on(s3: Store, fetch: Fetcher) -> None:
    fetch.credentials = {s3.endpoint.removeprefix("http://"): s3.reader}
    artifact = artifact_of({"name": "tiny", **in_store(s3)}, Credentials(fetch.credentials, {}))
    place = fetch.cache().path(artifact.url)
    place.parent.mkdir(parents=True)
    part = place.with_name(f"{place.name}.part")
    part.write_bytes(b"x" * 1_000_000)  # if it were begun anew, these would be gone
    data, size = fetch.cache().first_bytes(artifact, 4)
    assert (data, size) == (b"GGUF", len(MODEL))
    part.write_bytes(MODEL[:1_000_000])
    assert fetch(in_store(s3)).changed
    assert place.read_bytes() == MODEL


@pytest.mark.parametrize(
    ("change", "secrets", "expected"),
    [
        ({}, {}, r"does not let s3://models/.* be read, no keys were given \(403"),
        (
            {},
            {"AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "x"},
            r"does not accept the keys given.*InvalidAccessKeyId",
        ),
        (
            {},
            "wrong secret",
            r"does not accept the keys given.*SignatureDoesNotMatch.*correct access_key and secret_key",
        ),
        ({}, "nobody", r"does not let .* be read, the keys given do not allow it \(403 AccessDenied\)"),
        ({"key": "none.gguf"}, "reader", r"there is no s3://models/none\.gguf .*\(404 NoSuchKey\); correct s3\.key"),
        ({"bucket": "none"}, "reader", r"there is no bucket for s3://none/.*\(404 NoSuchBucket\); correct s3\.bucket"),
    ],
)
def test_the_stores_refusals(s3: Store, fetch: Fetcher, change: dict[str, str], secrets: Any, expected: str) -> None:
    if secrets == "wrong secret":
        secrets = {**keys(s3.reader), "AWS_SECRET_ACCESS_KEY": "not the secret"}
    fetch.environ = keys(getattr(s3, secrets)) if isinstance(secrets, str) else secrets
    with pytest.raises(DownloadError, match=expected) as failure:
        fetch(in_store(s3, **change))
    for secret in fetch.environ.values():
        assert secret == "x" or secret not in str(failure.value)


def test_the_signature_of_awss_own_example() -> None:
    # "GET Object" of AWS' documentation signs a Range header as well, which we need not; its key is derived alike:
    # here the request of "GET Bucket Lifecycle", which has no other headers than ours.
    given = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
    now = datetime(2013, 5, 24, tzinfo=UTC)
    headers = signed("GET", "https://examplebucket.s3.amazonaws.com/?lifecycle=", "us-east-1", given, now)
    assert headers["Authorization"].endswith("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")


# -- registries --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifacts() -> Iterator[Registry]:
    layers = [("application/vnd.docker.ai.gguf.v3", "tiny.gguf", MODEL), ("text/plain", "LICENSE", b"free")]
    with registry() as running:
        running.push("public/tiny", "v1", layers)
        running.push("private/tiny", "v1", layers)
        running.push("public/two", "v1", [("x/y", "a.gguf", b"GGUF a"), ("x/y", "b.gguf", MODEL)])
        running.push("public/none", "v1", [("text/plain", "README", b"nothing"), ("text/plain", "LICENSE", b"free")])
        yield running


def in_registry(artifacts: Registry, name: str = "public/tiny", **more: str) -> dict[str, Any]:
    return {"oci": {"reference": f"{artifacts.host}/{name}:v1", "plain_http": True, "file": "", **more}}


def test_the_registrys_digest_is_the_checksum(artifacts: Registry, fetch: Fetcher, tmp_path: Path) -> None:
    got = fetch(in_registry(artifacts))
    assert got.sha256 == SHA
    assert Path(got.path).read_bytes() == MODEL
    assert not fetch(in_registry(artifacts), offline=True).changed
    # A filled cache is a mirror, and a pin needs no manifest.
    assert Fetcher(tmp_path / "second")(in_registry(artifacts), mirror=str(fetch.folder)).sha256 == SHA
    shutil.rmtree(next(fetch.folder.rglob("manifests")))
    assert not fetch({**in_registry(artifacts), "sha256": SHA}, offline=True).changed


def test_a_private_repository(artifacts: Registry, fetch: Fetcher) -> None:
    fetch.credentials[artifacts.host] = {"username": USER, "password": PASSWORD}
    assert fetch(in_registry(artifacts, "private/tiny")).sha256 == SHA


def test_a_layer_by_its_title(artifacts: Registry, fetch: Fetcher) -> None:
    assert fetch(in_registry(artifacts, "public/two", file="b.gguf")).sha256 == SHA


@pytest.mark.parametrize(
    ("name", "file", "given", "expected"),
    [
        ("private/tiny", "", {}, r"does not give private/tiny:v1 to anyone without a user name \(401.*; set username"),
        (
            "private/tiny",
            "",
            {"username": USER, "password": "x"},
            r"does not give .* to the user name and password given",
        ),
        ("public/tin", "", {}, r"has no public/tin:v1 \(404.*; correct oci\.reference, or push it there"),
        ("public/two", "", {}, r"has not exactly one GGUF file but a\.gguf, b\.gguf; set oci\.file"),
        ("public/none", "", {}, r"has not exactly one GGUF file but README, LICENSE"),
        ("public/two", "c.gguf", {}, r"has not a file c\.gguf but a\.gguf, b\.gguf"),
    ],
)
def test_the_registrys_refusals(
    artifacts: Registry, fetch: Fetcher, name: str, file: str, given: dict[str, str], expected: str
) -> None:
    fetch.credentials[artifacts.host] = given
    with pytest.raises(DownloadError, match=expected) as failure:
        fetch(in_registry(artifacts, name, file=file))
    assert PASSWORD not in str(failure.value)


@pytest.mark.parametrize("text", ["tiny:v1", "library/tiny", "example.org/UPPER:v1", "example.org/a@sha256:12"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(DownloadError, match="is no reference to an OCI artifact; write HOST/NAME:TAG"):
        artifact_of({"name": "tiny", "oci": {"reference": text, "file": "", "plain_http": False}}, Credentials({}, {}))


# -- entries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [{}, {"url": "https://example.org/a", "path": "/a"}])
def test_an_entry_has_one_source(entry: dict[str, str]) -> None:
    with pytest.raises(DownloadError, match=r"needs one of url, huggingface, s3, oci, path but has .*; give one"):
        artifact_of({"name": "tiny", **entry}, Credentials({}, {}))


def test_a_url_of_the_hub_is_one_of_the_hub() -> None:
    artifact = artifact_of(
        {"name": "tiny", "url": "https://huggingface.co/org/open/resolve/main/a%20b.gguf"}, Credentials({}, {})
    )
    assert artifact.url == "https://huggingface.co/org/open/resolve/main/a%20b.gguf"
    assert type(artifact.source).__name__ == "HuggingFace"


def test_unknown_credentials_are_refused() -> None:
    with pytest.raises(DownloadError, match=r"artifacts_credentials has pass for example\.org; only token"):
        Credentials({"example.org": {"pass": "x"}}, {})


def test_a_file_of_the_controller_stays_where_it_is(fetch: Fetcher, tmp_path: Path) -> None:
    own = tmp_path / "own model.gguf"
    own.write_bytes(MODEL)
    got = fetch({"path": str(own)})
    assert (got.path, got.sha256, got.size, got.changed) == (str(own), SHA, len(MODEL), False)
    with pytest.raises(DownloadError, match=r"own model\.gguf has sha256 .*, but 0{64} is pinned; correct the pin"):
        fetch({"path": str(own), "sha256": "0" * 64})
    with pytest.raises(DownloadError, match=r"there is no .*none\.gguf on the controller; correct path"):
        fetch({"path": str(tmp_path / "none.gguf")})
