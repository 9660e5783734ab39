# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One playbook at a time on a machine: a file there says whose it is.

Nothing on the machine lives as long as a playbook, so the file may outlive its run. It is stale once the machine has
restarted (it lies in /run), once its controller sees that the process is gone, and, for other controllers, once it has not
been renewed for some time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

PATH = "/run/wasinn.lock"


@dataclass(frozen=True)
class Holder:
    """A run: who, where, which process. *place* tells controllers (and containers on one) apart, *began* processes."""

    user: str = ""
    controller: str = ""
    place: str = ""
    pid: int = 0
    began: str = ""
    playbook: str = ""
    since: float = 0.0  # by the machine's clock
    renewed: float = 0.0

    @property
    def process(self) -> tuple[str, int, str]:
        """What is the same for one run only."""
        return (self.place, self.pid, self.began)


def here(user: str, pid: int, playbook: str) -> Holder:
    """The run of the process *pid* on this controller."""
    return Holder(user, platform.node(), place(), pid, began(pid), playbook)


def place() -> str:
    """This boot and this process namespace: within it a process id says whether a run is alive."""
    boot = _read("/proc/sys/kernel/random/boot_id").strip()
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{platform.node()} {boot} {namespace}".strip()


def began(pid: int) -> str:
    """When a process began, as the kernel counts it (proc(5), stat, fields 3 and 22); empty of one that only waits to be
    buried, and where it cannot be told."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def gone(holder: Holder) -> bool:
    """Whether the run was started where this process is, and has ended."""
    if holder.place != place():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's, hence alive
        pass
    return began(holder.pid) != holder.began


def take(path: str, me: Holder, over: Mapping[str, t.Any] | None, lease: float, steal: bool = False) -> Holder | None:
    """Makes the machine *me*'s, or renews that; returns who has it instead.

    :param over: a holder whose run is known to have ended.
    :param lease: seconds after which what was not renewed is taken for stale; so is what claims to be renewed that far ahead.
    """
    with _open(path) as stream:
        # Not before the wait for the file: whoever had it meanwhile would seem to come from the future.
        now = time.time()
        found = _parse(stream.read())
        if other := _in_the_way(found, me, over, lease, steal, now):
            return other
        since = found.since if found is not None and found.process == me.process else now
        _write(stream, replace(me, since=since, renewed=now))
    return None


def look(path: str, me: Holder, over: Mapping[str, t.Any] | None, lease: float, steal: bool = False) -> Holder | None:
    """Who has the machine so that :func:`take` would not make it *me*'s."""
    return _in_the_way(_parse(_read(path)), me, over, lease, steal, time.time())


def _in_the_way(
    found: Holder | None, me: Holder, over: Mapping[str, t.Any] | None, lease: float, steal: bool, now: float
) -> Holder | None:
    """The holder, unless it is *me*, has ended, or is to be passed over."""
    if found is None or found.process == me.process or steal:
        return None
    stale = (over is not None and found.process == parse(over).process) or abs(now - found.renewed) >= lease
    return None if stale else found


def release(path: str, me: Holder) -> bool:
    """Gives the machine back; False where it was not *me*'s."""
    if not os.path.exists(path):
        return False
    with _open(path) as stream:
        found = _parse(stream.read())
        if found is not None and found.process != me.process:
            return False
        os.unlink(path)
    return found is not None


def parse(values: Mapping[str, t.Any]) -> Holder:
    """A holder of a dictionary as :func:`asdict` makes it, whatever else is in it."""
    known = asdict(Holder())
    return Holder(**{name: type(known[name])(values.get(name) or known[name]) for name in known})


def taken(holder: Holder, lease: float) -> Finding:
    """What to say of a machine that another run has."""
    began_at = time.strftime("%H:%M:%S UTC", time.gmtime(holder.since))
    cause = (
        f"Another run works on this machine since {began_at}: {holder.playbook or 'a playbook'} of {holder.user} on "
        f"{holder.controller}, process {holder.pid}."
    )
    remedy = (
        "Wait for its end, then run again; if it was cut off, its claim ends by itself after "
        f"{lease / 60:.0f} minutes (at once on the controller that it ran on), or with -e node_lock_steal=true."
    )
    return finding("locked", cause, remedy)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _parse(text: str) -> Holder | None:
    """None for a file that is empty or damaged, which stands for nobody."""
    try:
        return parse(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return None


@contextlib.contextmanager
def _open(path: str) -> Iterator[t.IO[str]]:
    """The file, for this process alone; made where it is not there."""
    while True:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8", errors="replace") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(stream.fileno()).st_ino:  # not given back meanwhile
                    yield stream
                    return


def _write(stream: t.IO[str], holder: Holder) -> None:
    stream.seek(0)
    stream.truncate()
    json.dump(asdict(holder), stream)
    stream.write("\n")
    stream.flush()
