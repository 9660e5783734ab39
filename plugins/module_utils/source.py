# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a file's server is talked to: what it wants to see before it gives the file, and what its refusals mean.

:class:`Source` is a plain web server; the other kinds are in ``source_*.py`` and made by ``sources.py``.
"""

from __future__ import annotations

import base64
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Headers of a response: an object whose ``get(name)`` does not mind case, such as email.message.Message.
Headers = t.Any


class DownloadError(Exception):
    """One sentence: what went wrong and what to do about it."""


class Reader(t.Protocol):
    """What a source may use while it finds out where its file is; the cache does it."""

    def ask(
        self, name: str, url: str, source: Source, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """One small request to ``url`` or its place in the mirror. Redirects are not followed by HEAD."""

    def remembered(
        self, name: str, what: str, url: str, make: t.Callable[[], str], usable: t.Callable[[str], bool]
    ) -> str:
        """The text (``what`` it is, for messages) at the cache's place of ``url``, made anew where it is not there or may have changed."""

    @property
    def direct(self) -> bool:
        """Whether requests go to the source itself, not to a mirror."""


@dataclass(frozen=True)
class Answer:
    """A response without its body, or with a small one."""

    code: int
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True)
class Refusal:
    """A response of 400 and above."""

    name: str
    url: str
    code: int
    reason: str
    headers: Headers
    body: str = ""


@dataclass(frozen=True)
class Located:
    """Where a file is and what is known of it: sha256 empty and size (bytes) 0 where the server does not tell."""

    url: str
    sha256: str = ""
    size: int = 0


@dataclass
class Source:
    """A web server, with a token or a user name and password where it wants them.

    :param credentials: ``token``, or ``username`` and ``password``. Never shown, and sent to this server alone.
    """

    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    where: str = "the server"
    missing: str = "check the version and the architecture"

    def secrets(self, method: str, url: str) -> dict[str, str]:
        """Headers that prove who asks. They must not follow a redirect to another server."""
        if self.credentials.get("token"):
            return {"Authorization": f"Bearer {self.credentials['token']}"}
        return basic(self.credentials)

    def challenged(self, name: str, headers: Headers, reader: t.Callable[..., Answer]) -> bool:
        """Learns from a 401 how to ask again; False where that would not help."""
        return False

    def locate(self, name: str, url: str, sha256: str, reader: Reader) -> Located:
        """The file's address and checksum, before it is downloaded.

        :param sha256: the pin; empty where there is none.
        :raises DownloadError: where the source says that it cannot be had.
        """
        return Located(url, sha256)

    def check_pin(self, name: str, url: str, sha256: str, reader: Reader) -> None:
        """Called before a download: compares the pin with what the server says, where it says anything.

        :raises DownloadError: where they differ.
        """

    def sentence(self, refusal: Refusal) -> str:
        """What a refusal means, with cause and remedy."""
        name, url, status = refusal.name, refusal.url, f"{refusal.code} {refusal.reason}".strip()
        if refusal.code in (404, 410):
            return f"{name}: {self.where} has no {url} ({status}); {self.missing}"
        if refusal.code in (401, 403, 407):
            return f"{name}: {self.where} refuses {url} ({status}); check the credentials and the proxy"
        return f"{name}: {url} answered {status}; check the URL"


def mirror_source(credentials: Mapping[str, str]) -> Source:
    """The mirror, in place of every other source."""
    return Source(credentials, "the mirror", "add it to the mirror")


def basic(credentials: Mapping[str, str]) -> dict[str, str]:
    """The header for a user name and a password (RFC 7617); none without a user name."""
    if not credentials.get("username"):
        return {}
    pair = f"{credentials['username']}:{credentials.get('password', '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
