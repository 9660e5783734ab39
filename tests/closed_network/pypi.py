# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of a package index, without pip: pip would run a source archive's build only to learn its name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from html import unescape
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urldefrag, urljoin

from tests.machines.shell import Failure

from .layout import sha256

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


def download(requirement: str, folder: Path, *, sdist: bool = False, checksum: str = "") -> Path:
    """Fetch ``name==version`` into a folder, or keep the file that is there, and return its path.

    :param sdist: the source archive instead of the wheel.
    :param checksum: expected sha256; always checked besides: the sha256 that the index gives.
    :raises Failure: where the index has no such file, cannot be reached, or sends other bytes.
    """
    requirement, _sep, pinned = requirement.partition("--hash=sha256:")
    name, _sep, version = (part.strip() for part in requirement.partition("=="))
    project = re.sub(r"[-_.]+", "-", name).lower()
    wanted = [item for item in _files(project) if _is(item[0], project, version, sdist)]
    expected = checksum or pinned.strip()
    if expected:
        wanted = [item for item in wanted if item[2] == expected]
    if not wanted:
        kind = "source archive" if sdist else "wheel"
        raise Failure(f"The package index has no {kind} of {name}=={version} with the pinned checksum: check the pin.")
    filename, url, digest = wanted[0]
    target = folder / filename
    if target.exists() and sha256(target) == digest:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{filename}.part"
    with _open(url) as source, partial.open("wb") as sink:
        while chunk := source.read(1 << 20):
            sink.write(chunk)
    if sha256(partial) != digest:
        partial.unlink()
        raise Failure(f"{filename} came with another sha256 than the index says ({digest}): try again.")
    partial.rename(target)
    return target


def _is(filename: str, project: str, version: str, sdist: bool) -> bool:
    """Whether a file is the version's source archive, or a wheel that fits any machine or this one."""
    stem = re.sub(r"[-_.]+", "-", filename).lower()
    if not stem.startswith(re.sub(r"[-_.]+", "-", f"{project}-{version}-").lower()):
        return False
    if sdist:
        return filename.endswith(".tar.gz")
    return filename.endswith(".whl") and ("-none-any." in filename or os.uname().machine in filename)


def _files(project: str) -> list[tuple[str, str, str]]:
    """(file name, URL, sha256) of everything the index has of a project."""
    base = f"{_index()}/{project}/"
    with _open(base, ACCEPT) as answer:
        text, kind = answer.read().decode(), answer.headers.get_content_type()
    if kind.endswith("json"):
        listed = json.loads(text)["files"]
        return [(item["filename"], urljoin(base, item["url"]), item["hashes"].get("sha256", "")) for item in listed]
    links = [urldefrag(urljoin(base, unescape(link))) for link in re.findall(r'href="([^"]+)"', text)]
    return [(url.rpartition("/")[2], url, mark.removeprefix("sha256=")) for url, mark in links]


def _index() -> str:
    """The index that pip is configured to use here."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    configured = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    if not configured:
        from pip._internal.models.index import PyPI  # pip's default has no public name

        configured = PyPI.simple_url
    return configured.rstrip("/")


def _open(url: str, accept: str = "*/*") -> Any:
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=120)
    except (URLError, OSError) as error:
        raise Failure(
            f"The package index does not give {url} ({error}): check the network and pip's settings."
        ) from None
