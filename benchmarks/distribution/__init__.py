# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a model takes to get from the controller to all nodes: by peers, by the controller, into a shared folder."""
