#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the balancer for wasm32-wasip1 with patches/ applied to a copy of mio_wasi; each patch says why.
# Usage: build.sh FOLDER
# The folder, outside of this repository, is kept between builds; so is CARGO_TARGET_DIR (FOLDER/target by default).
set -euo pipefail

crate=mio_wasi-0.8.9
target=wasm32-wasip1
rust=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
folder=${1:?usage: build.sh FOLDER}
mkdir -p "$folder"
folder=$(realpath "$folder")
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$folder/target}

cargo fetch --locked --target $target --manifest-path "$rust/Cargo.toml"

# cargo goes by the files' times: the crate is copied again only where something about it changed.
stamp=$(cat "$rust"/balancer/patches/*.patch; echo "$crate")
patched=$folder/mio_wasi
if [ "$(cat "$patched/.patched" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$patched"
  fetched=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name "$crate" -print -quit)
  cp -R "$fetched" "$patched"
  # The ceiling: inside of a repository, git would look for the files at its top, and say nothing.
  (cd "$patched" && GIT_CEILING_DIRECTORIES=$folder git apply "$rust"/balancer/patches/*.patch)
  printf '%s\n' "$stamp" > "$patched/.patched"
fi

# Cargo.lock names the crate by its checksum, which a path has not: the copy's may be rewritten, without the network.
rm -rf "$folder/workspace"
mkdir "$folder/workspace"
cp -Rp "$rust"/Cargo.toml "$rust"/Cargo.lock "$folder/workspace/"
for member in "$rust"/*/Cargo.toml; do
  cp -Rp "$(dirname "$member")" "$folder/workspace/"
done
cargo build --offline --config "patch.crates-io.mio_wasi.path=\"$patched\"" --manifest-path "$folder/workspace/Cargo.toml" \
  --package wasinn-balancer --target $target --release

pins() { grep -Ev '^(source|checksum) = ' "$1"; }
diff <(pins "$rust/Cargo.lock") <(pins "$folder/workspace/Cargo.lock") || {
  echo "The build used other versions than rust/Cargo.lock names: see the lines above." >&2; exit 1; }
