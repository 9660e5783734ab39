#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the shim with patches/ applied to copies of the crates that they are for: see README.md.
# Usage: build.sh FOLDER [cargo command and options, instead of "build --release"]
# The folder, outside of this repository, is kept between builds; so is CARGO_TARGET_DIR (FOLDER/target by default).
set -euo pipefail

rust=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
folder=${1:?usage: build.sh FOLDER [cargo command and options]}
mkdir -p "$folder"
folder=$(realpath "$folder")
shift
[ $# -gt 0 ] || set -- build --release
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$folder/target}

cargo fetch --locked --target x86_64-unknown-linux-gnu --manifest-path "$rust/Cargo.toml"

# cargo goes by the files' times: a crate is copied again only where something about it changed.
copies=()
while read -r crate version; do
  stamp=$(cat "$rust/shim/patches/$crate"-*.patch; echo "$version")
  patched=$folder/$crate
  copies+=(--config "patch.crates-io.$crate.path=\"$patched\"")
  [ "$(cat "$patched/.patched" 2>/dev/null)" != "$stamp" ] || continue
  rm -rf "$patched"
  fetched=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name "$crate-$version" -print -quit)
  cp -R "$fetched" "$patched"
  # The ceiling: inside of a repository, git would look for the files at its top, and say nothing.
  (cd "$patched" && GIT_CEILING_DIRECTORIES=$folder git apply "$rust/shim/patches/$crate"-*.patch)
  printf '%s\n' "$stamp" > "$patched/.patched"
done < <(grep -v '^#' "$rust/shim/patches/crates")

# Cargo.lock names a crate by its checksum, which a path has not: the copy's may be rewritten, without the network.
rm -rf "$folder/workspace"
mkdir "$folder/workspace"
cp -Rp "$rust"/Cargo.toml "$rust"/Cargo.lock "$folder/workspace/"
for member in "$rust"/*/Cargo.toml; do
  cp -Rp "$(dirname "$member")" "$folder/workspace/"
done
command=$1
shift
cargo "$command" --offline "${copies[@]}" --manifest-path "$folder/workspace/Cargo.toml" -p containerd-shim-wasmedge "$@"

pins() { grep -Ev '^(source|checksum) = ' "$1"; }
diff <(pins "$rust/Cargo.lock") <(pins "$folder/workspace/Cargo.lock") || {
  echo "The build used other versions than rust/Cargo.lock names: see the lines above." >&2; exit 1; }
