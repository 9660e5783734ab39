# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that this collection did not make, the way kubeadm lays one out: the distribution's containerd with the
configuration people give it, upstream's Kubernetes, /etc/kubernetes with its certificates and admin.conf.

It differs from kubeadm's own in two things: the control plane runs in units instead of static pods, since no registry has
its images here, and etcd speaks plain HTTP on the loopback. The programs are those inside the stand-in for k3s.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.closed_network.builds import k3s, packages
from tests.closed_network.context import MIRROR
from tests.closed_network.layout import place
from tests.machines import image
from tests.machines.engine import docker
from tests.machines.scenario import Scenario
from tests.machines.shell import REPO

from .waiting import wait_for

RELEASE = f"https://github.com/k3s-io/k3s/releases/download/{k3s.VERSIONS['KUBERNETES_VERSION']}+k3s1"
IMAGES = f"{RELEASE}/k3s-airgap-images-{k3s.ARCHITECTURE}.tar.zst"
PROGRAMS = "kubectl kubelet kube-proxy kube-apiserver kube-controller-manager kube-scheduler etcd"
SERVICES, DNS, PODS = "10.96.0.0/16", "10.96.0.10", "10.244"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
Key = rsa.RSAPrivateKey


class Authority:
    """A certificate authority and what it signs, as PEM."""

    def __init__(self, name: str) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key, [(x509.BasicConstraints(ca=True, path_length=None), True)])
        self.crt, self.private = _pem(self.certificate), _pem(self.key)

    def leaf(self, name: str, group: str = "", sans: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
        """Certificate and key of a client, or of a server where there are names."""
        key = rsa.generate_private_key(65537, 2048)
        words = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if group:
            words.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        usage = ExtendedKeyUsageOID.SERVER_AUTH if sans else ExtendedKeyUsageOID.CLIENT_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.ExtendedKeyUsage([usage]), False)]
        if sans:
            extensions.append((x509.SubjectAlternativeName([_general(san) for san in sans]), False))
        return _pem(self._sign(x509.Name(words), key, extensions)), _pem(key)

    def _sign(
        self, subject: x509.Name, key: Key, extensions: list[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=365))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())


class Foreign:
    """The cluster on two machines of a scenario: the first is its control plane. Its nodes have names of their own."""

    def __init__(self, scenario: Scenario, on: Callable[..., Any], names: Mapping[str, str]) -> None:
        self.scenario, self._on, self.names = scenario, on, dict(names)
        self.nodes = tuple(names)
        self.server = self.nodes[0]
        self.url = f"https://{scenario.address(self.server)}:6443"

    def run(self, node: str, line: str, **options: Any) -> str:
        """What a shell line prints on a machine."""
        return str(self._on(node, line, **options).stdout)

    def kubectl(self, *args: str) -> Any:
        """What kubectl on the control plane says, from JSON."""
        return json.loads(self.run(self.server, f"{KUBECTL} {' '.join(args)} -o json"))

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Apply a manifest with kubectl on the control plane."""
        self.run(self.server, f"{KUBECTL} apply -f -", stdin=json.dumps(manifest))

    def make(self) -> None:
        """Leave with all nodes Ready, and DNS running."""
        for node in self.nodes:
            self._containerd(node)
            self._programs(node)
        self._control_plane()
        for number, node in enumerate(self.nodes):
            self._join(node, number)
        wait_for(self.ready, 120, "the nodes are not Ready")
        manifest = (REPO / "tests/closed_network/k3s/internal/server/manifests/coredns.yaml.tmpl").read_text(
            encoding="utf-8"
        )
        manifest = manifest.replace("{{ .ClusterDomain }}", "cluster.local").replace("{{ .ClusterDNS }}", DNS)
        self.run(self.server, f"{KUBECTL} apply -f -", stdin=manifest)
        self.run(self.server, f"{KUBECTL} -n kube-system rollout status deployment/coredns --timeout=120s", timeout=130)

    def ready(self) -> bool:
        """Whether all nodes are there and Ready."""
        items = self.kubectl("get", "nodes")["items"]
        conditions = [condition for item in items for condition in item["status"].get("conditions", [])]
        good = [condition for condition in conditions if (condition["type"], condition["status"]) == ("Ready", "True")]
        return len(items) == len(good) == len(self.nodes)

    def _containerd(self, node: str) -> None:
        container = self.scenario.container(node)
        docker("cp", str(place(MIRROR, packages.LIST).parent), f"{container}:/srv/packages")
        self.run(
            node,
            "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d && echo 'deb [trusted=yes] file:/srv/packages ./' >/etc/apt/sources.list "
            "&& export DEBIAN_FRONTEND=noninteractive && apt-get -qq update && apt-get -qq install --yes containerd && containerd config default",
            timeout=180,
        )
        text = self.run(node, "containerd config default")
        for old, new in (
            (r"sandbox_image = .*", 'sandbox_image = "wasinn.local/pause:1"'),
            (r"restrict_oom_score_adj = .*", "restrict_oom_score_adj = true"),  # a container may not lower it
        ):
            text, count = re.subn(old, new, text)
            assert count == 1
        self._write(node, "/etc/containerd/config.toml", text)
        self.run(node, "systemctl restart containerd")

    def _programs(self, node: str) -> None:
        container = self.scenario.container(node)
        docker("cp", str(place(MIRROR, f"{RELEASE}/k3s")), f"{container}:/usr/lib/kubernetes-all")
        docker("cp", str(self._images()), f"{container}:/srv/images.tar")
        self.run(
            node,
            f"chmod 755 /usr/lib/kubernetes-all; for name in {PROGRAMS}; do ln -s ../lib/kubernetes-all /usr/bin/$name; done; "
            "ln -s kubernetes-all /usr/lib/k3s; "
            "K3S_DATA_DIR=/srv/unpacked /usr/lib/k3s ctr --version >/dev/null; mkdir -p /usr/lib/cni; "
            "cp /srv/unpacked/data/current/bin/ptp /srv/unpacked/data/current/bin/loopback /srv/unpacked/data/current/bin/host-local "
            "/srv/unpacked/data/current/bin/portmap /usr/lib/cni/ && rm -rf /srv/unpacked /usr/lib/k3s && "
            "ctr --namespace k8s.io images import --all-platforms /srv/images.tar && rm /srv/images.tar",
            timeout=180,
        )

    def _images(self) -> Path:
        """The pause and DNS images as a plain archive: ctr reads no zstd, which the builder's image has."""
        packed, folder = place(MIRROR, IMAGES), self.scenario.state
        plain = folder / "images.tar"
        if not plain.exists() or plain.stat().st_mtime < packed.stat().st_mtime:
            mounts = ("-v", f"{packed.parent}:/in:ro", "-v", f"{folder}:/out")
            words = ("zstd", "-dqf", f"/in/{packed.name}", "-o", "/out/images.tar")
            docker("run", "--rm", "--network", "none", *self.scenario.labels, *mounts, image.BUILDER.name, *words)
        return plain

    def _control_plane(self) -> None:
        address, server, pki = self.scenario.address(self.server), self.server, "/etc/kubernetes/pki"
        self.ca, front = Authority("kubernetes"), Authority("front-proxy-ca")
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1", "127.0.0.1", address)
        account = rsa.generate_private_key(65537, 2048)
        public = account.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        files: dict[str, bytes] = {"ca.crt": self.ca.crt, "ca.key": self.ca.private, "front-proxy-ca.crt": front.crt}
        files |= {"sa.key": _pem(account), "sa.pub": public}
        for name, (crt, key) in {
            "apiserver": self.ca.leaf("kube-apiserver", sans=names),
            "apiserver-kubelet-client": self.ca.leaf("kube-apiserver-kubelet-client", "system:masters"),
            "front-proxy-client": front.leaf("front-proxy-client"),
        }.items():
            files |= {f"{name}.crt": crt, f"{name}.key": key}
        for name, content in files.items():
            self._write(server, f"{pki}/{name}", content.decode(), "0600")
        for name, user, group in (
            ("admin", "kubernetes-admin", "system:masters"),
            ("controller-manager", "system:kube-controller-manager", ""),
            ("scheduler", "system:kube-scheduler", ""),
        ):
            self._kubeconfig(server, name, user, group)
        self._unit(
            server,
            "etcd",
            "--data-dir=/var/lib/etcd --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379",
        )
        self._unit(
            server,
            "kube-apiserver",
            f"--advertise-address={address} --allow-privileged=true --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction "
            f"--etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range={SERVICES} --client-ca-file={pki}/ca.crt "
            f"--tls-cert-file={pki}/apiserver.crt --tls-private-key-file={pki}/apiserver.key "
            f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt --kubelet-client-key={pki}/apiserver-kubelet-client.key "
            f"--service-account-issuer=https://kubernetes.default.svc --service-account-key-file={pki}/sa.pub --service-account-signing-key-file={pki}/sa.key "
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt --requestheader-allowed-names=front-proxy-client "
            "--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- "
            f"--proxy-client-cert-file={pki}/front-proxy-client.crt --proxy-client-key-file={pki}/front-proxy-client.key",
        )
        wait_for(
            lambda: "ok" in self.run(server, f"{KUBECTL} get --raw /readyz", check=False),
            90,
            "the API server is not ready",
        )
        self._unit(
            server,
            "kube-controller-manager",
            "--kubeconfig=/etc/kubernetes/controller-manager.conf --authentication-kubeconfig=/etc/kubernetes/controller-manager.conf "
            "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf --use-service-account-credentials=true --bind-address=127.0.0.1 "
            f"--root-ca-file={pki}/ca.crt --service-account-private-key-file={pki}/sa.key "
            f"--cluster-signing-cert-file={pki}/ca.crt --cluster-signing-key-file={pki}/ca.key",
        )
        self._unit(
            server,
            "kube-scheduler",
            "--kubeconfig=/etc/kubernetes/scheduler.conf --authentication-kubeconfig=/etc/kubernetes/scheduler.conf "
            "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf --bind-address=127.0.0.1",
        )

    def _join(self, node: str, number: int) -> None:
        name, address = self.names[node], self.scenario.address(node)
        self._kubeconfig(node, "kubelet", f"system:node:{name}", "system:nodes")
        self._kubeconfig(node, "kube-proxy", "system:kube-proxy")
        if node != self.server:
            self._write(node, "/etc/kubernetes/pki/ca.crt", self.ca.crt.decode())
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}, "anonymous": {"enabled": False}},
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "clusterDNS": [DNS],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            # Machines that are containers.
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "evictionHard": {"imagefs.available": "1%", "nodefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,  # of a disk that is not the machine's own; nothing would bring the images again
        }
        self._write(node, "/var/lib/kubelet/config.yaml", yaml.safe_dump(settings))
        network = {
            "name": "pods",
            "cniVersion": "1.0.0",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": f"{PODS}.{number}.0/24"}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}},
            ],
        }
        self._write(node, "/etc/cni/net.d/10-pods.conflist", json.dumps(network))
        routes = "; ".join(
            f"ip route replace {PODS}.{other}.0/24 via {self.scenario.address(peer)}"
            for other, peer in enumerate(self.nodes)
            if peer != node
        )
        self.run(node, f"sysctl -qw net.ipv4.ip_forward=1; {routes}")
        self._unit(
            node,
            "kubelet",
            f"--config=/var/lib/kubelet/config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf --hostname-override={name} --node-ip={address}",
            folder="/usr/lib/systemd/system",  # the package's
        )
        self._unit(
            node,
            "kube-proxy",
            f"--kubeconfig=/etc/kubernetes/kube-proxy.conf --hostname-override={name} --proxy-mode=nftables "
            f"--conntrack-max-per-core=0 --cluster-cidr={PODS}.0.0/16",
        )

    def _kubeconfig(self, node: str, name: str, user: str, group: str = "") -> None:
        crt, key = self.ca.leaf(user, group)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "kubernetes", "cluster": {"server": self.url, "certificate-authority-data": _b64(self.ca.crt)}}
            ],
            "users": [{"name": user, "user": {"client-certificate-data": _b64(crt), "client-key-data": _b64(key)}}],
            "contexts": [{"name": "default", "context": {"cluster": "kubernetes", "user": user}}],
            "current-context": "default",
        }
        self._write(node, f"/etc/kubernetes/{name}.conf", yaml.safe_dump(content), "0600")

    def _unit(self, node: str, name: str, flags: str, folder: str = "/etc/systemd/system") -> None:
        text = f"[Service]\nExecStart=/usr/bin/{name} {flags}\nRestart=always\nRestartSec=2\n\n[Install]\nWantedBy=multi-user.target\n"
        self._write(node, f"{folder}/{name}.service", text)
        self.run(node, f"systemctl daemon-reload; systemctl enable --now --quiet {name}")

    def _write(self, node: str, path: str, text: str, mode: str = "0644") -> None:
        folder = path.rpartition("/")[0]
        self.run(node, f"mkdir -p {folder}; cat >{path}; chmod {mode} {path}", stdin=text)


def _pem(thing: x509.Certificate | Key) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
