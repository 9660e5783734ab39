# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A GGUF file as a layer of an OCI artifact in a registry.

Source: OCI distribution specification 1.1 (manifests and blobs by digest) and the Docker registry's token
authentication. Which layer is the model: the one of the wanted title, else the only one whose media type or title
says gguf (``application/vnd.docker.ai.gguf.v3``, ``….gguf`` as `oras push` writes it, ``application/vnd.ollama.image.model``).
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.source import (
    Answer,
    DownloadError,
    Headers,
    Located,
    Reader,
    Refusal,
    Source,
    basic,
)

TITLE = "org.opencontainers.image.title"
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DOCKER_HUB = "registry-1.docker.io"
_REFERENCE = re.compile(
    r"(?P<host>[^/]+)/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Reference:
    """``HOST/NAME:TAG`` or ``HOST/NAME@sha256:…`` in its parts."""

    host: str
    name: str
    version: str  # a tag or a digest

    def url(self, kind: str, version: str, plain_http: bool) -> str:
        """The address of a manifest or blob in the registry's API."""
        return f"http{'' if plain_http else 's'}://{self.host}/v2/{self.name}/{kind}/{version}"


def parse_reference(text: str) -> Reference:
    """The parts of a reference; ``docker.io`` is the registry that answers for it, and no tag means ``latest``.

    :raises DownloadError: for text that is no reference with a host.
    """
    found = _REFERENCE.fullmatch(text)
    if not found or not re.search(r"[.:]|^localhost$", found["host"]):
        raise DownloadError(
            f"{text!r} is no reference to an OCI artifact; write HOST/NAME:TAG or HOST/NAME@sha256:DIGEST"
        )
    host = _DOCKER_HUB if found["host"] in ("docker.io", "index.docker.io") else found["host"]
    return Reference(host, found["name"], found["digest"] or found["tag"] or "latest")


@dataclass
class Oci(Source):
    """A registry, whose credentials are ``username`` and ``password``; without them it is asked anonymously."""

    reference: Reference = Reference("", "", "")
    file: str = ""
    plain_http: bool = False
    _authorization: str = ""

    def secrets(self, method: str, url: str) -> dict[str, str]:
        return {"Authorization": self._authorization} if self._authorization else {}

    def challenged(self, name: str, headers: Headers, reader: t.Callable[..., Answer]) -> bool:
        challenge = headers.get("WWW-Authenticate") or ""
        kind, _space, rest = challenge.partition(" ")
        before, mine = self._authorization, basic(self.credentials)
        if kind.lower() == "basic":
            self._authorization = mine.get("Authorization", "")
        elif kind.lower() == "bearer":
            fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            if urlsplit(fields.get("realm", "")).scheme not in ("http", "https"):
                return False
            query = {key: fields[key] for key in ("service", "scope") if fields.get(key)}
            answer = reader(name, f"{fields['realm']}?{urlencode(query)}", mine)
            try:
                told = dict(json.loads(answer.body))
            except (ValueError, TypeError):  # a page for people, or nothing
                return False
            token = told.get("token") or told.get("access_token")
            self._authorization = f"Bearer {token}" if token else ""
        return bool(self._authorization) and self._authorization != before

    def locate(self, name: str, url: str, sha256: str, reader: Reader) -> Located:
        if sha256:
            return Located(self._url("blobs", f"sha256:{sha256}"), sha256)
        manifest = self._manifest(name, self.reference.version, reader)
        if "manifests" in manifest:  # an index: the model is the same on every platform
            digests = [str(item.get("digest")) for item in manifest["manifests"]]
            if not digests:
                raise DownloadError(f"{name}: the index {url} is empty; push the artifact anew")
            manifest = self._manifest(name, digests[0], reader)
        layer = self._layer(name, url, manifest.get("layers") or manifest.get("blobs") or [])
        digest = _DIGEST.fullmatch(str(layer.get("digest")))
        if not digest:
            raise DownloadError(f"{name}: {url} names its file by {layer.get('digest')}, not by a sha256; push it anew")
        return Located(self._url("blobs", digest.group()), digest.group(1), int(layer.get("size") or 0))

    def sentence(self, refusal: Refusal) -> str:
        name, at = refusal.name, urlsplit(refusal.url)
        what, status = f"{self.reference.name}:{self.reference.version}", f"{refusal.code} {refusal.reason}".strip()
        if refusal.code == 404:
            return f"{name}: the registry {at.netloc} has no {what} ({status}); correct oci.reference, or push it there"
        if refusal.code in (401, 403):
            who = (
                "the user name and password given" if self.credentials.get("username") else "anyone without a user name"
            )
            return (
                f"{name}: the registry {at.netloc} does not give {what} to {who} ({status}); "
                f"set username and password for {self.reference.host} in artifacts_credentials"
            )
        return super().sentence(refusal)

    def _url(self, kind: str, version: str) -> str:
        return self.reference.url(kind, version, self.plain_http)

    def _manifest(self, name: str, version: str, reader: Reader) -> dict[str, t.Any]:
        url = self._url("manifests", version)

        def fetched() -> str:
            return reader.ask(name, url, self, {"Accept": ", ".join(_MANIFESTS)}).body.decode(errors="replace")

        def usable(text: str) -> bool:
            if version.startswith("sha256:") and f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" != version:
                return False
            try:
                return isinstance(json.loads(text), dict)
            except ValueError:
                return False

        manifest: dict[str, t.Any] = json.loads(reader.remembered(name, "manifest", url, fetched, usable))
        return manifest

    def _layer(self, name: str, url: str, layers: list[dict[str, t.Any]]) -> dict[str, t.Any]:
        titles = [str((layer.get("annotations") or {}).get(TITLE, "")) for layer in layers]
        if self.file:
            fitting = [layer for layer, title in zip(layers, titles) if title == self.file]
        else:
            fitting = [layer for layer, title in zip(layers, titles) if _is_model(str(layer.get("mediaType")), title)]
            fitting = fitting or layers
        if len(fitting) == 1:
            return fitting[0]
        found = ", ".join(title or str(layer.get("mediaType")) for layer, title in zip(layers, titles)) or "nothing"
        wanted = f"a file {self.file}" if self.file else "exactly one GGUF file"
        raise DownloadError(f"{name}: {url} has not {wanted} but {found}; set oci.file to the title of the wanted one")


def _is_model(media_type: str, title: str) -> bool:
    return "gguf" in media_type or title.endswith(".gguf") or media_type == "application/vnd.ollama.image.model"
