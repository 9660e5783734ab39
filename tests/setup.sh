#!/bin/sh
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# From a bare machine to .cache/venv with everything that requirements/dev.txt locks. Fast where it is there already.
#   setup.sh [tests]    with what only the tests need: a browser, Prometheus' promtool, cargo, a registry
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# What the controller needs from the distribution: program, then the package that has it.
tools="mmdebstrap:mmdebstrap ssh:openssh-client ssh-keygen:openssh-client gcc:gcc,libc6-dev pkg-config:pkg-config git:git tar:tar"
[ "${1:-}" != tests ] || tools="$tools chromium:chromium chromedriver:chromium-driver promtool:prometheus cargo:cargo docker-registry:docker-registry"

newest_python() {
    for candidate in python3.13 python3.12 python3.11 python3 "$HOME"/.pyenv/versions/3.1[1-9]*/bin/python3; do
        found=$(command -v "$candidate" 2>/dev/null) || continue
        "$found" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || continue
        printf '%s\n' "$found"
        return
    done
}

install() {
    command -v apt-get >/dev/null || fail "This machine has no apt-get: install $* by hand, then run make again."
    [ "$(id -u)" = 0 ] || fail "Missing on this machine, and this user is not root: apt-get install $*"
    say "setup: installing $*"
    # A broken third-party source must not stop us; the installation itself says what it cannot find.
    DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
    # shellcheck disable=SC2068 # each word is a package
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $@ >/dev/null ||
        fail "apt-get could not install $*: run it by hand to see why."
}

missing=
for pair in $tools; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing $(echo "${pair#*:}" | tr , " ")"
done
[ -e /usr/include/seccomp.h ] || missing="$missing libseccomp-dev" # runc of the closed network's k3s
python=$(newest_python)
if [ -n "$python" ]; then
    # Debian splits venv off.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
else
    missing="$missing python3 python3-venv"
fi
# shellcheck disable=SC2086 # each word is a package
[ -z "$missing" ] || install $missing
python=$(newest_python)
[ -n "$python" ] || fail "Python 3.11 or newer is needed and neither PATH nor pyenv has it: install python3.11 or newer."

venv=.cache/venv
wanted=$({ cat requirements/dev.txt; "$python" --version; } | cksum)
if [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi
say "setup: making $venv with $("$python" --version) and what requirements/dev.txt locks"
mkdir -p .cache
rm -rf "$venv"
"$python" -m venv "$venv" || fail "The virtual environment could not be made: look at what $python says above."
# uv, itself from the lock, installs the rest several times faster than pip.
awk '/^uv==/ { on = 1 } on && /^ *#/ { exit } on' requirements/dev.txt >.cache/uv.txt
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r .cache/uv.txt ||
    fail "uv could not be installed: look at pip's words above; is the package index in reach?"
"$venv/bin/uv" pip install -q --python "$venv/bin/python" --cache-dir .cache/uv --require-hashes -r requirements/dev.txt ||
    fail "The locked packages could not be installed: look at uv's words above; is the package index in reach?"
printf '%s\n' "$wanted" >"$venv/.stamp"
say "setup: done"
