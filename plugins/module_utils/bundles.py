# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One archive of a cache's files, with their checksums first, and back: what is needed where there is no network.

The archive is a plain tar: ``SHA256SUMS``, which names every other member, ``bundle.json``, and the files as
``files/HOST/PATH``. The same files make the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import subprocess
import tarfile
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.wasinn.cluster.plugins.module_utils.hashes import known_sha256, note_sha256, parse_checksums

SUMS, ABOUT, FILES = "SHA256SUMS", "bundle.json", "files/"
#: Namespace of signatures by ``ssh-keygen -Y`` (OpenSSH's PROTOCOL.sshsig), so that one for something else is none.
NAMESPACE = "wasinn.cluster"
_FORMAT = 1
_CHUNK = 1 << 20
_MOST_SUMS = 16 << 20  # bytes


class BundleError(Exception):
    """One sentence for the user, with a remedy."""


@dataclass
class Opened:
    """What a bundle had: the content of bundle.json, and the files that were new in the cache."""

    about: dict[str, t.Any]
    new: list[str]


def create(root: Path, files: Iterable[str], dest: Path, about: Mapping[str, t.Any], check: bool = False) -> bool:
    """Write the bundle of some of a cache's files; whether it was not there already.

    :param root: the cache; every file is below it.
    :param about: goes into bundle.json as it is.
    :param check: only tell.
    :raises BundleError: where that cannot be.
    """
    members = {}
    for file in sorted({Path(file) for file in files}):
        if root not in file.parents:
            raise BundleError(f"{file} is not in the cache {root}. Remedy: name the cache that has it.")
        checksum = known_sha256(file, _note(file), record=False)
        if not checksum:
            raise BundleError(f"{file} is not there any more. Remedy: run the playbook again, which fetches it.")
        members[FILES + file.relative_to(root).as_posix()] = (file, checksum)
    text = json.dumps({"format": _FORMAT, **about}, indent=2, sort_keys=True) + "\n"
    sums = f"{hashlib.sha256(text.encode()).hexdigest()}  {ABOUT}\n"
    sums += "".join(f"{checksum}  {name}\n" for name, (_file, checksum) in members.items())
    if _sums_of(dest) == sums:
        return False
    if check:
        return True
    partial = dest.with_name(f".{dest.name}.part")
    try:
        with partial.open("wb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in ((SUMS, sums), (ABOUT, text)):
                archive.addfile(_member(name, len(content.encode())), io.BytesIO(content.encode()))
            for name, (file, checksum) in members.items():
                with file.open("rb") as source:
                    hashing = _Hashing(source)
                    archive.addfile(_member(name, file.stat().st_size), t.cast(t.IO[bytes], hashing))
                if hashing.hexdigest() != checksum:
                    # So that the next run reads it, and fetches it if it was damaged.
                    _note(file).unlink(missing_ok=True)
                    raise BundleError(f"{file} changed while it was bundled. Remedy: run the playbook again.")
        partial.replace(dest)
    except OSError as exc:
        raise BundleError(
            f"The bundle {dest} cannot be written ({exc.strerror or exc}). "
            "Remedy: make room, or name another bundle_dir."
        ) from exc
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return True


def unpack(bundle: Path, root: Path, check: bool = False) -> Opened:
    """Bring a bundle's files into the cache, each by a temporary name and verified; those that are there stay.

    :param check: only read and verify the beginning, and tell which files are new.
    :raises BundleError: where the bundle is not whole or not one, or a file cannot be written.
    """
    new = []
    try:
        with tarfile.open(bundle, "r:") as archive:
            sums = parse_checksums(_text(archive, bundle, SUMS, None))
            about = json.loads(_text(archive, bundle, ABOUT, sums.pop(ABOUT, "")))
            if about.get("format") != _FORMAT:
                raise BundleError(
                    f"{bundle} has the format {about.get('format')}, of which this version of the collection knows "
                    "nothing. Remedy: open it with the version of the collection that made it."
                )
            if bad := next((name for name in sums if not _plain(name)), None):
                raise BundleError(f"{bundle} has the member {bad!r}, which no bundle has. Remedy: do not use it.")
            places = {name: root / name.removeprefix(FILES) for name in sums}
            new = [name for name, place in places.items() if known_sha256(place, _note(place), not check) != sums[name]]
            if not check:
                _extract(archive, bundle, {name: (places[name], sums[name]) for name in new})
    except (tarfile.TarError, EOFError, ValueError) as exc:
        raise _broken(bundle, str(exc)) from exc
    except OSError as exc:
        raise BundleError(
            f"The bundle {bundle} cannot be opened into {root} ({exc.strerror or exc}: {exc.filename}). "
            "Remedy: make room or correct the path."
        ) from exc
    return Opened(about, [str(places[name]) for name in new])


def sign(bundle: Path, key: str) -> None:
    """Write ``<bundle>.sig`` by an SSH key, or by its public half where an agent has the other.

    :raises BundleError: where ssh-keygen does not.
    """
    with contextlib.suppress(FileNotFoundError):
        _signature(bundle).unlink()
    answer = _ssh_keygen("-Y", "sign", "-q", "-f", key, "-n", NAMESPACE, str(bundle))
    if answer.returncode:
        raise BundleError(
            f"{bundle} was not signed: {_last(answer)}. "
            "Remedy: name a key that opens without a question, or its public half where an agent has it."
        )


def signed(bundle: Path) -> bool:
    """Whether there is a signature that is not older than the bundle."""
    signature = _signature(bundle)
    return signature.exists() and bundle.exists() and signature.stat().st_mtime_ns >= bundle.stat().st_mtime_ns


def verify(bundle: Path, allowed_signers: str, signer: str) -> None:
    """Ask that ``<bundle>.sig`` is a signature of one who may (a file as ssh-keygen's ALLOWED SIGNERS).

    :raises BundleError: where it is not.
    """
    signature = _signature(bundle)
    if not signature.exists():
        raise BundleError(f"There is no signature {signature}. Remedy: bring it along with the bundle.")
    words = ("-Y", "verify", "-f", allowed_signers, "-I", signer, "-n", NAMESPACE, "-s", str(signature))
    with bundle.open("rb") as stream:
        answer = _ssh_keygen(*words, stdin=stream)
    if answer.returncode:
        raise BundleError(
            f"{bundle} is not signed by {signer}: {_last(answer)}. "
            "Remedy: get bundle and signature again from whom you trust."
        )


class _Hashing:
    """A stream that is hashed as it is read."""

    def __init__(self, stream: t.IO[bytes]) -> None:
        self._stream, self._digest = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _plain(name: str) -> bool:
    """Whether a member's name leads below the cache."""
    return name.startswith(FILES) and not {"", ".", ".."} & set(name.split("/"))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _note(place: Path) -> Path:
    return place.with_name(f".{place.name}.verified")


def _signature(bundle: Path) -> Path:
    return bundle.with_name(f"{bundle.name}.sig")


def _broken(bundle: Path, why: str) -> BundleError:
    return BundleError(
        f"{bundle} is no whole bundle ({why}). Remedy: copy it again, or make it again with wasinn.cluster.bundle."
    )


def _text(archive: tarfile.TarFile, bundle: Path, name: str, checksum: str | None) -> str:
    """The next member, which has to be this one."""
    member = archive.next()
    stream = archive.extractfile(member) if member and member.isreg() else None
    if not member or member.name != name or member.size > _MOST_SUMS or not stream:
        raise _broken(bundle, f"it does not begin with {SUMS} and {ABOUT}")
    data = stream.read()
    if checksum is not None and hashlib.sha256(data).hexdigest() != checksum:
        raise _broken(bundle, f"{name} has another checksum than {SUMS} says")
    return data.decode()


def _extract(archive: tarfile.TarFile, bundle: Path, wanted: Mapping[str, tuple[Path, str]]) -> None:
    left = dict(wanted)
    while left and (member := archive.next()):
        if member.name not in left:
            continue
        place, checksum = left.pop(member.name)
        stream = archive.extractfile(member) if member.isreg() else None
        if not stream:
            raise _broken(bundle, f"{member.name} is no file")
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.bundle")
        try:
            hashing = _Hashing(stream)
            with partial.open("wb") as out:
                while block := hashing.read(_CHUNK):
                    out.write(block)
            if hashing.hexdigest() != checksum:
                raise _broken(bundle, f"{member.name} has another checksum than {SUMS} says")
            partial.replace(place)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        note_sha256(place, _note(place), checksum)
    if left:
        raise _broken(bundle, f"{min(left)} is missing")


def _sums_of(bundle: Path) -> str:
    """The list in a bundle that has all of its members; empty where there is none."""
    try:
        with tarfile.open(bundle, "r:") as archive:
            text = _text(archive, bundle, SUMS, None)
            whole = {SUMS, *parse_checksums(text)} == set(archive.getnames())
            return text if whole else ""
    except (OSError, tarfile.TarError, BundleError, ValueError):
        return ""


def _ssh_keygen(*args: str, stdin: t.IO[bytes] | int = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *args], stdin=stdin, capture_output=True, check=False)
    except FileNotFoundError as exc:
        raise BundleError(
            "There is no ssh-keygen on the controller. Remedy: install OpenSSH's client, 8.2 or newer."
        ) from exc


def _last(answer: subprocess.CompletedProcess[bytes]) -> str:
    lines = (answer.stderr + answer.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1].rstrip(".") if lines else "ssh-keygen said nothing"
