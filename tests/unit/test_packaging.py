# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Galaxy gets: the collection is built from git's files, installed, and used by its full names."""

from __future__ import annotations

import tarfile

import pytest
import yaml

from tests.lint.tree import REPO

# All that may ship; whoever adds a top-level file decides here or in galaxy.yml's build_ignore.
SHIPS = {
    "CHANGELOG.rst",
    "FILES.json",
    "LICENSE",
    "LICENSES",
    "MANIFEST.json",
    "README.md",
    "SECURITY.md",
    "bindep.txt",
    "docs",
    "examples",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "requirements.yml",
    "roles",
}
WHOLE = ("meta/*", "playbooks/*", "plugins/*", "roles/*", "docs/*")


@pytest.fixture(scope="module")
def tarball(run, exported, tmp_path_factory):
    """The built archive."""
    out = tmp_path_factory.mktemp("out")
    run("ansible-galaxy", "collection", "build", exported.path, "--output-path", out)
    return next(out.glob("wasinn-cluster-*.tar.gz"))


@pytest.fixture(scope="module")
def shipped(tarball):
    """Relative paths of the archive's files and links."""
    with tarfile.open(tarball) as archive:
        return {member.name for member in archive if not member.isdir()}


@pytest.fixture(scope="module")
def installed(run, tarball, tmp_path_factory):
    """A collections folder with the archive installed; kubernetes.core comes from the package `ansible`."""
    folder = tmp_path_factory.mktemp("installed")
    run("ansible-galaxy", "collection", "install", tarball, "-p", folder, "--offline", "--no-deps", "--force")
    return folder


def test_only_what_users_need_ships(shipped):
    assert {name.split("/")[0] for name in shipped} - {"changelogs"} <= SHIPS
    assert not {name for name in shipped if name.startswith("changelogs/")} - {"changelogs/changelog.yaml"}
    assert not [name for name in shipped if "__pycache__" in name or name.startswith("inventories/demo")]


def test_all_of_the_collection_ships(exported, shipped):
    assert not set(exported.matching(*WHOLE)) - shipped


def test_nothing_shipped_names_the_machine_it_was_made_on(tarball):
    with tarfile.open(tarball) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is None or str(REPO).encode() not in content.read(), member.name


def test_every_playbook_runs_by_its_full_name(run, installed):
    for playbook in (REPO / "playbooks").glob("*.yml"):
        run(
            "ansible-playbook",
            "--syntax-check",
            "-i",
            "localhost,",
            f"wasinn.cluster.{playbook.stem}",
            ANSIBLE_COLLECTIONS_PATH=str(installed),
        )


def test_every_module_has_its_page(run, installed):
    listing = run("ansible-doc", "-t", "module", "--list", "wasinn.cluster", ANSIBLE_COLLECTIONS_PATH=str(installed))
    for module in (REPO / "plugins" / "modules").glob("*.py"):
        assert f"wasinn.cluster.{module.stem} " in listing


def test_action_groups_name_modules_that_exist():
    runtime = yaml.safe_load((REPO / "meta" / "runtime.yml").read_text())
    modules = {path.stem for path in (REPO / "plugins" / "modules").glob("*.py")}
    assert not {name for group in runtime["action_groups"].values() for name in group} - modules


def test_one_range_of_kubernetes_core():
    galaxy = yaml.safe_load((REPO / "galaxy.yml").read_text())
    [required] = yaml.safe_load((REPO / "requirements.yml").read_text())["collections"]
    assert galaxy["dependencies"] == {required["name"]: required["version"]}
