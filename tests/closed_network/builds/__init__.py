# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One module a build: DESCRIPTION, INPUTS, NEEDS and build(ctx); see tests/closed_network/context.py."""
