# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A native balancer, endpoints for it, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.observability.balancer import Balancer, build
from tests.observability.upstream import Upstream


@pytest.fixture(scope="session")
def program() -> Path:
    """The balancer's native program."""
    return build()


@pytest.fixture(scope="module")
def balancer(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """A balancer that knows nothing yet."""
    # What takes half a minute by default is to happen within a test's time, and a queue is to be full soon.
    settings = "queue = 4\n[timeouts]\nqueue = 3.0\n[health]\ninterval = 0.5\neject_min = 5.0\n"
    balancer = Balancer(program, tmp_path_factory.mktemp("balancer"), settings)
    try:
        balancer.start()
        yield balancer
    finally:
        balancer.stop()


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Callable[[], Upstream]]:
    """Makes endpoints; they end with the module."""
    with ExitStack() as all_of_them:
        yield lambda: all_of_them.enter_context(Upstream())


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """A Chromium without a window."""
    program, own = shutil.which("chromium"), shutil.which("chromedriver")
    assert program and own, "Chromium is missing: as root, 'make setup' installs it."
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    words = ["--headless=new", "--disable-dev-shm-usage", "--window-size=1200,900"]
    if os.geteuid() == 0:
        words.append("--no-sandbox")  # which Chromium refuses to root
    for word in words:
        options.add_argument(word)
    driver = webdriver.Chrome(options, Service(own))
    yield driver
    driver.quit()
