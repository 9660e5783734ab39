# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libwasmedge, the shim and the plugins of a node are, and whether they fit together.

Everything is read from the files; nothing of them is run (but see ``plugin_descriptor``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from typing import Any

from ansible_collections.wasinn.cluster.plugins.module_utils.distribution import (
    first_release,
    package,
    read_distribution,
    version_tuple,
)
from ansible_collections.wasinn.cluster.plugins.module_utils.elf import Elf, ElfError
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding, unique
from ansible_collections.wasinn.cluster.plugins.module_utils.loader import Closure, Loader, Unmet, node_glibc
from ansible_collections.wasinn.cluster.plugins.module_utils.plugin_descriptor import library_version, read_descriptor
from ansible_collections.wasinn.cluster.plugins.module_utils.shim_config import ShimConfigError, read_shim_config

#: Plugin API version of each libwasmedge that was read or measured; a version not named here is not judged. Which of them have
#: builds that a node may get stands in wasmedge_builds.py.
PLUGIN_API = {"0.14.0": 3, "0.14.1": 4, "0.17.0": 5, "0.17.1": 5}

#: Backend -> bytes its code cannot do without, looked for in the plugin and in the libraries beside it.
BACKENDS = {
    "ggml": b"llama_model_loader",
    "whisper": b"whisper_init_from_file",
    "openvino": b"ov_core_create",
    "pytorch": b"c10::Error",
    "tensorflowlite": b"TfLiteInterpreterCreate",
}


class Inspector:
    """Looks at one node, or at one folder of artifacts, and collects findings as it goes.

    *dependencies*: look for libraries on this machine as well; meaningless where the files are for another one.
    """

    def __init__(self, dependencies: bool = True):
        self.findings: list[Finding] = []
        self._dependencies = dependencies
        self._loader = Loader()
        self._version = ""
        self._api: int | None = None
        self._library = ""

    def _say(self, check: str, cause: str, remedy: str) -> None:
        self.findings.append(finding(check, cause, remedy))

    # -- shared -------------------------------------------------------------

    def _open(self, path: str, check: str, remedy: str) -> Elf | None:
        """The ELF file at *path*, or ``None`` and a finding."""
        if os.path.islink(path) and not os.path.exists(path):
            self._say(check, f"{path} is a broken link to {os.readlink(path)}.", remedy)
            return None
        try:
            elf = Elf(path)
        except FileNotFoundError:
            self._say(check, f"{path} does not exist.", remedy)
        except (ElfError, OSError) as error:
            self._say(check, f"{error}.", remedy)
        else:
            if self._dependencies and elf.machine != platform.machine():
                self._say(check, f"{path} is for {elf.machine}, this machine is {platform.machine()}.", remedy)
                return None
            return elf
        return None

    def _describe(self, elf: Elf, loaded: dict[str, str] | None = None) -> dict[str, Any]:
        """The part of the answer all ELF files share; findings for what the loader would miss."""
        info: dict[str, Any] = {
            "path": elf.path,
            "sha256": sha256(elf.path),
            "machine": elf.machine,
            "needed": elf.needed,
            "runpath": elf.runpath or elf.rpath,
            "missing": [],
            "glibc": "",
        }
        if self._dependencies:
            closure = self._loader.closure(elf.path, loaded)
            info["missing"] = sorted({name for _path, name in closure.missing})
            info["glibc"] = ".".join(str(part) for part in closure.glibc)
            self._judge(elf.path, closure)
        return info

    def _judge(self, path: str, closure: Closure) -> None:
        where = read_distribution()

        def named(needer: str) -> str:
            return needer if needer == path else f"{needer} (loaded by {path})"

        for needer, name in closure.missing:
            why = closure.passed_over.get(name)
            self._say(
                "missing_library",
                f"{named(needer)} needs {name}, which is nowhere the loader looks on this machine"
                f"{f' ({why})' if why else ''}.",
                f"Install {package(name, where)}, or choose a build that does not need it.",
            )
        kinds: dict[tuple[str, str], list[Unmet]] = {}
        for unmet in closure.unmet:
            kinds.setdefault((unmet.library, unmet.version.rsplit("_", 1)[0]), []).append(unmet)
        for (library, _kind), all_unmet in kinds.items():
            worst = max(all_unmet, key=lambda unmet: version_tuple(unmet.version))
            others = len({unmet.needer for unmet in all_unmet}) - 1
            newest = worst.newest.rsplit("_", 1)[-1]
            soname = os.path.basename(library)
            self._say(
                "library_too_old",
                f"{named(worst.needer)}{f', like {others} more it loads,' if others else ''} needs {worst.version} of "
                f"{soname}; {library} on this machine{f' ({where.title})' if where.title else ''} "
                f"{f'has up to {newest}' if newest else 'has none of the kind'}.",
                f"Use a build for an older {soname}, or {first_release(worst.version, where)} here.",
            )

    # -- the three parts ----------------------------------------------------

    def libwasmedge(self, folder: str) -> dict[str, Any]:
        """libwasmedge below *folder* (``lib64`` or ``lib``)."""
        remedy = "Install WasmEdge with the role wasinn.cluster.wasmedge."
        if os.path.islink(folder) and not os.path.exists(folder):
            self._say("libwasmedge", f"{folder} is a broken link to {os.readlink(folder)}.", remedy)
            return {}
        path = find_libwasmedge(folder)
        if path is None:
            self._say("libwasmedge", f"There is no libwasmedge.so.0 in {folder}/lib64 or {folder}/lib.", remedy)
            return {}
        elf = self._open(path, "libwasmedge", remedy)
        if elf is None:
            return {}
        self._library = path
        self._version = library_version(elf)
        self._api = PLUGIN_API.get(self._version)
        return dict(self._describe(elf), version=self._version, api_version=self._api)

    def expect(self, version: str, api: int | None) -> None:
        """Compare libwasmedge with what the inventory asks for."""
        if version and self._version and version != self._version:
            self._say(
                "libwasmedge_version",
                f"{self._library} is WasmEdge {self._version}, but {version} is asked for.",
                f"Install WasmEdge {version}, or set the expected version to {self._version} with its plugin and shim.",
            )
        if api and self._api and api != self._api:
            self._say(
                "libwasmedge_api",
                f"{self._library} (WasmEdge {self._version}) takes plugins of API version {self._api}, "
                f"but {api} is asked for.",
                "Choose libwasmedge, plugin and shim from one row of the table of versions.",
            )
        self._api = self._api or api

    def shim(self, path: str) -> dict[str, Any]:
        """The containerd shim at *path*."""
        remedy = "Install this collection's shim with the role wasinn.cluster.shim."
        elf = self._open(path, "shim", remedy)
        if elf is None:
            return {}
        if not os.access(path, os.X_OK):
            self._say("shim", f"{path} is not executable, so containerd cannot start it.", "Set its mode to 0755.")
        name = next((entry for entry in elf.needed if entry.startswith("libwasmedge.so")), "")
        target = self._loader.resolve(elf, name) if name else None
        info = dict(
            self._describe(elf),
            real_path=os.path.realpath(path),
            libc=elf.libc,
            static=elf.static,
            interpreter=elf.interpreter,
            libwasmedge=target,
        )
        if elf.libc in ("static", "musl"):
            self._say(
                "shim_" + elf.libc,
                f"{path} is a {'static musl' if elf.static else 'musl'} build, as runwasi releases it, and cannot load "
                "WasmEdge plugins (WASI-NN) at all.",
                remedy,
            )
        elif not name:
            self._say(
                "shim_libwasmedge",
                f"{path} is not linked to libwasmedge, so it cannot load this machine's plugins.",
                remedy,
            )
        elif target and self._library and os.path.realpath(target) != os.path.realpath(self._library):
            self._say(
                "shim_libwasmedge",
                f"{path} loads {target}, not {self._library}.",
                "Take the other libwasmedge away, or use the shim whose RUNPATH names this one.",
            )
        return info

    def plugins(self, folder: str, allowed: list[str], loaded: dict[str, str]) -> list[dict[str, Any]]:
        """All plugins below *folder*, as libwasmedge would find them (every ``*.so``, subfolders included)."""
        which = f"WasmEdge {self._version}" if self._version else "the same WasmEdge version"
        remedy = f"Install the WASI-NN plugin of {which} with the role wasinn.cluster.wasmedge."
        found = []
        for path in shared_objects(folder):
            elf = self._open(path, "plugin", remedy)
            info = self._plugin(elf, loaded, remedy) if elf else None
            if info:
                found.append(info)
        if not found and not self.findings_of("plugin"):
            self._say("plugin_missing", f"There is no WasmEdge plugin in {folder}.", remedy)
        by_name: dict[str, list[str]] = {}
        for info in found:
            by_name.setdefault(info["name"], []).append(info["path"])
        for name, paths in by_name.items():
            if len(paths) > 1:
                self._say(
                    "plugin_duplicate",
                    f"The plugin {name} is there {len(paths)} times: {', '.join(paths)}; "
                    "which one is loaded is left to chance, and upstream's shim ends as 'module name conflict'.",
                    f"Keep one and move the others out of {folder}.",
                )
        for name in allowed:
            if name not in by_name:
                self._say(
                    "plugin_missing",
                    f"The shim's configuration names the plugin {name}, which is not in {folder}.",
                    remedy,
                )
        return found

    def _plugin(self, elf: Elf, loaded: dict[str, str], remedy: str) -> dict[str, Any] | None:
        try:
            descriptor = read_descriptor(elf, self._library)
        except ElfError as error:
            self._say("plugin", f"{error}.", remedy)
            return None
        if descriptor is None:
            if os.path.basename(elf.path).startswith("libwasmedgePlugin"):
                self._say("plugin", f"{elf.path} exports no plugin descriptor, so it is no WasmEdge plugin.", remedy)
            return None  # a library that a plugin brings along
        if self._api and descriptor.api_version != self._api:
            origin = " and ".join(version for version, api in PLUGIN_API.items() if api == descriptor.api_version)
            self._say(
                "plugin_api",
                f"{elf.path} has plugin API version {descriptor.api_version}"
                f"{f', that of WasmEdge {origin},' if origin else ''} but libwasmedge {self._version} takes only "
                f"{self._api} and passes other plugins over silently.",
                remedy,
            )
        info = self._describe(elf, loaded)
        files = [elf, *self._beside(elf)]
        names = [name for entry in files for name in entry.needed]
        return dict(
            info,
            name=descriptor.name,
            api_version=descriptor.api_version,
            version=descriptor.version,
            backends=sorted(name for name, mark in BACKENDS.items() if any(entry.contains(mark) for entry in files)),
            cuda=any(name.startswith(("libcuda.", "libcudart.", "libcublas")) for name in names),
        )

    @staticmethod
    def _beside(elf: Elf) -> list[Elf]:
        """Libraries of the plugin in its own folder."""
        folder = os.path.dirname(elf.path)
        found = []
        for name in elf.needed:
            with contextlib.suppress(OSError, ElfError):
                found.append(Elf(os.path.join(folder, name)))
        return found

    def findings_of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [item for item in self.findings if item["check"] == check]


def inspect(
    wasmedge_dir: str = "",
    shim: str = "",
    config: str = "",
    plugin_dir: str = "",
    version: str = "",
    api: int | None = None,
    dependencies: bool = True,
) -> dict[str, Any]:
    """The whole picture of a node, or of the parts whose path is not empty.

    *plugin_dir* overrides what the shim's *config* says; without either it is ``<wasmedge_dir>/plugin``.
    """
    inspector = Inspector(dependencies)
    library = inspector.libwasmedge(wasmedge_dir) if wasmedge_dir else {}
    inspector.expect(version, api)
    allowed: list[str] = []
    try:
        settings = read_shim_config(config) if config else {}
        plugin_dir = plugin_dir or settings.get("plugin_dir", "")
        allowed = settings.get("plugins", [])
    except ShimConfigError as error:
        remedy = "Correct the file, or run the role wasinn.cluster.shim again."
        inspector.findings.append(finding("shim_config", f"{error}.", remedy))
    if not plugin_dir and os.path.isdir(wasmedge_dir):
        plugin_dir = os.path.join(wasmedge_dir, "plugin")
    shim_info = inspector.shim(shim) if shim else {}
    loaded = {"libwasmedge.so.0": library["path"]} if library else {}
    return {
        "glibc": node_glibc(),
        "libwasmedge": library,
        "shim": shim_info,
        "plugin_dir": plugin_dir,
        "plugins": inspector.plugins(plugin_dir, allowed, loaded) if plugin_dir else [],
        "findings": unique(inspector.findings),
    }


def find_libwasmedge(folder: str) -> str | None:
    """libwasmedge's path below an installation's folder, or ``None``."""
    for part in ("lib64", "lib", "."):
        for name in ("libwasmedge.so.0", "libwasmedge.so"):
            path = os.path.normpath(os.path.join(folder, part, name))
            if os.path.lexists(path):
                return path
    return None


def shared_objects(folder: str) -> list[str]:
    """Every ``*.so`` below *folder*, sorted."""
    found = []
    for parent, _folders, names in os.walk(folder):
        found += [os.path.join(parent, name) for name in names if name.endswith(".so")]
    return sorted(found)


def sha256(path: str) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
