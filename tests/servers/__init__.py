# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that models come from, for tests: a real registry, a real S3-compatible store, and a hub as small as it can be."""
