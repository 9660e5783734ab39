# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WASI-NN plugin on llama.cpp, in place of WasmEdge's own GGML plugin.

llama.cpp's sources come from the PyPI archive of llama-cpp-python, which vendors them; the plugin itself is
`tests/closed_network/plugin`. Two more archives hold the same file with the plugin API versions of other releases: that of
0.14.0, which libwasmedge 0.14.1 must refuse, and the collection must say so, and that of 0.17.1, whose interface is the same.
"""

from __future__ import annotations

from tests.closed_network.context import Context

LLAMA = "llama-cpp-python==0.2.90"
LLAMA_SHA256 = "419b041c62dbdb9f7e67883a6ef2f247d583d08417058776be0bff05b4ec9e3d"
VERSION = "0.14.1"
# Plugin API versions: 3 of 0.14.0, 4 of 0.14.1, 5 of 0.17.1 (wasmedge/version.h, WasmEdge_Plugin_CurrentAPIVersion).
OLDER, NEWER = "0.14.0", "0.17.1"
OTHERS = {OLDER: "3", NEWER: "5"}
RELEASES = "https://github.com/WasmEdge/WasmEdge/releases/download"

DESCRIPTION = f"WASI-NN plugin on llama.cpp ({LLAMA})"
INPUTS = ("tests/closed_network/builds/plugin.py", "tests/closed_network/plugin")
NEEDS = ()

#: llama.cpp's sources at ``$source``, of the archive that :func:`llama` names.
UNPACK = r"""
source=/build/llama-source
if [ "$(cat $source/.sha256 2>/dev/null)" != "$LLAMA_SHA256" ]; then
  rm -rf $source.new $source && mkdir $source.new
  tar -C $source.new --strip-components=1 -xzf "/build/$LLAMA_ARCHIVE"
  echo "$LLAMA_SHA256" > $source.new/.sha256 && mv $source.new $source
fi
"""

SCRIPT = (
    UNPACK
    + r"""
make_plugin() { # folder, API version or nothing, archive
  cmake -S /src/tests/closed_network/plugin -B /build/cmake -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DLLAMA_SOURCE=$source/vendor/llama.cpp -DLLAMA_RELEASE="$LLAMA_RELEASE" -DPLUGIN_API_VERSION="$2"
  ninja -C /build/cmake wasmedgePluginWasiNN
  mkdir -p "/build/$1" && install -m 0755 /build/cmake/libwasmedgePluginWasiNN.so "/build/$1/"
  tar --mtime=@0 --owner=0 --group=0 --numeric-owner -C "/build/$1" -cf - libwasmedgePluginWasiNN.so \
    | gzip -n -6 > "/build/$3"
}
for other in $OTHERS; do make_plugin "$other" "${other#*=}" "$(printf "$ARCHIVE_OF" "${other%=*}")"; done
make_plugin plugin "" "$ARCHIVE"
# One file that needs nothing but glibc, as the roles expect of any plugin.
if ldd /build/plugin/libwasmedgePluginWasiNN.so | grep -E 'libstdc|libgomp|libllama|libggml|not found'; then
  echo "The plugin must link llama.cpp and libstdc++ statically." >&2; exit 1
fi
"""
)


def archive(version: str) -> str:
    """Upstream's name of the plugin archive of a WasmEdge version."""
    return f"WasmEdge-plugin-wasi_nn-ggml-{version}-manylinux_2_28_x86_64.tar.gz"


def llama(ctx: Context) -> dict[str, str]:
    """Download llama.cpp's sources; what :data:`UNPACK` wants to know of them."""
    source = ctx.pip_download(f"{LLAMA} --hash=sha256:{LLAMA_SHA256}", sdist=True)
    return {"LLAMA_ARCHIVE": str(source.relative_to(ctx.work)), "LLAMA_SHA256": LLAMA_SHA256}


def build(ctx: Context) -> None:
    """Build the plugin once for each API version, and publish the archives."""
    env = {
        **llama(ctx),
        "LLAMA_RELEASE": LLAMA,
        "ARCHIVE": archive(VERSION),
        "ARCHIVE_OF": archive("%s"),
        "OTHERS": " ".join(f"{version}={api}" for version, api in OTHERS.items()),
    }
    ctx.builder(SCRIPT, env=env)
    for version in (VERSION, *OTHERS):
        base = f"{RELEASES}/{version}"
        ctx.publish(ctx.work / archive(version), f"{base}/{archive(version)}", checksums=f"{base}/SHA256SUM")
