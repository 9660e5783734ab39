# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own code for the tests beside; PYTHONPATH holds the repository (tests/e2e/test_molecule.py)."""

from tests import working_tree

working_tree.use()
