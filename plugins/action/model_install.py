# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a model file to a node in pieces, so that it can be watched, cut off and carried on."""

from __future__ import annotations

import hashlib
import os
import shlex
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import sha256_file
from ansible_collections.wasinn.cluster.plugins.module_utils.model_store import ModelFile, Register

display = Display()

_MODULE = "wasinn.cluster.model_install"
_REPORT_EVERY = 5.0  # seconds between lines on the screen
_PIECE_SECONDS = 4.0  # what a piece should take: short enough to be watched, long enough to cost nothing
_SMALLEST, _LARGEST = 1 << 20, 64 << 20  # bytes of a piece; as much is held in memory for each host
_TRIES = 5  # connections that may break without a byte in between
_PULL_SECONDS = 10.0


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Look on the node, bring what is missing, verify on the node."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The module's result, with what would or did come as diff."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        self._vars = task_vars or {}
        src = Path(args["src"]).expanduser() if args.get("src") else None
        self._complete(args, src)
        look = self._step(args, "look")
        args["dest"] = look.get("dest", args["dest"])  # where ~ and $HOME are on the node
        if look.get("failed") or look["node"]["state"] == "present":
            return {**look, "pending": False}
        result = {**look, "changed": True, "pending": False}
        if self._task.diff:
            result["diff"] = _diff(args, look["node"])
        if self._task.check_mode:
            return result
        done = self._bring(args, src)
        if done.get("failed") or done.get("pending"):
            return done
        return {**result, "source": done["source"]}

    def _complete(self, args: dict[str, t.Any], src: Path | None) -> None:
        """Fills in what only the controller knows: the file's size and checksum."""
        args["name"] = args.get("name") or os.path.basename(str(args.get("dest")))
        args["sha256"] = str(args.get("sha256") or "").lower()
        args["size"] = int(args.get("size") or 0)
        if src is not None and src.is_file():
            args["size"] = src.stat().st_size
            args["sha256"] = args["sha256"] or sha256_file(src)
        elif not args.get("peers") and not self._task.check_mode:
            raise AnsibleActionFail(f"{src} is not on the controller: fetch it first (wasinn.cluster.artifact_fetch).")

    def _bring(self, args: dict[str, t.Any], src: Path | None) -> dict[str, t.Any]:
        prepared = self._step(args, "prepare")
        if prepared.get("failed"):
            return prepared
        have = prepared["node"]["part"]
        report = _Report(f"{self._task_host()}: {args['name']}", args["size"], have)
        brought: dict[str, t.Any] = {"source": "controller"}
        if args.get("peers"):
            brought = self._pull(args, report)
        else:
            self._send(args, src, have, report)
        if brought.get("failed") or brought.get("pending"):
            return brought
        report.say("checking what arrived")
        finished = self._step(args, "finish")
        if finished.get("failed") and args.get("peers"):
            display.warning(
                f"{report.what}: {brought['source']} gave a damaged file, so it comes from the controller; "
                f"remove {args['dest']} on that node and run again, and check its disk and memory."
            )
            return {"changed": False, "pending": True, "reasons": [finished["msg"]], "dest": args["dest"]}
        report.over()
        return {**finished, **brought}

    # -- from the controller ---------------------------------------------------------------------------------------

    def _uncompressed(self) -> None:
        """Takes the compression out of this task's ssh: it is Ansible's default, and quantised weights do not get smaller
        by it but ten times slower (7.2 s instead of 0.7 s for 98 MB on this project's test machines)."""
        connection = self._connection
        if connection.transport.rpartition(".")[2] != "ssh":
            return
        words = shlex.split(connection.get_option("ssh_args") or "")
        plain = ["-o", "Compression=no", *(word for word in words if word != "-C")]
        connection.set_option("ssh_args", shlex.join(plain))
        if connection.get_option("control_path") is None and "ControlPath" not in " ".join(words):
            # A master connection of its own: the shared one compresses.
            host = (connection.get_option(name) for name in ("host", "port", "remote_user"))
            name = hashlib.sha256(repr(("plain", *host)).encode()).hexdigest()[:10]
            connection.set_option("control_path", f"%(directory)s/{name}")

    def _send(self, args: dict[str, t.Any], src: Path | None, have: int, report: _Report) -> None:
        self._uncompressed()
        part = ModelFile(Path(args["dest"]), args["sha256"], Register()).part
        piece, failures = _SMALLEST * 4, 0
        with open(src or "", "rb") as handle:  # _complete() has seen that it is there
            while have < args["size"]:
                handle.seek(have)
                data = handle.read(piece)
                if not data:
                    raise AnsibleActionFail(f"{src} became shorter while it was copied; run again.")
                began = time.monotonic()
                there, why = self._append(part, have, data)
                if there < 0:
                    if self._step(args, "look").get("node", {}).get("state") == "present":
                        return  # another run has finished it
                    raise AnsibleActionFail(
                        f"{args['name']}: {part} was taken away while it was copied, as by a run that wants another version; "
                        "see that no other run is at work, then run again."
                    )
                if there < have + len(data):
                    failures = failures + 1 if there <= have else 0
                    if failures >= _TRIES:
                        raise AnsibleActionFail(
                            f"{args['name']}: the copy to {part} was cut off {_TRIES} times in a row after "
                            f"{there} of {args['size']} bytes ({why}); "
                            "check the connection and the disk, then run again to carry on."
                        )
                    time.sleep(min(2.0**failures, 30))
                else:
                    failures = 0
                    seconds = max(time.monotonic() - began, 0.01)
                    piece = int(min(max(len(data) * _PIECE_SECONDS / seconds, _SMALLEST), _LARGEST, piece * 4))
                have = there
                report.show(have)

    def _append(self, part: Path, have: int, data: bytes) -> tuple[int, str]:
        """Appends ``data`` if the file still ends at ``have``; returns where it ends then, and why that is too early.

        The workers of a run that was killed may go on for a while: the lock lets both append in turn, the same bytes.
        It ends at -1 where it is not there any more.
        """
        path = shlex.quote(str(part))
        only_there = 'if [ "$(stat -c %s "$1")" = "$2" ]; then cat >> "$1"; else cat > /dev/null; fi'
        append = f"if [ -e {path} ]; then flock {path} sh -c {shlex.quote(only_there)} - {path} {have}; else cat > /dev/null; fi"
        size = f"if [ -e {path} ]; then stat -c %s {path}; else echo -1; fi"
        why = ""
        for command, sent in ((f"{append}; {size}", data), (size, None)):
            try:
                done = self._low_level_execute_command(command, in_data=sent)
                last = (done["stdout"].strip().splitlines() or [""])[-1]
                why = why or done["stderr"].strip() or f"exit status {done['rc']}"
                if last.removeprefix("-").isdigit():
                    return int(last), why
            except AnsibleConnectionFailure as exc:
                why = why or str(exc)
                self._connection.reset()
        return have, why

    # -- from other nodes ------------------------------------------------------------------------------------------

    def _pull(self, args: dict[str, t.Any], report: _Report) -> dict[str, t.Any]:
        while True:
            answer = self._step({**args, "seconds": _PULL_SECONDS}, "pull")
            if answer.get("failed"):
                return answer
            pulled = answer["node"]
            report.show(
                pulled["done"], f"from {pulled['peer']}" if pulled["peer"] else "waiting for a node that is free"
            )
            if pulled["complete"]:
                return {"source": pulled["peer"]}
            if not pulled["alive"]:
                reasons = [f"{peer} {why}" for peer, why in sorted(pulled["refusals"].items())]
                display.warning(
                    f"{report.what}: no node gives it ({'; '.join(reasons[:3])}), so it comes from the controller; "
                    "open the port between the nodes (models_peer_port), or set models_distribution to controller."
                )
                return {"changed": False, "pending": True, "reasons": reasons, "dest": args["dest"]}

    # -- both ------------------------------------------------------------------------------------------------------

    def _step(self, args: dict[str, t.Any], step: str) -> dict[str, t.Any]:
        given = {key: value for key, value in args.items() if key != "src"}
        result: dict[str, t.Any] = self._execute_module(
            module_name=_MODULE, module_args={**given, "step": step}, task_vars=self._vars
        )
        result.pop("invocation", None)
        return result

    def _task_host(self) -> str:
        return str(self._vars.get("inventory_hostname", "node"))


class _Report:
    """Lines about one copy: how far, how fast, how long still."""

    def __init__(self, what: str, total: int, have: int) -> None:
        self.what, self.total, self._begin = what, total, have
        self._started = self._shown = time.monotonic()
        self._before = have
        if have:
            self.say(f"carrying on at {have / 1e6:.0f} of {total / 1e6:.0f} MB")

    def say(self, text: str) -> None:
        """A line, for files that take so long that somebody watches."""
        if time.monotonic() - self._started > _REPORT_EVERY or text.startswith("carrying on"):
            display.display(f"{self.what}: {text}")

    def show(self, done: int, note: str = "") -> None:
        """Tells the progress if the last line is some seconds old."""
        now = time.monotonic()
        if now - self._shown < _REPORT_EVERY:
            return
        rate = max(done - self._before, 0) / (now - self._shown)
        left = f", {_span((self.total - done) / rate)} left" if rate else ""
        share = 100 * done // max(self.total, 1)
        line = f"{self.what}: {done / 1e6:.0f} of {self.total / 1e6:.0f} MB ({share} %), {rate / 1e6:.1f} MB/s{left}"
        display.display(line + (f", {note}" if note else ""))
        self._shown, self._before = now, done

    def over(self) -> None:
        """The last line."""
        seconds = max(time.monotonic() - self._started, 0.001)
        size = self.total - self._begin
        display.display(
            f"{self.what}: {size / 1e6:.0f} MB in {seconds:.1f} s ({size / 1e6 / seconds:.1f} MB/s), verified"
        )


def _span(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _diff(args: dict[str, t.Any], look: dict[str, t.Any]) -> dict[str, str]:
    before = {"missing": "", "other": f"sha256 {look['sha256'] or 'unknown'}\n"}[look["state"]]
    size = f", {args['size'] / 1e6:.0f} MB" if args["size"] else ""
    after = f"sha256 {args['sha256'] or 'not known before the download'}{size}\n"
    return {"before": before, "after": after, "before_header": args["dest"], "after_header": args["dest"]}
