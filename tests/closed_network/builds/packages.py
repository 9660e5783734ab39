# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd's Debian packages as a small apt repository, for machines that reach no registry.

Machines of the molecule scenario `node` get it as a local source, so that the role containerd installs from a repository as
it does anywhere. It is no part of the mirror of upstream's files.
"""

from __future__ import annotations

import shutil

from tests.closed_network.context import Context

DESCRIPTION = "containerd's Debian packages as an apt repository"
INPUTS = ("tests/closed_network/builds/packages.py",)
NEEDS = ()

# python3-apt and what it needs: Ansible installs packages with it.
PACKAGES = "containerd runc python3-apt python-apt-common distro-info-data libapt-pkg7.0"
LIST = "https://packages.invalid/trixie/SHA256SUM"  # a name that no host can have (RFC 2606)

SCRIPT = f"""
apt-get -q update
rm -rf /build/repo; mkdir /build/repo; cd /build/repo
apt-get -q -o APT::Sandbox::User=root download {PACKAGES}
for deb in *.deb; do
  dpkg-deb --field "$deb"
  echo "Filename: ./${{deb//%3a/_}}"
  echo "Size: $(stat -c %s "$deb")"
  echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
  echo
done >Packages
"""


def build(ctx: Context) -> None:
    """Download the packages in the builder, index them, publish them."""
    ctx.builder(SCRIPT)
    for place in sorted((ctx.work / "repo").iterdir()):
        # The repository's folder is copied whole onto a machine, so names stay plain.
        ctx.publish(place, LIST.replace("SHA256SUM", place.name.replace("%3a", "_")), checksums=LIST)
    shutil.rmtree(ctx.work / "repo")
