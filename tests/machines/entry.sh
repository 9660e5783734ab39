#!/bin/sh
# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# First process of a machine: what a container's root lacks to be a machine, then systemd.
# Seen working with systemd 257 in a container without CAP_SYS_RESOURCE, in its own cgroup namespace.
set -eu

# /sys, the cgroup trees and /proc/sys are the container's own but mounted read-only.
mount -o remount,rw,bind /sys
awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r tree; do
    mount -o remount,rw,bind "$tree"
done
mount -o remount,rw,bind /proc/sys 2>/dev/null || true

# Containers and pods here need shared mounts, as any machine has; and the kubelet wants a kernel log to open.
mount --make-rshared /
[ -e /dev/kmsg ] || ln -s /dev/null /dev/kmsg

# A machine of a closed network: nobody answers names (the engine's own resolver would ask the world).
echo "nameserver ${WASINN_GATEWAY:-127.0.0.1}" >/etc/resolv.conf

# Made once for each machine, not for the image.
ssh-keygen -A >/dev/null
exec /sbin/init
