#!/bin/sh
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs rustc (cargo's RUSTC_WRAPPER) so that what it says about places in the sources names the same folders on every machine.
# Of several that fit, the last one counts. The crates' folder has a name made from the registry's address.
for crates in "$CARGO_HOME"/registry/src/*; do
  set -- "$@" "--remap-path-prefix=$crates=/wasinn/crates"
done
exec "$@" \
  "--remap-path-prefix=$RELEASE_SOURCES=/wasinn/rust" \
  "--remap-path-prefix=$RELEASE_FOLDER=/wasinn/build" \
  "--remap-path-prefix=$RELEASE_FOLDER/workspace=/wasinn/rust" \
  "--remap-path-prefix=$CARGO_TARGET_DIR=/wasinn/target"
