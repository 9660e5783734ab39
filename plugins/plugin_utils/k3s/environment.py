# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Proxies of k3s' service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_PROXY = re.compile(r"(CONTAINERD_|)(https?_proxy|HTTPS?_PROXY)")


def proxy_environment(environment: Mapping[str, str], inside: Iterable[str]) -> dict[str, str]:
    """The environment where what is *inside* goes past each proxy that it names; without a proxy as it is.

    The variable gets the spelling (lower or upper case) and the prefix of the proxy's own.
    """
    result = dict(environment)
    for name in sorted(environment):
        found = _PROXY.fullmatch(name)
        if not found or not environment[name]:
            continue
        past = found[1] + ("no_proxy" if found[2].islower() else "NO_PROXY")
        given = [word.strip() for word in str(environment.get(past) or "").split(",") if word.strip()]
        result[past] = ",".join(dict.fromkeys([*given, *(str(word) for word in inside if word)]))
    return result
