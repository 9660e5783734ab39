# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every known failure is told from its own message, and only as itself.

RECORDED are outputs as people met them, each with where it was published; some failures are caused here for real.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils import failures
from ansible_collections.wasinn.cluster.plugins.module_utils.failures import SIGNATURES, Signature, classify


@pytest.mark.parametrize("entry", SIGNATURES, ids=lambda entry: entry.check)
def test_each_example(entry: Signature) -> None:
    for text in (entry.example, f"before it\n{entry.example}\nafter it"):
        (item,) = classify(text)
        assert item["check"] == entry.check
        assert "{" not in item["cause"] + item["remedy"]
        assert item["cause"].endswith(".")
        assert item["remedy"].rstrip(")").endswith((".", ")")) or item["remedy"].endswith(".")


#: (where it is from, output, check, words of the cause, words of the remedy)
RECORDED = [
    (
        "containerd/runwasi#877",
        "[error] wasmedge runtime failed: set null value into non-nullable value type, Code: 0x009\n"
        "[error] Address could not be matched to any shared object. Detailed error information is not available.\n",
        "shim_static",
        "static musl build",
        "role wasinn.cluster.shim",
    ),
    (
        "WasmEdge/WasmEdge#1015",
        "        libdl.so.2 => /lib64/ld-linux-x86-64.so.2 (0x7fd758c24000)\n"
        "Error loading shared library libstdc++.so.6: No such file or directory (needed by wasmedge)\n",
        "machine_musl",
        "built for glibc and needs libstdc++.so.6",
        "Debian, Ubuntu",
    ),
    (
        "WasmEdge/WasmEdge#3335",
        "/root/.wasmedge/bin/wasmedge: error while loading shared libraries: libstdc++.so.6: cannot open shared object "
        "file: No such file or directory\nERROR   - Exception on process - rc= 127 output= b''\n",
        "missing_library",
        "libstdc++.so.6 is not on this machine",
        "Install ",
    ),
    (
        "jszczerbinsky/lwp#81",
        "lwp: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by lwp)",
        "library_too_old",
        "lacks GLIBC_2.34",
        "older distribution",
    ),
    (
        "podman-container-tools/podman#26251",
        "/usr/bin/sleep: error while loading shared libraries: /lib64/libc.so.6: cannot apply additional memory "
        "protection after relocation: Permission denied",
        "selinux",
        "SELinux",
        "restorecon",
    ),
    (
        "containers/container-selinux#134",
        'type=AVC msg=audit(1623596212.016:2124): avc:  denied  { read } for  pid=8643 comm="dumb-init" '
        'path="/lib/x86_64-linux-gnu/libc-2.28.so" dev="sda3" ino=248078 scontext=system_u:system_r:container_t:s0:c263,c996 '
        "tcontext=system_u:object_r:var_t:s0 tclass=file permissive=0",
        "selinux",
        "SELinux",
        "ausearch",
    ),
    (
        "moby/moby#19184",
        "/bin/sh: error while loading shared libraries: libc.so.6: cannot open shared object file: Permission denied",
        "selinux",
        "permissions",
        "restorecon",
    ),
    (
        "GaiaNet-AI/gaianet-node#111",
        "/root/gaianet/bin/gaianet: line 569: 56621 Illegal instruction (core dumped)",
        "cpu_instructions",
        "AVX2",
        "noavx",
    ),
    (
        "WasmEdge/WasmEdge#2330",
        "[2023-03-02 13:34:31.338] [error] instantiation failed: unknown import, Code: 0x62\n"
        '[2023-03-02 13:34:31.340] [error]     When linking module: "wasi_ephemeral_nn" , function name: "load"\n'
        "[2023-03-02 13:34:31.340] [error]     At AST node: import description\n",
        "plugin_not_loaded",
        "another plugin API version",
        "wasmedge_plugin_info",
    ),
    (
        "WasmEdge/WasmEdge#2184",
        "[2022-12-24 11:25:38.440] [error] instantiation failed: unknown import, Code: 0x62\n"
        '[2022-12-24 11:25:38.440] [error]     When linking module: "wasmedge_opencv" , function name: '
        '"wasmedge_opencv_imread"\n',
        "unknown_import",
        "host module wasmedge_opencv",
        "plugin that offers wasmedge_opencv",
    ),
    (
        "WasmEdge/WasmEdge#3192",
        "unknown option: nn-preload",
        "plugin_not_loaded",
        "--nn-preload",
        "wasmedge_plugin_info",
    ),
    (
        "LlamaEdge/LlamaEdge#70",
        "[2024-01-12 14:00:07.806] [error] [WASI-NN] Preload Model's Backend or Device is Not Support.\n"
        "[INFO] Model alias: default\n[INFO] Prompt context size: 512\n"
        'Error: "Fail to load model into wasi-nn: Backend Error: WASI-NN Backend Error: Not Found"\n',
        "backend_missing",
        "without the backend or device",
        "wasi_nn-ggml",
    ),
    (
        "moly-ai/moly-ai#328",
        "[2024-12-11 21:39:23.552] [error] [WASI-NN] llama.cpp: llama_model_load: error loading model: tensor "
        "'blk.3.attn_qkv.weight' data is not within the file bounds, model is corrupted or incomplete\n"
        "[2024-12-11 21:39:23.552] [error] [WASI-NN] llama.cpp: llama_load_model_from_file: failed to load model\n"
        "[2024-12-11 21:39:23.552] [error] [WASI-NN] GGML backend: Error: unable to init model.\n",
        "model_truncated",
        "cut short",
        "fetch it again",
    ),
    (
        "kubernetes/kubernetes#56891",
        "[Thu Dec  7 00:05:15 2017] Memory cgroup out of memory: Kill process 24572 (java) score 0 or sacrifice child\n"
        "[Thu Dec  7 00:05:15 2017] Killed process 28438 (java) total-vm:20255636kB, anon-rss:466160kB, "
        "file-rss:13684kB\n",
        "memory_killed",
        "memory limit",
        "more memory",
    ),
    (
        "docker/for-linux#1001",
        "Out of memory: Killed process 15784 (python3) total-vm:11964kB, anon-rss:4288kB, file-rss:3028kB",
        "memory_killed",
        "memory limit",
        "journalctl -k",
    ),
    (
        "mozilla-ai/llamafile#501",
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 84940832\n"
        "llama_new_context_with_model: failed to allocate compute buffers\n",
        "memory",
        "not enough memory",
        "smaller model",
    ),
    (
        "turboderp/exllama#193",
        "RuntimeError: unable to mmap ... Cannot allocate memory (12)",
        "memory",
        "not enough memory",
        "smaller model",
    ),
    (
        "ollama/ollama#7666",
        "ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version",
        "cuda_driver",
        "driver is older",
        "newer driver",
    ),
    (
        "meta-llama/llama3#215",
        "ggml_cuda_init: failed to initialize CUDA: initialization error",
        "cuda_missing",
        "no GPU",
        "nvidia-smi",
    ),
    (
        "deislabs/containerd-wasm-shims#147",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create containerd task: failed to start "
        "shim: start failed: : fork/exec /bin/containerd-shim-spin-v1: exec format error: unknown",
        "shim_architecture",
        "/bin/containerd-shim-spin-v1 is for another architecture",
        "this architecture",
    ),
    (
        "containerd/containerd#2481, with the name of this shim",
        "failed to start sandbox container: failed to create containerd task: failed to start shim: exec: "
        '"containerd-shim-wasmedge-v1": executable file not found in $PATH: unknown',
        "shim_not_found",
        "no containerd-shim-wasmedge-v1 on its PATH",
        "/usr/local/bin",
    ),
    (
        "containerd/runwasi#889",
        "  Warning  FailedCreatePodSandBox  5m  kubelet  Failed to create pod sandbox: rpc error: code = Unknown desc = "
        'unable to get OCI runtime for sandbox "2c50cc6abfb505d18e8a7e8e5c865c5941646d1b36b565428e2e583bba01baaa": no runtime for "wasm" is configured',
        "runtime_not_configured",
        "no runtime named wasm",
        "restart k3s",
    ),
    (
        "the kubelet's words, pkg/kubelet/images",
        'Container image "wasinn.local/probe:0.1.0" is not present with pull policy of Never',
        "image_missing",
        "wasinn.local/probe:0.1.0",
        "containerd_image",
    ),
    (
        "rust/shim/src/plugins.rs",
        "plugin p.so: it has plugin API version 3, but WasmEdge 0.14.1 takes 4 only; install the plugin of WasmEdge 0.14.1",
        "plugin_api",
        "API version 3, but WasmEdge 0.14.1 takes only 4",
        "plugin of WasmEdge 0.14.1",
    ),
    (
        "rust/shim/src/preload.rs",
        'WASMEDGE_WASINN_PRELOAD: "default:CPU:GGML:/m.gguf": Failed to convert to NNBackend value. Unknown NNBackend '
        "type: CPU; the form is alias:GGML:AUTO|CPU|GPU:/path/in/the/pod.gguf",
        "preload_swapped",
        "order: CPU stands where another field belongs",
        "alias:GGML:AUTO",
    ),
]


@pytest.mark.parametrize(("source", "output", "check", "cause", "remedy"), RECORDED, ids=lambda value: value[:30])
def test_recorded(source: str, output: str, check: str, cause: str, remedy: str) -> None:
    (item,) = classify(output)
    assert item["check"] == check, source
    assert cause in item["cause"]
    assert remedy in item["remedy"]


def test_plugin_twice() -> None:
    """WasmEdge/WasmEdge#3354: the second copy's conflict comes first, and is told first."""
    found = classify(
        "[2024-04-23 10:34:50.338] [error] instantiation failed: module name conflict, Code: 0x60\n"
        "[2024-04-23 10:34:50.338] [error]     At AST node: module\n"
        "[2024-04-23 10:34:50.360] [error] instantiation failed: unknown import, Code: 0x62\n"
        '[2024-04-23 10:34:50.360] [error]     When linking module: "wasi_ephemeral_nn" , function name: '
        '"load_by_name_with_config"\n'
    )
    assert found[0]["check"] == "plugin_duplicate"
    assert "two copies" in found[0]["cause"]
    assert "Keep one" in found[0]["remedy"]


HEALTHY = """\
The capital of France is Paris. Its memory of the siege is not lost, and no file was damaged.
[2024-12-11 21:39:18.051] [info] [WASI-NN] GGML backend: LLAMA_BUILD_NUMBER 3499
[2024-12-11 21:39:18.095] [info] [WASI-NN] llama.cpp: llama_model_loader: loaded meta data with 33 key-value pairs and
 292 tensors from /models/Meta-Llama-3.1-8B-Instruct-Q5_K_M.gguf (version GGUF V3 (latest))
ggml_cuda_init: found 1 CUDA devices:
  Device 0: NVIDIA GeForce RTX 3060, compute capability 8.6, VMM: yes
llama_new_context_with_model: KV self size  =   64.00 MiB, K (f16):   32.00 MiB, V (f16):   32.00 MiB
AVC avc:  denied  { execstack } for  pid=36286 comm="node" tclass=process permissive=1
  Normal   Scheduled               5m   default-scheduler  Successfully assigned default/wasi-demo to node-1
"""


@pytest.mark.parametrize("output", ["", *HEALTHY.splitlines(), HEALTHY])
def test_healthy_output_tells_nothing(output: str) -> None:
    assert classify(output) == []
    assert classify(output, 0) == []
    assert classify(output, 1) == []


@pytest.mark.parametrize(
    ("code", "check"), [(137, "memory_killed"), (132, "cpu_instructions"), (135, "mapped_file_cut")]
)
def test_status_without_a_message(code: int, check: str) -> None:
    for status in (code, 128 - code):
        (item,) = classify("loading the model", status)
        assert item["check"] == check
    (item,) = classify("libgomp.so.1: cannot open shared object file: No such file or directory", code)
    assert item["check"] == "missing_library"


def run(program: Path, *arguments: str) -> str:
    """What a shell and the program itself say of its end."""
    command = shlex.join([str(program), *arguments])
    # A second command keeps the shell alive to tell of the end.
    done = subprocess.run(["bash", "-c", f"{command}; exit $?"], capture_output=True, text=True, check=False)
    return done.stderr


def checks(output: str) -> list[str]:
    return [item["check"] for item in classify(output)]


def test_real_loader_without_the_library(compile_c) -> None:
    library = compile_c("libodd.so.1", "int f(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libodd.so.1")
    program = compile_c("program", "int f(void); int main(void) { return f(); }", str(library), "-Wl,-rpath,$ORIGIN")
    content = library.read_bytes()
    assert checks(run(program)) == []
    library.write_bytes(content[:40])
    assert checks(run(program)) == ["library_damaged"]
    library.write_bytes(b"<html>Not found</html>" + b" " * 500)
    assert checks(run(program)) == ["library_damaged"]
    other = 183 if content[18] == 62 else 62
    library.write_bytes(content[:18] + bytes([other, 0]) + content[20:])
    assert checks(run(program)) == ["missing_library"]  # so says glibc, though a file is there
    library.unlink()
    (item,) = classify(run(program))
    assert (item["check"], "libodd.so.1" in item["remedy"]) == ("missing_library", True)


def test_real_loader_with_an_old_library(compile_c, tmp_path: Path) -> None:
    script = tmp_path / "new.map"
    script.write_text("GLIBCXX_3.4.99 { f; };")
    flags = ("-shared", "-fPIC", "-Wl,-soname,libodd.so.1")
    library = compile_c("libodd.so.1", "int f(void) { return 1; }", *flags, f"-Wl,--version-script={script}")
    program = compile_c("program", "int f(void); int main(void) { return f(); }", str(library), "-Wl,-rpath,$ORIGIN")
    script.write_text("GLIBCXX_3.4.1 { f; };")
    compile_c("libodd.so.1", "int f(void) { return 1; }", *flags, f"-Wl,--version-script={script}")
    (item,) = classify(run(program))
    assert item["check"] == "library_too_old"
    assert "GLIBCXX_3.4.99" in item["cause"]


def test_real_program_for_another_machine(compile_c) -> None:
    shim = compile_c("containerd-shim-wasmedge-v1", "int main(void) { return 0; }")
    content = shim.read_bytes()
    shim.write_bytes(content[:18] + bytes([183 if content[18] == 62 else 62, 0]) + content[20:])
    (item,) = classify(run(shim))
    assert item["check"] == "shim_architecture"
    assert str(shim) in item["cause"]


def test_real_illegal_instruction(compile_c) -> None:
    program = compile_c("program", "#include <signal.h>\nint main(void) { return raise(SIGILL); }")
    done = subprocess.run([program], check=False)
    assert [item["check"] for item in classify("", done.returncode)] == ["cpu_instructions"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [({"sse4_2"}, "it has: none)"), ({"avx", "f16c"}, "it has: avx)"), ({"avx", "avx2"}, "avx, avx2)")],
)
def test_the_cpu_is_looked_at(monkeypatch, flags: set[str], words: str) -> None:
    monkeypatch.setattr(failures, "cpu_flags", lambda: flags)
    (item,) = classify("Illegal instruction (core dumped)")
    assert words in item["cause"]


def test_real_lack_of_memory() -> None:
    """As llama.cpp maps a model: the address space is limited, and the system's own words are told."""
    text = "import mmap; mmap.mmap(-1, 1 << 40)"
    command = f"ulimit -v 4000000; {shlex.quote(sys.executable)} -c {shlex.quote(text)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert checks(done.stderr) == ["memory"]


def test_groups_fill_the_sentences() -> None:
    (item,) = classify("unknown model architecture: 'gemma3'")
    assert "gemma3" in item["cause"]
    (item,) = classify('no runtime for "wasmedge" is configured')
    assert "wasmedge" in item["cause"]


def test_cause_and_consequence() -> None:
    """A missing library comes before the import it makes fail; both are told, the cause first."""
    text = (
        "libopenblas.so.0: cannot open shared object file: No such file or directory\n"
        "[error] instantiation failed: unknown import, Code: 0x62\n"
        '[error]     When linking module: "wasi_ephemeral_nn" , function name: "load"\n'
    )
    assert [item["check"] for item in classify(text)] == ["missing_library", "plugin_not_loaded"]


def test_start_of_the_shim() -> None:
    """As containerd 1.7 says it once it has seen the shim, which is gone since."""
    text = (
        "ctr: failed to start shim: start failed: : fork/exec /usr/local/bin/containerd-shim-wasmedge-v1: no such file"
    )
    assert [item["check"] for item in classify(text + " or directory")] == ["shim_not_found"]


def test_two_copies() -> None:
    text = 'module name conflict, Code: 0x60 ... unknown import, Code: 0x62 When linking module: "wasi_ephemeral_nn"'
    assert classify(text)[0]["check"] == "plugin_duplicate"


def test_consequences_are_left_out() -> None:
    """As the plugin and the probe said it of a model that was cut short, and of a swapped preload."""
    text = (
        "llama_model_load: error loading model: tensor 'blk.2.ffn_up.weight' data is not within the file bounds, "
        "model is corrupted or incomplete\nllama_load_model_from_file: failed to load model\n"
        "[error] [WASI-NN] GGML backend: Error: unable to init model. /m2/x.gguf is not a GGUF file that this llama.cpp "
        "can read (truncated, or of a newer architecture).\n"
    )
    assert [item["check"] for item in classify(text)] == ["model_truncated"]
    text = (
        '[error] [WASI-NN] Preload Model\'s Backend or Device is Not Support. "default:AUTO:GGML:/m.gguf": this plugin '
        'has the backend GGML.\n[error] [WASI-NN] Model "default" is not among the 0 preloaded ones.\n'
    )
    assert [item["check"] for item in classify(text)] == ["backend_missing"]


@pytest.mark.parametrize("noise", ["x", "a.so", '"', "unknown import ", "wasi_ephemeral_nn ", "dial unix "])
def test_long_outputs_take_no_time(noise: str) -> None:
    started = time.monotonic()
    assert classify(noise * (1_000_000 // len(noise))) == []
    assert time.monotonic() - started < 5
