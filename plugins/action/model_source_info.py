# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads models' headers where the models are, on the controller or far away; no model is downloaded for it."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.wasinn.cluster.plugins.module_utils.download import Artifact, Cache
from ansible_collections.wasinn.cluster.plugins.module_utils.fetching import (
    ARTIFACTS_SPEC,
    CACHE_SPEC,
    artifact_of,
    make_cache,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import finding
from ansible_collections.wasinn.cluster.plugins.module_utils.gguf import (
    GgufError,
    GgufIncomplete,
    judge,
    model_of,
    read_header,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.source import DownloadError

display = Display()

# A header is some kilobytes and the vocabulary: 2 MB for 50,000 tokens, 8 MB for 256,000.
_FIRST_BYTES = 2 << 20
_MOST_BYTES = 64 << 20

ARGUMENT_SPEC: dict[str, t.Any] = {
    **ARTIFACTS_SPEC,
    "contexts": {"type": "dict", "default": {}},
    "wasmedge_version": {"type": "str", "default": ""},
    **CACHE_SPEC,
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Runs on the controller only; the host it is called for need not be reachable."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns ``models`` by name; what is wrong with one of them is its ``findings``."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        try:
            cache, credentials = make_cache(args, display.display)
            artifacts = [artifact_of(entry, credentials) for entry in args["artifacts"]]
        except DownloadError as exc:
            return {**result, "failed": True, "msg": f"{exc}."}

        def look(artifact: Artifact) -> dict[str, t.Any]:
            context = int(args["contexts"].get(artifact.name) or 0)
            return look_up(artifact, cache, context, args["wasmedge_version"])

        with ThreadPoolExecutor(max_workers=4) as pool:
            models = dict(zip((artifact.name for artifact in artifacts), pool.map(look, artifacts), strict=True))
        return {**result, "changed": False, "models": models}


def look_up(artifact: Artifact, cache: Cache, context: int, wasmedge_version: str) -> dict[str, t.Any]:
    """What is known of a model before it is downloaded. Raises nothing."""
    known: dict[str, t.Any] = {
        "sha256": artifact.sha256.lower(),
        "size": 0,
        "findings": [],
        "model": {},
        "reached": True,
    }
    try:
        artifact = cache.locate(artifact)
        known["sha256"] = artifact.sha256
        known["in_cache"] = not cache.predict(artifact).pending
        header, known["size"] = _header(artifact, cache)
    except (DownloadError, OSError) as exc:
        cause, _semicolon, remedy = str(exc).partition("; ")
        remedy = remedy or "correct it and run again"
        found = finding("model_source", f"{cause}.", f"{remedy[0].upper()}{remedy[1:]}.")
        return {**known, "reached": False, "findings": [found]}
    except GgufError as exc:
        remedy = "Correct the model's source: it has to be a whole GGUF file."
        return {**known, "findings": [finding(exc.check, f"{exc}.", remedy)]}
    known["findings"] = judge(header, wasmedge_version)
    known["model"] = model_of(header, context or None)
    return known


def _header(artifact: Artifact, cache: Cache) -> tuple[dict[str, t.Any], int]:
    """The GGUF header and the file's size in bytes."""
    shown = str(cache.place(artifact)) if artifact.stays else artifact.url
    count = _FIRST_BYTES
    while True:
        data, size = cache.first_bytes(artifact, count)
        # Where the server hides the size, nothing can be said about a file that is too short.
        try:
            return read_header(shown, data, size or 1 << 62), size
        except GgufIncomplete:
            if count >= _MOST_BYTES or len(data) < count:
                raise
            count *= 4
