# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model in a pod beside the same libllama as a plain program; a wasm pod's start and memory beside runc's."""
