# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook `site` on three bare machines, beside the same steps done by a plain shell script."""
