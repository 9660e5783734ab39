# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether somebody has an address."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time

ARP = "/proc/net/arp"
_COMPLETE = 0x2


def taken(address: str, port: int, seconds: float = 1.5, arp: str = ARP) -> bool:
    """Whether a machine of the network has *address*: it answers at *port*, refuses, or says so by ARP."""
    version = ipaddress.ip_address(address).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.settimeout(seconds)
        try:
            probe.connect((address, port))
            return True
        except ConnectionRefusedError:
            return True
        except OSError:
            pass  # nobody, or somebody who drops packets: the attempt has asked for the hardware's address
    deadline = time.monotonic() + seconds
    while version == 4 and time.monotonic() < deadline:
        if neighbour(address, arp):
            return True
        time.sleep(0.1)
    return False


def neighbour(address: str, arp: str = ARP) -> bool:
    """Whether the kernel knows the hardware of an IPv4 address of the network."""
    with open(arp, encoding="ascii") as table:
        next(table, "")
        rows = [line.split() for line in table]
    return any(row[0] == address and int(row[2], 16) & _COMPLETE for row in rows if len(row) >= 4)
