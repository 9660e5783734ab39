# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pushing an OCI archive to a registry: the OCI distribution specification 1.1 on urllib alone."""

from __future__ import annotations

import base64
import json
import re
import ssl
import tarfile
import typing as t
from dataclasses import dataclass, field
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from .oci_image import ImageError, images_in

_NAME = re.compile(
    r"^(?P<host>[a-zA-Z0-9.-]+(?::\d+)?)/(?P<path>[a-z0-9._/-]+):(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(Exception):
    """One sentence: what the registry did not like and what to do about it."""


class _NoRedirect(HTTPRedirectHandler):
    """A registry's redirects lead to its storage, where our credentials have no business."""

    def redirect_request(self, *_args: t.Any) -> None:
        return None


@dataclass
class Registry:
    """One repository of a registry.

    :ivar name: the image's full reference: ``host[:port]/path:tag``.
    :ivar ca_path: PEM file of certificate authorities instead of the system's.
    :ivar timeout: seconds for one request.
    """

    name: str
    username: str = ""
    password: str = ""
    ca_path: str = ""
    plain_http: bool = False
    timeout: float = 60
    _authorization: str = field(default="", init=False)

    def __post_init__(self) -> None:
        match = _NAME.match(self.name)
        if not match:
            raise RegistryError(
                f"{self.name!r} does not name a registry, a path and a tag, such as registry.example.net/ai/balancer:0.1.0; "
                "correct the image's name"
            )
        self.host, self.path, self.tag = match["host"], match["path"], match["tag"]
        self.base = f"http{'' if self.plain_http else 's'}://{self.host}/v2/{self.path}"
        try:
            context = ssl.create_default_context(cafile=self.ca_path or None)
        except OSError as exc:
            raise RegistryError(f"the CA file {self.ca_path} cannot be read ({exc}); correct its path") from exc
        self._opener = build_opener(_NoRedirect, HTTPSHandler(context=context))

    def digest(self) -> str:
        """Digest of the image that has our name, empty if none has.

        :raises RegistryError: where the registry gives no answer.
        """
        accept = "application/vnd.oci.image.manifest.v1+json"
        response = self._ask("HEAD", f"{self.base}/manifests/{self.tag}", headers={"Accept": accept}, missing=True)
        return response.get("docker-content-digest", "") if response is not None else ""

    def push(self, archive: str, digest: str) -> None:
        """Push the image ``digest`` of an OCI archive under our name; blobs that are there already are not sent.

        :raises RegistryError: where the registry refuses it.
        :raises ImageError: for an archive that cannot be read.
        """
        with _Archive(archive) as blobs:
            content = blobs.read(digest)
            manifest = json.loads(content)
            for item in (manifest["config"], *manifest["layers"]):
                self._blob(item["digest"], blobs)
        self._ask("PUT", f"{self.base}/manifests/{self.tag}", content, {"Content-Type": manifest["mediaType"]})

    def _blob(self, digest: str, blobs: _Archive) -> None:
        if self._ask("HEAD", f"{self.base}/blobs/{digest}", missing=True) is not None:
            return
        started = self._ask("POST", f"{self.base}/blobs/uploads/", b"")
        place = urljoin(f"{self.base}/", (started or {}).get("location", ""))
        mark = "&" if "?" in place else "?"
        self._ask(
            "PUT",
            f"{place}{mark}{urlencode({'digest': digest})}",
            blobs.read(digest),
            {"Content-Type": "application/octet-stream"},
        )

    def _ask(
        self,
        method: str,
        url: str,
        data: bytes | None = None,
        headers: t.Mapping[str, str] | None = None,
        missing: bool = False,
        again: bool = True,
    ) -> dict[str, str] | None:
        """The answer's headers in lower case; with ``missing``, None for 404. Obeys one challenge."""
        sent = {"User-Agent": "wasinn.cluster", **(headers or {})}
        if self._authorization:
            sent["Authorization"] = self._authorization
        try:
            with self._opener.open(Request(url, data, sent, method=method), timeout=self.timeout) as response:
                return {key.lower(): value for key, value in response.headers.items()}
        except HTTPError as exc:
            with exc:
                if exc.code == 404 and missing:
                    return None
                if exc.code in (302, 307) and method == "HEAD":  # a blob that lies in the registry's storage
                    return {key.lower(): value for key, value in exc.headers.items()}
                if exc.code == 401 and again:
                    self._authorization = self._answer(exc.headers.get("WWW-Authenticate", ""))
                    return self._ask(method, url, data, headers, missing, again=False)
                raise RegistryError(self._refusal(exc)) from exc
        except (URLError, OSError) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise RegistryError(
                f"the registry {self.host} cannot be reached ({reason}); check its name, its certificate and the network"
            ) from exc

    def _answer(self, challenge: str) -> str:
        """The Authorization header that a challenge asks for."""
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        scheme, _separator, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self.username:
            return f"Basic {basic}"
        if scheme.lower() != "bearer":
            raise RegistryError(f"the registry {self.host} wants a user; set workload_registry_username and _password")
        fields = dict(_CHALLENGE.findall(rest))
        query = {"service": fields.get("service", ""), "scope": f"repository:{self.path}:pull,push"}
        headers = {"Authorization": f"Basic {basic}"} if self.username else {}
        request = Request(f"{fields.get('realm', '')}?{urlencode(query)}", headers=headers)
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                answer = json.load(response)
            return f"Bearer {answer.get('token') or answer['access_token']}"
        except (OSError, ValueError, KeyError) as exc:
            raise RegistryError(
                f"the registry {self.host} gave no token ({exc}); check workload_registry_username and _password"
            ) from exc

    def _refusal(self, exc: HTTPError) -> str:
        if exc.code in (401, 403):
            return (
                f"the registry {self.host} does not let this user push to {self.path} ({exc.code}); "
                "check workload_registry_username, _password and the user's rights"
            )
        said = exc.read(300).decode("utf-8", "replace").strip()
        return f"the registry {self.host} answered {exc.code} {exc.reason} ({said}); see the registry's log"


class _Archive:
    """Blobs of an OCI archive."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> _Archive:
        images_in(self._path)  # has the sentences for what is no archive
        self._tar = tarfile.open(self._path, "r:*")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._tar.close()

    def read(self, digest: str) -> bytes:
        """The blob of a digest.

        :raises ImageError: where the archive lacks it.
        """
        try:
            handle = self._tar.extractfile(f"blobs/{digest.replace(':', '/')}")
        except KeyError:
            handle = None
        if handle is None:
            raise ImageError(f"{self._path} lacks the blob {digest}; make the archive anew")
        return handle.read()
