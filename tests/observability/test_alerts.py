# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules, by Prometheus' own tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.machines.shell import REPO, run

RULES = REPO / "roles" / "balancer" / "files" / "alerts.yml"
TESTS = Path(__file__).with_name("alerts_test.yml")


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_rules_are_valid() -> None:
    run(["promtool", "check", "rules", "--lint-fatal", str(RULES)], timeout=30)


def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    tests = tmp_path / "tests.yml"
    tests.write_text(TESTS.read_text(encoding="utf-8").replace("RULES", str(RULES)), encoding="utf-8")
    done = run(["promtool", "test", "rules", str(tests)], timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_and_documented() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    page = (REPO / "docs" / "observability.md").read_text(encoding="utf-8")
    for rule in _alerts():
        assert rule["alert"] in tested, f"{rule['alert']} has no test that sees it fire"
        assert f"| {rule['alert']} |" in page, f"{rule['alert']} is not in docs/observability.md"
