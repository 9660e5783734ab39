# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: Apache-2.0
#
# What a build needs of the machine; read by release.sh.
: "${rust:?is set by release.sh}" "${here:?is set by release.sh}"

# The line of WasmEdge for which services are compiled ahead of time, and whose headers the shim is built with.
wasmedge_line=0.14

host_target() { rustc -vV | sed -n 's/^host: //p'; }

# Whether a service is compiled ahead of time here; WasmEdge compiles for the machine that it runs on only, and
# the catalogue (roles/artifacts/vars) has such files for x86_64 alone.
compiled() { [[ $1 == balancer || $1 == watcher ]] && [ "$here" = x86_64 ]; }

compiler() { if [ "$1" = "$here" ]; then echo "${CC:-cc}"; else echo "$1-linux-gnu-gcc"; fi; }

# Where libwasmedge, its headers and libseccomp are; Debian's places unless the caller names others.
shim_settings() { # architecture
  local libraries=/usr/lib/$1-linux-gnu
  [ -d "$libraries" ] || libraries=/usr/lib64
  export WASMEDGE_INCLUDE_DIR=${WASMEDGE_INCLUDE_DIR:-/usr/include} WASMEDGE_LIB_DIR=${WASMEDGE_LIB_DIR:-$libraries}
  # Linked statically, so that a node need not have it.
  export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=${LIBSECCOMP_LIB_PATH:-$libraries}
}

header_version() {
  sed -n 's/^#define WASMEDGE_VERSION "\(.*\)"$/\1/p' "$WASMEDGE_INCLUDE_DIR/wasmedge/version.h" 2>/dev/null || true
}

toolchain() { # component, architecture
  rustc --version
  cargo --version
  if [ "$1" = shim ]; then
    shim_settings "$2"
    "$(compiler "$2")" --version | head -n 1
    protoc --version
    echo "libwasmedge $(header_version)"
    sha256sum <"$LIBSECCOMP_LIB_PATH/libseccomp.a" | sed 's/^\([0-9a-f]*\).*/libseccomp.a \1/'
    return
  fi
  if wasm-ld --version 2>/dev/null; then :; else echo "rust-lld of rustc"; fi
  [ "$1" = probe ] || clang --version | head -n 1
  if compiled "$1"; then wasmedge --version | head -n 1; fi
}

older() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # than the second

missing() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }

has() { command -v "$1" >/dev/null 2>&1; }

# The minimal Rust: the crate's own word or the workspace's.
rust_wanted() { # component
  local own
  own=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$rust/$1/Cargo.toml")
  echo "${own:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^rust-version = "\(.*\)"$/\1/p' "$rust/Cargo.toml")}"
}

check_rust() { # component, target, Debian's package of its standard library
  local found wanted
  if ! has cargo || ! has rustc; then
    missing rust "There is no cargo or no rustc on the PATH." \
      "Install Rust $(rust_wanted "$1") or newer (rustup, or the distribution's packages rustc and cargo)."
    return 1
  fi
  found=$(rustc --version | cut -d' ' -f2)
  wanted=$(rust_wanted "$1")
  if older "${found%%-*}" "$wanted"; then
    missing rust "rustc is $found; $1 needs $wanted or newer." \
      "Install a newer one with rustup (on Debian trixie the packages rustc-web and cargo-web have it, in the place of rustc and cargo)."
  fi
  if [ ! -d "$(rustc --print target-libdir --target "$2" 2>/dev/null || echo /nowhere)" ]; then
    missing rust_target "Rust's standard library for $2 is missing." "Install it: rustup target add $2, or Debian's package $3."
  fi
}

check_wasm() { # component
  check_rust "$1" wasm32-wasip1 libstd-rust-dev-wasm32 || return 0
  local sysroot
  sysroot=$(rustc --print sysroot)
  if ! has wasm-ld && [ ! -x "$sysroot/lib/rustlib/$(host_target)/bin/rust-lld" ]; then
    missing linker "There is no linker for WebAssembly, neither wasm-ld nor Rust's own rust-lld." "Install the package lld."
  fi
  if [ "$1" != probe ] && ! clang --print-targets 2>/dev/null | grep -qw wasm32; then
    missing clang "There is no clang that compiles for wasm32, which the crate ring needs." "Install the package clang."
  fi
  if compiled "$1"; then
    case $(wasmedge --version 2>/dev/null | head -n 1) in
      *" $wasmedge_line."*) ;;
      '') missing wasmedge "There is no program wasmedge, which compiles the $1 ahead of time." \
        "Install WasmEdge $wasmedge_line (Debian trixie's package wasmedge, or the release's archive) and have it on the PATH." ;;
      *) missing wasmedge "$(wasmedge --version | head -n 1) is there; the release has the $1 compiled for $wasmedge_line." \
        "Have a wasmedge of the line $wasmedge_line on the PATH." ;;
    esac
  fi
}

check_shim() { # architecture
  local name
  check_rust shim "$1-unknown-linux-gnu" "libstd-rust-web-dev:$(debian_name "$1")" || true
  shim_settings "$1"
  for name in git protoc pkg-config; do
    has "$name" || missing program "There is no program $name." "Install the package ${name/protoc/protobuf-compiler}."
  done
  has "$(compiler "$1")" || missing compiler "There is no C compiler $(compiler "$1")." \
    "Install the package $([ "$1" = "$here" ] && echo gcc || echo "gcc-${1//_/-}-linux-gnu and the C library's headers for $1")."
  if ! ls "${LIBCLANG_PATH:-/nowhere}"/libclang*.so* /usr/lib/llvm-*/lib/libclang*.so* /usr/lib64/libclang*.so* >/dev/null 2>&1 \
    && ! { has ldconfig && ldconfig -p | grep -q libclang; }; then
    missing libclang "There is no libclang, which reads WasmEdge's headers." "Install the package libclang-dev, or set LIBCLANG_PATH."
  fi
  case $(header_version) in
    "$wasmedge_line".*) ;;
    '') missing wasmedge_headers "There is no $WASMEDGE_INCLUDE_DIR/wasmedge/version.h." \
      "Install libwasmedge-dev $wasmedge_line, or set WASMEDGE_INCLUDE_DIR and WASMEDGE_LIB_DIR to the folders include and lib64 of WasmEdge's archive." ;;
    *) missing wasmedge_headers "$WASMEDGE_INCLUDE_DIR/wasmedge has the headers of WasmEdge $(header_version); the shim is built with those of $wasmedge_line." \
      "Set WASMEDGE_INCLUDE_DIR and WASMEDGE_LIB_DIR to WasmEdge $wasmedge_line." ;;
  esac
  [ -e "$WASMEDGE_LIB_DIR/libwasmedge.so" ] || missing wasmedge_library "There is no $WASMEDGE_LIB_DIR/libwasmedge.so for $1." \
    "Install libwasmedge-dev for $1, or set WASMEDGE_LIB_DIR to the folder that has it."
  [ -e "$LIBSECCOMP_LIB_PATH/libseccomp.a" ] || missing libseccomp "There is no $LIBSECCOMP_LIB_PATH/libseccomp.a for $1." \
    "Install libseccomp-dev (Fedora: libseccomp-static) for $1, or set LIBSECCOMP_LIB_PATH to the folder that has it."
}

check() { # component, architecture
  local name
  for name in tar gzip install sha256sum; do
    has "$name" || missing program "There is no program $name." "Install the packages tar, gzip and coreutils."
  done
  case $1 in
    shim) check_shim "$2" ;;
    *) check_wasm "$1" ;;
  esac
}

debian_name() { case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) echo "$1" ;; esac; }

setup() { # component, architecture
  [ -n "$(check "$1" "$2")" ] || return 0
  export DEBIAN_FRONTEND=noninteractive
  local packages=(ca-certificates) suffix=
  if [ "$1" = shim ]; then
    # Debian trixie's rustc is older than containerd-shimkit wants. The same release has a newer one, kept for browsers,
    # which replaces it; that one has no standard library for wasm32, so that the modules are built with the first.
    packages+=(rustc-web cargo-web git protobuf-compiler pkg-config libclang-dev gcc libc6-dev)
    if [ "$2" != "$here" ]; then
      dpkg --add-architecture "$(debian_name "$2")"
      suffix=:$(debian_name "$2")
      packages+=("gcc-${2//_/-}-linux-gnu" "libc6-dev$suffix" "libstd-rust-web-dev$suffix")
    fi
    packages+=("libwasmedge-dev$suffix" "libseccomp-dev$suffix")
  else
    packages+=(rustc cargo libstd-rust-dev-wasm32 lld clang)
    ! compiled "$1" || packages+=(wasmedge)
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}"
}
