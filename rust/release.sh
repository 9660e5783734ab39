#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: Apache-2.0
#
# How the files of a release are made from these sources. Playbook `build` and the tests' mirror both run it, so that there
# is no second place that says so. COMPONENT is probe, balancer, watcher or shim; ARCH is x86_64 or aarch64.
#
#   release.sh version                        of what is built
#   release.sh inputs COMPONENT               what decides the result: paths below this folder, one a line
#   release.sh profile COMPONENT              cargo's settings, as NAME=VALUE, one a line
#   release.sh check COMPONENT ARCH           what this machine lacks for it: check, cause and remedy between tabs, one a line
#   release.sh setup COMPONENT ARCH           installs that; for a container of Debian trixie, as root
#   release.sh toolchain COMPONENT ARCH       the programs that decide the result, one a line
#   release.sh build COMPONENT ARCH FOLDER    leaves the files in FOLDER/out and what they are made of in FOLDER/about
#   release.sh test COMPONENT ARCH FOLDER     runs its own tests on this machine, with what a build has left in FOLDER
#
# The same sources and toolchain make the same bytes in any folder. The folder, outside of these sources, is kept between
# builds as far as the caller keeps it; so is CARGO_TARGET_DIR (FOLDER/target by default).
set -euo pipefail
export LC_ALL=C

rust=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
here=$(uname -m)
# shellcheck source-path=SCRIPTDIR source=release/needs.sh
. "$rust/release/needs.sh"

usage() { sed -n '/^#   release/s/^# //p' "$0" >&2; exit 2; }

version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$rust/Cargo.toml"; }

inputs() {
  printf '%s\n' Cargo.lock Cargo.toml release release.sh
  case $1 in
    probe) echo probe ;;
    watcher) printf '%s\n' mio watcher ;;
    balancer) printf '%s\n' balancer mio watcher ;;
    shim) printf '%s\n' shim/Cargo.toml shim/build.rs shim/build.sh shim/patches shim/src ;;
  esac
}

# The shim's and the probe's work is done in libwasmedge and its plugins; every request goes through the balancer, so it is
# built to be fast; the watcher waits, so it is built to be small. The shim is built to be built soon, since it has 500 crates, and in
# cargo's 16 codegen units, which do not depend on the processors either.
profile() {
  case $1 in
    shim) printf 'CARGO_PROFILE_RELEASE_%s\n' OPT_LEVEL=1 LTO=off ;;
    probe) printf 'CARGO_PROFILE_RELEASE_%s\n' CODEGEN_UNITS=1 ;;
    balancer) printf 'CARGO_PROFILE_RELEASE_%s\n' CODEGEN_UNITS=1 OPT_LEVEL=3 LTO=fat ;;
    watcher) printf 'CARGO_PROFILE_RELEASE_%s\n' CODEGEN_UNITS=1 OPT_LEVEL=s LTO=fat ;;
  esac
}

# What the SBOM is made from: the lock file's packages, and those that are compiled, linked or only run meanwhile.
describe() { # package, target
  local tree=(cargo tree --locked --offline --manifest-path "$rust/Cargo.toml" --package "$1" --target "$2" --prefix none --format '{p}')
  cargo metadata --locked --offline --format-version 1 --filter-platform "$2" --manifest-path "$rust/Cargo.toml" >"$folder/about/metadata.json"
  "${tree[@]}" --edges normal,build >"$folder/about/built.txt"
  "${tree[@]}" --edges normal,no-proc-macro >"$folder/about/linked.txt"
  echo "$1" >"$folder/about/package.txt"
}

build_wasm() { # component
  local package=wasinn-$1 target=wasm32-wasip1 module name said
  case $1 in probe) module=wasinn-probe ;; *) module=$1 ;; esac
  cargo fetch --locked --target "$target" --target "$(host_target)" --manifest-path "$rust/Cargo.toml"
  describe "$package" "$target"
  # Distributions have lld's own wasm-ld, and not rust-lld where cargo looks for it.
  if wasm_ld=$(command -v wasm-ld); then export CARGO_TARGET_WASM32_WASIP1_LINKER=$wasm_ld; fi
  cargo build --locked --offline --manifest-path "$rust/Cargo.toml" --package "$package" --target "$target" --release
  name=$package-$(version)
  install -m 0644 "$CARGO_TARGET_DIR/$target/release/$module.wasm" "$folder/out/$name.wasm"
  compiled "$1" || return 0
  # A file for both: the plain module is in it as well, for another WasmEdge or another processor to interpret.
  local optimize=()
  [ "$1" != balancer ] || optimize=(--optimize 3)
  wasmedge compile --generic-binary "${optimize[@]}" "$folder/out/$name.wasm" "$folder/compiled.wasm"
  # Where WasmEdge does not take what it compiled it says so, and interprets the file, 50 times slower.
  said=$(wasmedge "$folder/compiled.wasm" --version 2>&1)
  [[ $said == "$module "* ]] || { echo "WasmEdge does not take what it compiled: $said" >&2; exit 1; }
  mv "$folder/compiled.wasm" "$folder/out/$name-wasmedge$wasmedge_line-$here.wasm"
}

build_shim() { # architecture
  local target=$1-unknown-linux-gnu made=$CARGO_TARGET_DIR/release name=containerd-shim-wasmedge-v1 cross=()
  shim_settings "$1"
  if [ "$1" != "$here" ]; then
    cross=(--target "$target")
    made=$CARGO_TARGET_DIR/$target/release
    export "CARGO_TARGET_$(tr '[:lower:]-' '[:upper:]_' <<<"$target")_LINKER=$(compiler "$1")"
  fi
  cargo fetch --locked --target "$target" --target "$(host_target)" --manifest-path "$rust/Cargo.toml"
  describe containerd-shim-wasmedge "$target"
  bash "$rust/shim/build.sh" "$folder" build --release "${cross[@]}"
  local crate
  while read -r crate _; do
    mkdir -p "$folder/about/patches/$crate"
    cp "$rust/shim/patches/$crate"-*.patch "$folder/about/patches/$crate/"
  done < <(grep -v '^#' "$rust/shim/patches/crates")
  install -m 0755 "$made/$name" "$folder/$name"
  readelf -d "$folder/$name" | grep -q 'RUNPATH.*/opt/wasinn/wasmedge/current/lib64' || {
    echo "The shim has no RUNPATH to the node's libwasmedge: see rust/shim/build.rs." >&2; exit 1; }
  tar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -C "$folder" -cf - "$name" \
    | gzip -n -6 >"$folder/out/$name-$(version)-$1.tar.gz"
  rm "$folder/$name"
}

# What building and testing share: the folder, where cargo keeps what it made, its settings.
enter() { # component, folder
  folder=$2
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd -P)
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$folder/target}
  export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
  export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
  # What a caller's own settings would add to the bytes.
  unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET
  # By a wrapper and not by RUSTFLAGS: cargo hashes those into names of folders, some of which end in the result.
  export RELEASE_SOURCES=$rust RELEASE_FOLDER=$folder RUSTC_WRAPPER=$rust/release/remap.sh
  while read -r setting; do export "${setting?}"; done < <(profile "$1")
}

build() { # component, architecture, folder
  enter "$1" "$3"
  rm -rf "$folder/out" "$folder/about"
  mkdir -p "$folder/out" "$folder/about"
  toolchain "$1" "$2" >"$folder/about/toolchain.txt"
  case $1 in
    shim) build_shim "$2" ;;
    *) build_wasm "$1" ;;
  esac
}

# In the release's profile, so that 500 crates need not be compiled once more.
run_tests() { # component, architecture, folder
  enter "$1" "$3"
  case $1 in
    shim) shim_settings "$2" && bash "$rust/shim/build.sh" "$folder" test --release ;;
    *) cargo test --locked --manifest-path "$rust/Cargo.toml" --package "wasinn-$1" --release ;;
  esac
}

[ $# -gt 0 ] || usage
verb=$1
shift
case $verb in
  version) version; exit ;;
  inputs | profile) [ $# -eq 1 ] || usage ;;
  check | setup | toolchain) [ $# -eq 2 ] || usage ;;
  build | test) [ $# -eq 3 ] || usage ;;
  *) usage ;;
esac
case $1 in
  probe | balancer | watcher | shim) ;;
  *) usage ;;
esac
case $verb in
  test) run_tests "$@" ;;
  *) "$verb" "$@" ;;
esac
