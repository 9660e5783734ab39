# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks the module what a node lacks, and transfers the archive only to one that lacks something."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.wasinn.cluster.plugins.module_utils.archive import (
    ArchiveError,
    Selection,
    open_archive,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import sha256_file

_MODULE = "wasinn.cluster.artifact_install"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Compare on the node, transfer, install on the node."""

    # No folder on the node ahead of time: most runs transfer nothing.
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The module's result, with the list of files as diff."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        if args.get("state", "present") == "absent":
            return self._module(args, task_vars)
        if not args.get("src"):
            raise AnsibleActionFail("src is needed for state=present: give the archive's path on the controller.")
        src = Path(args["src"]).expanduser()
        self._complete(args, src)
        result = self._compare(args, task_vars)
        if not result.get("changed") or result.get("failed"):
            return result
        diff = self._diff_of(args, src, result) if self._task.diff else {}
        if not self._task.check_mode:
            result = self._install(args, src, task_vars)
        if diff and not result.get("failed"):
            result["diff"] = diff
        return result

    def _complete(self, args: dict[str, t.Any], src: Path) -> None:
        """Fills in what only the controller knows: the archive's name and checksum."""
        args["name"] = args.get("name") or src.name
        if src.is_file():
            args["sha256"] = args.get("sha256") or sha256_file(src)
        elif not self._task.check_mode:
            raise AnsibleActionFail(f"{src} is not on the controller: fetch it first (wasinn.cluster.artifact_fetch).")

    def _compare(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """The module in check mode: it reads the node and needs no archive there."""
        check_mode, diff = self._task.check_mode, self._task.diff
        self._task.check_mode, self._task.diff = True, False
        try:
            return self._module(args, task_vars)
        finally:
            self._task.check_mode, self._task.diff = check_mode, diff

    def _install(self, args: dict[str, t.Any], src: Path, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()  # ActionBase.cleanup() removes it, and what is in it
        try:
            remote = self._transfer_file(str(src), shell.join_path(shell.tmpdir, "src"))
        except AnsibleConnectionFailure as exc:
            raise AnsibleConnectionFailure(
                f"The connection broke while {args['name']} was copied, so nothing was installed: {str(exc).strip()} "
                "Remedy: see that the machine runs and its network is there, then run again."
            ) from exc
        self._fixup_perms2((shell.tmpdir, remote))
        return self._module({**args, "src": remote}, task_vars)

    def _module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=_MODULE, module_args=args, task_vars=task_vars)
        return result

    def _diff_of(self, args: dict[str, t.Any], src: Path, result: dict[str, t.Any]) -> dict[str, str]:
        after = [f"{args['name']} sha256 {args.get('sha256') or 'not known before the download'}"]
        if self._task.args.get("unpack", True) in (True, "true", "yes", "True") and src.is_file():
            selection = Selection(
                int(args.get("strip") or 0), tuple(_as_list(args.get("include"))), str(args.get("into") or "")
            )
            try:
                with open_archive(src, selection) as members:
                    after += [f"  {member.path}" + (f" -> {member.link}" if member.link else "") for member in members]
            except ArchiveError as exc:
                raise AnsibleActionFail(f"{exc}.") from exc
        return {
            "before": "".join(f"{line}\n" for line in result.get("reasons", [])),
            "after": "".join(f"{line}\n" for line in after),
            "before_header": f"{args['dest']} (what differs)",
            "after_header": str(args["dest"]),
        }


def _as_list(value: t.Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(item) for item in value or ()]
