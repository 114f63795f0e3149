#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The edge's configuration, taken into use as a whole or not at all. Runs on the device."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: thor_edge
short_description: Take a configuration of the edge into use, as a whole or not at all
description:
  - Writes the files into a directory of their own, lets nginx test them, points C(/etc/thor/edge/current) at
    them, reloads C(thor-edge.service) and waits until no worker takes connections with the old ones. What is
    being answered is finished.
  - Where any of this fails, the configuration before stays, or comes back, and serves.
  - Where nginx is not installed, says so in RV(nginx) and changes nothing.
options:
  state: {description: Whether there is an edge., type: str, choices: [present, absent], default: present}
  generation:
    description: What the files amount to; the running nginx is asked for it. Required if present.
    type: str
  files:
    description: Content by name; C(nginx.conf) is the one that nginx reads. Required if present.
    type: dict
  restart: {description: Restart in place of a reload (the unit has changed)., type: bool, default: false}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: Take keys and certificate into use
  thor_edge: "{{ thor_edge_settings | thor_edge_files }}"
  no_log: true

- name: Close the edge
  thor_edge: {state: absent}
"""

RETURN = r"""
ok:
  description: True if the device has, or in check mode would have, what was wanted.
  returned: always
  type: bool
nginx:
  description: Whether nginx is installed.
  returned: always
  type: bool
msg:
  description: What is wrong, with nginx's own words; holds no secret.
  returned: on failure
  type: str
"""

HOME = Path("/etc/thor/edge")
CURRENT = HOME / "current"
RUN = Path("/run/thor-edge")
UNIT = "thor-edge.service"
UNIT_FILES = (Path("/etc/systemd/system") / UNIT, Path("/etc/systemd/system/multi-user.target.wants") / UNIT)
NGINX = "/usr/sbin/nginx"
PATIENCE_SECONDS = 30.0
WORKER = b"nginx: worker process"


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "generation": {"type": "str"},
            "files": {"type": "dict", "no_log": True},
            "restart": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["generation", "files"])],
        supports_check_mode=True,
    )
    if module.params["state"] == "absent":
        absent(module)
    if not Path(NGINX).exists():
        module.exit_json(changed=True, ok=module.check_mode, nginx=False)
    generation, files = module.params["generation"], module.params["files"]
    if is_right(generation, files) and serving() == generation and not module.params["restart"]:
        module.exit_json(changed=False, ok=True, nginx=True)
    if module.check_mode:
        module.exit_json(changed=True, ok=True, nginx=True)
    before = CURRENT.readlink().name if CURRENT.is_symlink() else None
    if not is_right(generation, files):
        write(generation, files)
    wrong = tested(generation)
    if wrong:
        if generation != before:
            shutil.rmtree(HOME / generation)
        fail(module, "nginx refuses the new configuration, the one before stays", wrong)
    point_at(generation)
    wrong = take(generation, restart=module.params["restart"])
    if wrong:
        go_back(before)
        if generation != before:
            shutil.rmtree(HOME / generation)
        fail(module, "the new configuration did not come into use, the one before is back", wrong)
    prune(generation)
    module.exit_json(changed=True, ok=True, nginx=True)


def absent(module: AnsibleModule) -> None:
    """Closes the edge and takes its files away."""
    there = HOME.exists() or any(os.path.lexists(path) for path in UNIT_FILES)
    if there and not module.check_mode:
        run("systemctl", "disable", "--now", UNIT)
        for path in UNIT_FILES:
            path.unlink(missing_ok=True)
        run("systemctl", "daemon-reload")
        shutil.rmtree(HOME, ignore_errors=True)
    module.exit_json(changed=there, ok=True, nginx=Path(NGINX).exists())


def is_right(generation: str, files: dict[str, str]) -> bool:
    """Whether the files in use are these, and nobody but root can read them."""
    if not CURRENT.is_symlink() or CURRENT.readlink().name != generation:
        return False
    for name, content in files.items():
        path = CURRENT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            return False
        status = path.stat()
        if (status.st_mode & 0o777, status.st_uid, status.st_gid) != (0o600, 0, 0):
            return False
    return HOME.stat().st_mode & 0o777 == 0o700


def write(generation: str, files: dict[str, str]) -> None:
    """The files of one generation, for root only from the first byte on, on the disk when this returns."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    HOME.chmod(0o700)
    folder = HOME / generation
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def tested(generation: str) -> str | None:
    """What nginx has against the configuration; None if nothing."""
    RUN.mkdir(mode=0o711, exist_ok=True)
    done = run(NGINX, "-t", "-q", "-c", str(HOME / generation / "nginx.conf"))
    return None if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"


def point_at(generation: str) -> None:
    """Switches ``current`` atomically."""
    new = HOME / ".current"
    new.unlink(missing_ok=True)
    new.symlink_to(generation)
    new.replace(CURRENT)


def take(generation: str, *, restart: bool) -> str | None:
    """Has nginx read ``current``; what went wrong, or None once only the new generation takes connections."""
    run("systemctl", "enable", UNIT)
    old = workers()
    verb = "restart" if restart or not active() else "reload"
    done = run("systemctl", verb, UNIT)
    if done.returncode != 0:
        return f"systemctl {verb} {UNIT}: {done.stderr.strip()}\n{journal()}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if serving() == generation and not old & workers():
            return None
        time.sleep(0.1)
    return f"it does not serve after {PATIENCE_SECONDS:g} s\n{journal()}"


def go_back(before: str | None) -> None:
    """The configuration before, or none where there was none."""
    if before is None:
        run("systemctl", "disable", "--now", UNIT)
        CURRENT.unlink()
        return
    point_at(before)
    run("systemctl", "reload" if active() else "restart", UNIT)


def prune(generation: str) -> None:
    """Removes every other generation."""
    for path in HOME.iterdir():
        if path.name not in (generation, CURRENT.name):
            shutil.rmtree(path, ignore_errors=True)


def serving() -> str | None:
    """The generation that the workers with open doors say they are; None if none answers."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(5)
        try:
            one.connect(str(RUN / "generation.sock"))
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with one.makefile("rb") as answer:
                return answer.read().decode().rpartition("\r\n")[2]
        except OSError:
            return None


def workers() -> set[int]:
    """The edge's workers that take connections; nginx renames one that only finishes what it has."""
    main_pid = run("systemctl", "show", "--property", "MainPID", "--value", UNIT).stdout.strip()
    found = set()
    with suppress(OSError):
        for pid in Path(f"/proc/{main_pid}/task/{main_pid}/children").read_text(encoding="ascii").split():
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ") == WORKER:
                    found.add(int(pid))
    return found


def active() -> bool:
    """Whether the unit runs."""
    return run("systemctl", "is-active", "--quiet", UNIT).returncode == 0


def journal() -> str:
    """nginx's last words (not the access log's); it is told to quote no request in them."""
    words = ("--unit", UNIT, "--identifier", "nginx", "--lines", "5", "--no-pager", "--output", "cat")
    return run("journalctl", *words).stdout.strip()


def fail(module: AnsibleModule, what: str, words: str) -> None:
    """Ends the module."""
    module.fail_json(msg=f"{what}:\n{words}", ok=False, nginx=True)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A program, its output read."""
    return subprocess.run(words, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
