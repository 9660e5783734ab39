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

from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import (
    first_release,
    package,
    read_distribution,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import cpu_flags

TUPLE = "Install libwasmedge, plugin and shim from one row of the table of versions (roles wasmedge and shim)."
PULL_REMEDY = "See that its registry can be reached from the node (k3s_registries) and has it, or import it (workload_images: import)."


@dataclass(frozen=True)
class Signature:
    """One failure. Named groups of *pattern* fill the ``{fields}`` of *cause* and *remedy*.

    Besides those there are ``{package}``, which brings the *library*, and ``{newer}``, a distribution with the *version*,
    and ``{cpu}``, what this CPU has of AVX.
    *example* is the message as it was seen (or read in upstream's sources), *source* where; for tests and documentation.
    A *vague* one is left out where another explains it. *codes* are exit statuses that tell it where no message does.
    """

    check: str
    pattern: str
    cause: str
    remedy: str
    example: str
    source: str
    vague: bool = False
    codes: tuple[int, ...] = ()


SIGNATURES = (
    Signature(
        "shim_static",
        r"Address could not be matched to any shared object",
        "The shim is a static musl build, as runwasi releases it, and cannot load WasmEdge plugins at all.",
        "Install this collection's shim with the role wasinn.cluster.shim.",
        "[error] Address could not be matched to any shared object. Detailed error information is not available.",
        source="containerd/runwasi#877",
    ),
    Signature(
        "machine_musl",
        r"Error loading shared library (?P<library>[\w.+-]{1,200}): No such file or directory \(needed by",
        "The C library here is musl (as on Alpine), but the program was built for glibc and needs {library}.",
        "Use a machine or image with glibc, such as Debian, Ubuntu or a RHEL relative.",
        "Error loading shared library libstdc++.so.6: No such file or directory (needed by wasmedge)",
        source="WasmEdge/WasmEdge#1015",
    ),
    Signature(
        "selinux",
        r"avc:\s{1,9}denied(?![^\n]{0,500}permissive=1)|cannot open shared object file: Permission denied|cannot change memory protections"
        r"|cannot apply additional memory protection after relocation|failed to map segment from shared object: Perm"
        r"|cannot enable executable stack as shared object requires: Permission denied",
        "SELinux, or a file's own permissions, does not let the process use a library or its memory.",
        "Run restorecon -Rv on the folders of WasmEdge, shim and models; ausearch -m avc -ts recent tells what was denied.",
        "error while loading shared libraries: /lib64/libc.so.6: cannot apply additional memory protection after "
        "relocation: Permission denied",
        source="podman-container-tools/podman#26251; containers/container-selinux#134",
    ),
    Signature(
        "missing_library",
        r"(?<![\w.+-])(?P<library>[\w.+-]{1,200}\.so[\w.]{0,40}): cannot open shared object file",
        "The library {library} is not on this machine, nowhere the loader looks, not readable, or for another architecture.",
        "Install {package}; wasmedge_plugin_info names the file that needs it.",
        "wasmedge: error while loading shared libraries: libstdc++.so.6: cannot open shared object file: No such file or "
        "directory",
        source="WasmEdge/WasmEdge#3335; measured with glibc 2.36, and 2.41, which says so of files that may not be read as well",
    ),
    Signature(
        "library_damaged",
        r"(?<![\w.+-])(?P<library>[\w.+-]{1,200}\.so[\w.]{0,40}): (?:file too short|invalid ELF header|wrong ELF class)",
        "The library {library} is cut short, no library at all, or for 32 bits.",
        "Install the file again, from an archive whose checksum was compared.",
        "libwasmedgePluginWasiNN.so: file too short",
        source="measured with glibc 2.36 and 2.41",
    ),
    Signature(
        "library_too_old",
        r"version [`'\"](?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)['\"] not found",
        "This machine's C or C++ library is too old: it lacks {version}.",
        "Use a build for an older distribution (such as manylinux_2_28), or {newer} on this machine.",
        "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by libwasmedgePluginWasiNN.so)",
        source="glibc, elf/dl-version.c; WasmEdge/WasmEdge#3034",
    ),
    Signature(
        "openblas_missing",
        r"undefined symbol: cblas_\w+",
        "The plugin was built for OpenBLAS, which is not on this machine.",
        "Install OpenBLAS (libopenblas0, openblas), or use the plugin's build without it.",
        "libwasmedgePluginWasiNN.so: undefined symbol: cblas_sgemm",
        source="glibc, elf/dl-lookup.c",
    ),
    Signature(
        "plugin_api",
        r"has plugin API version (?P<found>\d+), but WasmEdge (?P<release>[\d.]+) takes (?P<wanted>\d+) only",
        "The plugin has API version {found}, but WasmEdge {release} takes only {wanted}; libwasmedge alone passes over it "
        "silently, and it ends as an unknown import.",
        "Install the plugin of WasmEdge {release} (role wasmedge).",
        "plugin p.so: it has plugin API version 3, but WasmEdge 0.14.1 takes 4 only; install the plugin of WasmEdge 0.14.1",
        source="rust/shim/src/plugins.rs",
    ),
    Signature(
        "plugin_duplicate",
        r"module name conflict",
        "There are two copies of a plugin, and the second cannot be registered.",
        "Keep one plugin file in one plugin folder; wasmedge_plugin_info names both.",
        "[error] instantiation failed: module name conflict, Code: 0x300",
        source="WasmEdge/WasmEdge#3354, with Code: 0x60; measured with WasmEdge 0.14.1 and two plugins of one module",
    ),
    Signature(
        "plugin_not_loaded",
        r"wasi_ephemeral_nn.{0,200}unknown import|unknown import.{0,400}wasi_ephemeral_nn",
        "The WASI-NN plugin was not loaded: it is missing, has another plugin API version than libwasmedge, or lacks a "
        "library.",
        "Run wasmedge_plugin_info on the node, which tells which of these it is. " + TUPLE,
        "[error] instantiation failed: unknown import, Code: 0x302\n"
        '[error]     When linking module: "wasi_ephemeral_nn" , function name: "load_by_name"',
        source="WasmEdge/WasmEdge#2330, which is older and has Code: 0x62",
    ),
    Signature(
        "unknown_import",
        r"unknown import.{0,300}?module: \"(?P<module>\w+)\"",
        "The WebAssembly file needs the host module {module}, which nothing on this node offers.",
        "Install the WasmEdge plugin that offers {module}, or use a WebAssembly file that does not need it.",
        "[error] instantiation failed: unknown import, Code: 0x62\n"
        '[error]     When linking module: "wasi_logging" , function name: "log"',
        source="WasmEdge/WasmEdge#2184",
    ),
    Signature(
        "plugin_not_loaded",
        r"unknown option:? ?(?:--)?nn-preload",
        "The wasmedge program knows no --nn-preload, so it has not loaded the WASI-NN plugin.",
        "Run wasmedge_plugin_info on the node, which tells why. " + TUPLE,
        "unknown option: nn-preload",
        source="WasmEdge/WasmEdge#3192; measured with WasmEdge 0.14.1 and a plugin of API version 3",
    ),
    Signature(
        "preload_swapped",
        r"Unknown NNBackend type: (?P<word>[^\s;]+)|Unknown ExecutionTarget type:? ?(?P<target>[^\s;]*)",
        "The preload's fields are wrong or in the wrong order: {word}{target} stands where another field belongs.",
        "Write WASMEDGE_WASINN_PRELOAD as alias:GGML:AUTO:/models/file.gguf (device AUTO, CPU or GPU).",
        "Failed to convert to NNBackend value. Unknown NNBackend type: CPU",
        source="wasmedge-sdk 0.14, which rust/shim/src/preload.rs reads preloads with",
    ),
    Signature(
        "preload_form",
        r"Preload \"(?P<entry>[^\"]*)\" is not of the form",
        "The preload {entry} does not have the four fields it needs.",
        "Write WASMEDGE_WASINN_PRELOAD as alias:GGML:AUTO:/models/file.gguf (device AUTO, CPU or GPU).",
        '[error] [WASI-NN] Preload "default:GGML" is not of the form NAME:ENCODING:TARGET:PATH.',
        source="tests/closed_network/plugin/preload.cpp",
    ),
    Signature(
        "backend_missing",
        r"Preload Model's Backend or Device is Not Support",
        "The plugin was built without the backend or device that the preload asks for.",
        "Use the wasi_nn-ggml build of the plugin (for GPU its CUDA build), and GGML with AUTO, CPU or GPU in the "
        "preload.",
        "[error] [WASI-NN] Preload Model's Backend or Device is Not Support.",
        source="LlamaEdge/LlamaEdge#70",
    ),
    Signature(
        "backend_missing",
        r"\[WASI-NN\] Unknown backend (?P<number>\d+)|Current backend is not supported|the plugin has no GGML backend",
        "The plugin was built without the GGML backend.",
        "Install the wasi_nn-ggml build of the plugin.",
        "[error] [WASI-NN] Unknown backend 5",
        source="the words of WasmEdge's WASI-NN plugin",
    ),
    Signature(
        "cuda_driver",
        r"CUDA driver version is insufficient for CUDA runtime version|unsupported toolchain",
        "The NVIDIA driver is older than the CUDA version the plugin was built with, or the container has neither driver nor GPU.",
        "Install a newer driver, or the plugin's build for an older CUDA; a pod or container needs the GPU through CDI.",
        "ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version",
        source="ollama/ollama#7666",
    ),
    Signature(
        "cuda_missing",
        r"no CUDA-capable device is detected|failed to initialize CUDA(?!: CUDA driver)",
        "The plugin finds no GPU it can use.",
        "Look at the output of nvidia-smi on the node; the pod or container needs the GPU through CDI.",
        "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected",
        source="meta-llama/llama3#215; CUDA's own words",
    ),
    Signature(
        "architecture_too_new",
        r"unknown model architecture: '(?P<architecture>[^']*)'",
        "The llama.cpp in the plugin is too old for models of the architecture {architecture}.",
        "Use a newer WasmEdge with its plugin and shim (0.14.1 carries llama.cpp b3651 of August 2024), or another "
        "model.",
        "error loading model: unknown model architecture: 'qwen3'",
        source="the words of llama.cpp",
    ),
    Signature(
        "model_truncated",
        r"not within the file bounds|model is corrupted or incomplete|invalid magic characters",
        "The model file is cut short or damaged.",
        "Take it away and fetch it again (role models); gguf_info tells how many bytes are missing.",
        "llama_model_load: error loading model: tensor 'blk.24.ffn_down.weight' data is not within the file bounds, "
        "model is corrupted or incomplete",
        source="moly-ai/moly-ai#328; measured with llama.cpp b3651 and half a file",
    ),
    Signature(
        "memory_killed",
        r"OOMKilled|oom-kill|out of memory: Kill(?:ed)? process|oom_reaper",
        "The process was killed, which the kernel does when a memory limit or the machine's memory is used up.",
        "Give the container more memory, or take a smaller model, quantisation or context; gguf_info estimates it, and "
        "the kernel's log (journalctl -k) names what it killed.",
        "Memory cgroup out of memory: Kill process 24572 (java) score 0 or sacrifice child",
        source="kubernetes/kubernetes#56891",
        codes=(137, -9),
    ),
    Signature(
        "cpu_instructions",
        r"illegal instruction|\bSIGILL\b|trap invalid opcode",
        "The CPU lacks an instruction that the plugin was built with, mostly AVX2 or AVX-512 (of these it has: {cpu}).",
        "Look for avx2 in /proc/cpuinfo (virtual machines hide it: give them the host's CPU), or use the plugin's build "
        "without AVX (wasi_nn-ggml-noavx).",
        "/root/gaianet/bin/gaianet: line 569: 56621 Illegal instruction (core dumped)",
        source="GaiaNet-AI/gaianet-node#111; WasmEdge/WasmEdge#3351; measured with XOP instructions in a plugin",
        codes=(132, -4),
    ),
    Signature(
        "mapped_file_cut",
        r"\bbus error\b|\bSIGBUS\b",
        "A file that was mapped into memory, mostly the model or a library, became shorter or cannot be read.",
        "Fetch it again and compare its checksum; look for disk errors in the kernel's log.",
        "Bus error (core dumped)",
        source="measured: loading a library that was cut short, glibc 2.36",
        codes=(135, -7),
    ),
    Signature(
        "memory",
        r"out of memory|failed to allocate|std::bad_alloc|unable to allocate|Cannot allocate memory",
        "There was not enough memory for the model and its context.",
        "Give the container more memory, or take a smaller model, quantisation or context; gguf_info estimates it.",
        "alloc_buffer: allocating 4165.37 MiB on device 0: cudaMalloc failed: out of memory",
        source="ggml-org/llama.cpp#7366; mozilla-ai/llamafile#501",
    ),
    Signature(
        "model_unreadable",
        r"is not a GGUF file that this llama\.cpp can read",
        "The model file is cut short, damaged, or of an architecture the plugin's llama.cpp does not know.",
        "Run gguf_info on the file; fetch it again (role models), or take a model this plugin knows.",
        "[error] [WASI-NN] GGML backend: Error: unable to init model. /models/m.gguf is not a GGUF file that this "
        "llama.cpp can read (truncated, or of a newer architecture).",
        source="tests/closed_network/plugin/model.cpp",
        vague=True,
    ),
    Signature(
        "model_missing",
        r"(?:unable to init model|failed to open|error loading model).{0,200}No such file or directory"
        r"|the model \"[^\"]*\" cannot be read at|hostPath type check failed: \S+ is not a file",
        "There is no model file at the path the preload names.",
        "Check the path after the third colon of the preload, and the volume that should hold it.",
        "[error] [WASI-NN] GGML backend: Error: unable to init model. /models/m.gguf: No such file or directory.",
        source="tests/closed_network/plugin/model.cpp",
    ),
    Signature(
        "model_not_preloaded",
        r"no model is preloaded as|Model \"[^\"]*\" is not among the|Backend Error:.{0,200}Not ?Found",
        "No model is preloaded under the name that was asked for.",
        "Let the alias in WASMEDGE_WASINN_PRELOAD and in the request be the same (default).",
        "wasinn-probe: loading the model failed (Backend Error: WASI-NN Backend Error: Not Found): no model is preloaded",
        source="LlamaEdge/LlamaEdge#70; rust/probe",
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
        source="containerd 1.7; containerd/containerd#2481",
    ),
    Signature(
        "shim_architecture",
        r"(?<![\w./-])(?P<file>[\w./-]{1,200}): (?:cannot execute binary file: )?exec format error",
        "{file} is for another architecture than this machine's, or damaged.",
        "Install it for this architecture (the shim with the role wasinn.cluster.shim).",
        "ctr: failed to start shim: start failed: : fork/exec /usr/local/bin/containerd-shim-wasmedge-v1: exec format "
        "error",
        source="deislabs/containerd-wasm-shims#147",
    ),
    Signature(
        "runtime_not_configured",
        r"no runtime for \"(?P<handler>[^\"]+)\" is configured",
        "containerd has no runtime named {handler}; k3s looks for shims only when it starts.",
        "Install the shim, then restart k3s (on agents k3s-agent) or containerd once.",
        'Failed to create pod sandbox: no runtime for "wasmedge" is configured',
        source="containerd/runwasi#889",
    ),
    Signature(
        "runtime_class_missing",
        r"RuntimeClass \"?(?P<name>[\w.-]+)\"? not found",
        "The cluster has no RuntimeClass {name}.",
        "Run wasinn.cluster.site, or the role llamaedge alone, which makes it.",
        'pods "probe" is forbidden: pod rejected: RuntimeClass "wasinn" not found',
        source="Kubernetes, plugin/pkg/admission/runtimeclass",
    ),
    Signature(
        "namespace_missing",
        r"namespaces \"(?P<name>[\w.-]+)\" not found",
        "The cluster has no namespace {name}.",
        "Run wasinn.cluster.site, which makes that of the models, or name another one.",
        'namespaces "llamaedge" not found',
        source="Kubernetes' API server",
    ),
    Signature(
        "quota_exceeded",
        r"exceeded quota: (?P<quota>[\w.-]+)|failed quota: (?P<failed>[\w.-]+)",
        "The namespace's quota {quota}{failed} does not allow the pod.",
        "Raise the quota (llamaedge_quota), or give the pod the requests and limits that it asks for.",
        'pods "probe" is forbidden: exceeded quota: llamaedge, requested: pods=1, used: pods=4, limited: pods=4',
        source="Kubernetes, pkg/quota",
    ),
    Signature(
        "pod_security",
        r"violates PodSecurity \"(?P<level>[\w:.-]+)\"",
        "The namespace's Pod Security Standard {level} forbids the pod; models are hostPath volumes, which privileged alone allows.",
        "Label the namespace pod-security.kubernetes.io/enforce=privileged.",
        'pods "probe" is forbidden: violates PodSecurity "restricted:latest": restricted volume types (volume "model" '
        'uses restricted volume type "hostPath")',
        source="Kubernetes' Pod Security admission",
    ),
    Signature(
        "node_full",
        r"\bInsufficient (?P<resource>[\w./-]*\w)[^\n]*",
        "The node has not enough {resource} left for what the pod requests.",
        "Free some of it (kubectl describe node lists who has it), or request less.",
        "0/3 nodes are available: 1 Insufficient memory, 2 node(s) didn't match Pod's node affinity/selector.",
        source="Kubernetes' scheduler",
    ),
    Signature(
        "node_unreleased",
        r"didn't match Pod's node (?:affinity/)?selector|Predicate NodeAffinity failed|node\(s\) didn't satisfy plugin\(s\) "
        r"\[NodeAffinity\]",
        "The node lacks a label that the pod or its RuntimeClass asks for, mostly since its last probe did not pass.",
        "Run wasinn.cluster.verify, which says why; kubectl get nodes -L wasinn.cluster/runs-models shows which nodes have it.",
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: "
        "3 Preemption is not helpful for scheduling.",
        source="Kubernetes' scheduler",
    ),
    Signature(
        "pod_deadline",
        r"DeadlineExceeded: |active on the node longer than the specified deadline",
        "The pod gave no answer in its time and was ended.",
        "Look at the node's load and memory, take a smaller model, or give the probe more time.",
        "DeadlineExceeded: Pod was active on the node longer than the specified deadline",
        source="the kubelet's words",
    ),
    Signature(
        "image_pull",
        r"(?:(?:ErrImagePull|ImagePullBackOff)[^\n]*?|failed to pull and unpack )image \"(?P<pulled>[^\"]+)\"",
        "The node could not pull the image {pulled}.",
        PULL_REMEDY,
        'ErrImagePull: failed to pull and unpack image "registry.example/probe:1": failed to resolve reference',
        source="the kubelet's words",
    ),
    Signature(
        "image_pull",
        r"ErrImagePull|ImagePullBackOff",
        "The node could not pull an image.",
        PULL_REMEDY,
        "ImagePullBackOff",
        source="the kubelet's words, where they have no message",
    ),
    Signature(
        "image_missing",
        r"image \"(?P<image>[^\"]+)\":? not found|Container image \"(?P<absent>[^\"]+)\" is not present with pull policy",
        "The image {image}{absent} is not in that namespace of containerd.",
        "Import it (module containerd_image) into the namespace that is used.",
        'ctr: image "wasinn.local/probe:0.1.0": not found',
        source="containerd 1.7; the kubelet's words",
    ),
    Signature(
        "containerd_down",
        r"dial unix (?P<socket>\S+?):? .{0,80}(?:no such file or directory|connection refused)"
        r"|failed to dial \"?(?P<address>[^\s\"]+)",
        "containerd does not answer at {socket}{address}.",
        "Start containerd (its journal says why it ended), or correct the socket's path "
        "(k3s: /run/k3s/containerd/containerd.sock).",
        'ctr: failed to dial "/run/containerd/containerd.sock": context deadline exceeded',
        source="containerd 1.7",
    ),
    Signature(
        "not_wasm",
        r"magic header not detected",
        "The file that was to be run is no WebAssembly module.",
        "Fetch the .wasm file again and compare its checksum.",
        "[error] loading failed: magic header not detected, Code: 0x103",
        source="measured with WasmEdge 0.14.1",
    ),
    Signature(
        "exec_unsupported",
        r"exec is not supported",
        "WebAssembly containers have no exec, so exec probes and kubectl exec fail.",
        "Use HTTP probes, and logs for looking inside.",
        "rpc error: code = Unimplemented desc = exec is not supported",
        source="containerd/runwasi",
    ),
    Signature(
        "disk_full",
        r"No space left on device",
        "A disk of the node is full.",
        "Free some space (containerd's folder, models, /tmp) and run again.",
        "mkdir /var/lib/containerd/tmpmounts: no space left on device",
        source="the system's words (ENOSPC)",
    ),
)


#: Characters of an output that are looked at: causes stand near its end.
MOST = 64 * 1024


def classify(text: str, code: int | None = None) -> list[Finding]:
    """Findings for every known failure in *text*, the nearest to the cause first; empty if none is known.

    A later entry is left out where an earlier one already explains the same piece of text. *code* is the exit status of
    what said it (negative: the signal that ended it), for failures that leave no message.
    """
    text = text[-MOST:]
    found: list[tuple[Signature, Finding]] = []
    taken: list[tuple[int, int]] = []
    for entry in SIGNATURES:
        match = re.search(entry.pattern, text, re.IGNORECASE | re.DOTALL)
        if match is None or any(start < match.end() and match.start() < end for start, end in taken):
            continue
        taken.append(match.span())
        if not any(other.check == entry.check for other, _item in found):
            found.append((entry, _filled(entry, match.groupdict())))
    if not found:
        return [_filled(entry, {}) for entry in SIGNATURES if code in entry.codes]
    clear = [item for entry, item in found if not entry.vague]
    return clear or [item for _entry, item in found]


def _filled(entry: Signature, groups: dict[str, str | None]) -> Finding:
    """The finding, with what the message says and what this machine's distribution has for it."""
    fields = {name: value or "" for name, value in groups.items()}
    if "library" in fields:
        fields["package"] = package(fields["library"], read_distribution())
    if "version" in fields:
        fields["newer"] = first_release(fields["version"], read_distribution())
    if "{cpu}" in entry.cause:
        flags = cpu_flags()
        fields["cpu"] = ", ".join(flag for flag in ("avx", "avx2", "avx512f") if flag in flags) or "none"
    return finding(entry.check, entry.cause.format(**fields), entry.remedy.format(**fields))
