# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests on real machines share: the engine, the mirror's server, machines, playbooks of the installed collection.

Machines of the scenario ``e2e`` live for the whole session; a test that changes them puts them back or asks for fresh
ones. ``WASINN_KEEP=1`` leaves them up at the end, to look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.closed_network import mirror, serve
from tests.demo import collection, playbook
from tests.machines import engine, machines
from tests.machines.scenario import KNOWN, Scenario, variable
from tests.machines.shell import CACHE, REPO
from tests.servers.outside import Outside, refusing

from .sick import Sick

Say = Callable[[str], None]
RunPlaybook = Callable[..., playbook.Result]


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Prints a line at once, past pytest's capture: slow stages are watched by people."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def past_capture(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"    {line}", flush=True)

    return past_capture


@pytest.fixture(scope="session")
def docker_engine(say: Say) -> None:
    """An engine that answers."""
    say("")
    engine.ensure(say)


@pytest.fixture(scope="session")
def mirror_url(docker_engine: None, say: Say) -> Iterator[str]:
    """The mirror, complete and served; empty with MIRROR=upstream."""
    mirror.ensure([], say)
    if mirror.upstream():
        yield ""
        return
    with serve.serving() as url:
        yield url


@pytest.fixture(scope="session")
def installed_collection(say: Say) -> Path:
    """The collection, built from the working tree and installed; gives the archive."""
    archive = collection.install()
    say(f"installed {archive.name}")
    return archive


@pytest.fixture(scope="session")
def scenario(docker_engine: None, say: Say) -> Iterator[Scenario]:
    """Three machines, bare at first: node1 is the server. Removed at the end."""
    chosen = Scenario.named("e2e")
    try:
        machines.renew(chosen, say)
        yield chosen
    finally:
        if os.environ.get("WASINN_KEEP") != "1":
            machines.down(chosen, say)


@pytest.fixture
def fresh_machines(scenario: Scenario, say: Say) -> Scenario:
    """The same machines, made anew for this test."""
    machines.renew(scenario, say)
    return scenario


@pytest.fixture(scope="session")
def inventory(scenario: Scenario) -> Path:
    """The demo's inventory moved to this session's machines: its group variables, other addresses, key and folder."""
    folder = CACHE / "e2e" / "inventories" / "e2e"
    folder.mkdir(parents=True, exist_ok=True)
    demo = REPO / "inventories" / "demo"
    hosts = (demo / "hosts.yml").read_text().replace(variable("demo"), variable("e2e"))
    hosts = hosts.replace(KNOWN["demo"][0], scenario.prefix)
    (folder / "hosts.yml").write_text(_moved(hosts, scenario))
    for source in sorted((demo / "group_vars").rglob("*.yml")):
        target = folder / source.relative_to(demo)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_moved(source.read_text(), scenario))
    return folder


@pytest.fixture(scope="session")
def run_playbook(mirror_url: str, installed_collection: Path, inventory: Path, say: Say) -> RunPlaybook:
    """``run_playbook("site", "--check", extra_vars={…}) -> Result(rc, recap, output, seconds)``, with live output."""

    def run_it(name: str, *args: str, **options: object) -> playbook.Result:
        say(f"$ ansible-playbook wasinn.cluster.{name} {' '.join(args)}")
        merged = {"inventory": inventory, "artifacts_mirror": mirror_url, "say": say, **options}
        return playbook.run_playbook(name, *args, **merged)

    return run_it


@pytest.fixture(scope="session")
def on(scenario: Scenario) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``on("node2", "cat /etc/hostname")``: a shell line as root on a machine, ``check=False`` takes any exit status."""

    return partial(machines.run_on, scenario)


@pytest.fixture
def outside(scenario: Scenario) -> Iterator[Outside]:
    """With its environment the controller reaches the machines alone. At the end it is asked that nothing else was tried.

    The machines reach nothing but each other and the controller anyway (tests/machines/network.py), and of the controller not the mirror,
    which is served on its loopback.
    """
    with refusing(map(scenario.address, scenario.nodes)) as found:
        yield found
    assert found.asked == []


@pytest.fixture(scope="module")
def sick(scenario: Scenario, run_playbook: RunPlaybook, on: Callable[..., object], inventory: Path, say: Say) -> Sick:
    """Bare machines to break, with an inventory of their own."""
    machines.renew(scenario, say)
    return Sick(scenario, run_playbook, on, inventory)


# Each role, then the whole; what is wanted less often comes after them, the quickest first.
FIRST = ("test_machines", "test_crates", "test_openai", "test_molecule", "test_journey", "test_serving")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules of ``FIRST`` in their order, then the others by their minutes."""

    def place(item: pytest.Item) -> tuple[int, float, str]:
        module, slow = item.path.stem, item.get_closest_marker("slow")
        return (FIRST.index(module), 0, "") if module in FIRST else (len(FIRST), slow.args[0] if slow else 0, module)

    here = [item for item in items if item.path.parent == Path(__file__).parent]
    here.sort(key=place)
    items[:] = [item for item in items if item not in here] + here


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the mirror beside the stages that do without it: a cold one takes as long as all of them."""
    wanted = any("mirror_url" in getattr(item, "fixturenames", ()) for item in session.items)
    earlier = any(item.path.parent != Path(__file__).parent for item in session.items)
    if not (wanted and earlier) or session.config.option.collectonly or mirror.upstream():
        return
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "mirror.log").open("w") as log:
        builder = subprocess.Popen(
            [sys.executable, "-m", "tests.closed_network"],
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes by us
        )

    def end() -> None:
        builder.terminate()
        builder.wait()

    session.config.add_cleanup(end)


# The first failure of each module, by the module's name: later tests of a journey build on earlier ones.
FAILED = pytest.StashKey[dict[str, str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    session.stash[FAILED] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a module's first failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        item.session.stash[FAILED].setdefault(item.module.__name__, item.name)
    return report


# What did not begin, since it would not end in time: by module and minutes.
LATE = pytest.StashKey[dict[tuple[str, float], str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what builds on a failed test, and what would not end within WASINN_MINUTES (0 or nothing: no limit).

    Modules and tests marked ``slow(minutes)`` are skipped whole where fewer are left; the others where none are.
    """
    if not isinstance(item, pytest.Function):
        return
    if item.get_closest_marker("in_order") and (failed := item.session.stash[FAILED].get(item.module.__name__)):
        pytest.skip(f"{failed} failed before")
    if not (limit := float(os.environ.get("WASINN_MINUTES") or 0)):
        return
    left = limit - (time.time() - float(os.environ["WASINN_STARTED"])) / 60
    if left <= 0:
        pytest.skip(f"{limit:.0f} minutes are over: make test-full")
    if not (slow := item.get_closest_marker("slow")):
        return
    late = item.session.stash.setdefault(LATE, {})
    (needed,) = slow.args
    key = (item.module.__name__, needed)
    if key not in late:
        late[key] = f"needs {needed} minutes, {left:.0f} are left: make test-full" if left < needed else ""
    if late[key]:
        pytest.skip(late[key])


def _moved(text: str, scenario: Scenario) -> str:
    """Paths of the demo, which the inventory derives from its own place, on this scenario's folder."""
    text = text.replace("inventory_dir | dirname | dirname }}/.cache/demo/", "inventory_dir | dirname | dirname }}/")
    return text.replace("wasinn-demo", f"wasinn-{scenario.name}")
