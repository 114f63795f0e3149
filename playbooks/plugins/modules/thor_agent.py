#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run one verb of the device's agent. Runs on the device: standard library and AnsibleModule only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: thor_agent
short_description: Run one verb of thor-agent on a device
description:
  - Runs C(thor-agent VERB) on the device and returns the one JSON object it prints.
  - Where the agent is not installed, or is another one than the controller's, a read-only verb is answered
    by the controller's own agent, shipped to a temporary directory for that one call. So preflight and check
    mode work on a bare device.
  - The verbs stage, activate, smoke, bench and rollback run detached from the SSH connection. A broken link
    does not stop them; their progress is shown as they go.
  - In check mode a changing verb is replaced by C(plan), C(status), C(gc --dry-run) or C(bench --dry-run).
    RV(changed) then says what would be.
options:
  verb:
    description: The verb. C(thor-agent --help) on a device explains each.
    type: str
    required: true
    choices:
      [facts, preflight, plan, stage, activate, smoke, bench, review, commit, rollback, recover, status,
       gc, lease, hold]
  release:
    description:
      - The release document, as P(thor_release#lookup) makes it.
      - Required by preflight, plan and stage, which get all of it on stdin. Activate, smoke, bench, review
        and commit get its id, rollback the id of the release to leave.
    type: dict
  arguments:
    description: Further words for the command line, as C([--deadline, "600"]).
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which a detached verb is given up and killed.
    type: int
    default: 21600
  unreachable_for:
    description:
      - Seconds a device may be unreachable while a detached verb runs, before the task fails.
    type: int
    default: 300
  holder:
    description:
      - The name under which the device is changed (leases, event log).
      - The controller's user@host if not given.
    type: str
  installed:
    description: Whether the installed agent answers a read-only verb, whichever agent it is.
    type: bool
    default: false
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: See whether the device can take the release
  thor_agent:
    verb: preflight
    release: "{{ thor_release }}"

- name: Put all its bytes on the device
  thor_agent:
    verb: stage
    release: "{{ thor_release }}"

- name: Return to the last committed release
  thor_agent:
    verb: rollback
    arguments: [--reason, answers look wrong]
"""

RETURN = r"""
agent:
  description: The agent's object, see docs/reference/interfaces.md.
  returned: when the agent printed one
  type: dict
  sample: {schema: 1, verb: status, ok: true, changed: false, data: {}, error: null}
code:
  description: The agent's error code.
  returned: on failure
  type: str
  sample: disk_too_small
"""


def sha256(path: str) -> str | None:
    """Return the hex digest of a file; None if there is none."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def main() -> None:
    """Run the verb and return its output, which the controller evaluates."""
    module = AnsibleModule(
        argument_spec={
            "verb": {"type": "str", "required": True},
            "options": {"type": "list", "elements": "str", "default": []},
            "words": {"type": "list", "elements": "str", "default": []},
            # Not a secret: no_log keeps a document of 100 kB out of the device's syslog.
            "stdin": {"type": "str", "no_log": True},
            "holder": {"type": "str", "required": True},
            "zipapp": {"type": "path", "required": True},
            "only_if_sha256": {"type": "str"},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    found = sha256(wanted["zipapp"])
    if found is None or wanted["only_if_sha256"] not in (None, found):
        module.exit_json(changed=False, ran=False, found_sha256=found)
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            wanted["zipapp"],
            "--holder",
            wanted["holder"],
            *wanted["options"],
            wanted["verb"],
            *wanted["words"],
        ],
        input=wanted["stdin"] or "",
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
    )
    module.exit_json(
        changed=False,
        ran=True,
        found_sha256=found,
        exit_code=done.returncode,
        said=done.stdout,
        log=done.stderr[-4000:],
    )


if __name__ == "__main__":
    main()
