# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gets a model file from other nodes, piece by piece, into an unfinished file."""

from __future__ import annotations

import fcntl
import http.client
import os
import random
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.wasinn.cluster.plugins.module_utils.model_peer_server import proof

_CHUNK = 1 << 20
_CONNECT_SECONDS = 3.0
_SILENCE_SECONDS = 20.0
_PAUSE = 0.5  # seconds until nodes that were busy or had nothing yet are asked again


@dataclass
class Pulled:
    """What a while of pulling came to.

    done: bytes of the file that are there now. size: of the whole file. complete: all of them. alive: some node gave something, or was busy
    giving it to others. peer: who gave something last. refusals: why the nodes that gave nothing did not.
    """

    done: int
    size: int
    complete: bool = False
    alive: bool = False
    peer: str = ""
    refusals: dict[str, str] = field(default_factory=dict)


def pull(part: Path, sha256: str, size: int, peers: list[str], secret: str, seconds: float) -> Pulled:
    """Carries on with ``part`` for some seconds.

    :param size: of the whole file in bytes; 0 if the nodes have to tell it.
    :param peers: ``HOST:PORT`` of the nodes that have the file, or will.
    :raises OSError: of the local disk.
    """
    deadline = time.monotonic() + seconds
    order = list(peers)
    with open(part, "ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX)  # against the workers of a run that was killed
        result = Pulled(os.fstat(out.fileno()).st_size, size)
        while not result.complete and time.monotonic() < deadline:
            random.shuffle(order)
            for peer in order:
                before = result.done
                for block in _blocks(peer, result, sha256, secret, deadline):
                    out.write(block)
                    result.done += len(block)
                result.complete = 0 < result.size <= result.done
                if result.done > before or result.complete:
                    break
            else:
                time.sleep(min(_PAUSE, max(deadline - time.monotonic(), 0)))
        out.flush()
        os.fsync(out.fileno())
    return result


def _blocks(peer: str, result: Pulled, sha256: str, secret: str, deadline: float) -> t.Iterator[bytes]:
    """What one node gives until the deadline; why it gives nothing goes into the result."""
    host, _colon, port = peer.rpartition(":")
    path = f"/{sha256}"
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(_SILENCE_SECONDS)
        headers = {"Authorization": proof(secret, path), "Range": f"bytes={result.done}-"}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status != 206:
            result.alive = result.alive or response.status == 503
            words = {403: "refuses this run's secret", 404: "has no verified copy yet", 503: "is busy with others"}
            result.refusals[peer] = words.get(response.status, f"answered {response.status}")
            return
        result.alive, result.peer = True, peer
        result.size = int((response.getheader("Content-Range") or "").rpartition("/")[2])
        while time.monotonic() < deadline and result.done < result.size:
            block = response.read1(min(_CHUNK, result.size - result.done))
            if not block:
                return
            yield block
    except (OSError, ValueError, http.client.HTTPException) as exc:
        result.refusals[peer] = f"cannot be reached ({exc})"
    finally:
        connection.close()
