# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failures caused for real on the machine, and the sentence that each of them gets.

What is broken is a copy of the installation where that is possible, else it is put back. Where the modules see a fault
before they run anything, the real message is caused as well, since people meet it in logs.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf
from ansible_collections.wasinn.cluster.plugins.module_utils.elf_constant import returned_address
from ansible_collections.wasinn.cluster.plugins.module_utils.failures import classify
from ansible_collections.wasinn.cluster.plugins.module_utils.probe import from_shim

from extensions.molecule.node.tests import wasm_modules
from extensions.molecule.node.tests.test_shim import CTR, Containers
from tests.closed_network import recipe
from tests.closed_network.builds import plugin, shim
from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place

INVENTORY = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
testinfra_hosts = [f"ansible://node1?ansible_inventory={INVENTORY}&force_ansible=True"]

ACTIVE = "/opt/wasinn/wasmedge/current"
SHIM = "/usr/local/bin/containerd-shim-wasmedge-v1"
CONFIG = "/etc/wasinn/shim.toml"
BROKEN = "/opt/wasinn-broken"
COPY = f"{BROKEN}/wasmedge"
MODULE = "/opt/wasinn/probe/wasinn-probe.wasm"  # where role verify puts it, and wasinn_probe looks for it
PLUGIN = "libwasmedgePluginWasiNN.so"
LIBSTDCXX = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
#: vphaddbw %xmm0,%xmm0 of AMD's XOP, which no CPU since Zen has: an instruction set that a build took for granted.
XOP = b"\x8f\xe9\x78\xc1\xc0"
DT_INIT = 12


class Machine:
    """The machine's failures, told by the collection's own code."""

    def __init__(self, host, model: str, image: str) -> None:
        self.host, self.model, self.image = host, model, image

    def module(self, **arguments) -> list[dict[str, str]]:
        """The findings of the module wasinn_probe."""
        words = {"model": self.model, "ctr": ["ctr"], "fail_on_findings": False, **arguments}
        answer = self.host.ansible("wasinn.cluster.wasinn_probe", json.dumps(words), check=False)
        found: list[dict[str, str]] = answer["findings"]
        return found

    def says(self, line: str) -> list[dict[str, str]]:
        """What a command's own words and exit status are taken for."""
        done = self.host.run(f"( {line} ) </dev/null")
        print(f"$ {line}\n{done.rc}\n{done.stdout}{done.stderr}")  # shown where a test fails
        text = f"{done.stderr}\n{done.stdout}"
        return from_shim(text) or classify(text, done.rc)

    def wasmedge(self, folder: str = COPY, preload: str = "") -> list[dict[str, str]]:
        """The probe by the wasmedge program, without the module's look at it before."""
        entry = preload or f"default:GGML:AUTO:{self.model}"
        program = f"{folder}/bin/wasmedge --nn-preload {entry} {MODULE} --max-tokens 2"
        return self.says(f"WASMEDGE_PLUGIN_PATH={folder}/plugin {program}")

    def ctr(self, options: str = "", model: str = "", preload: str = "", arguments: str = "") -> list[dict[str, str]]:
        """The probe in a container."""
        folder, file = (model or self.model).rsplit("/", 1)
        entry = preload or f"default:GGML:AUTO:/models/{file}"
        return self.says(
            f"timeout 100 ctr --namespace wasinn run --rm --platform wasip1/wasm --runtime io.containerd.wasmedge.v1 {options} "
            f"--env WASMEDGE_WASINN_PRELOAD={entry} --mount type=bind,src={folder},dst=/models,options=rbind:ro "
            f"{self.image} broken /wasinn-probe-{self.image.rpartition(':')[2]}.wasm --max-tokens 2 {arguments}"
        )

    def put(self, source: Path, target: str, mode: str = "0755") -> None:
        """Copies a file there; nothing else has a hand in what was there."""
        self.host.run(f"rm -f {target}")
        self.host.ansible("ansible.builtin.copy", f"src={source} dest={target} mode={mode}", check=False)


def released(url: str, name: str, folder: Path) -> Path:
    """A file of an archive of the mirror."""
    with tarfile.open(place(MIRROR, url)) as archive:
        member = next(each for each in archive.getmembers() if each.name.endswith(name))
        stream = archive.extractfile(member)
        assert stream is not None
        (folder / name).write_bytes(stream.read())
    return folder / name


def patch(file: Path, elf: Elf, address: int, code: bytes) -> None:
    """Other bytes at an address of a library."""
    content = bytearray(file.read_bytes())
    start = elf._offset(address)
    content[start : start + len(code)] = code
    file.write_bytes(content)


@pytest.fixture(scope="module")
def machine(host) -> Iterator[Machine]:
    """The machine with a copy of its WasmEdge (hard links, which a new file breaks)."""
    model = host.check_output("find /var/lib/wasinn/models -name '*.gguf' | head -1")
    images = host.check_output("ctr --namespace wasinn images list --quiet").split()
    (image,) = [name for name in images if "/probe:" in name]
    host.check_output(f"rm -rf {BROKEN} && mkdir {BROKEN} && cp -al $(readlink -f {ACTIVE}) {COPY}")
    yield Machine(host, model, image)
    host.run(f"rm -rf {BROKEN}")


@pytest.fixture
def own_plugins(host, machine: Machine) -> Iterator[str]:
    """The copy's plugin folder, which the shim takes as well; whole again afterwards."""
    folder = f"{COPY}/plugin"
    host.check_output(
        f"cp -a {CONFIG} {BROKEN}/shim.toml && sed -i 's#^plugin_dir.*#plugin_dir = \"{folder}\"#' {CONFIG} && grep -q {folder} {CONFIG}"
    )
    yield folder
    host.check_output(
        f"cp -a {BROKEN}/shim.toml {CONFIG}; rm -rf {folder} && cp -al $(readlink -f {ACTIVE})/plugin {folder}"
    )


@pytest.fixture
def away(host) -> Iterator[Callable[[str], None]]:
    """Takes a file away for as long as a test lasts."""
    gone: list[str] = []

    def take(path: str) -> None:
        host.check_output(f"mv {path} {path}.away")
        gone.append(path)

    yield take
    for path in gone:
        host.check_output(f"mv {path}.away {path}")


def tells(found: list[dict[str, str]], check: str, cause: str, remedy: str) -> None:
    """The nearest finding is this one."""
    assert found, "nobody knows this failure"
    assert found[0]["check"] == check, found
    assert cause in found[0]["cause"], found
    assert remedy in found[0]["remedy"], found


def test_the_copy_itself_answers(machine, own_plugins):
    """Else every failure below would have another reason."""
    assert machine.wasmedge() == []
    assert machine.ctr() == []


def test_a_plugin_of_another_api_version(machine, own_plugins, tmp_path):
    old = plugin.OLDER
    file = released(f"{plugin.RELEASES}/{old}/{plugin.archive(old)}", PLUGIN, tmp_path)
    machine.put(file, f"{own_plugins}/{PLUGIN}")
    tells(
        machine.module(mode="wasmedge", wasmedge_dir=COPY),
        "plugin_api",
        "API version 3",
        "role wasinn.cluster.wasmedge",
    )
    tells(machine.wasmedge(), "plugin_not_loaded", "not loaded the WASI-NN plugin", "wasmedge_plugin_info")
    tells(machine.ctr(), "plugin_api", "API version 3", "WasmEdge 0.14.1")


def test_a_missing_libstdcxx(machine, host, away):
    """WasmEdge brings one, so that both have to go."""
    own = host.check_output(f"readlink -f {ACTIVE}") + "/lib64/libstdc++.so.6"
    host.check_output(f"rm {COPY}/lib64/libstdc++.so.6")
    away(own)
    away(LIBSTDCXX)
    found = machine.module(), machine.wasmedge(), machine.ctr()
    host.check_output(f"ln {own}.away {COPY}/lib64/libstdc++.so.6")
    tells(found[0], "missing_library", "libstdc++.so.6", "Install libstdc++6")
    for each in found[1:]:
        tells(each, "missing_library", "libstdc++.so.6 is not on this machine", "Install libstdc++6")


def test_a_plugin_for_another_cpu(machine, own_plugins, tmp_path):
    version = plugin.VERSION
    file = released(f"{plugin.RELEASES}/{version}/{plugin.archive(version)}", PLUGIN, tmp_path)
    elf = Elf(str(file))
    patch(file, elf, elf._tag(DT_INIT), XOP)
    machine.put(file, f"{own_plugins}/{PLUGIN}")
    words = ("cpu_instructions", "lacks an instruction", "noavx")
    tells(machine.module(mode="wasmedge", wasmedge_dir=COPY), *words)
    tells(machine.wasmedge(), *words)


def test_a_plugin_that_is_there_twice(machine, own_plugins, host, tmp_path):
    """libwasmedge takes one of two with the same name, whichever; two names with one module are the conflict itself."""
    twin = f"{own_plugins}/libwasmedgePluginTwin.so"
    host.check_output(f"cp {own_plugins}/{PLUGIN} {twin}")
    found = machine.module(mode="wasmedge", wasmedge_dir=COPY)
    tells(found, "plugin_duplicate", "is there 2 times", "Keep one")
    tells(machine.says(f"{SHIM} --doctor"), "plugin_duplicate", "two copies", "Keep one")
    version = plugin.VERSION
    file = released(f"{plugin.RELEASES}/{version}/{plugin.archive(version)}", PLUGIN, tmp_path)
    elf = Elf(str(file))
    getter = elf.symbol("WasmEdge_Plugin_GetDescriptor")
    assert getter is not None
    name = elf.pointer(returned_address(elf, getter))
    assert elf.string(name) == "wasi_nn"
    patch(file, elf, name, b"wasi_nx")
    machine.put(file, twin)
    tells(machine.wasmedge(), "plugin_duplicate", "two copies", "Keep one")


def test_swapped_fields_of_a_preload(machine):
    swapped = f"default:CPU:GGML:/models/{Path(machine.model).name}"
    tells(machine.ctr(preload=swapped), "preload_swapped", "CPU", "alias:GGML:AUTO")


def test_a_truncated_model(machine, host):
    short = f"{BROKEN}/short.gguf"
    host.check_output(f"head -c 50000000 {machine.model} > {short}")
    tells(machine.module(model=short), "gguf_truncated", short, "etch it again")
    tells(machine.ctr(model=short), "model_truncated", "cut short", "gguf_info")


def test_too_little_memory(host):
    done = Containers(host).run("fills", wasm_modules.fills(512), f"--memory-limit {128 * 2**20}")
    host.check_output(f"{CTR} images remove $({CTR} images list --quiet)")
    tells(classify(done.stderr, done.rc), "memory_killed", "killed", "more memory")


def test_a_static_shim(machine, tmp_path):
    file = released(f"{shim.STATIC_RELEASE}/{shim.STATIC_ARCHIVE}", Path(SHIM).name, tmp_path)
    machine.put(file, f"{BROKEN}/static-shim")
    tells(machine.module(shim=f"{BROKEN}/static-shim"), "shim_static", "static musl build", "role wasinn.cluster.shim")


def test_a_shim_that_containerd_does_not_find(machine, away):
    away(SHIM)
    tells(machine.module(), "shim", "does not exist", "role wasinn.cluster.shim")
    tells(machine.ctr(), "shim_not_found", "finds no containerd-shim-wasmedge-v1", "/usr/local/bin")


def test_a_shim_for_another_architecture(machine, away, tmp_path):
    content = bytearray(released(f"{recipe.RELEASE}/{shim.ARCHIVE}", Path(SHIM).name, tmp_path).read_bytes())
    content[18:20] = (183).to_bytes(2, "little")  # e_machine: EM_AARCH64
    (tmp_path / "shim").write_bytes(content)
    away(SHIM)
    machine.put(tmp_path / "shim", SHIM)
    tells(machine.ctr(), "shim_architecture", "another architecture", "this architecture")


def test_a_library_that_may_not_be_read(machine, own_plugins, host):
    """Only a library named by its path is told so: where the loader looks for one it goes on, and says that there is none."""
    secret = f"{BROKEN}/secret.so"
    host.check_output(f"cp {own_plugins}/{PLUGIN} {secret} && chmod 600 {secret}")
    nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    found = machine.says(f"{nobody} python3 -c \"import ctypes; ctypes.CDLL('{secret}')\"")
    tells(found, "selinux", "file's own permissions", "restorecon")


def test_a_library_that_is_cut_short(machine, host):
    library = host.check_output(f"find {COPY}/lib64 -name 'libwasmedge.so.0*' -type f | head -1")
    host.check_output(f"rm {library} && printf '\\177ELF' > {library}")
    found = machine.says(f"{COPY}/bin/wasmedge --version")
    host.check_output(f"ln -f $(readlink -f {ACTIVE})/lib64/{Path(library).name} {library}")
    tells(found, "library_damaged", "cut short", "checksum")


def test_a_model_that_is_not_there(machine):
    tells(
        machine.ctr(preload="default:GGML:AUTO:/models/none.gguf"), "model_missing", "cannot be read at", "folder there"
    )


def test_a_model_under_another_name(machine):
    tells(machine.ctr(arguments="--alias other"), "model_not_preloaded", "No model is preloaded", "alias")


def test_no_module_at_all(machine, host):
    host.check_output(f"echo no module here > {BROKEN}/none.wasm")
    tells(machine.says(f"{COPY}/bin/wasmedge {BROKEN}/none.wasm"), "not_wasm", "no WebAssembly module", "Fetch")


def test_an_image_that_was_not_imported(machine):
    tells(machine.module(image="wasinn.local/none:1"), "image_missing", "wasinn.local/none:1", "Import it")


def test_a_containerd_that_does_not_run(machine, host):
    host.check_output("systemctl stop containerd")
    found = machine.says("ctr --timeout 2s --namespace wasinn images list")
    host.check_output("systemctl start containerd")
    tells(found, "containerd_down", "containerd does not answer at", "Start containerd")
