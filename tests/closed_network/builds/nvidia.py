# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's container toolkit and device plugin from their Go modules, for :mod:`tests.gpu`.

Both find the driver at run time (dlopen), so they are built without one. The toolkit becomes a Debian package with the name and
the two programs of NVIDIA's own; the plugin an image of itself and the glibc that it was linked with. Beside them lie stand-ins of the
driver's libraries (`tests/gpu/nvml.c`), with which both run on a machine without a GPU.
"""

from __future__ import annotations

from pathlib import Path

from tests.closed_network.context import BUILDS, Context
from tests.machines import engine

TOOLKIT = "1.20.2"
PLUGIN = "0.18.2"
PACKAGE = f"nvidia-container-toolkit-base_{TOOLKIT}-1_amd64.deb"
IMAGE = f"nvcr.io/nvidia/k8s-device-plugin:v{PLUGIN}"
ROOT = f"nvidia-device-plugin-{PLUGIN}.tar"

DESCRIPTION = f"NVIDIA's container toolkit {TOOLKIT} and device plugin {PLUGIN}"
DRIVER = "580.159.04"
INPUTS = ("tests/closed_network/builds/nvidia.py", "tests/gpu/nvml.c")
NEEDS = ()
ON_DEMAND = True

SCRIPT = r"""
export GOFLAGS=-mod=mod CGO_ENABLED=1 CGO_LDFLAGS_ALLOW='-Wl,--unresolved-symbols=ignore-in-object-files'
make_go() { # module, version, packages…
  local source=/build/src/$1 module=$1 version=$2; shift 2
  cd /build && mkdir -p /build/src && rm -rf "$source"
  cp -r "$(go mod download -json "github.com/NVIDIA/$module@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" "$source"
  chmod -R u+w "$source" && cd "$source" && rm -rf vendor && mkdir -p /build/bin
  go build -trimpath -ldflags '-extldflags=-Wl,-z,lazy -s -w' -o /build/bin/ "$@"
}
make_go nvidia-container-toolkit "$TOOLKIT" ./cmd/nvidia-ctk ./cmd/nvidia-cdi-hook
make_go k8s-device-plugin "$PLUGIN" ./cmd/nvidia-device-plugin

cd /build && rm -rf package image && mkdir -p package/DEBIAN package/usr/bin image/usr/bin
install -m 0755 bin/nvidia-ctk bin/nvidia-cdi-hook package/usr/bin/
cat > package/DEBIAN/control <<END
Package: nvidia-container-toolkit-base
Version: $TOOLKIT-1
Architecture: amd64
Maintainer: The wasinn.cluster authors
Depends: libc6
Description: NVIDIA container toolkit, built for a closed network
END
dpkg-deb --root-owner-group --build package "$PACKAGE"

install -m 0755 bin/nvidia-device-plugin image/usr/bin/
libraries=/lib/x86_64-linux-gnu # glibc's parts that the driver's own libraries ask for by name
{ ldd bin/nvidia-device-plugin | grep -oE '/[^ ]+'; ls $libraries/lib{m.so.6,dl.so.2,pthread.so.0,rt.so.1}; } \
  | while read -r library; do install -D "$library" "image/$library"; done
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C image -cf "$ROOT" .

rm -rf driver && mkdir driver
cc -shared -fPIC -Wall -Wextra -DDRIVER="\"$DRIVER\"" -Wl,-soname,libnvidia-ml.so.1 -o "driver/libnvidia-ml.so.$DRIVER" /src/tests/gpu/nvml.c
echo 'int cuInit(unsigned flags) { return flags ? 1 : 100; }' \
  | cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "driver/libcuda.so.$DRIVER" -x c -
for library in cuda nvidia-ml; do ln -s "lib$library.so.$DRIVER" "driver/lib$library.so.1"; done
"""


def build(ctx: Context) -> None:
    """Leave package, libraries and root file system in the build's folder; no release of ours has them, so the mirror has them neither."""
    ctx.builder(SCRIPT, env={"TOOLKIT": TOOLKIT, "PLUGIN": PLUGIN, "PACKAGE": PACKAGE, "ROOT": ROOT, "DRIVER": DRIVER})


def image() -> Path:
    """The device plugin's image as an archive that container runtimes import."""
    target = BUILDS / "nvidia" / "image.tar"
    engine.docker("import", "-c", 'ENTRYPOINT ["nvidia-device-plugin"]', str(BUILDS / "nvidia" / ROOT), IMAGE)
    engine.docker("save", "-o", str(target), IMAGE)
    engine.docker("rmi", IMAGE)
    return target
