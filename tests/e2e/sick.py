# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines to break and to mend: faults that are really there while a context lasts, and mirrors that fail.

docs/faults.md is the list of what the modules test_faults_… do with them.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from tests.closed_network import serve
from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.demo import playbook
from tests.machines.scenario import Scenario

from .cluster import Cluster
from .test_journey import MODEL, MODEL_URL

NOBODY = "no-such-name.invalid"
WASMEDGE_FILE = "WasmEdge-0.14.1"
# A master connection that outlives its run would hide what is wrong with the next one's.
FRESH_SSH = {"ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none -o ConnectTimeout=5"}
JOIN = """\
- name: Let the machines be what the inventory says
  hosts: k3s_server:k3s_agent
  gather_facts: false
  become: true
  roles:
    - role: wasinn.cluster.k3s
"""


class Sick(Cluster):
    """The cluster with an inventory of its own: node1 a server, node2 an agent, whatever else a test adds; one small model."""

    def __init__(
        self, scenario: Scenario, run_playbook: Callable[..., playbook.Result], on: Callable[..., Any], inventory: Path
    ) -> None:
        self.folder = inventory.parent / "faults"
        super().__init__(scenario, partial(run_playbook, inventory=self.folder), on)
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "group_vars").mkdir(parents=True)
        variables = yaml.safe_load((inventory / "group_vars" / "k3s_cluster.yml").read_text(encoding="utf-8"))
        variables["models_catalogue"] = [model for model in variables["models_catalogue"] if model["name"] == MODEL]
        (self.folder / "group_vars" / "k3s_cluster.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
        self.hosts: dict[str, Any] = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
        self.join = self.folder / "join.yml"
        self.join.write_text(JOIN, encoding="utf-8")
        self.write()

    def write(self, agents: Mapping[str, Any] | None = None, **node2: Any) -> None:
        """The inventory with these variables of node2, and these machines beside it."""
        groups = self.hosts["all"]["children"]["k3s_cluster"]["children"]
        server, agent = groups["k3s_server"]["hosts"]["node1"], groups["k3s_agent"]["hosts"]["node2"]
        changed = {
            "k3s_server": {"hosts": {"node1": server}},
            "k3s_agent": {"hosts": {"node2": {**agent, **node2}, **(agents or {})}},
        }
        cluster = {**self.hosts["all"]["children"]["k3s_cluster"], "children": changed}
        text = yaml.safe_dump({"all": {"children": {"k3s_cluster": cluster}}}, sort_keys=False)
        (self.folder / "hosts.yml").write_text(text, encoding="utf-8")

    @contextmanager
    def inventory(self, agents: Mapping[str, Any] | None = None, **node2: Any) -> Iterator[None]:
        """That inventory while the context lasts."""
        self.write(agents, **node2)
        try:
            yield
        finally:
            self.write()

    def fresh(self, name: str, *args: str, **extra: Any) -> playbook.Result:
        """Run a playbook whose connections are its own."""
        return self._run_playbook(name, *args, extra_vars=extra, env=FRESH_SSH)

    def play_and(self, name: str, at: str, do: Callable[[], object], **extra: Any) -> playbook.Result:
        """Run a playbook, and do something as soon as the task ``at`` begins."""
        lines: list[str] = []

        def watch(line: str) -> None:
            if line.startswith("TASK [") and at in line and not lines:
                lines.append(line)
                do()

        result = self._run_playbook(name, say=watch, extra_vars=extra)
        assert lines, f"there was no task {at}:\n{result.output[-2000:]}"
        return result

    @contextmanager
    def broken(self, node: str, line: str, mend: str) -> Iterator[None]:
        """A machine on which a shell line was run, and another one afterwards."""
        self.run(node, line)
        try:
            yield
        finally:
            self.run(node, mend)


def says(result: playbook.Result, pattern: str) -> str:
    """The first line of a run that failed which matches, cause and remedy included."""
    assert result.rc != 0, result.output[-2000:]
    found = re.search(rf"^.*{pattern}.*$", result.output, re.MULTILINE)
    assert found, f"nobody said {pattern}:\n{result.output[-4000:]}"
    return found[0]


def finding(host: str, check: str, cause: str) -> str:
    """How a finding of a host looks like."""
    return rf"{host}: \[{check}\] {cause}.* Remedy: \w"


class Failing(serve.Handler):
    """A mirror that fails in one way for the files whose path has ``about`` in it."""

    about = ""
    way = ""
    served: list[str]
    wait = threading.Event()

    def do_GET(self) -> None:
        if self.about not in self.path or not self.about:
            return super().do_GET()
        self.served.append(self.headers.get("Range", ""))
        if self.way.isdigit():
            return self.send_error(HTTPStatus(int(self.way)))
        if self.way == "hangs":
            self.wait.wait(30)
            return None
        if self.way == "login":
            page = b"<html>please log in</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            return None
        return super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.about and self.about in self.path and self.way == "dies" and len(self.served) == 1:
            self._length //= 2
            super().copyfile(source, outputfile)
            self.close_connection = True
            self.connection.shutdown(2)
            return
        super().copyfile(source, outputfile)


@contextmanager
def failing(about: str, way: str) -> Iterator[tuple[str, list[str]]]:
    """A mirror's URL, and what was asked of the file that it fails with."""
    served: list[str] = []
    over = threading.Event()
    handler = type("Handler", (Failing,), {"about": about, "way": way, "served": served, "wait": over})
    with serve.serving(handler=handler) as url:
        try:
            yield url, served
        finally:
            over.set()


def seed(cache: Path) -> None:
    """The model in a cache, so that only what fails is asked for."""
    target = cache / MODEL_URL.removeprefix("https://")
    target.parent.mkdir(parents=True)
    target.symlink_to(place(MIRROR, MODEL_URL))
