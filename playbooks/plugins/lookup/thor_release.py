# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The release of a profile and a device class: the same document as in ``thorctl render``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from thorctl import project
from thorctl.errors import ThorError
from thorctl.release import find as releases

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTATION = r"""
name: thor_release
short_description: The release document of a profile on a device class
description:
  - Reads C(deploy/profiles/<profile>.yml), C(deploy/locks/<profile>.lock.json) and
    C(deploy/device_classes/<device class>.yml) of the project, else those that come with thorctl, and renders
    them with the function that C(thorctl status) and C(thorctl rollout) use.
options:
  _terms:
    description: The profile's name, then the device class's name.
    required: true
  deploy:
    description: The C(deploy) directory.
    type: path
    default: that of the project, which E(THORCTL_PROJECT) names, else the nearest above the working directory
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ lookup('thorctl.thor.thor_release', 'qwable', 'jetson-agx-thor').id }}"
"""

RETURN = r"""
_raw:
  description: One release document, see docs/reference/interfaces.md.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """``lookup('thor_release', profile, device_class)``."""

    def run(self, terms: list[str], *_: Any, **options: Any) -> list[dict[str, Any]]:
        """Return one document; raise ``AnsibleLookupError`` with code, message and remedy on an error."""
        if len(terms) != 2 or not all(isinstance(term, str) and term for term in terms):
            raise AnsibleLookupError(
                f"thor_release takes a profile and a device class, got {terms!r}. "
                "Set thor_profile and thor_device_class in the inventory."
            )
        try:
            return [document(project.deploy(options.get("deploy")), str(terms[0]), str(terms[1]))]
        except ThorError as error:
            raise AnsibleLookupError(f"{error.code}: {error.message} — {error.remedy}") from error


@cache
def document(deploy: Path, profile_name: str, class_name: str) -> dict[str, Any]:
    """Render once per process: a play needs the same release in every task and on every device."""
    return releases.build(deploy, profile_name, class_name).document()
