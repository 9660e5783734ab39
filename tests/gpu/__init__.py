# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`site` with a real GPU, on a machine that has one and reaches nothing: see docs/gpu.md.

``python -m tests.gpu`` makes the parts here; ``python3 -m tests.gpu.there PARTS OUT`` runs there, with the standard library alone.
"""
