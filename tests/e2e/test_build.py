# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook `build` on this machine, in the builder's container: the probe twice, in two folders, to the byte the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import parse_checksums
from ansible_collections.wasinn.cluster.plugins.module_utils.release import Recipe

from tests.closed_network import context
from tests.closed_network.layout import sha256
from tests.closed_network.recipe import RELEASE, VERSION
from tests.demo import playbook
from tests.machines import engine, image
from tests.machines.shell import REPO

pytestmark = [pytest.mark.in_order, pytest.mark.slow(6)]

PLACE = RELEASE.removeprefix("https://")
FILES = {f"wasinn-probe-{VERSION}.wasm", f"wasinn-probe-{VERSION}.cdx.json", "SHA256SUM"}
USE = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: wasinn.cluster.artifacts, tasks_from: fetch, public: true}
    - ansible.builtin.debug: {msg: "fetched {{ artifacts_fetched.probe.sha256 }}"}
"""


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def build(docker_engine, installed_collection, top, say):
    """``build("one", "--check")``: the playbook with folders of that name."""
    image.ensure(image.BUILDER, say)
    (top / "hosts.ini").write_text(
        "localhost ansible_connection=local ansible_python_interpreter={{ansible_playbook_python}}\n"
    )

    def run(name: str, *args: str, **more: object) -> playbook.Result:
        variables = {
            "build_source": str(REPO),
            "build_components": ["probe"],
            "build_dir": str(top / name / "work"),
            "build_dest": str(top / name / "mirror"),
            "build_container_image": image.BUILDER.name,
            "build_container_options": ["-v", f"{context._host_bundle()}:{context.BUNDLE}:ro"],
            "build_environment": {"SSL_CERT_FILE": context.BUNDLE, "CARGO_HTTP_CAINFO": context.BUNDLE},
            **more,
        }
        return playbook.run_playbook(
            "build", *args, inventory=top / "hosts.ini", extra_vars=variables, artifacts_mirror="", say=say
        )

    yield run
    recipe = Recipe(REPO, "probe", os.uname().machine, top, engine="docker", image=image.BUILDER.name)
    engine.docker("rmi", recipe.prepared, check=False)


def made(top: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (top / name / "mirror" / PLACE).iterdir()}


def test_what_would_be_built_is_said(build, top):
    result = build("one", "--check")
    assert result.rc == 0
    assert "probe for x86_64 would be built" in result.output
    assert not (top / "one" / "mirror").exists()


def test_it_builds_and_a_second_run_changes_nothing(build, top):
    result = build("one")
    assert result.rc == 0
    assert "building, because it was not built here before" in result.output
    assert "crates, at: " in result.output
    files = made(top, "one")
    assert set(files) == FILES
    sums = parse_checksums(files["SHA256SUM"].decode())
    assert sums == {name: sha256(top / "one" / "mirror" / PLACE / name) for name in FILES - {"SHA256SUM"}}
    for again in (build("one"), build("one", "--check", "--diff")):
        assert (again.rc, again.total("changed")) == (0, 0)


def test_another_folder_gets_the_same_bytes(build, top):
    # The crates as they came from the registry, so that they are not fetched once more; what was made of them is not taken along.
    shutil.copytree(top / "one" / "work" / "cargo", top / "two" / "work" / "cargo", symlinks=True)
    assert build("two").rc == 0
    assert made(top, "one") == made(top, "two")


def test_the_bill_of_materials_has_the_crates_that_were_linked(build, top):
    bill = json.loads(made(top, "one")[f"wasinn-probe-{VERSION}.cdx.json"])
    scopes = {item["name"]: item["scope"] for item in bill["components"]}
    assert scopes["wasmedge-wasi-nn"] == scopes["serde_json"] == "required"
    assert scopes["syn"] == "excluded"
    assert all(item["hashes"] for item in bill["components"])
    lock = (REPO / "rust" / "Cargo.lock").read_text()
    assert all(f'name = "{item["name"]}"\nversion = "{item["version"]}"' in lock for item in bill["components"])


def test_other_playbooks_take_it_from_there(build, top, say):
    (top / "use.yml").write_text(USE)
    variables = {
        "artifacts_wanted": ["probe"],
        "artifacts_cache": str(top / "one" / "mirror"),
        "artifacts_offline": True,
    }
    result = playbook.run_playbook(
        str(top / "use.yml"), inventory=top / "hosts.ini", extra_vars=variables, artifacts_mirror="", say=say
    )
    assert f"fetched {sha256(top / 'one' / 'mirror' / PLACE / f'wasinn-probe-{VERSION}.wasm')}" in result.output


def test_a_folder_without_sources_is_refused(build, top):
    result = build("three", build_source=str(top))
    assert result.rc != 0
    assert "has no rust/release.sh" in " ".join(result.output.split())


def test_a_host_that_lacks_everything_is_told_all_at_once(build):
    """With a PATH that has a shell's programs only."""
    result = build(
        "four",
        build_container_image="",
        build_components=["probe", "shim"],
        build_environment={"PATH": "/usr/bin:/bin"},
    )
    said = " ".join(result.output.split())
    assert result.rc != 0
    assert "findings stand in the way" in said
    assert "[rust" in said
    assert "[wasmedge_headers]" in said
