# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that are compared, each with its configuration; runs inside the benchmark's container.

Single process each: HAProxy with one thread, nginx with one worker, the balancer has one anyway. All keep connections to
upstreams open, spread by least connections over the same upstreams, pass events on unbuffered and check the upstreams'
health. The balancer has all that it can do switched on besides: keys with limits, reading the body for its model,
places, queue, metrics and a log line a request (into a pipe that is read, as containerd does); HAProxy and nginx have not.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEY = "sk-benchmark"
MODEL = "stub"
UPSTREAMS = tuple(range(9001, 9006))
SLOTS = 64  # places an upstream; five of them take 256 requests at once without a queue
START_SECONDS = 60


class Broken(Exception):
    """A program that does not run as it should; one sentence."""


@dataclass
class Program:
    """Something to measure: a command that serves on a port of the loopback.

    :ivar name: as it stands in tables.
    :ivar port: 0 is for what has no process of its own.
    """

    name: str
    port: int
    command: Sequence[str] = ()
    log: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"

    def start(self) -> None:
        """Start it and wait for its first answer. What it prints goes through a pipe to nowhere.

        :raises Broken: where it ends or stays silent.
        """
        if self.command:
            errors = open(self.log, "wb")  # noqa: SIM115  (its process keeps it)
            server = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
            reader = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
            self.processes = [server, reader]
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.processes and self.processes[0].poll() is not None:
                raise Broken(f"{self.name} ended at its start: {Path(self.log).read_text(errors='replace')[-400:]}")
            if time.monotonic() > until:
                raise Broken(f"{self.name} does not answer on port {self.port}: see {self.log}")
            time.sleep(0.1)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)

    def _answers(self) -> bool:
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, body, headers), timeout=5) as answer:
                return bool(json.load(answer)["choices"])
        except urllib.error.HTTPError as error:
            if error.code in (401, 404):
                raise Broken(f"{self.name} answers with {error.code}: {error.read()[:300]!r}") from None
            return False
        except (OSError, ValueError, KeyError):
            return False

    def pids(self) -> list[int]:
        """The server's process and those it started."""
        return _family(self.processes[0].pid) if self.processes else []


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def memory(pids: Sequence[int]) -> float:
    """Proportional set size of processes, in MiB."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def processor_seconds(pids: Sequence[int]) -> float:
    """User and system time that processes have used so far."""
    ticks = 0
    for pid in pids:
        try:
            values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(values[11]) + int(values[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def upstreams(stub: str, events: int, gap_ms: float) -> Program:
    """One process with all the upstreams, which is what `direct` measures."""
    command = [stub, str(events), f"{gap_ms:g}", *map(str, UPSTREAMS)]
    return Program("direct", UPSTREAMS[0], command, log="/tmp/stub.log")


def haproxy(folder: Path) -> Program:
    servers = "\n".join(f"  server u{port} 127.0.0.1:{port} check inter 5s" for port in UPSTREAMS)
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""
global
  nbthread 1
  maxconn 2000
defaults
  mode http
  option http-keep-alive
  timeout connect 1s
  timeout client 75s
  timeout server 300s
frontend f
  bind 127.0.0.1:8101
  default_backend b
backend b
  balance leastconn
  http-reuse always
  option httpchk GET /v1/models
{servers}
"""
    )
    return Program("haproxy", 8101, ["haproxy", "-db", "-f", str(config)], log=str(folder / "haproxy.log"))


def nginx(folder: Path) -> Program:
    servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=1 fail_timeout=5s;" for port in UPSTREAMS)
    config = folder / "nginx.conf"
    config.write_text(
        f"""
user root;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 4000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  upstream u {{
    least_conn;
{servers}
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:8102;
    location / {{
      proxy_pass http://u;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
"""
    )
    return Program("nginx", 8102, ["nginx", "-c", str(config)], log=str(folder / "nginx.log"))


def balancer(name: str, port: int, folder: Path, command: Sequence[str]) -> Program:
    """Ours; ``CONFIG`` in the command becomes the configuration's path and ``FOLDER`` its folder."""
    place = folder / name
    place.mkdir(exist_ok=True)
    keys: list[dict[str, Any]] = [{"name": f"other-{number}", "sha256": f"{number:064x}"} for number in range(20)]
    keys.append(
        {
            "name": "benchmark",
            "sha256": hashlib.sha256(KEY.encode()).hexdigest(),
            "requests_per_minute": 100_000_000,
            "concurrent": 10_000,
            "models": [MODEL],
        }
    )
    (place / "keys.json").write_text(json.dumps({"keys": keys}))
    (place / "token").write_text("benchmark")
    endpoints = ", ".join(f'"127.0.0.1:{upstream}"' for upstream in UPSTREAMS)
    config = place / "config.toml"
    config.write_text(
        f"""
watch = false
[listen]
http = "127.0.0.1:{port}"
ops = "127.0.0.1:{port + 100}"
admin = "127.0.0.1:{port + 200}"
[files]
keys = "{place}/keys.json"
admin_token = "{place}/token"
[[pools]]
name = "{MODEL}"
slots = {SLOTS}
endpoints = [{endpoints}]
"""
    )
    words = [word.replace("CONFIG", str(config)).replace("FOLDER", str(place)) for word in command]
    return Program(name, port, words, log=str(place / "log"))
