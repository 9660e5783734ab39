# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role k3s: the files that it writes for each machine of a cluster, by the cluster's shape."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.unit.manifests import KUBERNETES

INVENTORY = """
k3s_cluster:
  children:
    k3s_server: {hosts: {s1: {ansible_host: 192.0.2.11}, s2: {ansible_host: 192.0.2.12}}}
    k3s_agent: {hosts: {a1: {ansible_host: 192.0.2.21, k3s_node_labels: [disk=nvme], k3s_node_taints: ["gpu=true:NoSchedule"]}}}
  vars: {ansible_connection: local}
"""
PLAY = """
- hosts: k3s_cluster
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: settings}
    - ansible.builtin.set_fact:
        k3s_node_addresses: "{{ hostvars | wasinn.cluster.k3s_addresses(__k3s_nodes) }}"
        k3s_server_addresses: "{{ hostvars | wasinn.cluster.k3s_addresses(groups.k3s_server) }}"
    - ansible.builtin.copy:
        content: "{{ __k3s_base_config | to_json }}"
        dest: "{{ work }}/{{ inventory_hostname }}.config"
    - ansible.builtin.copy:
        content: "{{ __k3s_openings | to_json }}"
        dest: "{{ work }}/{{ inventory_hostname }}.openings"
    - ansible.builtin.template:
        src: "{{ templates }}/{{ item }}.j2"
        dest: "{{ work }}/{{ inventory_hostname }}.{{ item }}"
      loop: [k3s.env, admission.yaml, audit-policy.yaml, kube-vip.yaml]
"""
PREFLIGHT = """
- hosts: k3s_cluster
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: preflight}
"""


@pytest.fixture(scope="module")
def play(exported, tmp_path_factory):
    """``play(text, **variables) -> (exit status, output, folder)``."""

    def run(text: str, **variables: Any) -> tuple[int, str, Path]:
        work = tmp_path_factory.mktemp("k3s")
        (work / "hosts.yml").write_text(INVENTORY)
        (work / "play.yml").write_text(text)
        extra = {
            "work": str(work),
            "templates": str(exported.path / "roles" / "k3s" / "templates"),
            "ansible_python_interpreter": sys.executable,
            "k3s_upgrade": True,  # versions are not what is looked at
            **variables,
        }
        done = subprocess.run(
            [
                *(Path(sys.executable).parent / "ansible-playbook", "-i", work / "hosts.yml", work / "play.yml"),
                *("-e", json.dumps(extra)),
            ],
            env=dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_COLLECTIONS_PATH=str(exported.path.parents[2])),
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr, work

    return run


@pytest.fixture(scope="module")
def shaped(play):
    """``shaped(**variables) -> {"s1.config": settings, "a1.k3s.env": text, …}``."""

    def made(**variables: Any) -> dict[str, Any]:
        status, output, work = play(PLAY, **variables)
        assert status == 0, output
        files = {path.name: path.read_text() for path in work.iterdir() if path.name[:3] in ("s1.", "s2.", "a1.")}
        return {
            name: json.loads(text) if name.endswith((".config", ".openings")) else text for name, text in files.items()
        }

    return made


@pytest.fixture(scope="module")
def plain(shaped):
    return shaped()


@pytest.fixture(scope="module")
def full(shaped):
    """Everything at once that goes together."""
    return shaped(
        k3s_agent_token="of-the-agents",
        k3s_cis_hardening=True,
        k3s_environment={"HTTPS_PROXY": "http://proxy:3128"},
        k3s_api_endpoint="192.0.2.10",
        k3s_kube_vip_image=f"ghcr.io/kube-vip/kube-vip:v1@sha256:{'0' * 64}",
        k3s_server_config={
            "datastore-endpoint": "postgres://k3s:secret@db.example.com/k3s",
            "cluster-cidr": "10.52.0.0/16,fd52::/56",
            "service-cidr": "10.53.0.0/16,fd53::/112",
            "flannel-backend": "wireguard-native",
            "kube-apiserver-arg": ["audit-log-maxage=7"],
        },
    )


def test_by_default_nothing_of_it_is_there(plain):
    assert plain["s1.config"] == {
        "node-name": "s1",
        "tls-san": ["192.0.2.11"],
        "write-kubeconfig-mode": "0600",
        "https-listen-port": 6443,
        "cluster-init": True,
    }
    assert "NO_PROXY" not in plain["s1.k3s.env"]


def test_labels_and_taints_are_a_hosts_own(plain):
    assert plain["a1.config"]["node-label"] == ["disk=nvme"]
    assert plain["a1.config"]["node-taint"] == ["gpu=true:NoSchedule"]
    assert "node-label" not in plain["s2.config"]


def test_with_an_external_datastore_no_server_has_etcd_or_joins_another(full):
    for server in ("s1", "s2"):
        assert full[f"{server}.config"]["datastore-endpoint"].startswith("postgres://")
        assert not {"cluster-init", "server"} & full[f"{server}.config"].keys()
        assert not any("2379" in opening["ports"] for opening in full[f"{server}.openings"]["openings"])
    assert full["s2.config"]["token-file"] == "/etc/rancher/k3s/token"
    assert full["a1.config"]["server"] == "https://192.0.2.10:6443"
    assert "datastore-endpoint" not in full["a1.config"]


def test_both_tokens_are_files_of_servers_and_one_is_an_agents(full):
    assert (
        full["s1.config"]["agent-token-file"] == full["s2.config"]["agent-token-file"] == "/etc/rancher/k3s/agent-token"
    )
    assert "agent-token-file" not in full["a1.config"]
    assert full["a1.config"]["token-file"] == "/etc/rancher/k3s/token"
    assert not any("of-the-agents" in str(text) for text in full.values())


def test_openings_follow_the_part_and_the_network(full, plain):
    ports = {
        name: [port for item in full[f"{name}.openings"]["openings"] for port in item["ports"]] for name in ("s1", "a1")
    }
    assert ports == {"s1": ["6443", "10250", "51820", "51821"], "a1": ["10250", "51820", "51821"]}
    assert full["a1.openings"]["trusted"] == ["10.52.0.0/16", "fd52::/56", "10.53.0.0/16", "fd53::/112"]
    (etcd,) = [item for item in plain["s1.openings"]["openings"] if "2379" in item["ports"]]
    assert etcd["sources"] == ["192.0.2.11", "192.0.2.12"]


def test_proxies_are_not_for_the_cluster(full):
    (line,) = [line for line in full["a1.k3s.env"].splitlines() if line.startswith("NO_PROXY=")]
    inside = line.partition("=")[2].split(",")
    assert {"10.52.0.0/16", "fd53::/112", ".svc", "192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.21"} <= set(inside)


def test_hardening_adds_to_what_the_user_sets(full, plain):
    server, agent = full["s1.config"], full["a1.config"]
    assert server["secrets-encryption"] is True
    assert server["protect-kernel-defaults"] is agent["protect-kernel-defaults"] is True
    arguments = server["kube-apiserver-arg"]
    assert arguments.index("audit-log-maxage=30") < arguments.index("audit-log-maxage=7")
    assert "admission-control-config-file=/etc/rancher/k3s/admission.yaml" in arguments
    assert any(argument.startswith("tls-cipher-suites=TLS_ECDHE") for argument in agent["kubelet-arg"])
    assert not {"secrets-encryption", "kube-apiserver-arg", "kube-controller-manager-arg"} & agent.keys()
    assert not {"secrets-encryption", "protect-kernel-defaults"} & plain["s1.config"].keys()
    admission = yaml.safe_load(full["s1.admission.yaml"])["plugins"][0]["configuration"]
    assert admission["defaults"]["enforce"] == "restricted"
    assert "kube-system" in admission["exemptions"]["namespaces"]
    assert yaml.safe_load(full["s1.audit-policy.yaml"])["rules"] == [{"level": "Metadata"}]


def test_kube_vips_manifest_is_valid_and_names_the_address(full):
    objects = list(yaml.safe_load_all(full["s1.kube-vip.yaml"]))
    for item in objects:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    (container,) = objects[-1]["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith("@sha256:" + "0" * 64)
    values = {item["name"]: item.get("value") for item in container["env"]}
    assert (values["address"], values["port"], values["vip_subnet"], values["svc_enable"]) == (
        "192.0.2.10",
        "6443",
        "32",
        "false",
    )


def test_others_are_refused_each_with_its_sentence(play):
    """All hosts are looked at: the ranges are the servers', kube-vip's image is asked for on the one that is left."""
    variables = {"k3s_server_config": {"cluster-cidr": "192.0.2.0/24"}, "k3s_kube_vip_image": "kube-vip:v1"}
    status, output, _work = play(PREFLIGHT, **variables)
    assert status != 0
    flat = " ".join(output.split())
    assert "s1: cluster-cidr (192.0.2.0/24) has the address of a machine in it: 192.0.2.11, 192.0.2.12" in flat
    assert "kube-vip needs an image with a digest" in flat
    assert flat.count("Remedy: ") >= 2


@pytest.mark.parametrize(
    ("settings", "count"),
    [({}, 1), ({"datastore-endpoint": "postgres://k3s@db.example.com/k3s"}, 0)],
    ids=["etcd", "none"],
)
def test_two_servers_with_etcd_are_taken_with_a_word(play, settings, count):
    status, output, _work = play(PREFLIGHT, k3s_server_config=settings)
    assert status == 0, output
    assert (
        output.count("2 may lose 0, no more than 1 may. Remedy: have an odd number of machines in k3s_server.") == count
    )


def test_a_setting_that_the_role_decides_is_refused_with_what_to_set_instead(play):
    status, output, _work = play(PREFLIGHT, k3s_config={"data-dir": "/srv/k3s", "node-label": ["disk=nvme"]})
    assert status != 0
    assert (
        "Remedy: for data-dir mount or bind the other place at /var/lib/rancher; for node-label set k3s_node_labels."
        in " ".join(output.split())
    )


OWN = f"K10{'0' * 64}::server:own-secret"
RESTORE_CHECK = """
- hosts: s1
  gather_facts: false
  vars: {artifacts_versions: {k3s: v1.34.4+k3s1}}
  tasks:
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: restore_check}
"""


@pytest.fixture(scope="module")
def living(tmp_path_factory):
    """The data directory of a server that has a token."""
    folder = tmp_path_factory.mktemp("living")
    (folder / "server").mkdir()
    (folder / "server" / "token").write_text(f"{OWN}\n")
    return folder


@pytest.mark.parametrize(
    ("token", "more", "refused"),
    [
        ("other-secret", {}, True),
        (OWN.replace("own", "other"), {}, True),
        ("own-secret", {}, False),
        (OWN, {}, False),
        ("", {}, False),
        ("other-secret", {"k3s_restore_snapshot": "on-demand-s1-1700000000"}, False),
        ("other-secret", {"k3s_restore_from": "/backups/one"}, False),
    ],
    ids=["another", "another in full", "its own", "its own in full", "none", "of a snapshot's time", "of a backup"],
)
def test_a_living_server_gets_no_other_token(play, living, token, more, refused):
    status, output, _work = play(PREFLIGHT, __k3s_data_dir=str(living), k3s_token=token, **more)
    flat = " ".join(output.split())
    assert (status != 0) is refused, output
    assert ("s1: k3s_token is not the token that this server has" in flat) is refused
    assert ("Remedy: Take k3s_token out of the inventory" in flat) is refused
    assert "own-secret" not in output
    assert "other-secret" not in output


@pytest.fixture
def backup(tmp_path):
    """``backup(token) -> folder``: what playbook backup makes."""

    def make(token: str) -> Path:
        facts = {"k3s": "v1.34.4+k3s1", "sha256": hashlib.sha256(b"saved").hexdigest()}
        for name, text in (("token", f"{token}\n"), ("snapshot", "saved"), ("backup.json", json.dumps(facts))):
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        ("own-secret", ""),
        ("", ""),
        ("other-secret", "s1: k3s_token is not the backup's, with which alone the restored state opens. Remedy: take"),
    ],
    ids=["the backup's", "none", "another"],
)
def test_a_backup_is_not_restored_beside_another_token(play, living, backup, token, cause):
    status, output, _work = play(
        RESTORE_CHECK, __k3s_data_dir=str(living), k3s_restore_from=str(backup(OWN)), k3s_token=token
    )
    assert (status != 0) is bool(cause), output
    assert cause in " ".join(output.split())
    assert "own-secret" not in output


def snapshot_of(*secrets: str) -> bytes:
    """As etcd's file has it: the names under which k3s keeps what each token opens, among other bytes."""
    names = [f"/bootstrap/{hashlib.sha256(secret.encode()).hexdigest()[:12]}" for secret in secrets]
    return b"\x00\xff".join([b"\xed\n" * 100, *(b"\x12\x1f" + name.encode() + b"\x18\x02" for name in names), b"\x00"])


@pytest.mark.parametrize(
    ("saved", "token", "cause"),
    [
        (snapshot_of("own-secret"), "", ""),
        (snapshot_of("then-secret", "own-secret"), "own-secret", ""),
        (snapshot_of("then-secret"), OWN.replace("own", "then"), ""),
        (snapshot_of(), "other-secret", ""),  # compressed
        (snapshot_of("own-secret"), "other-secret", "s1: k3s_token does not open"),
        (snapshot_of("then-secret"), "", "s1: The token that the server has does not open"),
    ],
    ids=["own", "one of two", "in full", "unknown", "another", "rotated since"],
)
def test_a_snapshot_is_not_restored_with_another_token(play, living, tmp_path, saved, token, cause):
    (tmp_path / "saved").write_bytes(saved)
    snapshot = str(tmp_path / "saved")
    status, output, _work = play(
        RESTORE_CHECK, __k3s_data_dir=str(living), k3s_restore_snapshot=snapshot, k3s_token=token
    )
    flat = " ".join(output.split())
    assert (status != 0) is bool(cause), output
    assert cause in flat
    assert ("Remedy: set k3s_token to the token of the snapshot's time" in flat) is bool(cause)
    assert "-secret" not in output


def test_a_new_machine_needs_the_snapshots_token(play, tmp_path):
    status, output, _work = play(RESTORE_CHECK, __k3s_data_dir=str(tmp_path), k3s_restore_snapshot="name")
    assert status != 0
    assert "s1 has no token, and a snapshot opens with the token of its time alone." in " ".join(output.split())


def test_a_backup_of_another_cluster_is_refused_by_a_sentence(play, living, backup):
    folder = backup(OWN.replace("0", "1"))
    status, output, _work = play(RESTORE_CHECK, __k3s_data_dir=str(living), k3s_restore_from=str(folder))
    assert status != 0
    assert "s1 is a server of another cluster than the backup's. Remedy: " in " ".join(output.split())


BACKUP = """
- hosts: s1
  gather_facts: false
  vars: {artifacts_versions: {k3s: v1.34.4+k3s1}}
  tasks:
    - ansible.builtin.copy:
        content: "#!/bin/sh\\nmkdir -p {{ __k3s_snapshots }} && echo saved >{{ __k3s_snapshots }}/wasinn-s1-1700000000\\n"
        dest: "{{ __k3s_binary }}"
        mode: "0700"
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: backup}
"""
SAVED = {
    "__k3s_etcd": "{{ __k3s_data_dir }}/server",
    "__k3s_snapshots": "{{ work }}/snapshots",
    "__k3s_binary": "{{ work }}/k3s",
}


@pytest.mark.parametrize(("mode", "kept"), [(0o755, 0o755), (None, 0o700)], ids=["there", "missing"])
def test_a_backup_is_private_and_the_folder_of_backups_stays_as_it_is(play, living, tmp_path, mode, kept):
    place = tmp_path / "backups"
    if mode:
        place.mkdir()
        place.chmod(mode)
    status, output, _work = play(BACKUP, **SAVED, __k3s_data_dir=str(living), k3s_backup_dir=str(place))
    assert status == 0, output
    (folder,) = place.iterdir()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (place, *folder.iterdir())}
    assert modes == {"backups": kept, "backup.json": 0o600, "snapshot": 0o600, "token": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_everybody_may_write_to_gets_no_backup(play, living, tmp_path):
    tmp_path.chmod(0o1777)
    status, output, work = play(BACKUP, **SAVED, __k3s_data_dir=str(living), k3s_backup_dir=str(tmp_path))
    assert status != 0
    assert f"{tmp_path} is a folder that everybody may write to" in " ".join(output.split())
    assert list(tmp_path.iterdir()) == []
    assert not (work / "snapshots").exists()


def test_an_address_by_ipv6_is_in_brackets(shaped):
    assert shaped(k3s_api_endpoint="fd00::10")["a1.config"]["server"] == "https://[fd00::10]:6443"


BACK = """
- hosts: s1
  gather_facts: false
  vars: {__k3s_aside_now: ["{{ __k3s_etcd }}-old-1700000000"]}
  tasks:
    - ansible.builtin.file: {path: "{{ __k3s_etcd }}/half", state: directory, mode: "0700"}
    - ansible.builtin.file: {path: "{{ __k3s_aside_now[0] }}/whole", state: directory, mode: "0700"}
    - ansible.builtin.copy: {content: "", dest: "{{ __k3s_data_dir }}/server/db/reset-flag", mode: "0600"}
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: restore_back}
"""


def test_a_datastore_that_was_put_aside_comes_back(play):
    status, output, work = play(BACK, __k3s_data_dir="{{ work }}/k3s")
    assert status == 0, output
    assert [path.name for path in (work / "k3s/server/db").iterdir()] == ["etcd"]
    assert [path.name for path in (work / "k3s/server/db/etcd").iterdir()] == ["whole"]


STARTED = """
- hosts: k3s_cluster
  gather_facts: false
  vars: {__k3s_start: {changed: true, status: {ActiveState: inactive}}}
  tasks:
    - ansible.builtin.file: {path: "{{ __k3s_data_dir }}", state: directory, mode: "0700"}
    - ansible.builtin.copy: {content: "{{ settings }}", dest: "{{ work }}/settings", mode: "0600"}
    - ansible.builtin.copy: {content: "of no matter", dest: "{{ work }}/settings.old", mode: "0600"}
    - ansible.builtin.set_fact: {k3s_node_addresses: "{{ machines }}"}
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: restart}
"""


@pytest.fixture(scope="module")
def started(play):
    """``started(**variables) -> {"s1": what k3s was started with, "a1": …}``, where ``settings`` is its only file."""

    def run(**variables: Any) -> dict[str, str]:
        work = {
            "__k3s_start_files": ["{{ work }}/settings"],
            "settings": "as they were",
            "__k3s_data_dir": "{{ work }}/{{ inventory_hostname }}",
        }
        status, output, folder = play(STARTED, **{**work, "machines": ["192.0.2.11"], **variables})
        assert status == 0, output
        return {host: (folder / host / "wasinn-started-with").read_text() for host in ("s1", "a1")}

    return run


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to root")
def test_one_more_machine_or_a_longer_wait_restarts_no_agent(started):
    proxy = {"HTTPS_PROXY": "http://proxy:3128"}
    before = started(k3s_environment=proxy)
    assert started(k3s_environment=proxy, k3s_join_timeout=999) == before
    more = started(k3s_environment=proxy, machines=["192.0.2.11", "192.0.2.99"])
    assert more["a1"] == before["a1"]
    assert more["s1"] != before["s1"], "etcd's members speak through what Go takes for a proxy"
    other = started(k3s_environment={"HTTPS_PROXY": "http://proxy:8080"})
    assert all(other[host] != before[host] for host in before)


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to root")
def test_other_settings_restart_all(started):
    before, other = started(), started(settings="others")
    assert all(other[host] != before[host] for host in before)


SELINUX = """
- hosts: s1
  gather_facts: false
  environment: {PATH: "{{ work }}/bin:/usr/bin:/bin"}
  vars: {shim_link: /usr/local/bin/containerd-shim-wasmedge-v1, __k3s_selinux: {content: "{{ '1' | b64encode }}"}}
  tasks:
    - ansible.builtin.file: {path: "{{ work }}/bin", state: directory, mode: "0755"}
    - ansible.builtin.copy:
        content: "#!/bin/sh\\necho \\"$0 $*\\" >>{{ work }}/log\\n{{ item.says }}\\n"
        dest: "{{ work }}/bin/{{ item.name }}"
        mode: "0755"
      loop:
        - {name: semanage, says: "echo '/opt/wasinn/wasmedge(/.*)? all files system_u:object_r:lib_t:s0'"}
        - {name: restorecon, says: "echo Relabeled"}
    - ansible.builtin.import_role: {name: wasinn.cluster.k3s, tasks_from: selinux}
    - ansible.builtin.copy: {content: "{{ __k3s_base_config | to_json }}", dest: "{{ work }}/s1.config"}
"""


def test_selinux_gets_the_types_that_it_lacks(play):
    """With programs that only say how they were called: SELinux itself is on no machine here."""
    status, output, work = play(SELINUX)
    assert status == 0, output
    calls = [line.partition("/bin/")[2] for line in (work / "log").read_text().splitlines()]
    assert calls == [
        "semanage fcontext --list --locallist --noheading",
        "semanage fcontext --add --type container_runtime_exec_t /opt/wasinn/shim(/.*)?",
        "semanage fcontext --add --type container_ro_file_t /var/lib/wasinn/models(/.*)?",
        "restorecon -R -v -i /usr/local/bin/k3s /usr/local/bin/containerd-shim-wasmedge-v1 /opt/wasinn /var/lib/wasinn",
    ]
    assert json.loads((work / "s1.config").read_text())["selinux"] is True
