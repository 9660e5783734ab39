# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of our own in `make lint`."""

from __future__ import annotations

import subprocess

import pytest

from tests.lint import specs, troubleshooting, variables
from tests.lint.generated import write_or_check
from tests.lint.roles import read_roles
from tests.lint.runner import run_all
from tests.lint.steps import Step
from tests.lint.tree import REPO, Tree

SPECS = """
argument_specs:
  main:
    short_description: A role
    options:
      demo_port: {type: int, default: 80, description: Port that V(http) has}
      demo_token: {type: str, required: true, description: Secret}
      demo_late: {type: str, description: "Has neither default nor required"}
      other_name: {type: str, default: "", description: Not named after the role}
"""


@pytest.fixture
def repo(tmp_path):
    """A git repository with one role, in which the specs do not fit the defaults."""
    files = {
        "roles/demo/meta/argument_specs.yml": SPECS,
        "roles/demo/defaults/main.yml": "demo_port: 8080\ndemo_hidden: 1\n",
        "roles/demo/tasks/main.yml": "# demo_late\n- debug: {msg: '{{ demo_port }} {{ demo_token }} {{ other_name }}'}\n",
        ".gitignore": "/out/\n",
        "out/built": "x",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def test_specs_and_defaults_have_to_fit(repo):
    [role] = read_roles(repo)
    told = "\n".join(specs.problems(role, specs._uses(repo)))
    assert told.splitlines() == [
        "roles/demo/defaults/main.yml: demo_hidden is not documented in meta/argument_specs.yml.",
        "roles/demo/meta/argument_specs.yml: demo_late has neither a default in defaults/main.yml nor `required: true`.",
        "roles/demo/meta/argument_specs.yml: demo_late is used nowhere: remove it, or use it.",
        "roles/demo/meta/argument_specs.yml: demo_port names another default than defaults/main.yml:"
        " leave it to the latter.",
        "roles/demo/meta/argument_specs.yml: other_name does not begin with the role's name: call it demo_… instead.",
    ]


def test_the_page_of_variables_shows_what_applies(repo):
    page = variables.render(read_roles(repo))
    assert "| `demo_port` | int | `8080` | Port that `http` has |" in page
    assert "| `demo_token` | str | required | Secret |" in page


def test_the_copy_follows_git(repo, tmp_path_factory):
    tree = Tree(repo, tmp_path_factory.mktemp("copy"))
    tree.refresh()
    assert "out/built" not in tree.files
    before = tree.digest("roles/*")
    (repo / "roles/demo/defaults/main.yml").unlink()
    tree.refresh()
    assert not (tree.path / "roles/demo/defaults").exists()
    assert tree.digest("roles/*") != before


def test_a_step_that_passed_runs_again_only_when_its_files_change(repo, tmp_path_factory, monkeypatch):
    monkeypatch.setattr("tests.lint.runner.CACHE", tmp_path_factory.mktemp("cache"))
    tree = Tree(repo, tmp_path_factory.mktemp("copy"))
    good = Step("good", ("roles/*",), lambda _tree: [["true"]])
    bad = Step("bad", ("roles/*",), lambda _tree: [["sh", "-c", "echo why; exit 3"]])
    absent = Step("absent", ("*",), lambda _tree: [["true"]], needs="no-such-program")

    def states():
        tree.refresh()
        return {result.name: result.state for result in run_all([good, bad, absent], tree)}

    assert states() == {"good": "ok", "bad": "FAIL", "absent": "skip"}
    assert states() == {"good": "same", "bad": "FAIL", "absent": "skip"}
    (repo / "roles/demo/tasks/main.yml").write_text("[]\n")
    assert states()["good"] == "ok"


def test_the_page_of_failures_is_made_from_their_table(monkeypatch, tmp_path, capsys):
    signatures = list(troubleshooting._signatures(REPO))
    page = troubleshooting.render(signatures)
    for one in signatures:
        assert one.example in page
        assert f"**Remedy:** {troubleshooting._fields(one.remedy)}" in page
    assert "Or no message at all, but exit status 137." in page
    assert "[WasmEdge/WasmEdge#3354](https://github.com/WasmEdge/WasmEdge/issues/3354)" in page
    committed = (REPO / "docs/troubleshooting.md").read_text()
    assert committed.endswith(page)
    # Where a word differs, lint says so.
    monkeypatch.setattr("sys.argv", ["troubleshooting", "--check"])
    copy = tmp_path / "troubleshooting.md"
    copy.write_text(committed)
    assert write_or_check(copy, page, "troubleshooting") == 0
    copy.write_text(committed.replace("restorecon", "another word"))
    assert write_or_check(copy, page, "troubleshooting") == 1
    assert "run `python -m tests.lint.troubleshooting`" in capsys.readouterr().out
