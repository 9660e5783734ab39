# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bill of materials (CycloneDX 1.5, JSON) for a file that cargo made, from what cargo itself says.

Not by a tool: cargo-cyclonedx 0.5 gives each document a random serial number and the time of day
(CycloneDX/cyclonedx-rust-cargo#514), and knows nothing of a crate that is patched on the command line, as the shim's is.
Here the same build has the same document.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

_REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
#: Of serial numbers, which are made of the document's content.
_NAMESPACE = uuid.UUID("6f0f4b0e-6f5e-5d1c-9e0e-2b1c5c1d8a77")
_TREE_LINE = re.compile(r"^(?P<name>[\w-]+) v(?P<version>\S+)")

Crate = tuple[str, str]


def crates(tree: str) -> set[Crate]:
    """Name and version of each line of ``cargo tree --prefix none --format {p}``."""
    found = (_TREE_LINE.match(line) for line in tree.splitlines())
    return {(match.group("name"), match.group("version")) for match in found if match}


def cyclonedx(
    metadata: Mapping[str, Any],
    package: str,
    *,
    built: set[Crate],
    linked: set[Crate],
    lock: str,
    files: Mapping[str, str],
    toolchain: Iterable[str] = (),
    patches: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The document's text.

    :param metadata: what ``cargo metadata`` printed.
    :param package: the workspace's package that was built.
    :param built: crates that were compiled for it; those that are not also ``linked`` only ran meanwhile (scope excluded).
    :param lock: Cargo.lock's text, which has the crates' checksums.
    :param files: sha256 of each file that the document is about, by name.
    :param toolchain: programs that decided the result, each with its version.
    :param patches: by crate, the text of each patch that was applied to it, by file name.
    """
    packages = {
        entry["id"]: entry for entry in metadata["packages"] if (entry["name"], entry["version"]) in built | linked
    }
    refs = {identity: _purl(entry) for identity, entry in packages.items()}
    root = next(identity for identity, entry in packages.items() if entry["name"] == package)
    checksums = locked(lock)
    components = [
        _component(
            entry, (entry["name"], entry["version"]) in linked, checksums, (patches or {}).get(entry["name"], {})
        )
        for identity, entry in packages.items()
        if identity != root
    ]
    subject = _component(packages[root], None, checksums, {})
    subject["type"] = "application"
    subject["components"] = [
        {
            "type": "file",
            "bom-ref": f"file:{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": checksum}],
        }
        for name, checksum in sorted(files.items())
    ]
    edges = {node["id"]: node["dependencies"] for node in metadata["resolve"]["nodes"]}
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": line} for line in toolchain]},
            "component": subject,
        },
        "components": sorted(components, key=lambda item: str(item["bom-ref"])),
        "dependencies": [
            {"ref": ref, "dependsOn": sorted({refs[other] for other in edges.get(identity, ()) if other in refs})}
            for ref, identity in sorted((ref, identity) for identity, ref in refs.items())
        ],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}", **document}, indent=2, sort_keys=True) + "\n"


def locked(lock: str) -> dict[Crate, str]:
    """The sha256 of each crate that Cargo.lock has one for; read by its lines, since Python 3.9 knows no TOML."""
    found = {}
    for part in lock.split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(name|version|checksum) = "([^"]*)"$', part, re.MULTILINE))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def _component(
    entry: Mapping[str, Any], linked: bool | None, checksums: Mapping[Crate, str], patches: Mapping[str, str]
) -> dict[str, Any]:
    crate = (entry["name"], entry["version"])
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(entry),
        "name": entry["name"],
        "version": entry["version"],
        "purl": _purl(entry),
    }
    if linked is not None:
        component["scope"] = "required" if linked else "excluded"
    if entry.get("license"):
        # Older crates separate alternatives by a slash, which no SPDX expression has.
        component["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", entry["license"])}]
    if crate in checksums:
        component["hashes"] = [{"alg": "SHA-256", "content": checksums[crate]}]
    if entry.get("repository"):
        component["externalReferences"] = [{"type": "vcs", "url": entry["repository"]}]
    if patches:
        component["pedigree"] = {
            "notes": ", ".join(sorted(patches)),
            "patches": [
                {"type": "unofficial", "diff": {"text": {"content": patches[name]}}} for name in sorted(patches)
            ],
        }
    return component


def _purl(entry: Mapping[str, Any]) -> str:
    """https://github.com/package-url/purl-spec: cargo's type. A crate of the workspace is not to be had from crates.io."""
    purl = f"pkg:cargo/{quote(entry['name'])}@{quote(entry['version'], safe='')}"
    if entry.get("source") == _REGISTRY:
        return purl
    return f"{purl}?vcs_url={quote('git+' + (entry.get('repository') or 'https://github.com/wasinn/wasinn.cluster'), safe='')}"
