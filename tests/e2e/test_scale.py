# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated machines of benchmarks/scale answer what the roles ask today."""

from __future__ import annotations

import pytest

from benchmarks.scale.__main__ import run

pytestmark = pytest.mark.slow(6)


def test_site_ends_well_on_four_simulated_machines(installed_collection, tmp_path):
    done = run(tmp_path, 4, forks=4)
    assert done.results > 4 * 100
    assert done.gathered >= 4
