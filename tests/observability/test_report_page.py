# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page in a real browser (Debian's Chromium)."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.plugin_utils.report.render import render
from selenium import webdriver

from tests.report_data import made, node, pod

EVIL = "<img src=x onerror=\"document.title='broken in'\"><script>document.title='broken in'</script>"


@pytest.fixture(scope="module")
def page(driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> webdriver.Chrome:
    """A report with one fault, hostile names and an earlier run."""
    document = made(nodes=[node(), node("node2", ready="False")], pods=[pod(EVIL)])
    document["history"] = [{**document["history"][0], "passed": True, "p95_ms": 900.0}, *document["history"]]
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render("html", document), encoding="utf-8")
    driver.execute("getLog", {"type": "browser"})  # what other pages said
    driver.get(path.as_uri())
    return driver


def text(page: webdriver.Chrome, css: str) -> str:
    """What a person reads there."""
    found: str = page.execute_script("return document.querySelector(arguments[0]).innerText", css)
    return found


def test_the_verdict_is_on_top_and_everything_is_there(page: webdriver.Chrome) -> None:
    assert text(page, "h1") == "demo: ✘ failed"
    assert "1 error; the first: Node node2 is not Ready." in text(page, "header")
    parts = {
        "#findings": "node_not_ready",
        "#load": "concurrent",
        "#balancer": "3 of 64",
        "#nodes": "node2",
        "#history": "✔ passed",
    }
    for part, words in parts.items():
        assert words in text(page, part)


def test_hostile_names_are_text_and_nothing_is_loaded(page: webdriver.Chrome) -> None:
    assert EVIL in text(page, "#pods")
    assert page.title == "demo: failed"
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.execute("getLog", {"type": "browser"})["value"] == []


def test_bars_are_as_long_as_their_figures(page: webdriver.Chrome) -> None:
    bars = "[...document.querySelectorAll('#load .bar:not(.first)')]"
    p50, _p95, p99 = page.execute_script(f"return {bars}.map(it => it.offsetWidth)")[:3]
    assert p99 > 100 and abs(p50 / p99 - 0.5) < 0.05
    assert page.execute_script("return document.querySelectorAll('#history svg[aria-label]').length") >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_fits_every_screen(page: webdriver.Chrome, width: int, scheme: str) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    ink, paper = (_lightness(page, name) for name in ("color", "backgroundColor"))
    assert abs(ink - paper) > 500
    assert (ink < paper) == (scheme == "light")


def _lightness(page: webdriver.Chrome, name: str) -> int:
    """Of the body, from 0 to 765."""
    colour: str = page.execute_script(f"return getComputedStyle(document.body).{name}")  # rgb(1, 2, 3)
    return sum(int(each) for each in colour[colour.index("(") + 1 : -1].split(",")[:3])
