# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a machine does not join: what its server answers to it, where k3s' journal does not say it.

Asks as k3s' agent does: the name, TCP, the cluster's authorities at ``/cacerts`` (whose hash is in the token), the token
itself. The answer's date is the server's clock.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding
from ansible_collections.wasinn.cluster.plugins.module_utils.join_failures import OTHER_CLUSTER, TOKEN_REMEDY
from ansible_collections.wasinn.cluster.plugins.module_utils.node_checks import Machine
from ansible_collections.wasinn.cluster.plugins.module_utils.ports import read

_LARGEST = 1 << 20
#: What k3s answers to whoever knows the token of an agent or of a server, and with 401 to everybody else (pkg/server/handlers).
_FOR_MEMBERS = {"node": "/v1-k3s/config", "server": "/v1-k3s/server-bootstrap"}


@dataclass
class Join:
    """Looks from this machine at the server *host*:*port*; *token* is the text of the machine's token, if it has one."""

    host: str
    port: int
    token: str = ""
    agent_dir: str = "/var/lib/rancher/k3s/agent"
    max_skew: float = 60
    timeout: float = 5

    def __post_init__(self) -> None:
        self.findings: list[Finding] = []
        self.notes: list[str] = []

    @property
    def _where(self) -> str:
        return f"{self.host}:{self.port}"

    def _say(self, check: str, cause: str, remedy: str) -> None:
        self.findings.append(finding(check, cause, remedy))

    def look(self, udp: int = 0) -> None:
        """All of it, the cause nearest to the wire first; *udp* is the pod network's port, 0 for none."""
        address = self._address()
        if address and self._tcp(address):
            self._server()
        if address and udp:
            self.notes.append(f"UDP {udp} of {self.host} {self._udp(address, udp)}")
        machine = Machine()
        machine.cgroups(["cpu", "memory", "pids"])
        machine.kernel()
        self.findings += machine.findings

    def _address(self) -> str:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            remedy = "Correct k3s_api_endpoint, or let this machine resolve the name (its DNS server, or /etc/hosts)."
            cause = f"This machine finds no address for the server's name {self.host} ({error.strerror or error})."
            self._say("join_dns", cause, remedy)
            return ""
        return str(found[0][4][0])

    def _tcp(self, address: str) -> bool:
        try:
            socket.create_connection((address, self.port), self.timeout).close()
        except OSError as error:
            why = error.strerror or str(error)
            remedy = (
                "See that k3s runs on the server, that k3s_api_endpoint is right for this machine, and that no firewall keeps "
                f"it from TCP {self.port} of the servers (UDP 8472 and TCP 10250 between all machines)."
            )
            self._say("join_unreachable", f"This machine does not reach its server at {self._where} ({why}).", remedy)
            self.notes.append(f"TCP {self.port} of {self.host}: {why}")
            return False
        self.notes.append(f"TCP {self.port} of {self.host} answers")
        return True

    def _udp(self, address: str, port: int) -> str:
        """Nothing comes back of a datagram that is taken, or dropped on the way; a refusal does."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect((address, port))
                probe.send(b"\0")
                probe.recv(1)
            except socket.timeout:
                return "does not refuse datagrams"
            except OSError as error:
                return f"refuses datagrams ({error.strerror or error})"
        return "answers"

    def _server(self) -> None:
        try:
            status, date, authorities = self._get("/cacerts", {})
        except (OSError, http.client.HTTPException) as error:
            remedy = "See that k3s_api_endpoint and k3s_api_port lead to a k3s server, and not to another program or a proxy."
            self._say(
                "join_not_k3s", f"What listens at {self._where} does not speak as a k3s server ({error}).", remedy
            )
            return
        self._clock(date)
        if status != 200 or b"BEGIN CERTIFICATE" not in authorities:
            remedy = "Wait for the server to come up (journalctl -u k3s there), or correct k3s_api_endpoint."
            self._say("join_not_k3s", f"{self._where} answers {status} instead of its authorities.", remedy)
            return
        self._cluster(authorities)

    def _cluster(self, authorities: bytes) -> None:
        pinned, _colons, login = self.token.rpartition("::")
        found = f"K10{hashlib.sha256(authorities).hexdigest()}"
        own = os.path.join(self.agent_dir, "server-ca.crt")
        here = read(own)
        if pinned and pinned != found:
            cause = f"The machine's token is of another cluster than the one at {self._where}."
            self._say("join_other_cluster", cause, OTHER_CLUSTER)
        elif here and here != authorities.decode(errors="replace").strip():
            cause = f"The machine was part of another cluster than the one at {self._where} ({own})."
            self._say("join_other_cluster", cause, OTHER_CLUSTER)
        elif pinned:
            self._secret(login.rpartition(":")[2], authorities.decode(errors="replace"))

    def _secret(self, secret: str, authorities: str) -> None:
        """Shown to nobody but a server that the token's own authorities vouch for."""
        for user, path in _FOR_MEMBERS.items():
            shown = base64.b64encode(f"{user}:{secret}".encode()).decode()
            try:
                status = self._get(path, {"Authorization": f"Basic {shown}"}, authorities)[0]
            except (OSError, http.client.HTTPException):
                return
            if status != 401:
                return
        self._say("join_token", f"The server at {self._where} does not take the machine's token.", TOKEN_REMEDY)

    def _clock(self, date: str) -> None:
        try:
            ahead = time.time() - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError, IndexError):
            return
        if abs(ahead) > self.max_skew:
            word = "ahead of" if ahead > 0 else "behind"
            cause = f"This machine's clock is {abs(ahead):.0f} s {word} its server's."
            self._say("join_clock", cause, "Set the clocks, and let chrony or systemd-timesyncd keep them.")

    def _get(self, path: str, headers: dict[str, str], authorities: str = "") -> tuple[int, str, bytes]:
        """Without *authorities* whoever answers is believed: whether it is the right cluster is what is to be found out."""
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust.check_hostname = False
        if authorities:
            trust.load_verify_locations(cadata=authorities)
        else:
            trust.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=trust)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Date") or "", answer.read(_LARGEST)
        finally:
            connection.close()
