# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: the same bytes from the same files, and nothing of a damaged one under its name."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import bundles

FILES = {"one.example/a/1.bin": b"1" * 70_000, "two.example/SHA256SUM": b"list\n"}
ABOUT = {"versions": {"k3s": "v1"}}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    root = tmp_path / "cache"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def bundle(cache: Path, tmp_path: Path) -> Path:
    dest = tmp_path / "b.tar"
    assert bundles.create(cache, [str(cache / name) for name in FILES], dest, ABOUT)
    return dest


def there(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")}


def test_to_another_cache_and_back(bundle, tmp_path):
    other = tmp_path / "other"
    opened = bundles.unpack(bundle, other)
    assert opened.about == {"format": 1, **ABOUT}
    assert sorted(opened.new) == sorted(str(other / name) for name in FILES)
    assert {name: (other / name).read_bytes() for name in there(other)} == FILES
    assert bundles.unpack(bundle, other).new == []
    again = tmp_path / "again.tar"
    assert bundles.create(other, [str(other / name) for name in reversed(FILES)], again, ABOUT)
    assert again.read_bytes() == bundle.read_bytes()


def test_what_is_there_is_left_alone(cache, bundle):
    before = bundle.stat().st_mtime_ns
    files = [str(cache / name) for name in FILES]
    assert not bundles.create(cache, files, bundle, ABOUT)
    assert bundles.create(cache, files, bundle, {}, check=True)
    assert bundle.stat().st_mtime_ns == before
    assert bundles.create(cache, files[:1], bundle, ABOUT)


def test_a_cut_one_is_made_again(cache, bundle):
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:40_000])
    assert bundles.create(cache, [str(cache / name) for name in FILES], bundle, ABOUT)
    assert bundle.read_bytes() == whole


def test_checking_writes_nothing(bundle, tmp_path):
    other = tmp_path / "other"
    assert len(bundles.unpack(bundle, other, check=True).new) == 2
    assert not other.exists()


@pytest.mark.parametrize("cut", [100, 1500, 3000, 40_000])
def test_a_cut_one_is_refused(bundle, tmp_path, cut):
    bundle.write_bytes(bundle.read_bytes()[:cut])
    with pytest.raises(bundles.BundleError, match=r"is no whole bundle .* Remedy: copy it again"):
        bundles.unpack(bundle, tmp_path / "other")
    assert not (tmp_path / "other" / "one.example/a/1.bin").exists()


def test_a_changed_file_never_gets_its_name(bundle, tmp_path):
    data = bytearray(bundle.read_bytes())
    data[data.index(b"1" * 1000)] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(bundles.BundleError, match=r"1\.bin has another checksum"):
        bundles.unpack(bundle, tmp_path / "other")
    assert "one.example/a/1.bin" not in there(tmp_path / "other")


@pytest.mark.parametrize(
    "name", ["files/../../etc/passwd", "/etc/passwd", "files//etc/passwd", "elsewhere", "files/a/./b", "files/.."]
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path, name):
    bundle = tmp_path / "evil.tar"
    about = b'{"format": 1}'
    sums = f"{hashlib.sha256(about).hexdigest()}  bundle.json\n{'0' * 64}  {name}\n".encode()
    with tarfile.open(bundle, "w") as archive:
        for member, data in (("SHA256SUMS", sums), ("bundle.json", about), (name, b"x")):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(bundles.BundleError, match="which no bundle has"):
        bundles.unpack(bundle, tmp_path / "other")
    assert there(tmp_path / "other") == set()


def test_another_format_is_refused(cache, tmp_path):
    dest = tmp_path / "b.tar"
    bundles.create(cache, [], dest, {"format": 2})
    with pytest.raises(bundles.BundleError, match="has the format 2"):
        bundles.unpack(dest, tmp_path / "other")


def test_only_files_of_the_cache(cache, tmp_path):
    with pytest.raises(bundles.BundleError, match="is not in the cache"):
        bundles.create(cache, ["/etc/passwd"], tmp_path / "b.tar", {})
    with pytest.raises(bundles.BundleError, match="is not there any more"):
        bundles.create(cache, [str(cache / "gone")], tmp_path / "b.tar", {})


def test_signatures(bundle, tmp_path):
    def key(name: str) -> Path:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
        return tmp_path / name

    mine, other = key("mine"), key("other")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ops@example.com {mine.with_suffix('.pub').read_text()}")
    with pytest.raises(bundles.BundleError, match="There is no signature"):
        bundles.verify(bundle, str(allowed), "ops@example.com")
    assert not bundles.signed(bundle)
    bundles.sign(bundle, str(mine))
    assert bundles.signed(bundle)
    bundles.verify(bundle, str(allowed), "ops@example.com")
    with pytest.raises(bundles.BundleError, match="is not signed by somebody"):
        bundles.verify(bundle, str(allowed), "somebody")
    bundles.sign(bundle, str(other))
    with pytest.raises(bundles.BundleError, match=r"is not signed by ops@example\.com"):
        bundles.verify(bundle, str(allowed), "ops@example.com")
    bundles.sign(bundle, str(mine))
    with bundle.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(bundles.BundleError, match=r"is not signed by ops@example\.com"):
        bundles.verify(bundle, str(allowed), "ops@example.com")
    with pytest.raises(bundles.BundleError, match="was not signed"):
        bundles.sign(bundle, str(tmp_path / "none"))
