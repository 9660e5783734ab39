# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds a release's files from sources by their own recipe, ``rust/release.sh``, and lays them out as a mirror.

A build runs on its own, in a folder named after what decides its result, and is looked at again and again until it is over;
so it outlives a lost connection, and what was built from the same before is not built again. Runs on build hosts (Python 3.9).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils import build_failures, sbom
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding, human_bytes, sentence
from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import parse_checksums, sha256_file, write_whole
from ansible_collections.wasinn.cluster.plugins.module_utils.node_checks import Machine

SUMS = "SHA256SUM"
RUNPATH = "/opt/wasinn/wasmedge/current/lib64"
#: What cargo and its like are told by; a container gets these of the caller's environment.
PASSED_ON = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "CARGO_HTTP_CAINFO", "CARGO_REGISTRY_DEFAULT", "CARGO_BUILD_JOBS", "SOURCE_DATE_EPOCH"),
    *("WASMEDGE_INCLUDE_DIR", "WASMEDGE_LIB_DIR", "LIBSECCOMP_LIB_PATH", "LIBCLANG_PATH"),
)
_TAIL = 12  # lines of the log that a failure shows
_SKIPPED = {"target", "__pycache__", "node_modules"}


class ReleaseError(Exception):
    """One or more sentences for the user, with a remedy."""


@dataclass
class Recipe:
    """The recipe of one component for one architecture, run here or in a container.

    :ivar source: the folder that has ``rust/``.
    :ivar work: the folder for what is made meanwhile; cargo's downloads are kept in it.
    :ivar engine: ``docker`` or ``podman`` (or its path); empty to run here.
    :ivar image: what the container starts from; its packages are added once, as the recipe says.
    :ivar options: further words for ``engine run``.
    """

    source: Path
    component: str
    architecture: str
    work: Path
    engine: str = ""
    image: str = ""
    options: list[str] = field(default_factory=list)

    @property
    def script(self) -> Path:
        return self.source / "rust" / "release.sh"

    def ask(self, verb: str) -> str:
        """What the recipe answers.

        :raises ReleaseError: where it does not.
        """
        done = _run(self.words(verb))
        if done.returncode:
            raise ReleaseError(
                f"The recipe {self.script} does not answer to {verb} ({_last(done.stderr) or done.returncode}). "
                "Remedy: see that build_source is a whole checkout and that bash is there."
            )
        return done.stdout

    def local(self, *words: str) -> str:
        """What the recipe says of itself, which needs neither tools nor a container."""
        done = _run(["bash", str(self.script), *words])
        if done.returncode:
            raise ReleaseError(
                f"{self.script} does not know {' '.join(words)} ({_last(done.stderr) or done.returncode}). "
                "Remedy: take build_source to the version of this collection."
            )
        return done.stdout

    def words(self, verb: str, folder: Path | None = None, image: str = "") -> list[str]:
        """The command that runs a verb of the recipe."""
        if not self.engine:
            return [
                "bash",
                str(self.script),
                verb,
                self.component,
                self.architecture,
                *([str(folder)] if folder else []),
            ]
        inside = ["bash", "/src/rust/release.sh", verb, self.component, self.architecture]
        words = [self.engine, "run", "--rm", "--init", "--network=host", "--security-opt=label=disable"]
        words += [
            "-v",
            f"{self.source}:/src:ro",
            "-v",
            f"{self.cargo}:/cargo",
            "-e",
            "CARGO_HOME=/cargo",
            "-e",
            "HOME=/root",
        ]
        words += [part for name in PASSED_ON if name in os.environ for part in ("-e", name)]
        words += self.options
        if folder:
            words += ["-v", f"{folder}:/build"]
            inside.append("/build")
        if os.geteuid() and verb != "setup":
            words += [f"--user={os.geteuid()}:{os.getegid()}"]
        return [*words, image or self.prepared, *inside]

    @property
    def cargo(self) -> Path:
        return self.work / "cargo"

    @property
    def prepared(self) -> str:
        """The image's name once it has what the recipe needs."""
        digest = hashlib.sha256("\0".join((self.image, self.component, self.architecture)).encode())
        for path in (*_files(self.script), *_files(self.script.with_suffix(""))):
            digest.update(path.read_bytes())
        tag = digest.hexdigest()[:16]
        return f"wasinn-build-{self.component}:{tag}"

    def is_prepared(self) -> bool:
        """Whether a build can begin at once: not in a container, or its image is there."""
        if not self.engine:
            return True
        return not _run([self.engine, "image", "inspect", self.prepared]).returncode

    def prepare(self) -> None:
        """Make the container's image: the user's, and what the recipe installs.

        :raises ReleaseError: where that fails.
        """
        self.cargo.mkdir(parents=True, exist_ok=True)
        if self.is_prepared():
            return
        name = f"wasinn-build-{os.getpid()}"
        words = self.words("setup", image=self.image)
        words[words.index("--rm")] = f"--name={name}"
        try:
            done = _run(words)
            if done.returncode:
                raise ReleaseError(
                    f"The image {self.image} could not be given what the {self.component} needs "
                    f"({_last(done.stderr) or _last(done.stdout)}). Remedy: see that it is Debian trixie and reaches its "
                    "packages, or name an image in build_container_image that has what is needed."
                )
            done = _run([self.engine, "commit", name, self.prepared])
            if done.returncode:
                raise ReleaseError(f"{self.engine} commit failed: {_last(done.stderr)}. Remedy: make room for images.")
        finally:
            _run([self.engine, "rm", "-f", name])


@dataclass
class Result:
    """How far a build is. ``files``: path, sha256 and size by name, when it is finished."""

    finished: bool
    changed: bool
    digest: str
    reason: str = ""
    progress: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def findings(recipe: Recipe, disk: int = 0, memory: int = 0, version: str = "") -> list[Finding]:
    """What stands in the way of a build: what the recipe misses, and too small a machine.

    :param disk: bytes that have to be free where the build works.
    :param memory: bytes of memory that the machine has to have.
    :param version: what the sources have to be; empty for anything.
    """
    found: list[Finding] = []
    if not recipe.script.is_file():
        cause = (
            f"{recipe.source} has no rust/release.sh, so it is no checkout of this collection with its Rust sources."
        )
        return [finding("source", cause, "Set build_source to a checkout, or to the address of its git repository.")]
    if recipe.engine:
        done = _run([recipe.engine, "version"])
        if done.returncode:
            cause = f"The container engine {recipe.engine} does not answer ({_last(done.stderr) or 'it is not there'})."
            remedy = "Start it, name another in build_container_engine, or leave build_container_image empty."
            return [finding("engine", cause, remedy)]
    elif shutil.which("bash") is None:
        return [finding("program", "There is no bash.", "Install the package bash.")]
    if recipe.is_prepared():
        for line in recipe.ask("check").splitlines():
            check, cause, remedy = line.split("\t")
            found.append(finding(check, cause, remedy))
    own = recipe.local("version").strip()
    if version and own != version:
        cause = f"The sources in {recipe.source} are version {own}; artifacts_versions.wasinn is {version}."
        found.append(finding("version", cause, "Set it to that of the sources, or build_version to its tag."))
    machine = Machine()
    free = machine.disk({str(recipe.work): 0})[str(recipe.work)]
    if free < disk:
        cause = f"{recipe.work} has {human_bytes(free)} free; a build takes {human_bytes(disk)}."
        found.append(finding("disk", cause, "Free some space, or name another folder in build_dir."))
    there = machine.memory(0)
    if there < memory:
        cause = f"This machine has {human_bytes(there)} of memory; a build takes {human_bytes(memory)}."
        found.append(finding("memory", cause, "Build on a larger machine, or set CARGO_BUILD_JOBS=1 and build_memory."))
    return found


def inputs_digest(recipe: Recipe, toolchain: str) -> str:
    """A hash over all that decides the result: the inputs' content, the toolchain, what is built."""
    digest = hashlib.sha256(f"1\0{recipe.component}\0{recipe.architecture}\0{toolchain}\0".encode())
    digest.update(os.environ.get("SOURCE_DATE_EPOCH", "0").encode())
    top = recipe.source / "rust"
    for relative in recipe.local("inputs", recipe.component).split():
        if not (top / relative).exists():
            raise ReleaseError(f"{top / relative} is missing. Remedy: see that build_source is a whole checkout.")
        for path in _files(top / relative):
            digest.update(f"\0{path.relative_to(top)}\0{sha256_file(path)}".encode())
    return digest.hexdigest()


def build(recipe: Recipe, top: Path, url: str, wait: float, check: bool = False, again: bool = False) -> Result:
    """Begin a build, or go on with one that runs, and look at it for ``wait`` seconds.

    :param top: top of the mirror that gets the files.
    :param url: the address of the folder that they get.
    :param check: only tell.
    :param again: whether this call follows another one; then a build that failed is not begun anew.
    :raises ReleaseError: where it failed.
    """
    parts = urlsplit(url)
    place = top / parts.netloc / unquote(parts.path).strip("/")
    if check and not recipe.is_prepared():
        return Result(True, True, "", reason="its container's image has yet to be made")
    recipe.prepare()
    if not again and (missing := findings(recipe)):
        raise ReleaseError(sentence(missing))
    toolchain = recipe.ask("toolchain")
    digest = inputs_digest(recipe, toolchain)
    note = place / f"{recipe.component}-{recipe.architecture}.build.json"
    known, reason = _known(place, note, digest)
    if known or check:
        return Result(True, not known, digest, reason, files=known)
    folder = recipe.work / "work" / f"{recipe.component}-{recipe.architecture}-{digest[:12]}"
    code, log = folder / "exit", folder / "log"
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder) as ours:
        if ours and code.exists() and not again and code.read_text().strip() != "0":
            code.unlink()
        if ours and not code.exists():
            if again:
                raise ReleaseError(f"The build in {folder} was ended from outside. Remedy: run the playbook again.")
            _start(recipe, folder, ours)
    until = time.monotonic() + wait
    while not code.exists() and time.monotonic() < until:
        time.sleep(0.2)
    if not code.exists():
        return Result(False, True, digest, reason, progress=progress(folder))
    if code.read_text().strip() != "0":
        text = log.read_text(errors="replace")
        lines = "\n".join(text.splitlines()[-_TAIL:])
        why = sentence(build_failures.classify(text)) or f"Remedy: mend what the end of {log} says."
        raise ReleaseError(f"The build of the {recipe.component} for {recipe.architecture} failed. {why}\n{lines}")
    if inputs_digest(recipe, toolchain) != digest:
        raise ReleaseError(f"{recipe.source} changed while it was built. Remedy: run the playbook again.")
    files = _collect(recipe, folder, place)
    text = json.dumps(
        {
            "inputs": digest,
            "files": {name: entry["sha256"] for name, entry in files.items()},
            "toolchain": toolchain.splitlines(),
        },
        indent=2,
    )
    write_whole(note, text + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return Result(True, True, digest, reason, files=files)


def progress(folder: Path) -> str:
    """One line on a build that runs: how many crates of how many are compiled, and the last line of its log."""
    try:
        lines = (folder / "log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    compiled = sum(1 for line in lines if re.match(r"\s*Compiling ", line))
    try:
        total = len(sbom.crates((folder / "about" / "built.txt").read_text()))
    except OSError:
        total = 0
    said = lines[-1].strip()[:100] if lines else "beginning"
    return f"{compiled} of {max(total, compiled)} crates, at: {said}" if compiled else said


def _known(place: Path, note: Path, digest: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The files of a build that was made of the same and is whole; else an empty mapping and why not."""
    try:
        said = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}, "it was not built here before"
    if said.get("inputs") != digest:
        return {}, "its sources or tools changed"
    found = {}
    for name, checksum in said["files"].items():
        path = place / name
        if not path.is_file() or sha256_file(path) != checksum:
            return {}, f"{name} is missing or changed"
        found[name] = {"path": str(path), "sha256": checksum, "size": path.stat().st_size}
    return found, ""


def _start(recipe: Recipe, folder: Path, lock: int) -> None:
    """Run the recipe on its own: it holds the lock as long as it lives, and leaves its exit status in a file."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "0")}
    if not recipe.engine:
        environment |= {"CARGO_HOME": str(recipe.cargo)} if "CARGO_HOME" not in environment else {}
    words = shlex.join(recipe.words("build", folder))
    line = f"{words} >log 2>&1; code=$?; echo $code >exit.new; mv exit.new exit"
    subprocess.Popen(  # pylint: disable=consider-using-with
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(lock,),
    )


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """A descriptor of the folder's lock; 0 where a build that runs has it."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield 0
        else:
            yield handle
    finally:
        os.close(handle)


def _collect(recipe: Recipe, folder: Path, place: Path) -> dict[str, dict[str, Any]]:
    """Look at what was built, describe it, and bring it and its checksums to its place."""
    made = sorted((folder / "out").iterdir())
    for path in made:
        _inspect(recipe, path, folder)
    sums = {path.name: sha256_file(path) for path in made}
    about = folder / "about"
    document = sbom.cyclonedx(
        json.loads((about / "metadata.json").read_text()),
        (about / "package.txt").read_text().strip(),
        built=sbom.crates((about / "built.txt").read_text()),
        linked=sbom.crates((about / "linked.txt").read_text()),
        lock=(recipe.source / "rust" / "Cargo.lock").read_text(),
        files=sums,
        toolchain=(about / "toolchain.txt").read_text().splitlines(),
        patches={
            crate.name: {path.name: path.read_text() for path in crate.iterdir()}
            for crate in sorted((about / "patches").glob("*"))
        },
    )
    # One document for each component, and for each architecture that it is made for.
    stem = re.sub(r"(\.tar\.gz|\.wasm)$", "", min(made, key=lambda path: len(path.name)).name)
    bill = about / f"{stem}.cdx.json"  # not among what was made, which the next run would take it for
    bill.write_text(document)
    place.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for path in [*made, bill]:
        target = place / path.name
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(path, partial)
        os.chmod(partial, 0o644)
        os.replace(partial, target)
        files[target.name] = {"path": str(target), "sha256": sha256_file(target), "size": target.stat().st_size}
    listing = place / SUMS
    entries = parse_checksums(listing.read_text()) if listing.exists() else {}
    entries |= {name: str(entry["sha256"]) for name, entry in files.items()}
    write_whole(listing, "".join(f"{entries[name]}  {name}\n" for name in sorted(entries)))
    return files


def _inspect(recipe: Recipe, path: Path, folder: Path) -> None:
    """Refuse a result that a node could not use.

    :raises ReleaseError: with what is wrong.
    """
    if path.suffix == ".wasm":
        with path.open("rb") as stream:
            if stream.read(8) != b"\0asm\1\0\0\0":
                raise ReleaseError(f"{path.name} is no WebAssembly module. Remedy: see {folder / 'log'}.")
        return
    unpacked = folder / "inspected"
    unpacked.mkdir(exist_ok=True)
    done = _run(["tar", "-C", str(unpacked), "-xzf", str(path)])
    if done.returncode:
        raise ReleaseError(f"{path.name} cannot be unpacked ({_last(done.stderr)}). Remedy: see {folder / 'log'}.")
    for program in unpacked.iterdir():
        try:
            elf = Elf(str(program))
        except ElfError as error:
            raise ReleaseError(f"{error}. Remedy: see {folder / 'log'}.") from error
        if elf.machine != recipe.architecture:
            raise ReleaseError(
                f"{program.name} was built for {elf.machine} and not for {recipe.architecture}. "
                "Remedy: see that the compiler for that architecture is the one that cargo uses."
            )
        if elf.libc != "glibc" or RUNPATH not in elf.runpath:
            raise ReleaseError(
                f"{program.name} is a {elf.libc or 'unknown'} build with the RUNPATH '{':'.join(elf.runpath)}', which finds "
                f"no libwasmedge in {RUNPATH}. Remedy: build on glibc, and see rust/shim/build.rs."
            )


def _files(top: Path) -> Iterator[Path]:
    """All files below, in order; hidden ones and build outputs aside."""
    if top.is_file():
        yield top
        return
    for child in sorted(top.iterdir()) if top.is_dir() else ():
        if child.name not in _SKIPPED and not child.name.startswith("."):
            yield from _files(child)


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]}: {error.strerror}")


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip().rstrip(".") if lines else ""
