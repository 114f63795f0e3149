"""A plugin as Python: Ansible's plugins are files, not members of a package."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import PLAYBOOKS

if TYPE_CHECKING:
    from types import ModuleType


def load(kind: str, name: str) -> ModuleType:
    """The plugin ``name`` of ``playbooks/plugins/<kind>``."""
    spec = importlib.util.spec_from_file_location(name, PLAYBOOKS / "plugins" / kind / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
