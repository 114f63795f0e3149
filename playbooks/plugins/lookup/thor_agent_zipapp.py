# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The agent as it is installed on a device, in base64."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from thorctl.remote import agent_archive

DOCUMENTATION = r"""
name: thor_agent_zipapp
short_description: The bytes of agent.pyz, in base64
description: C(thorctl/agent) packed by C(thorctl.remote.agent_archive). The same sources give the same bytes.
"""

EXAMPLES = r"""
- thor_files:
    entries: [{path: /opt/thor/agent.pyz, mode: "0755", base64: "{{ lookup('thor_agent_zipapp') }}"}]
"""

RETURN = r"""
_raw:
  description: One base64 text.
  type: list
  elements: str
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """``lookup('thor_agent_zipapp')``."""

    def run(self, *_: Any, **__: Any) -> list[str]:
        """Return one base64 text."""
        with tempfile.TemporaryDirectory() as scratch:
            packed = agent_archive.build(Path(scratch) / "agent.pyz")
            return [base64.b64encode(packed.read_bytes()).decode()]
