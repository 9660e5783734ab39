# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin of :mod:`.plugin` with llama.cpp's CUDA backend, for :mod:`tests.gpu`: an hour on two cores.

The compiler and the libraries come from NVIDIA's packages on PyPI. Like upstream's build the file needs libcublas (here
that of CUDA 13) and the driver's libcuda of the node.
"""

from __future__ import annotations

from tests.closed_network.context import Context

from . import plugin, wasmedge

#: CUDA's parts on PyPI, all of one release (cuda-toolkit 13.0.2), and the GPUs' architecture that is compiled for: Hopper.
TOOLKIT = {
    "nvidia-cuda-nvcc": "13.0.88",
    "nvidia-cuda-crt": "13.0.88",
    "nvidia-nvvm": "13.0.88",
    "nvidia-cuda-cccl": "13.0.85",
    "nvidia-cuda-runtime": "13.0.96",
    "nvidia-cublas": "13.1.1.3",
}
ARCHITECTURES = "90"
PLATFORM = "ubuntu20.04_x86_64"
ARCHIVE = f"WasmEdge-plugin-wasi_nn-ggml-cuda-{plugin.VERSION}-{PLATFORM}.tar.gz"
RUNTIME = f"WasmEdge-{wasmedge.VERSION}-{PLATFORM}.tar.gz"

DESCRIPTION = f"WASI-NN plugin on llama.cpp ({plugin.LLAMA}) with CUDA"
INPUTS = (*plugin.INPUTS, "tests/closed_network/builds/wasmedge.py")
NEEDS = ("wasmedge",)
ON_DEMAND = True

SCRIPT = (
    plugin.UNPACK
    + r"""
cuda=/build/cuda/nvidia/cu13
if [ "$(cat /build/cuda/.wheels 2>/dev/null)" != "$WHEELS" ]; then
  rm -rf /build/cuda && mkdir /build/cuda
  for wheel in $WHEELS; do python3 -m zipfile -e "/build/$wheel" /build/cuda; done
  chmod 0755 $cuda/bin/* $cuda/nvvm/bin/*
  # What a linker looks for is no part of a wheel.
  for library in cublas cublasLt cudart; do ln -sf "lib$library.so.13" "$cuda/lib/lib$library.so"; done
  ln -sf lib $cuda/lib64
  echo "$WHEELS" > /build/cuda/.wheels
fi
export PATH=$cuda/bin:$PATH
# What the driver's library offers, for the linker.
mkdir -p $cuda/lib/stubs
grep -rhoE '\bcu(Device|Get|Mem)[A-Za-z]+\(' $source/vendor/llama.cpp/ggml/src/ggml-cuda.cu | sort -u | tr -d '(' \
  | sed 's/.*/void &(void) {}/' | cc -shared -fPIC -Wl,-soname,libcuda.so.1 -x c - -o $cuda/lib/stubs/libcuda.so
cmake -S /src/tests/closed_network/plugin -B /build/cmake -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DLLAMA_SOURCE=$source/vendor/llama.cpp -DLLAMA_RELEASE="$LLAMA_RELEASE, CUDA" \
  -DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$ARCHITECTURES" \
  -DCUDAToolkit_ROOT=$cuda -DCMAKE_CUDA_COMPILER=$cuda/bin/nvcc -DCMAKE_CUDA_FLAGS="-I$cuda/include/cccl"
ninja -C /build/cmake wasmedgePluginWasiNN
mkdir -p /build/plugin && install -m 0755 /build/cmake/libwasmedgePluginWasiNN.so /build/plugin/
tar --mtime=@0 --owner=0 --group=0 --numeric-owner -C /build/plugin -cf - libwasmedgePluginWasiNN.so | gzip -n -6 > "/build/$ARCHIVE"
"""
)


def build(ctx: Context) -> None:
    """Build the plugin and publish it, and WasmEdge itself under the name that belongs to it."""
    wheels = [ctx.pip_download(f"{name}=={version}") for name, version in TOOLKIT.items()]
    env = {
        **plugin.llama(ctx),
        "LLAMA_RELEASE": plugin.LLAMA,
        "WHEELS": " ".join(str(wheel.relative_to(ctx.work)) for wheel in wheels),
        "ARCHITECTURES": ARCHITECTURES,
        "ARCHIVE": ARCHIVE,
    }
    ctx.builder(SCRIPT, env=env)
    sums = f"{wasmedge.RELEASE}/SHA256SUM"
    ctx.publish(ctx.work / ARCHIVE, f"{wasmedge.RELEASE}/{ARCHIVE}", checksums=sums)
    runtime = ctx.url(f"{wasmedge.RELEASE}/{wasmedge.ARCHIVE}")
    ctx.publish(runtime, f"{wasmedge.RELEASE}/{RUNTIME}", checksums=sums)
