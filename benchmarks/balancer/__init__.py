# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer beside HAProxy and nginx, all over the same upstreams in one run."""
