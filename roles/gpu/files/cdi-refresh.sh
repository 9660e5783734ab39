#!/bin/sh
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Writes the CDI specification of this machine's NVIDIA GPUs to the file named, if it is another one than before.
# Readers see the old file or the new one, whole: containerd takes no notice of a name that ends in neither .yaml nor .json.
set -eu

spec=$1
mkdir -p "$(dirname "$spec")"
new=$(mktemp "$spec.XXXXXX")
trap 'rm -f "$new"' EXIT
nvidia-ctk cdi generate --format=yaml > "$new"
if [ ! -s "$new" ]; then
  echo "nvidia-ctk wrote nothing" >&2
  exit 1
fi
if ! cmp -s "$new" "$spec"; then
  chmod 0644 "$new"
  mv -f "$new" "$spec"
fi
