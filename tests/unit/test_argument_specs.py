# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' argument specs, as Ansible itself applies them."""

from __future__ import annotations

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.lint.tree import REPO


@pytest.mark.parametrize("entry", ["main", "preflight"])
def test_several_models_without_options_of_the_server_are_accepted(entry):
    specs = yaml.safe_load((REPO / "roles" / "models" / "meta" / "argument_specs.yml").read_text())
    options = specs["argument_specs"][entry].get("options") or {}
    models = [{"name": name, "url": f"https://example.invalid/{name}.gguf"} for name in ("one", "two", "three")]
    given = {"models_catalogue": models} if "models_catalogue" in options else {}
    assert ArgumentSpecValidator(options).validate(given).error_messages == []
