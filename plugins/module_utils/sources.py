# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From an entry of a catalogue to the file's address and its source."""

from __future__ import annotations

import os
import re
import typing as t
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.source import DownloadError, Source
from ansible_collections.wasinn.cluster.plugins.module_utils.source_huggingface import HUB, HuggingFace, hub_url
from ansible_collections.wasinn.cluster.plugins.module_utils.source_oci import Oci, parse_reference
from ansible_collections.wasinn.cluster.plugins.module_utils.source_s3 import S3, object_url

#: The argument specification of an entry's source, for every plugin that takes entries.
SOURCE_SPEC: dict[str, t.Any] = {
    "url": {"type": "str", "default": ""},
    "huggingface": {
        "type": "dict",
        "options": {
            "repo": {"type": "str", "required": True},
            "file": {"type": "str", "required": True},
            "revision": {"type": "str", "default": "main"},
            "endpoint": {"type": "str", "default": HUB},
        },
    },
    "s3": {
        "type": "dict",
        "options": {
            "bucket": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": False},
            "endpoint": {"type": "str", "default": ""},
            "region": {"type": "str", "default": "us-east-1"},
        },
    },
    "oci": {
        "type": "dict",
        "options": {
            "reference": {"type": "str", "required": True},
            "file": {"type": "str", "default": ""},
            "plain_http": {"type": "bool", "default": False},
        },
    },
    "path": {"type": "path"},
}

#: Credentials of one host.
CREDENTIALS = ("token", "username", "password", "access_key", "secret_key", "session_token")
# Where the usual tools look for them, by kind of source.
_ENVIRONMENT = {
    "huggingface": {"token": "HF_TOKEN"},
    "s3": {
        "access_key": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    },
}


class Credentials:
    """What to show to which host.

    :param by_host: ``{"HOST" or "HOST:PORT": {"token": …} or {"username", "password"} or {"access_key", "secret_key"}}``.
    :param environ: the controller's environment, for hosts that are not listed.
    """

    def __init__(self, by_host: Mapping[str, Mapping[str, str]], environ: Mapping[str, str]) -> None:
        for host, given in by_host.items():
            unknown = set(given) - set(CREDENTIALS)
            if unknown:
                raise DownloadError(
                    f"artifacts_credentials has {', '.join(sorted(unknown))} for {host}; "
                    f"only {', '.join(CREDENTIALS)} are known"
                )
        self._by_host, self._environ = by_host, environ

    def of(self, url: str, kind: str = "") -> dict[str, str]:
        """Those of the URL's host; of a Hugging Face hub or an S3 store also from the environment."""
        parts = urlsplit(url)
        for host in (parts.netloc.rpartition("@")[2], parts.hostname or ""):
            if host in self._by_host:
                return {key: str(value) for key, value in self._by_host[host].items()}
        names = _ENVIRONMENT.get(kind, {})
        return {key: self._environ[name] for key, name in names.items() if self._environ.get(name)}


def source_of(entry: Mapping[str, t.Any], credentials: Credentials) -> tuple[str, Source]:
    """The file's address and source. ``entry`` has exactly one of ``url``, ``huggingface``, ``s3``, ``oci``, ``path``.

    :raises DownloadError: for an entry with none of them, with several, or with one that makes no sense.
    """
    entry = _recognised(entry)
    given = [kind for kind in SOURCE_SPEC if entry.get(kind)]
    if len(given) != 1:
        has = " and ".join(given) or "none of them"
        raise DownloadError(f"{entry['name']} needs one of {', '.join(SOURCE_SPEC)} but has {has}; give one")
    spec: t.Any = entry[given[0]]
    if given[0] == "huggingface":
        url = hub_url(spec["repo"], spec["file"], spec["revision"], spec["endpoint"])
        source: Source = HuggingFace(
            credentials.of(url, "huggingface"), repo=spec["repo"], file=spec["file"], revision=spec["revision"]
        )
    elif given[0] == "s3":
        url = object_url(spec["bucket"], spec["key"], spec["endpoint"], spec["region"])
        source = S3(credentials.of(url, "s3"), bucket=spec["bucket"], key=spec["key"], region=spec["region"])
    elif given[0] == "oci":
        reference = parse_reference(spec["reference"])
        url = reference.url("manifests", reference.version, spec["plain_http"])
        source = Oci(credentials.of(url), reference=reference, file=spec["file"], plain_http=spec["plain_http"])
    elif given[0] == "path":
        url, source = f"file://{quote(os.path.abspath(os.path.expanduser(spec)))}", Source()
    else:
        url, source = spec, Source(credentials.of(spec))
    return url, source


def _recognised(entry: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    """An entry whose URL is the hub's own, as one of the hub: it gets the hub's token and words."""
    found = re.fullmatch(rf"{re.escape(HUB)}/([^/]+/[^/]+)/resolve/([^/]+)/([^?#]+)", entry.get("url") or "")
    if not found:
        return entry
    repo, revision, file = (unquote(part) for part in found.groups())
    return {**entry, "url": "", "huggingface": {"repo": repo, "file": file, "revision": revision, "endpoint": HUB}}
