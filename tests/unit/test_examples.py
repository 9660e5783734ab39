# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples for CIs and timers: what they call exists, their shell parses, and what can run here without a cluster does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.lint.tree import REPO

FOLDER = REPO / "examples" / "report"
GITHUB = ("github-actions.yml", "throw-away-machine.yml")
GITLAB = ("gitlab-ci.yml", "gitlab-throw-away.yml")
THROW_AWAY = FOLDER / "throw-away" / "hosts.yml"


def steps(name: str) -> list[dict[str, str]]:
    """Steps of a workflow's jobs."""
    jobs = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def scripts() -> list[tuple[str, str]]:
    """Each piece of shell, with the file that has it."""
    found = [(name, step["run"]) for name in GITHUB for step in steps(name) if "run" in step]
    for name in GITLAB:
        for job in yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")).values():
            found += [(name, line) for line in [*job["before_script"], *job["script"]]]
    return found


def test_every_example_is_looked_at():
    known = {*GITHUB, *GITLAB, "throw-away/hosts.yml", "wasinn-report.service", "wasinn-report.timer"}
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()} == known


@pytest.mark.parametrize(("name", "text"), scripts())
def test_the_shell_parses(name, text):
    done = subprocess.run(
        ["bash", "-n"], check=False, input=re.sub(r"\$\{\{.*?\}\}", "x", text), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "path", sorted(path for path in FOLDER.iterdir() if path.suffix != ".timer" and path.is_file())
)
def test_playbooks_and_variables_that_are_named_exist(path):
    text = path.read_text(encoding="utf-8")
    playbooks = set(re.findall(r"\bwasinn\.cluster\.(\w+)", text))
    assert playbooks
    assert [name for name in playbooks if not (REPO / "playbooks" / f"{name}.yml").is_file()] == []
    for variable in re.findall(r"-e (\w+)=", text):
        specs = (REPO / "roles").glob("*/meta/argument_specs.yml")
        assert any(re.search(rf"^      {variable}:$", spec.read_text(encoding="utf-8"), re.M) for spec in specs), (
            variable
        )


@pytest.mark.parametrize("name", [*GITHUB, *GITLAB])
def test_one_range_of_ansible_and_one_of_kubernetes(name):
    runtime = yaml.safe_load((REPO / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    wanted = {f"ansible-core{runtime['requires_ansible'].replace('.0,', ',').removesuffix('.0')}"}
    wanted |= {
        line.strip().removesuffix(".0.0")
        for line in (REPO / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    }
    (line,) = [text for file, text in scripts() if file == name and "pip install" in text]
    assert set(re.findall(r'"([\w-]+>=[^"]+)"', line)) == wanted


@pytest.mark.parametrize("name", GITHUB)
def test_what_is_shown_of_a_report_and_of_none(name, tmp_path):
    """A run that ended before the report was written must not fail a second time there."""
    (step,) = [step for step in steps(name) if step.get("name") == "Show it"]
    assert step["if"] == "always()"
    show = ["bash", "-e", "-c", step["run"]]
    summary = tmp_path / "summary"
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(summary)}
    subprocess.run(show, cwd=tmp_path, env=environment, check=True)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("All is well.\n")
    subprocess.run(show, cwd=tmp_path, env=environment, check=True)
    assert summary.read_text() == "All is well.\n"


@pytest.mark.parametrize("name", ["throw-away-machine.yml", "gitlab-throw-away.yml"])
def test_the_throw_away_machine_is_the_one_of_its_inventory(name):
    cluster = yaml.safe_load(THROW_AWAY.read_text(encoding="utf-8"))["all"]["children"]["k3s_cluster"]
    (machine,) = cluster["children"]["k3s_server"]["hosts"]
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert f"grep -Eq '^{machine} .* changed=0 ' second.log" in text
    assert set(re.findall(r"-i (\S+)", text)) == {THROW_AWAY.parent.name}


def test_the_throw_away_machines_model_is_the_demos():
    demo = yaml.safe_load((REPO / "inventories/demo/group_vars/k3s_cluster.yml").read_text(encoding="utf-8"))
    pins = {model["url"]: model["sha256"] for model in demo["models_catalogue"]}
    cluster = yaml.safe_load(THROW_AWAY.read_text(encoding="utf-8"))["all"]["children"]["k3s_cluster"]
    for model in cluster["vars"]["models_catalogue"]:
        assert pins[model["url"]] == model["sha256"]


def test_systemd_takes_timer_and_service(tmp_path):
    """Their program is not here, so this Python stands for it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze (Debian: systemd)")
    units = [FOLDER / f"wasinn-report.{kind}" for kind in ("service", "timer")]
    for unit in units:
        text = unit.read_text(encoding="utf-8").replace("/opt/ansible/bin/ansible-playbook", sys.executable)
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    verify = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in units)]
    done = subprocess.run(verify, check=False, capture_output=True, text=True)
    # It tells of other units of this machine, too.
    told = [line for line in done.stderr.splitlines() if "wasinn-report" in line]
    assert (done.returncode, told) == (0, [])
