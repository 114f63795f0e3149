#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Host settings other than files, checked and corrected in one round trip. Runs on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.thorctl.thor.plugins.module_utils import accounts, clock, packages, systemd
from ansible_collections.thorctl.thor.plugins.module_utils.host import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.thorctl.thor.plugins.module_utils.host import Change

DOCUMENTATION = r"""
---
module: thor_system
short_description: Account, held packages, units, watchdog, boot target and clock of a host, in one round trip
description:
  - Checks each requested setting, and changes only what differs. Other settings are not checked.
  - A device that has converged is queried once.
options:
  account:
    description:
      - Name of a system account without a login shell or a home, created if missing.
      - An account of that name with a login is a person's, and left alone.
    type: str
  account_before:
    description:
      - Name that O(account) had earlier. An account of that name that this module made is renamed, so that it
        keeps its files. Any other is left alone.
    type: str
  engine_account:
    description:
      - Name of a system account as which the engine runs, with a group of its own, to be there.
      - An account of that name that can log in is an error.
    type: str
  groups:
    description: Names of system groups to be there.
    type: list
    elements: str
    default: []
  packages:
    description: Patterns of package names, as C(nvidia-l4t-*). What is not installed does not matter.
    type: list
    elements: str
    default: []
  packages_state:
    description: Whether these packages stay at their version, may be upgraded, or are left as they are.
    type: str
    choices: [held, released, alone]
    default: alone
  active:
    description: Units that have to be active. One whose condition is not met on this device is left alone.
    type: list
    elements: str
    default: []
  watchdog_seconds:
    description:
      - What systemd is to have as RuntimeWatchdogSec. It is re-executed to take its files in. Without a
        watchdog device this does nothing.
    type: int
  reboot_watchdog_seconds:
    description: What systemd is to have as RebootWatchdogSec. Only with O(watchdog_seconds).
    type: int
  snaps_held:
    description:
      - Whether snapd is to refresh no snap by itself. V(false) leaves it alone.
      - A snapd that does not answer, or is older than 2.58 and knows no such hold, is a note.
    type: bool
    default: false
  target:
    description: The target to boot into. Taken at the next boot; nothing is stopped now.
    type: str
  clock_seconds:
    description:
      - How long to wait for a synchronised clock. Synchronisation is switched on where it is off.
      - Not in a container, whose clock is its host's.
    type: int
  controller_time:
    description: Seconds since 1970 on the controller, to distinguish a late clock from a wrong one.
    type: float
  set_clock:
    description: Whether a wrong clock that nothing synchronises is set from O(controller_time).
    type: bool
    default: false
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: Hold the packages of Jetson Linux
  thor_system:
    packages: [nvidia-l4t-*]
    packages_state: held
"""

RETURN = r"""
notes:
  description: Steps that were impossible here and are not required, such as a watchdog without a device.
  returned: always
  type: list
  elements: str
"""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str"},
            "account_before": {"type": "str"},
            "engine_account": {"type": "str"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "packages_state": {"type": "str", "choices": ["held", "released", "alone"], "default": "alone"},
            "active": {"type": "list", "elements": "str", "default": []},
            "watchdog_seconds": {"type": "int"},
            "reboot_watchdog_seconds": {"type": "int"},
            "snaps_held": {"type": "bool", "default": False},
            "target": {"type": "str"},
            "clock_seconds": {"type": "int"},
            "controller_time": {"type": "float"},
            "set_clock": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted, notes = module.params, []
    try:
        changes = list(differences(wanted, notes))
        if not module.check_mode:
            for change in changes:
                change.make()
    except HostError as problem:
        module.fail_json(msg=str(problem), notes=notes)
    diff = [
        {
            "before_header": change.what,
            "after_header": change.what,
            "before": change.before + "\n",
            "after": change.after + "\n",
        }
        for change in changes
    ]
    module.exit_json(changed=bool(changes), notes=notes, diff=diff)


def differences(wanted: dict[str, Any], notes: list[str]) -> Iterable[Change]:
    """Yield the differences from the wanted settings, in the order of their correction."""
    yield from accounts.groups(wanted["groups"])
    if wanted["engine_account"]:
        yield from accounts.engine_account(wanted["engine_account"])
    if wanted["account"]:
        yield from accounts.account(wanted["account"], notes, before=wanted["account_before"])
    if wanted["packages_state"] != "alone":
        yield from packages.packages(wanted["packages"], held=wanted["packages_state"] == "held")
    if wanted["watchdog_seconds"] is not None:
        yield from systemd.watchdog(wanted["watchdog_seconds"], wanted["reboot_watchdog_seconds"], notes)
    if wanted["snaps_held"]:
        yield from packages.snaps(notes)
    if wanted["target"]:
        yield from systemd.target(wanted["target"])
    if wanted["active"]:
        yield from systemd.units(wanted["active"], notes)
    if wanted["clock_seconds"] is not None:
        yield from clock.clock(wanted, notes)


if __name__ == "__main__":
    main()
