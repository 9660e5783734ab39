# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way from nothing to a model that answers, as stages; and its single steps for developers."""
