# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""WasmEdge's release archive, made from Debian trixie's packages.

Upstream's archive holds `bin/`, `include/` and `lib64/` under one folder and needs nothing but glibc.
Debian's libwasmedge links to libLLVM, spdlog and a dozen more, so these come along in `lib64/`, and the
RUNPATH of every file points there. glibc stays the host's own: a second one would not work with its loader.
"""

from __future__ import annotations

from tests.closed_network.context import Context

VERSION = "0.14.1"
RELEASE = f"https://github.com/WasmEdge/WasmEdge/releases/download/{VERSION}"
ARCHIVE = f"WasmEdge-{VERSION}-manylinux_2_28_x86_64.tar.gz"

DESCRIPTION = f"libwasmedge {VERSION} from Debian's packages"
INPUTS = ("tests/closed_network/builds/wasmedge.py",)
NEEDS = ()

SCRIPT = r"""
top=/build/WasmEdge-$VERSION-Linux
rm -rf "$top" && mkdir -p "$top/bin" "$top/include" "$top/lib64"
grep -q "WASMEDGE_VERSION \"$VERSION\"" /usr/include/wasmedge/version.h || {
  echo "This Debian release's libwasmedge-dev is not $VERSION: give the image another suite (tests/machines/image.py)." >&2; exit 1; }
cp -r /usr/include/wasmedge "$top/include/"
for tool in wasmedge wasmedgec; do [ ! -x /usr/bin/$tool ] || cp /usr/bin/$tool "$top/bin/"; done

libraries=/usr/lib/x86_64-linux-gnu
cp "$(readlink -f $libraries/libwasmedge.so.0)" "$top/lib64/libwasmedge.so.0.1.0"
ln -s libwasmedge.so.0.1.0 "$top/lib64/libwasmedge.so.0"
ln -s libwasmedge.so.0 "$top/lib64/libwasmedge.so"
# Everything ldd names by path, but glibc's own parts (their names are fixed by the platform's ABI).
ldd $libraries/libwasmedge.so.0 | awk '$2 == "=>" { print $1, $3 }' | while read -r name path; do
  case $name in
    libc.so.*|libm.so.*|libdl.so.*|libpthread.so.*|librt.so.*|ld-linux*) ;;
    *) cp "$(readlink -f "$path")" "$top/lib64/$name" ;;
  esac
done
strip --strip-unneeded "$top"/lib64/*.so* "$top"/bin/*
find "$top/lib64" -type f -exec patchelf --set-rpath '$ORIGIN' {} +
find "$top/bin" -type f -exec patchelf --set-rpath '$ORIGIN/../lib64' {} +
chmod -R u=rwX,go=rX "$top"

tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$top/$ABOVE" -cf - $MEMBERS | gzip -n -6 > "/build/$ARCHIVE"
"""


def build(ctx: Context) -> None:
    """Build and publish the archive (about 60 MB)."""
    layout = {"ABOVE": "..", "MEMBERS": f"WasmEdge-{VERSION}-Linux"}
    ctx.builder(SCRIPT, env={"VERSION": VERSION, "ARCHIVE": ARCHIVE, **layout})
    ctx.publish(ctx.work / ARCHIVE, f"{RELEASE}/{ARCHIVE}", checksums=f"{RELEASE}/SHA256SUM")
