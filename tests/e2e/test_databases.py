# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server whose cluster lives in a database of the user's, PostgreSQL or MariaDB, and outlives the server's machine.

The tests build on each other. The first failure skips the rest.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from tests.demo import one_node
from tests.machines import image, machines
from tests.machines.engine import docker
from tests.servers.certificate import self_signed

from .cluster import Cluster, changes

pytestmark = [pytest.mark.in_order, pytest.mark.slow(25)]

On = Callable[..., subprocess.CompletedProcess[str]]
PASSWORD = "of-the-database-5b0e7c21"
TOKEN = "of-the-cluster-93fd2a4c"
FOLDER = "/etc/datastore"
COUNT = "SELECT count(*) FROM kine WHERE name LIKE '/registry/%'"
POSTGRES = f"""\
CREATE ROLE k3s LOGIN PASSWORD '{PASSWORD}';
CREATE DATABASE kubernetes OWNER k3s;
ALTER SYSTEM SET listen_addresses = '*';
ALTER SYSTEM SET ssl = on;
ALTER SYSTEM SET ssl_cert_file = '{FOLDER}/cert.pem';
ALTER SYSTEM SET ssl_key_file = '{FOLDER}/key.pem';
"""
MARIADB_SETTINGS = (
    f"[mariadbd]\nbind-address = 0.0.0.0\nskip-name-resolve\nssl_cert = {FOLDER}/cert.pem\nssl_key = {FOLDER}/key.pem\n"
)
MARIADB = f"""\
CREATE DATABASE kubernetes;
CREATE USER k3s@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;
GRANT ALL ON kubernetes.* TO k3s@'%';
"""


class Database(Cluster):
    """One server, and on another machine what its cluster is kept in."""

    count: str  # a line for that machine, which counts Kubernetes' objects and their earlier revisions
    authority: str

    def bring_authority(self) -> None:
        """The server's machine gets the one file that it needs to trust the database."""
        self._on("node1", f"install -d {FOLDER} && cat >{FOLDER}/cert.pem", stdin=self.authority)


def postgresql(on: On, address: str) -> tuple[str, str]:
    """Start it; gives its endpoint and the line that counts."""
    hba = "$(ls -d /etc/postgresql/*/main)/pg_hba.conf"
    on("node2", f"chown -R postgres {FOLDER} && echo 'hostssl all k3s all scram-sha-256' >>{hba}")
    on("node2", "systemctl start postgresql && su postgres -c psql", stdin=POSTGRES)
    on("node2", "systemctl restart postgresql")
    return (
        f"postgres://k3s:{PASSWORD}@{address}:5432/kubernetes",
        f'su postgres -c "psql -At kubernetes -c \\"{COUNT}\\""',
    )


def mariadb(on: On, address: str) -> tuple[str, str]:
    """As :func:`postgresql`."""
    on("node2", f"chown -R mysql {FOLDER} && cat >/etc/mysql/mariadb.conf.d/90-k3s.cnf", stdin=MARIADB_SETTINGS)
    on("node2", "systemctl start mariadb && mariadb", stdin=MARIADB)
    return f"mysql://k3s:{PASSWORD}@tcp({address}:3306)/kubernetes", f'mariadb -BN kubernetes -e "{COUNT}"'


@pytest.fixture(scope="module", params=[postgresql, mariadb])
def cluster(request, scenario, run_playbook, on, say, tmp_path_factory) -> Database:
    """The database runs, with TLS; the server's machine is bare but for the certificate's authority."""
    machines.renew(scenario, say, image.DATABASE_NODE)
    address = scenario.address("node2")
    pems = self_signed(tmp_path_factory.mktemp("database"), "database", address)
    for pem in pems:
        on("node2", f"install -d {FOLDER} && umask 077 && cat >{FOLDER}/{pem.name}", stdin=pem.read_text())
    endpoint, count = request.param(on, address)
    settings = {"datastore-endpoint": endpoint, "datastore-cafile": f"{FOLDER}/cert.pem"}
    settings = one_node.variables()["k3s_server_config"] | settings
    inventory = one_node.inventory(scenario, k3s_server_config=settings, k3s_token=TOKEN)
    made = Database(scenario, partial(run_playbook, inventory=inventory), on)
    made.count, made.authority = count, pems[0].read_text()
    made.bring_authority()
    return made


def test_models_answer_on_it(cluster):
    result = cluster.play("site")
    assert result.rc == 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    assert PASSWORD not in result.output


def test_a_second_run_changes_nothing(cluster):
    again = cluster.play("site")
    assert (again.rc, changes(again)) == (0, [])


def test_the_state_is_in_the_database(cluster):
    assert int(cluster.run("node2", cluster.count).stdout) > 100
    assert cluster.run("node1", "test -e /var/lib/rancher/k3s/server/db/etcd", check=False).returncode != 0


def test_its_password_is_private(cluster):
    assert PASSWORD not in cluster.run("node1", "ps -eww -o args=; journalctl -o cat --no-pager").stdout
    having = cluster.run("node1", f"grep -rl {PASSWORD} /etc /var/lib/rancher/k3s/server /root; true").stdout.split()
    assert having
    assert set(cluster.run("node1", f"stat -c %a {' '.join(having)}").stdout.split()) == {"600"}


def test_a_new_machine_takes_the_cluster_over(cluster, scenario, say):
    """With the token that the first one had, and nothing else of it."""
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "default"}})
    docker("rm", "-f", "-v", scenario.container("node1"))
    machines.up(scenario, say, image.DATABASE_NODE)
    cluster.bring_authority()
    assert cluster.play("site").rc == 0
    assert "Paris" in cluster.report.read_text(encoding="utf-8")
    items = cluster.kubectl("get", "configmaps", "-n", "default")["items"]
    assert "kept" in {item["metadata"]["name"] for item in items}
