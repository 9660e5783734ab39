# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
from tests.demo.playbook import recap

OUTPUT = """
TASK [x] ****
ok: [node1]

PLAY RECAP *********************************************************************
node1                      : ok=3    changed=1    unreachable=0    failed=0    skipped=2    rescued=0    ignored=0
node2                      : ok=1    changed=0    unreachable=1    failed=0    skipped=0    rescued=0    ignored=0
"""


def test_counts_by_host():
    counts = recap(OUTPUT)
    assert counts["node1"]["changed"] == 1
    assert counts["node2"]["unreachable"] == 1


def test_no_recap_no_counts():
    assert recap("ERROR! the playbook could not be found") == {}
