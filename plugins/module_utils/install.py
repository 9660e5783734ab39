# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Installs an archive or a file on a node: verified, atomic, and known again by a manifest in the destination.

The manifest ``.wasinn-install.json`` has an entry for each archive that went into the folder: its sha256, the
selection, and mode and sha256 of every file. It is written last, so that a broken installation is seen as one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ansible_collections.wasinn.cluster.plugins.module_utils.archive import (
    ArchiveError,
    Member,
    Selection,
    copy_hashed,
    open_archive,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import sha256_file

MANIFEST = ".wasinn-install.json"
_STAGE = ".wasinn-stage-"


@dataclass(frozen=True)
class Request:
    """What is wanted at ``dest``: the archive ``name`` with this sha256, or (``unpack`` off) one file."""

    name: str
    sha256: str
    dest: Path
    selection: Selection = field(default_factory=Selection)
    unpack: bool = True
    mode: int | None = None
    link: Path | None = None
    link_target: str = ""
    force: bool = False

    @property
    def options(self) -> dict[str, t.Any]:
        """What, besides the archive, decides about the installed files, as it is kept in the manifest."""
        return {**asdict(self.selection), "include": list(self.selection.include), "mode": self.mode}

    @property
    def link_value(self) -> str:
        """The link's text: relative where it stands beside the destination (``current -> 0.14.1``)."""
        target = self.dest / self.link_target if self.link_target else self.dest
        if self.link is not None and self.link.parent == self.dest.parent:
            return os.path.relpath(target, self.link.parent)
        return str(target)


def difference(request: Request) -> list[str]:
    """Why the node is not as requested, one reason a line; empty if it is."""
    reasons = _tree_difference(request) if request.unpack else _file_difference(request)
    return reasons + _link_difference(request)


def install(request: Request, src: Path) -> list[str]:
    """Makes the node as requested from the archive or file ``src``; returns the paths of the files below ``dest``.

    :raises ArchiveError: with nothing half-written: files appear under their names only when all are on the disk.
    """
    got = sha256_file(src)
    if got != request.sha256:
        raise ArchiveError(
            f"{request.name} has sha256 {got} on the node but {request.sha256} is expected; nothing was unpacked: "
            "fetch it anew, or correct the checksum"
        )
    try:
        if request.unpack:
            files = _install_tree(request, src)
        else:
            _install_file(request, src)
            files = [request.dest.name]
        switch_link(request)
        return files
    except OSError as exc:
        raise ArchiveError(disk_sentence(exc, request.dest)) from exc


def switch_link(request: Request) -> None:
    """Points the link at the destination in one step: it is never missing in between."""
    if request.link is None or not _link_difference(request):
        return
    request.link.parent.mkdir(parents=True, exist_ok=True)
    temporary = request.link.with_name(f".{request.link.name}{_STAGE}{os.getpid()}")
    os.symlink(request.link_value, temporary)
    try:
        os.replace(temporary, request.link)
    except OSError:
        temporary.unlink()
        raise


def removal(request: Request) -> list[Path]:
    """What remove() would delete: of ``dest`` the files of the archive ``name`` (no name: of all), and the link."""
    found = []
    if request.unpack:
        for name, entry in read_manifest(request.dest).items():
            if request.name in ("", name):
                found += [request.dest / path for path in entry["files"]]
    else:
        found = [request.dest]
    if request.link is not None and request.link.is_symlink() and os.readlink(request.link) == request.link_value:
        found.append(request.link)
    return [path for path in found if os.path.lexists(path)]


def remove(request: Request) -> list[Path]:
    """Deletes what removal() names, and folders that are empty then; returns what was there."""
    gone = removal(request)
    try:
        for path in gone:
            path.unlink()
        if request.unpack and request.dest.is_dir():
            entries = read_manifest(request.dest)
            left = {name: entry for name, entry in entries.items() if request.name not in ("", name)}
            if left:
                _write_manifest(request.dest, left)
            else:
                (request.dest / MANIFEST).unlink(missing_ok=True)
            _prune(request.dest, gone)
    except OSError as exc:
        raise ArchiveError(disk_sentence(exc, request.dest)) from exc
    return gone


def read_manifest(dest: Path) -> dict[str, dict[str, t.Any]]:
    """The manifest's entries by archive name; empty where there is none or it cannot be understood."""
    try:
        content = json.loads((dest / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    archives = content.get("archives") if isinstance(content, dict) else None
    return archives if isinstance(archives, dict) else {}


def disk_sentence(exc: OSError, dest: Path) -> str:
    """An error of the file system as one sentence with cause and remedy."""
    where = exc.filename or dest
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that holds {dest} is full and nothing was changed there; free some space and run again"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} cannot be written ({exc.strerror}); use become, or correct its owner and rights"
    return f"{where}: {exc.strerror or exc}; correct it and run again"


# -- comparing -----------------------------------------------------------------------------------------------------


def _tree_difference(request: Request) -> list[str]:
    entry = read_manifest(request.dest).get(request.name)
    if entry is None:
        return [f"{request.name} is not installed in {request.dest}"]
    if entry.get("sha256") != request.sha256:
        return [f"{request.name} is installed in another version"]
    if entry.get("options") != request.options:
        return [f"{request.name} is installed with other options"]
    found = ((path, _path_difference(request.dest / path, wanted)) for path, wanted in sorted(entry["files"].items()))
    return [f"{request.dest / path} {reason}" for path, reason in found if reason]


def _path_difference(path: Path, wanted: dict[str, str]) -> str:
    if not os.path.lexists(path):
        return "is missing"
    if "link" in wanted:
        return "" if path.is_symlink() and os.readlink(path) == wanted["link"] else "is another link"
    if path.is_symlink() or not path.is_file():
        return "is no file any more"
    if f"{path.stat().st_mode & 0o7777:04o}" != wanted["mode"]:
        return "has another mode"
    return "" if sha256_file(path) == wanted["sha256"] else "was modified"


def _file_difference(request: Request) -> list[str]:
    mode = f"{0o644 if request.mode is None else request.mode:04o}"
    reason = _path_difference(request.dest, {"sha256": request.sha256, "mode": mode})
    return [f"{request.dest} {reason}"] if reason else []


def _link_difference(request: Request) -> list[str]:
    link = request.link
    if link is None:
        return []
    if link.is_symlink():
        return [] if os.readlink(link) == request.link_value else [f"{link} points elsewhere"]
    if link.is_dir() or (link.exists() and not request.force):
        raise ArchiveError(
            f"{link} should become a link but is a {'folder' if link.is_dir() else 'file'} "
            "that something else put there; "
            f"move it away{'' if link.is_dir() else ', or set force to replace it'}"
        )
    return [f"{link} is a file" if link.exists() else f"{link} is missing"]


# -- writing -------------------------------------------------------------------------------------------------------


def _install_tree(request: Request, src: Path) -> list[str]:
    dest = request.dest
    fresh = not dest.exists()
    parent = dest.parent if fresh else dest
    parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{dest.name}{_STAGE}"
    for leftover in parent.glob(f"{prefix}*"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    stage = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        os.chmod(stage, 0o755)
        with open_archive(src, request.selection) as members:
            _check_space(parent, sum(member.size for member in members))
            files = {member.path: _unpack(member, stage, request.mode) for member in members}
        entries = {} if fresh else read_manifest(dest)
        before = entries.get(request.name, {}).get("files", {})
        entries[request.name] = {"sha256": request.sha256, "options": request.options, "files": files}
        if fresh:
            _write_manifest(stage, entries)
            os.rename(stage, dest)
        else:
            _merge(stage, dest, files)
            others = {path for name, entry in entries.items() if name != request.name for path in entry["files"]}
            stale = [dest / path for path in before if path not in files and path not in others]
            for path in stale:
                path.unlink(missing_ok=True)
            _prune(dest, stale, keep=True)
            _write_manifest(dest, entries)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return sorted(files)


def _unpack(member: Member, stage: Path, mode: int | None) -> dict[str, str]:
    path = stage / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.link:
        os.symlink(member.link, path)
        return {"link": member.link}
    mode = mode if mode is not None else (0o755 if member.mode & 0o111 else 0o644)
    source = member.open()
    if source is None:
        raise ArchiveError(f"the archive's member {member.path!r} cannot be read; fetch the archive anew")
    with source, open(path, "wb") as out:
        digest = copy_hashed(source, out)
        out.flush()
        os.fsync(out.fileno())
    os.chmod(path, mode)
    return {"sha256": digest, "mode": f"{mode:04o}"}


def _merge(stage: Path, dest: Path, files: t.Iterable[str]) -> None:
    for path in sorted(files):
        target = dest / path
        if target.is_dir() and not target.is_symlink():
            raise ArchiveError(f"{target} is a folder where the archive has a file; move it away and run again")
    for path in sorted(files):
        (dest / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / path, dest / path)


def _install_file(request: Request, src: Path) -> None:
    dest = request.dest
    if dest.is_dir():
        raise ArchiveError(
            f"{dest} is a folder but should become the file {request.name}; move it away or correct dest"
        )
    if not _file_difference(request):
        return
    dest.parent.mkdir(parents=True, exist_ok=True)
    _check_space(dest.parent, src.stat().st_size)
    prefix = f".{dest.name}{_STAGE}"
    for leftover in dest.parent.glob(f"{prefix}*"):
        leftover.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(prefix=prefix, dir=dest.parent)
    try:
        with os.fdopen(handle, "wb") as out, open(src, "rb") as source:
            digest = copy_hashed(source, out)
            out.flush()
            os.fsync(out.fileno())
        if digest != request.sha256:
            raise ArchiveError(f"{src} changed while it was copied to {dest}; run again")
        os.chmod(name, 0o644 if request.mode is None else request.mode)
        os.replace(name, dest)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _write_manifest(folder: Path, entries: dict[str, t.Any]) -> None:
    temporary = folder / f"{MANIFEST}.tmp"
    temporary.write_text(json.dumps({"version": 1, "archives": entries}, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, folder / MANIFEST)


def _prune(dest: Path, gone: t.Iterable[Path], keep: bool = False) -> None:
    """Removes folders that are empty now, up to ``dest``, which goes too unless ``keep``."""
    folders = {parent for path in gone for parent in path.parents if dest in parent.parents}
    for folder in [*sorted(folders, key=lambda path: len(path.parts), reverse=True), *([] if keep else [dest])]:
        with contextlib.suppress(OSError):  # not empty, or gone already
            folder.rmdir()


def _check_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise ArchiveError(
            f"{need / 1e6:.0f} MB are needed in {folder} but {free / 1e6:.0f} MB are free; "
            "free some space and run again"
        )
