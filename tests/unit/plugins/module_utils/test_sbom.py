# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bills of materials, of what cargo printed for a workspace of our own (shortened)."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils import sbom

INDEX = "registry+https://github.com/rust-lang/crates.io-index"
TREE = """\
wasinn-probe v0.1.0 (/somewhere/rust/probe)
serde_json v1.0.154
itoa v1.0.19

thiserror-impl v1.0.69 (proc-macro)
itoa v1.0.19 (*)
"""
LOCK = """\
version = 4

[[package]]
name = "itoa"
version = "1.0.19"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "3bd1574e617a9a6c1f8f8181bd7e841e1f20e4277607ef28945765188d6284d4"

[[package]]
name = "wasinn-probe"
version = "0.1.0"
dependencies = [
 "serde_json",
]
"""


def package(name: str, version: str, source: str | None = INDEX, **more: str) -> dict[str, Any]:
    return {"id": f"{source}#{name}@{version}", "name": name, "version": version, "source": source, **more}


PACKAGES = [
    package("wasinn-probe", "0.1.0", None, license="Apache-2.0"),
    package("serde_json", "1.0.154", license="MIT OR Apache-2.0"),
    package("itoa", "1.0.19", license="MIT/Apache-2.0", repository="https://github.com/dtolnay/itoa"),
    package("itoa", "0.4.0"),
    package("thiserror-impl", "1.0.69"),
    package("tempfile", "3.0.0"),
]
IDS = {(entry["name"], entry["version"]): entry["id"] for entry in PACKAGES}
METADATA = {
    "packages": PACKAGES,
    "resolve": {
        "nodes": [
            {
                "id": IDS["wasinn-probe", "0.1.0"],
                "dependencies": [IDS["serde_json", "1.0.154"], IDS["tempfile", "3.0.0"]],
            },
            {"id": IDS["serde_json", "1.0.154"], "dependencies": [IDS["itoa", "1.0.19"]]},
        ]
    },
}


def document(**more: Any) -> dict[str, Any]:
    built = sbom.crates(TREE)
    linked = built - {("thiserror-impl", "1.0.69")}
    settings: dict[str, Any] = {
        "built": built,
        "linked": linked,
        "lock": LOCK,
        "files": {"wasinn-probe-0.1.0.wasm": "ab" * 32},
        **more,
    }
    return json.loads(sbom.cyclonedx(METADATA, "wasinn-probe", **settings))


def test_what_is_in_it_and_what_is_not():
    components = {(item["name"], item["version"]): item for item in document()["components"]}
    # Neither a test's dependency nor another version of the same crate was built.
    assert set(components) == {("serde_json", "1.0.154"), ("itoa", "1.0.19"), ("thiserror-impl", "1.0.69")}
    assert components["itoa", "1.0.19"] == {
        "type": "library",
        "bom-ref": "pkg:cargo/itoa@1.0.19",
        "purl": "pkg:cargo/itoa@1.0.19",
        "name": "itoa",
        "version": "1.0.19",
        "scope": "required",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "hashes": [{"alg": "SHA-256", "content": "3bd1574e617a9a6c1f8f8181bd7e841e1f20e4277607ef28945765188d6284d4"}],
        "externalReferences": [{"type": "vcs", "url": "https://github.com/dtolnay/itoa"}],
    }
    assert components["thiserror-impl", "1.0.69"]["scope"] == "excluded"


def test_the_subject_names_its_files_and_its_tools():
    metadata = document(toolchain=["rustc 1.85.1"])["metadata"]
    subject = metadata["component"]
    assert subject["purl"].startswith("pkg:cargo/wasinn-probe@0.1.0?vcs_url=git%2Bhttps")
    assert [item["name"] for item in subject["components"]] == ["wasinn-probe-0.1.0.wasm"]
    assert metadata["tools"]["components"] == [{"type": "application", "name": "rustc 1.85.1"}]


def test_dependencies_are_those_that_were_built():
    edges = {item["ref"].split("?")[0]: item["dependsOn"] for item in document()["dependencies"]}
    assert edges["pkg:cargo/wasinn-probe@0.1.0"] == ["pkg:cargo/serde_json@1.0.154"]
    assert edges["pkg:cargo/serde_json@1.0.154"] == ["pkg:cargo/itoa@1.0.19"]


def test_a_patched_crate_says_so():
    patches = {"itoa": {"itoa-faster.patch": "--- a\n+++ b\n"}}
    itoa = next(item for item in document(patches=patches)["components"] if item["name"] == "itoa")
    assert itoa["pedigree"]["notes"] == "itoa-faster.patch"
    assert itoa["pedigree"]["patches"][0]["diff"]["text"]["content"] == "--- a\n+++ b\n"


def test_the_same_build_has_the_same_document_and_another_one_another_number():
    assert document() == document()
    assert document()["serialNumber"] != document(files={"wasinn-probe-0.1.0.wasm": "cd" * 32})["serialNumber"]
