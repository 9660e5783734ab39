# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why k3s does not start or a machine does not join: what the journal says, the cause and the remedy.

Order matters as in :mod:`failures`: what cannot be reached comes last, since it is said again and again beside the cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.wasinn.cluster.plugins.module_utils.failures import Signature
from ansible_collections.wasinn.cluster.plugins.module_utils.findings import Finding, finding

TOKEN_REMEDY = (
    "Take k3s_token out of the inventory, or set it to the cluster's own, which the first server has in "
    "/var/lib/rancher/k3s/server/token; to form a cluster over the datastore of another one, empty that first."
)
OTHER_CLUSTER = (
    f"Run wasinn.cluster.reset with --limit on the machine if it was part of another cluster. {TOKEN_REMEDY}"
)

SIGNATURES = (
    Signature(
        "join_other_cluster",
        r"token CA hash does not match the Cluster CA certificate hash"
        r"|level=(?:fatal|error).{0,400}certificate signed by unknown authority",
        "The machine has the token or the certificates of another cluster.",
        OTHER_CLUSTER,
        'level=fatal msg="token CA hash does not match the Cluster CA certificate hash: 1f0a != 9c3e"',
        source="k3s-io/k3s pkg/clientaccess/token.go",
    ),
    Signature(
        "join_token",
        r"refused the token|the configured token is not the one|level=(?:fatal|error).{0,400}(?:401 Unauthorized|not authorized)"
        r"|encrypted with different token|bootstrap data already found and encrypted",
        "The cluster does not take the machine's token.",
        TOKEN_REMEDY,
        'level=fatal msg="starting kubernetes: preparing server: bootstrap data already found and encrypted with different token"',
        source="k3s-io/k3s pkg/cluster/storage.go",
    ),
    Signature(
        "join_clock",
        r"certificate has expired or is not yet valid: current time (?P<now>\S{1,40}) is (?P<side>before|after) (?P<limit>[^\s\"]{1,40})",
        "By this machine's clock ({now}) the cluster's certificates are not valid: it is {side} {limit}.",
        "Set the clock, and let chrony or systemd-timesyncd keep it; where the clock is right, restart k3s on the servers, which renews "
        "certificates within 120 days of their end.",
        "x509: certificate has expired or is not yet valid: current time 2020-01-01T00:00:09Z is before 2026-11-24T08:00:00Z",
        source="Go, crypto/x509; https://docs.k3s.io/cli/certificate",
    ),
    Signature(
        "join_name",
        r"Node password rejected, duplicate hostname|duplicate node name found",
        "The cluster has a node of this name already, of another machine or of this one before it was made anew.",
        "Give the machine its own k3s_node_name, or delete the old node (kubectl delete node NAME) if it is gone.",
        "level=error msg=\"Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match "
        'server node-passwd entry, try enabling a unique node name with the --with-node-id flag"',
        source="k3s-io/k3s pkg/agent/config/config.go",
    ),
    Signature(
        "join_settings",
        r"critical configuration (?:value )?mismatch|settings \S{1,400}.{0,400}are not its cluster's",
        "The server has other settings than its cluster where all servers need the same.",
        "Put cluster-cidr, service-cidr, cluster-dns, cluster-domain and flannel-backend into k3s_server_config of all servers alike.",
        'level=fatal msg="starting kubernetes: preparing server: failed to validate server configuration: critical configuration value '
        'mismatch between servers"',
        source="k3s-io/k3s pkg/cluster/bootstrap.go",
    ),
    Signature(
        "join_cgroup",
        r"failed to find (?P<name>\w{1,20}) cgroup",
        "The kernel has no {name} cgroup, which the kubelet needs.",
        "Add cgroup_enable={name} to the kernel's command line (on a Raspberry Pi in cmdline.txt) and restart the machine.",
        'level=fatal msg="failed to find memory cgroup (v2)"',
        source="k3s-io/k3s pkg/cgroups/cgroups_linux.go",
    ),
    Signature(
        "join_module",
        r"modprobe: FATAL: Module (?P<name>[\w-]{1,60}) not found|Failed to load kernel module (?P<other>[\w-]{1,60}) with modprobe",
        "The kernel has no module {name}{other}, which the pods' network needs.",
        "Install the distribution's kernel with all its modules, and restart the machine if its kernel was replaced since it started.",
        "modprobe: FATAL: Module br_netfilter not found in directory /lib/modules/6.12.0-1-amd64",
        source="k3s-io/k3s pkg/daemons/agent, kmod",
    ),
    Signature(
        "join_port",
        r"listen tcp[46]? (?P<address>\S{1,60}): bind: address already in use",
        "Another program has {address}, which k3s needs.",
        "End that program (ss -ltnp tells which it is), or move k3s with k3s_api_port.",
        "listen tcp :6443: bind: address already in use",
        source="Go, net",
    ),
    Signature(
        "join_disk",
        r"no space left on device",
        "A file system of the machine is full.",
        "Make room below /var/lib/rancher, /var/lib/kubelet and /run (df -h and df -i tell where it is missing).",
        "write /var/lib/rancher/k3s/agent/images/x: no space left on device",
        source="Linux, errno ENOSPC",
    ),
    Signature(
        "join_program",
        r"[Ee]xec format error",
        "The file that is installed as k3s is no program for this machine.",
        "See that artifacts_urls.k3s, where it is set, names k3s itself for this architecture.",
        "k3s.service: Failed at step EXEC spawning /usr/local/bin/k3s: Exec format error",
        source="Linux, errno ENOEXEC",
    ),
    Signature(
        "join_option",
        r"flag provided but not defined: -{1,2}(?P<name>[\w-]{1,60})|unknown flag: --(?P<other>[\w-]{1,60})",
        "k3s or one of its parts does not know the setting {name}{other}.",
        "Correct k3s_config, k3s_server_config or k3s_agent_config; what this version knows is told by k3s server --help.",
        'level=fatal msg="kubelet exited: failed to parse kubelet flag: unknown flag: --max-podz"',
        source="k3s-io/k3s, spf13/pflag",
    ),
    Signature(
        "join_unreachable",
        r"dial tcp (?P<address>\S{1,80}): (?:connect: )?(?P<why>connection refused|no route to host|i/o timeout|network is unreachable)"
        r"|(?P<name>lookup [\w.-]{1,200}).{0,80}: (?P<how>no such host|server misbehaving|i/o timeout)",
        "The machine does not reach {address}{name} ({why}{how}).",
        "See that the server runs, that k3s_api_endpoint is right for this machine, and that its name is resolved and no firewall keeps "
        "it from TCP 6443 of the servers (UDP 8472 and TCP 10250 between all machines).",
        'level=error msg="failed to get CA certs: Get \\"https://127.0.0.1:6444/cacerts\\": dial tcp 10.0.0.1:6443: connect: no route to host"',
        source="Go, net; https://docs.k3s.io/installation/requirements",
        vague=True,
    ),
)


def classify(lines: Iterable[str]) -> list[Finding]:
    """The finding nearest to the cause of what the journal says, or none; of equal ones the last line counts."""
    text = list(lines)
    for signature in SIGNATURES:
        for line in reversed(text):
            if match := re.search(signature.pattern, line):
                fields = {name: value or "" for name, value in match.groupdict().items()}
                return [finding(signature.check, signature.cause.format(**fields), signature.remedy.format(**fields))]
    return []
