# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plugins that talk to sources on the controller share: their arguments, the cache made of them, the client."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Mapping
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit

from ansible.module_utils.urls import open_url
from ansible_collections.wasinn.cluster.plugins.module_utils.download import Artifact, Cache
from ansible_collections.wasinn.cluster.plugins.module_utils.source import DownloadError
from ansible_collections.wasinn.cluster.plugins.module_utils.sources import SOURCE_SPEC, Credentials, source_of

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10

#: Arguments of every plugin that has a cache.
CACHE_SPEC: dict[str, t.Any] = {
    "cache": {"type": "path", "required": True},
    "mirror": {"type": "str", "default": ""},
    "offline": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
    "retries": {"type": "int", "default": 3},
    "credentials": {"type": "dict", "default": {}, "no_log": True},
}

#: Argument of every plugin that takes a list of artifacts; an entry of it is what artifact_of takes.
ARTIFACTS_SPEC: dict[str, t.Any] = {
    "artifacts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            **SOURCE_SPEC,
            "sha256": {"type": "str", "default": ""},
            "checksums": {"type": "str", "default": ""},
            "mode": {"type": "str", "default": "0644"},
            "version": {"type": "str", "default": ""},
        },
    },
}


def make_cache(args: Mapping[str, t.Any], notify: t.Callable[[str], None]) -> tuple[Cache, Credentials]:
    """The cache and credentials that the arguments of CACHE_SPEC describe.

    :raises DownloadError: for credentials that make no sense.
    """
    credentials = Credentials(args["credentials"], os.environ)
    cache = Cache(
        args["cache"],
        open_following,
        mirror=args["mirror"],
        offline=args["offline"],
        timeout=args["timeout"],
        retries=args["retries"],
        notify=notify,
        mirror_credentials=credentials.of(args["mirror"]),
    )
    return cache, credentials


def artifact_of(entry: Mapping[str, t.Any], credentials: Credentials) -> Artifact:
    """The artifact that an entry describes.

    :raises DownloadError: for an entry that makes no sense.
    """
    url, source = source_of(entry, credentials)
    try:
        mode = int(entry.get("mode") or "0644", 8)
    except ValueError as exc:
        raise DownloadError(
            f"{entry['name']}: mode {entry['mode']!r} is not an octal number such as 0644; correct it"
        ) from exc
    sha256, checksums, stays = entry.get("sha256") or "", entry.get("checksums") or "", bool(entry.get("path"))
    return Artifact(entry["name"], url, sha256, checksums, mode, source, stays)


# What a URL may have besides letters and digits (RFC 3986, 2), and what is encoded already: people write blanks and umlauts in it.
_URL_SIGNS = "!#$%&'()*+,/:;=?@[]~"


def open_following(
    url: str, headers: dict[str, str], timeout: float, secrets: Mapping[str, str] | None = None, method: str = "GET"
) -> t.Any:
    """Ansible's own client: it knows the controller's proxies and certificate authorities.

    It follows redirects (of a GET), to another server without the ``secrets``, and never from https to http.
    """
    shown = dict(secrets or {})
    for _move in range(_MOST_REDIRECTS):
        try:
            return open_url(
                quote(url, safe=_URL_SIGNS),
                headers={**headers, **shown},
                method=method,
                timeout=timeout,
                decompress=False,
                http_agent="wasinn.cluster",
                follow_redirects="none",
                use_netrc=not shown,
            )
        except HTTPError as exc:
            place = exc.headers.get("Location")
            if method == "HEAD" or exc.code not in _REDIRECTS or not place:
                raise
            target = urljoin(url, place)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise OSError(f"it redirects from https to {target}") from exc
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                shown = {}
            url = target
            exc.close()
    raise OSError(f"it redirects more than {_MOST_REDIRECTS} times, at last to {url}")
