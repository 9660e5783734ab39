# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Known failures of the WebAssembly inference stack: what their messages look like, their cause and their remedy.

The one table of them. Modules call :func:`classify`; the page in the documentation is made from :data:`SIGNATURES`.
Order matters: the first entry that matches is the nearest to the cause, and later ones are often its consequences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

TUPLE = "Install libwasmedge, plugin and shim from one row of the table of versions (roles wasmedge and shim)."


@dataclass(frozen=True)
class Signature:
    """One failure. Named groups of *pattern* fill the ``{fields}`` of *cause* and *remedy*.

    *example* is the message as it was seen (or read in upstream's sources), for tests and documentation.
    A *vague* one is left out where another explains it.
    """

    check: str
    pattern: str
    cause: str
    remedy: str
    example: str
    vague: bool = False


SIGNATURES = (
    Signature(
        "shim_static",
        r"Address could not be matched to any shared object",
        "The shim is a static musl build, as runwasi releases it, and cannot load WasmEdge plugins at all.",
        "Install this collection's shim with the role wasinn.cluster.shim.",
        "Address could not be matched to any shared object",
    ),
    Signature(
        "missing_library",
        r"(?<![\w.+-])(?P<library>[\w.+-]{1,200}\.so[\w.]{0,40}): cannot open shared object file",
        "The library {library} is not on this machine, or nowhere the loader looks.",
        "Install the package that has {library}; wasmedge_plugin_info names the file that needs it.",
        "error while loading shared libraries: libopenblas.so.0: cannot open shared object file: No such file or "
        "directory",
    ),
    Signature(
        "library_too_old",
        r"version [`'\"](?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)['\"] not found",
        "This machine's C or C++ library is too old: it lacks {version}.",
        "Use a build for an older distribution (such as manylinux_2_28), or a newer distribution on this machine.",
        "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by libwasmedgePluginWasiNN.so)",
    ),
    Signature(
        "openblas_missing",
        r"undefined symbol: cblas_\w+",
        "The plugin was built for OpenBLAS, which is not on this machine.",
        "Install OpenBLAS (libopenblas0, openblas), or use the plugin's build without it.",
        "libwasmedgePluginWasiNN.so: undefined symbol: cblas_sgemm",
    ),
    Signature(
        "plugin_duplicate",
        r"module name conflict",
        "There are two copies of a plugin, and the second cannot be registered.",
        "Keep one plugin file in one plugin folder; wasmedge_plugin_info names both.",
        "[error] instantiation failed: module name conflict, Code: 0x60",
    ),
    Signature(
        "plugin_not_loaded",
        r"wasi_ephemeral_nn.{0,200}unknown import|unknown import.{0,400}wasi_ephemeral_nn",
        "The WASI-NN plugin was not loaded: it is missing, has another plugin API version than libwasmedge, or lacks a "
        "library.",
        "Run wasmedge_plugin_info on the node, which tells which of these it is. " + TUPLE,
        "[error] instantiation failed: unknown import, Code: 0x302\n"
        '[error]     When linking module: "wasi_ephemeral_nn" , function name: "load_by_name"',
    ),
    Signature(
        "unknown_import",
        r"unknown import.{0,300}?module: \"(?P<module>\w+)\"",
        "The WebAssembly file needs the host module {module}, which nothing on this node offers.",
        "Install the WasmEdge plugin that offers {module}, or use a WebAssembly file that does not need it.",
        "[error] instantiation failed: unknown import, Code: 0x62\n"
        '[error]     When linking module: "wasi_logging" , function name: "log"',
    ),
    Signature(
        "plugin_not_loaded",
        r"unknown option:? ?(?:--)?nn-preload",
        "The wasmedge program knows no --nn-preload, so it has not loaded the WASI-NN plugin.",
        "Run wasmedge_plugin_info on the node, which tells why. " + TUPLE,
        "unknown option: nn-preload",
    ),
    Signature(
        "preload_swapped",
        r"Unknown NNBackend type: (?P<word>\S+)|Unknown ExecutionTarget type:? ?(?P<target>\S*)",
        "The preload's fields are wrong or in the wrong order: {word}{target} stands where another field belongs.",
        "Write WASMEDGE_WASINN_PRELOAD as alias:GGML:AUTO:/models/file.gguf (device AUTO, CPU or GPU).",
        "Failed to convert to NNBackend value. Unknown NNBackend type: CPU",
    ),
    Signature(
        "preload_form",
        r"Preload \"(?P<entry>[^\"]*)\" is not of the form",
        "The preload {entry} does not have the four fields it needs.",
        "Write WASMEDGE_WASINN_PRELOAD as alias:GGML:AUTO:/models/file.gguf (device AUTO, CPU or GPU).",
        '[error] [WASI-NN] Preload "default:GGML" is not of the form NAME:ENCODING:TARGET:PATH.',
    ),
    Signature(
        "backend_missing",
        r"Preload Model's Backend or Device is Not Support",
        "The plugin was built without the backend or device that the preload asks for.",
        "Use the wasi_nn-ggml build of the plugin (for GPU its CUDA build), and GGML with AUTO, CPU or GPU in the "
        "preload.",
        "[error] [WASI-NN] Preload Model's Backend or Device is Not Support.",
    ),
    Signature(
        "backend_missing",
        r"\[WASI-NN\] Unknown backend (?P<number>\d+)|Current backend is not supported|the plugin has no GGML backend",
        "The plugin was built without the GGML backend.",
        "Install the wasi_nn-ggml build of the plugin.",
        "[error] [WASI-NN] Unknown backend 5",
    ),
    Signature(
        "cuda_driver",
        r"CUDA driver version is insufficient for CUDA runtime version|unsupported toolchain",
        "The NVIDIA driver is older than the CUDA version the plugin was built with.",
        "Install a newer driver, or the plugin's build for an older CUDA.",
        "ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version",
    ),
    Signature(
        "cuda_missing",
        r"no CUDA-capable device is detected|failed to initialize CUDA(?!: CUDA driver)",
        "The plugin finds no GPU it can use.",
        "Look at the output of nvidia-smi on the node; the pod or container needs the GPU through CDI.",
        "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected",
    ),
    Signature(
        "architecture_too_new",
        r"unknown model architecture: '(?P<architecture>[^']*)'",
        "The llama.cpp in the plugin is too old for models of the architecture {architecture}.",
        "Use a newer WasmEdge with its plugin and shim (0.14.1 carries llama.cpp b3651 of August 2024), or another "
        "model.",
        "error loading model: unknown model architecture: 'qwen3'",
    ),
    Signature(
        "model_truncated",
        r"not within the file bounds|model is corrupted or incomplete|invalid magic characters",
        "The model file is cut short or damaged.",
        "Take it away and fetch it again (role models); gguf_info tells how many bytes are missing.",
        "llama_model_load: error loading model: tensor 'blk.24.ffn_down.weight' data is not within the file bounds, "
        "model is corrupted or incomplete",
    ),
    Signature(
        "memory",
        r"out of memory|failed to allocate|std::bad_alloc|unable to allocate|Cannot allocate memory",
        "There was not enough memory for the model and its context.",
        "Give the container more memory, or take a smaller model, quantisation or context; gguf_info estimates it.",
        "alloc_buffer: allocating 4165.37 MiB on device 0: cudaMalloc failed: out of memory",
    ),
    Signature(
        "model_unreadable",
        r"is not a GGUF file that this llama\.cpp can read",
        "The model file is cut short, damaged, or of an architecture the plugin's llama.cpp does not know.",
        "Run gguf_info on the file; fetch it again (role models), or take a model this plugin knows.",
        "[error] [WASI-NN] GGML backend: Error: unable to init model. /models/m.gguf is not a GGUF file that this "
        "llama.cpp can read (truncated, or of a newer architecture).",
        vague=True,
    ),
    Signature(
        "model_missing",
        r"(?:unable to init model|failed to open|error loading model).{0,200}No such file or directory"
        r"|the model \"[^\"]*\" cannot be read at",
        "There is no model file at the path the preload names.",
        "Check the path after the third colon of the preload, and the volume that should hold it.",
        "[error] [WASI-NN] GGML backend: Error: unable to init model. /models/m.gguf: No such file or directory.",
    ),
    Signature(
        "model_not_preloaded",
        r"no model is preloaded as|Model \"[^\"]*\" is not among the|Backend Error:.{0,200}Not ?Found",
        "No model is preloaded under the name that was asked for.",
        "Let the alias in WASMEDGE_WASINN_PRELOAD and in the request be the same (default).",
        "wasinn-probe: loading the model failed (Backend Error: WASI-NN Backend Error: Not Found): no model is preloaded",
        vague=True,
    ),
    Signature(
        "shim_not_found",
        r"binary not installed \"?containerd-shim-wasmedge|fork/exec \S*containerd-shim-wasmedge\S*: no such file"
        r"|containerd-shim-wasmedge-v1[\"\\]*:? .{0,60}executable file not found",
        "containerd finds no containerd-shim-wasmedge-v1 on its PATH.",
        "Install the shim to /usr/local/bin (role shim), then restart the unit that runs containerd.",
        'ctr: failed to start shim: failed to resolve runtime path: runtime "io.containerd.wasmedge.v1" binary not '
        'installed "containerd-shim-wasmedge-v1": file does not exist: unknown',
    ),
    Signature(
        "shim_architecture",
        r"containerd-shim-wasmedge\S*: exec format error",
        "The shim is for another architecture than this machine's, or damaged.",
        "Install the shim for this architecture with the role wasinn.cluster.shim.",
        "ctr: failed to start shim: start failed: : fork/exec /usr/local/bin/containerd-shim-wasmedge-v1: exec format "
        "error",
    ),
    Signature(
        "runtime_not_configured",
        r"no runtime for \"(?P<handler>[^\"]+)\" is configured",
        "containerd has no runtime named {handler}; k3s looks for shims only when it starts.",
        "Install the shim before k3s starts, or restart k3s (on agents k3s-agent) once.",
        'Failed to create pod sandbox: no runtime for "wasmedge" is configured',
    ),
    Signature(
        "image_missing",
        r"image \"(?P<image>[^\"]+)\":? not found",
        "The image {image} is not in that namespace of containerd.",
        "Import it (module containerd_image) into the namespace that is used.",
        'ctr: image "wasinn.local/probe:0.1.0": not found',
    ),
    Signature(
        "containerd_down",
        r"dial unix (?P<socket>\S+?):? .{0,80}(?:no such file or directory|connection refused)"
        r"|failed to dial \"?(?P<address>[^\s\"]+)",
        "containerd does not answer at {socket}{address}.",
        "Start containerd (its journal says why it ended), or correct the socket's path "
        "(k3s: /run/k3s/containerd/containerd.sock).",
        'ctr: failed to dial "/run/containerd/containerd.sock": context deadline exceeded',
    ),
    Signature(
        "not_wasm",
        r"magic header not detected",
        "The file that was to be run is no WebAssembly module.",
        "Fetch the .wasm file again and compare its checksum.",
        "[error] loading failed: magic header not detected, Code: 0x23",
    ),
    Signature(
        "exec_unsupported",
        r"exec is not supported",
        "WebAssembly containers have no exec, so exec probes and kubectl exec fail.",
        "Use HTTP probes, and logs for looking inside.",
        "rpc error: code = Unimplemented desc = exec is not supported",
    ),
    Signature(
        "disk_full",
        r"No space left on device",
        "A disk of the node is full.",
        "Free some space (containerd's folder, models, /tmp) and run again.",
        "mkdir /var/lib/containerd/tmpmounts: no space left on device",
    ),
)


#: Characters of an output that are looked at: causes stand near its end.
MOST = 64 * 1024


def classify(text: str) -> list[Finding]:
    """Findings for every known failure in *text*, the nearest to the cause first; empty if none is known.

    A later entry is left out where an earlier one already explains the same piece of text.
    """
    text = text[-MOST:]
    found: list[tuple[Signature, Finding]] = []
    taken: list[tuple[int, int]] = []
    for entry in SIGNATURES:
        match = re.search(entry.pattern, text, re.IGNORECASE | re.DOTALL)
        if match is None or any(start < match.end() and match.start() < end for start, end in taken):
            continue
        taken.append(match.span())
        fields = {name: value or "" for name, value in match.groupdict().items()}
        if not any(other.check == entry.check for other, _item in found):
            item = finding(entry.check, entry.cause.format(**fields), entry.remedy.format(**fields))
            found.append((entry, item))
    clear = [item for entry, item in found if not entry.vague]
    return clear or [item for _entry, item in found]
