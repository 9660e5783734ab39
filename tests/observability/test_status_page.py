# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page in a real browser (Debian's Chromium), over a balancer that works."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.observability.balancer import TOKEN, Balancer, ask, free_port
from tests.observability.upstream import Upstream

EVIL = "<img src=x onerror=\"document.title='broken in'\">"
SOON = 12  # seconds; the page asks every two


class Page:
    """The page in one browser."""

    def __init__(self, driver: webdriver.Chrome, balancer: Balancer) -> None:
        self.driver, self.balancer = driver, balancer

    def open(self) -> None:
        """Load it."""
        self.driver.get(self.balancer.on_admin("/"))

    def sign_in(self, token: str) -> None:
        """Give a token."""
        field = self.one("#token")
        field.clear()
        field.send_keys(token)
        self.one("#sign-in button").click()

    def one(self, css: str) -> WebElement:
        """The element; it has to be there."""
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def text(self, css: str = "main") -> str:
        """What a person reads there; read at once, since the page is drawn anew all the time."""
        found: str = self.driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", css)
        return found

    def console(self) -> list[Any]:
        """What the browser's console has said since it was last asked."""
        return list(self.driver.execute("getLog", {"type": "browser"})["value"])

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until the page shows what it should."""
        WebDriverWait(self.driver, SOON, 0.1).until(
            lambda _: condition(), f"{what}; the page reads:\n{self.text('body')}"
        )

    def wait_text(self, css: str, *words: str) -> None:
        """Until all words stand there."""
        self.wait(lambda: all(word in self.text(css) for word in words), f"{css} should have {words}")

    def emulate(self, width: int, scheme: str) -> None:
        """Another screen: its width in pixels, and `light` or `dark`."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture(scope="module")
def upstream(balancer: Balancer, upstreams: Callable[[], Upstream]) -> Upstream:
    """The endpoint of pool `small`."""
    upstream = upstreams()
    balancer.register("small", upstream.port, "tiny-model", weight=3, aliases=["tiny"])
    balancer.register("small-canary", upstreams().port, "tiny-model", weight=1)
    balancer.register("other", upstreams().port, EVIL)
    return upstream


@pytest.fixture
def page(driver: webdriver.Chrome, balancer: Balancer, upstream: Upstream) -> Page:
    """The page, signed in, on a wide and light screen."""
    page = Page(driver, balancer)
    page.emulate(1200, "light")
    page.open()
    if page.one("#sign-in").is_displayed():
        page.sign_in(TOKEN)
    page.wait_text("#models", "tiny-model")
    return page


def test_it_asks_for_the_token_and_keeps_it_for_this_tab_only(driver: webdriver.Chrome, balancer: Balancer) -> None:
    page = Page(driver, balancer)
    page.open()
    assert page.one("#sign-in").is_displayed() and not page.one("#status").is_displayed()
    page.sign_in("not the token")
    page.wait_text("#refused", "no spaces")
    page.sign_in("wrong")
    page.wait_text("#refused", "This is not the admin token")
    page.sign_in(TOKEN)
    page.wait(lambda: page.one("#status").is_displayed(), "the figures")
    assert driver.execute_script("return localStorage.length + document.cookie.length") == 0
    page.open()
    page.wait(lambda: page.one("#status").is_displayed(), "the figures, without being asked again")
    page.one("#forget").click()
    page.wait(lambda: page.one("#sign-in").is_displayed(), "the form")
    assert page.text("#models") == "", "figures of a session that has ended are gone"


def test_models_pools_and_endpoints_are_there(page: Page, upstream: Upstream) -> None:
    page.wait_text(
        "[data-model=tiny-model]", "tiny-model", "alias tiny", "chat", "small-canary", "75% by weight", "25% by weight"
    )
    page.wait_text(
        "[data-pool=small]", f"127.0.0.1:{upstream.port}", "weight 3", "ready", "0 of 1", "registered by API"
    )
    assert page.text("#state") == "Ready"


def test_traffic_appears_by_itself(page: Page, balancer: Balancer) -> None:
    before = balancer.status()["totals"]["requests"]
    for _number in range(8):
        assert balancer.chat("tiny-model").status == 200
    page.wait_text("#tiles", f"{before + 8} since the start")
    page.wait_text("[data-pool=small]", "75% of this model's requests")
    page.wait_text("[data-pool=small-canary]", "25% of this model's requests")
    line = "[data-pool=small] svg.spark .line"
    points = (page.one(line).get_attribute("d") or "")[1:].split("L")
    flat = len({point.partition(",")[2] for point in points}) == 1
    assert not flat, "the sparkline shows the requests"


def test_a_busy_endpoint_and_its_queue(page: Page, balancer: Balancer, upstream: Upstream) -> None:
    balancer.register("small-canary", free_port(), "gone-model")  # leaves the model to one endpoint
    upstream.go.clear()
    threads = [threading.Thread(target=balancer.chat, args=("tiny-model",)) for _number in range(3)]
    for thread in threads:
        thread.start()
    page.wait_text("[data-pool=small]", "busy", "1 of 1", "2 of 4")
    upstream.go.set()
    for thread in threads:
        thread.join()
    page.wait_text("[data-pool=small]", "ready", "0 of 1", "0 of 4")


def test_errors_and_an_ejected_endpoint(page: Page, balancer: Balancer) -> None:
    balancer.register("dead", free_port(), "dead-model")
    assert balancer.chat("dead-model", timeout=60).status >= 500
    page.wait_text("[data-pool=dead]", "ejected")
    page.wait_text("[data-model=dead-model] .head", "no endpoint up")
    assert balancer.chat("no-such-model").status == 404
    page.wait_text("#troubles", "dead-model", "no-such-model", "404", "model_not_found")


def test_names_are_text_and_never_markup(page: Page, balancer: Balancer) -> None:
    assert balancer.chat(EVIL + "?").status == 404
    page.wait_text("#models", EVIL)
    page.wait_text("#troubles", EVIL + "?")
    assert page.driver.find_elements(By.CSS_SELECTOR, "main img, main script, main style") == []
    assert "broken in" not in page.driver.title


def test_the_console_stays_silent(page: Page) -> None:
    page.console()  # what other tests left
    page.open()
    page.wait_text("#models", "tiny-model")
    assert page.console() == [], "errors, warnings or a breach of the page's policy"
    fetched: list[str] = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map(one => one.name)"
    )
    assert {address.partition("?")[0] for address in fetched} <= {page.balancer.on_admin("/api/status")}


@pytest.mark.parametrize("width", [360, 768, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screens(page: Page, width: int, scheme: str) -> None:
    page.emulate(width, scheme)
    seen: dict[str, Any] = page.driver.execute_script(
        "return {wide: document.documentElement.scrollWidth, ground: getComputedStyle(document.body).backgroundColor}"
    )
    assert seen["wide"] <= width, "the page scrolls sideways"
    lightness = sum(int(part) for part in seen["ground"].strip("rgb()").split(",")) / 3
    assert (lightness > 200) if scheme == "light" else (lightness < 40)


def test_it_says_when_the_balancer_is_away_and_when_it_drains(page: Page, balancer: Balancer) -> None:
    balancer.stop()
    page.wait_text("#away", "has not answered since", "Trying again")
    assert page.one("#status").is_displayed(), "the last figures stay"
    balancer.start()
    page.wait(lambda: not page.one("#away").is_displayed(), "figures again")
    page.wait_text("#models", "No models yet")
    assert ask(balancer.on_admin("/api/drain"), token=TOKEN, method="POST").status == 200
    page.wait_text("#state", "Draining")
