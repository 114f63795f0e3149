#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several root-owned files in one round trip. Runs on the device."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: thor_files
short_description: Several small files, directories and links in one round trip
description:
  - Does for a list what M(ansible.builtin.copy) and M(ansible.builtin.file) do for one path each. A device
    that has converged is queried once instead of twice per file.
  - Each file is replaced atomically. Owner and group are root. Missing parents are made, 0755.
options:
  entries:
    description: The wanted entries, in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      state:
        description: Kind of the entry. A directory is never made C(absent).
        type: str
        choices: [file, directory, link, absent]
        default: file
      mode: {description: Permissions of a file or directory. Required for them., type: str}
      content: {description: The file's text., type: str}
      base64: {description: The file's bytes in base64, for binary content., type: str}
      create_only: {description: Leave the content of a file that exists alone., type: bool, default: false}
      target: {description: Where the link points., type: str}
      backup: {description: Keep what a file was as C(PATH.before-thorctl)., type: bool, default: false}
      check:
        description: A program that must accept a new file before it is installed; C(%s) is its path.
        type: list
        elements: str
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: A directory and a file in it
  thor_files:
    entries:
      - {path: /etc/thor, state: directory, mode: "0755"}
      - {path: /etc/thor/device.json, mode: "0644", content: "{}\n"}
"""

RETURN = r"""
changed_paths:
  description: The paths that were, or in check mode would be, changed.
  returned: always
  type: list
  elements: str
"""

ENTRY = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
    "mode": {"type": "str"},
    "content": {"type": "str"},
    "base64": {"type": "str"},
    "create_only": {"type": "bool", "default": False},
    "target": {"type": "str"},
    "backup": {"type": "bool", "default": False},
    "check": {"type": "list", "elements": "str"},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "entries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": ENTRY,
                "required_if": [
                    ("state", "link", ["target"]),
                    ("state", "directory", ["mode"]),
                    ("state", "file", ["mode"]),
                ],
                "mutually_exclusive": [("content", "base64")],
            }
        },
        supports_check_mode=True,
    )
    make = {"file": put_file, "directory": put_directory, "link": put_link, "absent": put_away}
    diffs = []
    for entry in module.params["entries"]:
        diff = make[entry["state"]](module, entry)
        attributes = put_attributes(module, entry, fresh=diff is not None)
        if diff or attributes:
            diffs.append({"before": "", "after": "", **(diff or {}), **header(entry["path"])})
    paths = [diff["after_header"] for diff in diffs]
    module.exit_json(changed=bool(diffs), changed_paths=paths, diff=diffs)


def header(path: str) -> dict[str, str]:
    """Names the path above a diff."""
    return {"before_header": path, "after_header": path}


def put_file(module: AnsibleModule, entry: dict[str, object]) -> dict[str, str] | None:
    """Write a file whose bytes differ; return the diff if it did."""
    path = str(entry["path"])
    text = entry["content"] or ""
    wanted = base64.b64decode(str(entry["base64"])) if entry["base64"] else str(text).encode()
    before = read(path)
    if before == wanted or (entry["create_only"] and before is not None):
        return None
    if not module.check_mode:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".thor-", dir=Path(path).parent)
        with os.fdopen(handle, "wb") as file:
            file.write(wanted)
            os.fchmod(file.fileno(), int(str(entry.get("mode") or "0600"), 8))
            file.flush()
            os.fsync(file.fileno())
        if entry["check"]:
            require_accepted(module, entry["check"], temporary)
        if entry["backup"] and before is not None:
            shutil.copy2(path, f"{path}.before-thorctl")
        # With its mode: a program replaced while a timer starts it stays executable, and a secret is at no
        # time readable by all, as it would be with Ansible's own atomic_move.
        Path(temporary).replace(path)
    return {"before": shown(before), "after": shown(wanted)}


def put_directory(module: AnsibleModule, entry: dict[str, object]) -> dict[str, str] | None:
    """Create a missing directory."""
    path = Path(str(entry["path"]))
    if path.is_dir():
        return None
    if not module.check_mode:
        path.mkdir(parents=True)
    return {"after": "directory\n"}


def put_link(module: AnsibleModule, entry: dict[str, object]) -> dict[str, str] | None:
    """Create a symbolic link that is missing or has another target."""
    path, target = Path(str(entry["path"])), str(entry["target"])
    before = str(path.readlink()) if path.is_symlink() else None
    if before == target:
        return None
    if not module.check_mode:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(path)
    return {"before": f"-> {before}\n" if before else "", "after": f"-> {target}\n"}


def put_away(module: AnsibleModule, entry: dict[str, object]) -> dict[str, str] | None:
    """Remove a file or link."""
    path = Path(str(entry["path"]))
    if not os.path.lexists(path):
        return None
    before = f"-> {path.readlink()}\n" if path.is_symlink() else shown(read(str(path)))
    if not module.check_mode:
        path.unlink()
    return {"before": before}


def require_accepted(module: AnsibleModule, words: list[str], path: str) -> None:
    """End the module if the program rejects the file, and remove it."""
    done = subprocess.run(
        [word.replace("%s", path) for word in words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        Path(path).unlink()
        module.fail_json(msg=f"{words[0]} refuses the new file: {done.stderr.strip() or done.stdout.strip()}")


def put_attributes(module: AnsibleModule, entry: dict[str, object], fresh: bool) -> bool:
    """Set owner, group and mode; return whether they were wrong on an existing entry."""
    if entry["state"] in ("link", "absent") or (module.check_mode and not Path(str(entry["path"])).exists()):
        return False
    wanted = module.load_file_common_arguments(
        {**dict.fromkeys(("owner", "group"), "root"), "mode": entry["mode"]}, path=entry["path"]
    )
    return bool(module.set_fs_attributes_if_different(wanted, changed=False)) and not fresh


def read(path: str) -> bytes | None:
    """Return the bytes of a file; None if there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None


def shown(content: bytes | None) -> str:
    """Return a diff's content: text unchanged, other bytes by their size."""
    if content is None:
        return ""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes)\n"


if __name__ == "__main__":
    main()
