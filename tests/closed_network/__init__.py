# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror of the artifacts for networks that reach package registries only; docs/closed_network.md says what is in it."""
