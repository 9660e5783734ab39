# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file in a repository of the Hugging Face hub.

``/<repo>/resolve/<revision>/<file>`` redirects to the storage; that redirect carries the file's sha256 as
``X-Linked-Etag`` and its size as ``X-Linked-Size`` where it is kept as a large file, which every GGUF is. Refusals carry
``X-Error-Code``. Source: huggingface_hub, ``file_download.py`` (get_hf_file_metadata) and ``utils/_http.py``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.source import (
    Answer,
    DownloadError,
    Located,
    Reader,
    Refusal,
    Source,
)

HUB = "https://huggingface.co"
_MOVES = 5  # redirects within the hub, of repositories that were renamed


def hub_url(repo: str, file: str, revision: str = "main", endpoint: str = HUB) -> str:
    """The file's address; ``revision`` is a branch, a tag or a commit."""
    return f"{endpoint.rstrip('/')}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(file)}"


@dataclass
class HuggingFace(Source):
    """The hub, whose credentials are a ``token``."""

    repo: str = ""
    file: str = ""
    revision: str = "main"

    def locate(self, name: str, url: str, sha256: str, reader: Reader) -> Located:
        if sha256:
            return Located(url, sha256)
        note = reader.remembered(name, "checksum", f"{url}.hub.json", lambda: self._note(name, url, reader), _usable)
        told = json.loads(note)
        return Located(url, told["sha256"], told["size"])

    def check_pin(self, name: str, url: str, sha256: str, reader: Reader) -> None:
        told = self._ask(name, url, reader) if reader.direct else Located(url)
        if told.sha256 and told.sha256 != sha256:
            raise DownloadError(
                f"{name}: the hub says that {self.file} of {self.repo} at {self.revision} has sha256 {told.sha256}, but "
                f"{sha256} is pinned, so nothing was downloaded; correct the pin, or name the revision it was made for"
            )

    def _note(self, name: str, url: str, reader: Reader) -> str:
        told = self._ask(name, url, reader)
        if not told.sha256:
            who = "the hub" if reader.direct else "the mirror"
            raise DownloadError(f"{name}: {who} does not say which sha256 {url} has; pin its sha256")
        return json.dumps({"sha256": told.sha256, "size": told.size}) + "\n"

    def _ask(self, name: str, url: str, reader: Reader) -> Located:
        """What the hub says of the file."""
        place = url
        for _move in range(_MOVES):
            answer = reader.ask(name, place, self, method="HEAD")
            target = urljoin(place, answer.headers.get("Location") or "")
            if answer.headers.get("X-Linked-Etag") or answer.code < 300 or urlsplit(target)[:2] != urlsplit(place)[:2]:
                break
            place = target
        return Located(url, _sha256(answer), _number(answer.headers.get("X-Linked-Size")))

    def sentence(self, refusal: Refusal) -> str:
        name, what, token = (
            refusal.name,
            f"{self.repo} on {urlsplit(refusal.url).netloc}",
            self.credentials.get("token"),
        )
        code = refusal.headers.get("X-Error-Code") or ""
        remedy = "set the token of such an account in artifacts_credentials, or in the environment as HF_TOKEN"
        if code == "GatedRepo" or (refusal.code == 403 and not code):
            who = "the account of the token given has not accepted its terms" if token else "no token was given"
            return (
                f"{name}: {what} is gated and {who} ({refusal.code}); accept the terms on the model's page with your "
                f"account and {remedy}"
            )
        if code == "RepoNotFound" or refusal.code == 401:
            who = "the token given" if token else "you without a token"
            return (
                f"{name}: there is no {what}, or it is not for {who} to see ({refusal.code}); check the repository's "
                f"name, or, if an account may see it, {remedy}"
            )
        if code == "RevisionNotFound":
            return f"{name}: {what} has no revision {self.revision} ({refusal.code}); correct huggingface.revision"
        if code == "EntryNotFound" or refusal.code == 404:
            return (
                f"{name}: {what} has no file {self.file} at revision {self.revision} ({refusal.code}); "
                "correct huggingface.file (its list of files shows the right spelling)"
            )
        return super().sentence(refusal)


def _usable(text: str) -> bool:
    try:
        told = json.loads(text)
        return re.fullmatch(r"[0-9a-f]{64}", told["sha256"]) is not None and isinstance(told["size"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _sha256(answer: Answer) -> str:
    tag = (answer.headers.get("X-Linked-Etag") or "").removeprefix("W/").strip('"').lower()
    return tag if re.fullmatch(r"[0-9a-f]{64}", tag) else ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
