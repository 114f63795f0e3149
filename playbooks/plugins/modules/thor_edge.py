#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Install the configuration of edge or door atomically. Runs on the device."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.thorctl.thor.plugins.module_utils import host

DOCUMENTATION = r"""
---
module: thor_edge
short_description: Take a configuration of edge or door into use, as a whole or not at all
description:
  - Writes the files into a directory of their own, lets nginx test them as its account, points
    C(/etc/thor/NAME/current) at them, reloads C(thor-NAME.service) and waits until no worker takes
    connections with the old ones. What is being answered is finished.
  - Where the unit's own condition keeps it from starting (a door beside an engine that has its port), the
    configuration is in place for the next start.
  - Where any of this fails, the configuration before stays, or comes back, and serves.
  - Where nginx is not installed, says so in RV(nginx) and changes nothing.
options:
  name: {description: Which one it is., type: str, choices: [edge, door], default: edge}
  state: {description: Whether there is one., type: str, choices: [present, absent], default: present}
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
- name: Take the door's settings into use
  thor_edge: {name: door, generation: 0123456789ab, files: {nginx.conf: "…"}}
  no_log: true

- name: Take keys and certificate into use
  thor_edge: "{{ thor_edge_settings | thorctl.thor.thor_edge_files }}"
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

UNITS = Path("/etc/systemd/system")
BRIDGE = "thor-bridge.socket"  # of the role thor_door: the socket of an engine that listens on TCP
NGINX = "/usr/sbin/nginx"
PATIENCE_SECONDS = 30.0
WORKER = b"nginx: worker process"


class Nginx:
    """The paths of edge or door; its account has the unit's name without suffix."""

    def __init__(self, name: str) -> None:
        self.account = f"thor-{name}"
        self.home = Path("/etc/thor") / name
        self.current = self.home / "current"
        self.run = Path("/run") / self.account
        self.unit = f"{self.account}.service"
        self.unit_files = (UNITS / self.unit, UNITS / "multi-user.target.wants" / self.unit)

    def gid(self) -> int:
        """Return the account's group, created by systemd-sysusers from the role's file if missing."""
        with suppress(KeyError):
            return pwd.getpwnam(self.account).pw_gid
        host.run("systemd-sysusers", f"/etc/sysusers.d/{self.account}.conf")
        return grp.getgrnam(self.account).gr_gid


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "choices": ["edge", "door"], "default": "edge"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "generation": {"type": "str"},
            "files": {"type": "dict", "no_log": True},
            "restart": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["generation", "files"])],
        supports_check_mode=True,
    )
    one = Nginx(module.params["name"])
    if module.params["state"] == "absent":
        absent(module, one)
    if not Path(NGINX).exists():
        module.exit_json(changed=True, ok=module.check_mode, nginx=False)
    generation, files = module.params["generation"], module.params["files"]
    at_work = serving(one) == generation or (serving(one) is None and is_kept_from_starting(one))
    if is_right(one, generation, files) and at_work and not module.params["restart"]:
        module.exit_json(changed=False, ok=True, nginx=True)
    if module.check_mode:
        module.exit_json(changed=True, ok=True, nginx=True)
    if module.params["name"] == "edge" and not (UNITS / BRIDGE).exists():
        fail(
            module,
            "the edge needs the engine's socket",
            f"{BRIDGE} is missing: run site.yml on this device first",
        )
    before = one.current.readlink().name if one.current.is_symlink() else None
    if not is_right(one, generation, files):
        write(one, generation, files)
    wrong = tested(one, generation)
    if wrong:
        if generation != before:
            shutil.rmtree(one.home / generation)
        fail(module, "nginx refuses the new configuration, the previous one stays", wrong)
    point_at(one, generation)
    wrong = take(one, generation, restart=module.params["restart"])
    if wrong:
        restore(one, before)
        if generation != before:
            shutil.rmtree(one.home / generation)
        fail(module, "the new configuration did not come into use, the previous one is restored", wrong)
    prune(one, generation)
    module.exit_json(changed=True, ok=True, nginx=True)


def absent(module: AnsibleModule, one: Nginx) -> None:
    """Stop the unit and remove its files."""
    there = one.home.exists() or any(os.path.lexists(path) for path in one.unit_files)
    if there and not module.check_mode:
        host.run("systemctl", "disable", "--now", one.unit)
        for path in one.unit_files:
            path.unlink(missing_ok=True)
        host.run("systemctl", "daemon-reload")
        shutil.rmtree(one.home, ignore_errors=True)
    module.exit_json(changed=there, ok=True, nginx=Path(NGINX).exists())


def is_right(one: Nginx, generation: str, files: dict[str, str]) -> bool:
    """Return whether the files in use are these, readable by root and the account only."""
    if not one.current.is_symlink() or one.current.readlink().name != generation:
        return False
    expected = [(one.home, 0o750), (one.home / generation, 0o750)]
    for name, content in files.items():
        path = one.current / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            return False
        expected.append((path, 0o640))
    gid = one.gid()
    return all(
        (status.st_mode & 0o777, status.st_uid, status.st_gid) == (mode, 0, gid)
        for path, mode in expected
        for status in (path.stat(),)
    )


def write(one: Nginx, generation: str, files: dict[str, str]) -> None:
    """Write the files of one generation durably, owned by root and readable by the account."""
    gid = one.gid()
    one.home.mkdir(mode=0o700, exist_ok=True)
    folder = one.home / generation
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchown(handle, 0, gid)
            os.fchmod(handle, 0o640)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for directory in (folder, one.home):
        os.chown(directory, 0, gid)
        directory.chmod(0o750)


def tested(one: Nginx, generation: str) -> str | None:
    """Test the configuration as nginx's account; return the error, or None."""
    one.run.mkdir(mode=0o700, exist_ok=True)
    if one.run.owner() != one.account:
        # Of an edge that an earlier version runs as root: it continues until its restart recreates this.
        shutil.chown(one.run, one.account, one.account)
        (one.run / "nginx.pid").unlink(missing_ok=True)
    # A port below 1024 needs the capability that the unit then has.
    ports = ("--inh-caps", "-all,+net_bind_service", "--ambient-caps", "-all,+net_bind_service")
    words = (NGINX, "-t", "-q", "-e", "stderr", "-c", str(one.home / generation / "nginx.conf"))
    become = ("setpriv", "--reuid", one.account, "--regid", one.account, "--clear-groups", *ports)
    done = host.run(*become, *words)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"


def point_at(one: Nginx, generation: str) -> None:
    """Switch ``current`` atomically."""
    new = one.home / ".current"
    new.unlink(missing_ok=True)
    new.symlink_to(generation)
    new.replace(one.current)


def take(one: Nginx, generation: str, *, restart: bool) -> str | None:
    """Make nginx read ``current``; return an error, or None once only the new generation serves."""
    host.run("systemctl", "enable", one.unit)
    old = workers(one)
    verb = "restart" if restart or not active(one) else "reload"
    done = host.run("systemctl", verb, one.unit)
    if done.returncode != 0:
        return f"systemctl {verb} {one.unit}: {done.stderr.strip()}\n{journal(one)}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if is_kept_from_starting(one) or (serving(one) == generation and not old & workers(one)):
            return None
        time.sleep(0.1)
    return f"it does not serve after {PATIENCE_SECONDS:g} s\n{journal(one)}"


def is_kept_from_starting(one: Nginx) -> bool:
    """Return whether the unit's own ExecCondition= has prevented its start."""
    result = host.run("systemctl", "show", "--property", "Result", "--value", one.unit).stdout
    return result.strip() == "exec-condition"


def restore(one: Nginx, before: str | None) -> None:
    """Restore the previous configuration, or none if there was none."""
    if before is None:
        host.run("systemctl", "disable", "--now", one.unit)
        one.current.unlink()
        return
    point_at(one, before)
    host.run("systemctl", "reload" if active(one) else "restart", one.unit)


def prune(one: Nginx, generation: str) -> None:
    """Remove all other generations."""
    for path in one.home.iterdir():
        if path.name not in (generation, one.current.name):
            shutil.rmtree(path, ignore_errors=True)


def serving(one: Nginx) -> str | None:
    """Return the generation reported by the workers that accept connections; None without an answer."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(5)
        try:
            asked.connect(str(one.run / "generation.sock"))
            asked.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with asked.makefile("rb") as answer:
                return answer.read(4096).decode(errors="replace").rpartition("\r\n")[2]
        except OSError:
            return None


def workers(one: Nginx) -> set[int]:
    """Return its workers that accept connections; nginx renames one that is shutting down."""
    main_pid = host.run("systemctl", "show", "--property", "MainPID", "--value", one.unit).stdout.strip()
    found = set()
    with suppress(OSError):
        for pid in Path(f"/proc/{main_pid}/task/{main_pid}/children").read_text(encoding="ascii").split():
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ") == WORKER:
                    found.add(int(pid))
    return found


def active(one: Nginx) -> bool:
    """Return whether the unit is active."""
    return host.run("systemctl", "is-active", "--quiet", one.unit).returncode == 0


def journal(one: Nginx) -> str:
    """Return nginx's last log lines (not the access log's); it is configured to quote no request in them."""
    words = ("--unit", one.unit, "--identifier", "nginx", "--lines", "5", "--no-pager", "--output", "cat")
    return host.run("journalctl", *words).stdout.strip()


def fail(module: AnsibleModule, what: str, words: str) -> None:
    """End the module with an error."""
    module.fail_json(msg=f"{what}:\n{words}", ok=False, nginx=True)


if __name__ == "__main__":
    main()
