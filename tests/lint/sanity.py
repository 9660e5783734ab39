# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs `ansible-test sanity` with this Python, its environments built from the package index alone."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

# Named get_pip_<version>.py in ansible-test's cache this stands for the script that it would
# fetch from a host of Ansible's own: a closed network has only the package index.
_GET_PIP = """\
import subprocess
import sys

wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
"""

_PIP = re.compile(
    r"\s*(Collecting|Downloading|Installing|Successfully installed|Using cached|Preparing|Building)\b|\s*━"
)


def seed_pip(home: Path) -> None:
    """Puts the stand-in where ansible-test looks for its download. RuntimeError if that moved."""
    spec = importlib.util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("ansible-test is not installed beside this Python; use the locked environment.")
    source = Path(spec.submodule_search_locations[0]) / "_internal" / "python_requirements.py"
    found = re.search(r"pip='([\d.]+)'", source.read_text(encoding="utf-8"))
    if not found:
        raise RuntimeError(f"{source.name} no longer names pip's version; adapt tests/lint/sanity.py.")
    script = home / ".ansible" / "test" / "cache" / f"get_pip_{found[1].replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_GET_PIP, encoding="utf-8")


def share_settings(home: Path) -> None:
    """Lets pip see the user's own index and certificate settings from the borrowed home."""
    for name in (".config", ".pip"):
        real = Path("~" + pwd.getpwuid(os.getuid()).pw_name).expanduser() / name
        if real.is_dir() and not (home / name).exists():
            (home / name).symlink_to(real)


def main() -> int:
    """Runs ansible-test and passes on its words, less what pip tells of its work."""
    home = Path(os.environ["HOME"])
    seed_pip(home)
    share_settings(home)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    program = str(Path(sys.executable).parent / "ansible-test")
    argv = [program, "sanity", "--color", "no", "--requirements", "--python", version, *sys.argv[1:]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if not _PIP.match(line):
                print(line, end="")
    return running.returncode


if __name__ == "__main__":
    sys.exit(main())
