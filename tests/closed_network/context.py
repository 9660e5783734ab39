# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build may use: host commands, the builder container, the package index, the mirror."""

from __future__ import annotations

import os
import shlex
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.machines import engine, image
from tests.machines.shell import CACHE, REPO, Failure

from . import layout, pypi

MIRROR = CACHE / "mirror"
BUILDS = CACHE / "build"
TAIL = 15  # lines of the log that a failure shows

# A machine's own way to its registries goes along into the builder.
PASSED_ON = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOFLAGS", "PIP_INDEX_URL", "CARGO_REGISTRY_DEFAULT"),
)
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # Debian's place, in the builder


def container(build: str) -> str:
    """The name of the container that a build runs in."""
    return f"wasinn-build-{build}"


class Context:
    """Given to ``build(ctx)``; see docs/closed_network.md.

    :ivar repo: the repository.
    :ivar work: scratch folder of this build, kept between builds.
    :ivar mirror: top of the mirror.
    :ivar published: the mirror's files this build made so far.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.repo: Path = REPO
        self.work: Path = BUILDS / name
        self.mirror: Path = MIRROR
        self.log: Path = self.work / "log"
        self.published: list[Path] = []
        self.work.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")

    def run(self, argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        """Run a host command, its output into the log.

        :raises Failure: with the end of the log, where it is missing or exits with another code than 0.
        """
        with self.log.open("ab") as sink:
            sink.write(f"$ {shlex.join(str(word) for word in argv)[:300]}\n".encode())
            sink.flush()
            try:
                done = subprocess.run(
                    [str(word) for word in argv],
                    cwd=cwd or self.work,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            except FileNotFoundError:
                raise Failure(
                    f"Build {self.name} needs '{argv[0]}', which is not on this machine: install it."
                ) from None
        if done.returncode != 0:
            tail = "\n".join(f"    {line}" for line in self.log.read_text(errors="replace").splitlines()[-TAIL:])
            raise Failure(f"Build {self.name} failed ({done.returncode}): see {self.log}, which ends with\n{tail}")

    def builder(self, script: str, env: Mapping[str, str] | None = None, within: image.Image = image.BUILDER) -> None:
        """Run a bash script (``-euo pipefail``) as root in the builder container, or in one of another image.

        There: the repository read-only at /src, :attr:`work` at /build, downloads of cargo and Go kept at /cache, the
        host's network and CA certificates, ``CARGO_TARGET_DIR=/build/target``.

        :raises Failure: as :meth:`run`.
        """
        name = container(self.name)
        caches = CACHE / "builder"
        caches.mkdir(parents=True, exist_ok=True)
        variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        variables |= dict.fromkeys(("SSL_CERT_FILE", "CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "PIP_CERT"), BUNDLE)
        variables |= {
            "CARGO_HOME": "/cache/cargo",
            "CARGO_TARGET_DIR": "/build/target",
            "GOMODCACHE": "/cache/go/mod",
            "GOCACHE": "/cache/go/build",
            "GOTOOLCHAIN": "auto",
            "HOME": "/root",
            **(env or {}),
        }
        if os.geteuid() != 0:  # what root makes in the container belongs to the caller in the end
            script = f"trap 'chown -R {os.getuid()}:{os.getgid()} /build /cache' EXIT\n{script}"
        mounts = (f"{self.repo}:/src:ro", f"{self.work}:/build", f"{caches}:/cache", f"{_host_bundle()}:{BUNDLE}:ro")
        argv = ["docker", "run", "--rm", "--init", "--network=host", "--name", name, "-w", "/build"]
        argv += [flag for mount in mounts for flag in ("-v", mount)]
        argv += [flag for variable, value in variables.items() for flag in ("-e", f"{variable}={value}")]
        argv += [within.name, "nice", "bash", "-euo", "pipefail", "-c", script]
        image.ensure(within, lambda _line: None)
        engine.docker("rm", "-f", name, check=False)
        try:
            self.run(argv)
        except BaseException:
            engine.docker("rm", "-f", name, check=False)  # ours to end, also on Ctrl-C
            raise

    def url(self, url: str) -> Path:
        """The place of a URL's file in the mirror, its folder made."""
        place = layout.place(self.mirror, url)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def publish(self, src: Path, url: str, checksums: str) -> Path:
        """Copy a file to its place in the mirror, with its line in the checksum list at ``checksums`` (a URL too)."""
        target = layout.publish(self.mirror, Path(src), url, checksums)
        self.published.append(target)
        return target

    def pip_download(self, requirement: str, sdist: bool = False, sha256: str = "") -> Path:
        """A PyPI file by ``name==version`` (and ``--hash=sha256:…``); see :func:`pypi.download`."""
        return pypi.download(requirement, self.work / "pypi", sdist=sdist, checksum=sha256)


def _host_bundle() -> str:
    """This machine's CA certificates as one file.

    :raises Failure: where it has none.
    """
    paths = ssl.get_default_verify_paths()
    for candidate in (os.environ.get("SSL_CERT_FILE"), BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", paths.cafile):
        if candidate and os.path.isfile(candidate):
            return os.path.realpath(candidate)
    raise Failure("This machine has no bundle of CA certificates: install ca-certificates or set SSL_CERT_FILE.")
