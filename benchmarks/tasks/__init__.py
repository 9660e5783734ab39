# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each task of a playbook run took: a callback that notes it down, and its reader."""
