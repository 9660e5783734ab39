# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the repository that is linted.

ansible-lint and ansible-test want a path ending in `ansible_collections/wasinn/cluster`, and
what counts is what git would commit, not what lies about. So git's files are mirrored into
`.cache/lint/ansible_collections/wasinn/cluster`; paths in messages stay those of the repository.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CACHE = REPO / ".cache" / "lint"
_LEFT_BY_TOOLS = "__pycache__/\n/tests/output/\n/.ansible/\n"
# ansible-test writes there; not ours to mirror.
_FOREIGN = ("tests/output/", ".git/")


class Tree:
    """The mirrored files: `path` is the copy's root, `files` maps a relative path to its sha256."""

    def __init__(self, repo: Path = REPO, cache: Path = CACHE) -> None:
        self.repo = repo
        self.path = cache / "ansible_collections" / "wasinn" / "cluster"
        self.files: dict[str, str] = {}

    def refresh(self) -> None:
        """Makes the copy equal to the working tree. OSError where a file cannot be copied."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / ".git").exists():
            # Tools that ask git what to look at must not meet the outer .gitignore of .cache.
            subprocess.run(["git", "init", "--quiet"], cwd=self.path, check=True)
        (self.path / ".git" / "info" / "exclude").write_text(_LEFT_BY_TOOLS, encoding="utf-8")
        self.files = {name: self._copy(name) for name in _git_files(self.repo)}
        for stale in self._present() - self.files.keys():
            (self.path / stale).unlink(missing_ok=True)
            _drop_empty_parents((self.path / stale).parent, self.path)
        # Asked for what is ignored, git says nothing of folders in which it tracks nothing.
        subprocess.run(["git", "add", "--all"], cwd=self.path, check=True)

    def matching(self, *patterns: str) -> list[str]:
        """Sorted files whose path matches one of the patterns; `*` crosses folders."""
        return sorted(f for f in self.files if any(fnmatch.fnmatch(f, p) for p in patterns))

    def digest(self, *patterns: str) -> str:
        """One sha256 over names and contents of the matching files."""
        lines = (f"{name}\0{self.files[name]}\n" for name in self.matching(*patterns))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _copy(self, name: str) -> str:
        source, target = self.repo / name, self.path / name
        if source.is_symlink():
            link = os.readlink(source)
            if not target.is_symlink() or os.readlink(target) != link:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                target.symlink_to(link)
            return hashlib.sha256(b"link:" + link.encode()).hexdigest()
        content = source.read_bytes()
        mode = source.stat().st_mode & 0o777
        if not (target.is_file() and not target.is_symlink() and target.read_bytes() == content):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.write_bytes(content)
        target.chmod(mode)
        return hashlib.sha256(b"%o:" % mode + content).hexdigest()

    def _present(self) -> set[str]:
        found = set()
        for folder, dirs, names in os.walk(self.path):
            links = [d for d in dirs if (Path(folder) / d).is_symlink()]
            for name in names + links:
                relative = (Path(folder) / name).relative_to(self.path).as_posix()
                if not relative.startswith(_FOREIGN):
                    found.add(relative)
        return found


def _git_files(repo: Path) -> list[str]:
    """Tracked and new files that exist, none that git ignores."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--exclude=/.cache", "-z"],
        cwd=repo,
        check=True,
        capture_output=True,
    ).stdout.decode()
    names = sorted({name for name in listing.split("\0") if name})
    return [n for n in names if (repo / n).is_symlink() or (repo / n).is_file()]


def _drop_empty_parents(folder: Path, root: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        shutil.rmtree(folder)
        folder = folder.parent
