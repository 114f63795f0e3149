"""Run one playbook on a set of devices with ansible-runner: results as they arrive, a log per device.

A run stores everything in its own folder, readable by its owner only: ``vars.json``, ansible-runner's events
and output below ``artifacts/``, and ``devices/<name>.log``. The environment, which may have secrets, is
passed to Ansible and not stored. Host keys are verified.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible_runner

from thorctl.ansible_support import environment as ansible_environment
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

# ansible-runner's events for the end of a task on one host.
_ENDS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """The end of a task on a device.

    Attributes:
        outcome: ``ok``, ``failed``, ``unreachable`` or ``skipped``.
        action: the module, such as ``thor_agent``.
        result: the module's result without ``no_log`` values.
        role: the role of the task; '': none.
    """

    device: str
    task: str
    action: str
    outcome: str
    result: Mapping[str, Any] = field(default_factory=dict)
    role: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        exit_code: of ansible-playbook; None = it was ended from outside.
        failed, unreachable: devices in Ansible's recap, without rescued or ignored failures.
    """

    folder: Path
    exit_code: int | None
    failed: frozenset[str]
    unreachable: frozenset[str]

    def log(self, device: str) -> Path:
        """Return the path of the device's log."""
        return log_file(self.folder, device)


def log_file(folder: Path, device: str) -> Path:
    """Return the path of a device's log in a run's folder."""
    return folder / "devices" / f"{device}.log"


def run(
    playbook: str,
    *,
    playbooks: Path,
    inventory: Path,
    devices: Sequence[str],
    folder: Path,
    variables: Mapping[str, Any] | None = None,
    options: str = "",
    on_task: Callable[[TaskEnd], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Run:
    """Run ``<playbook>.yml`` on these devices concurrently, and wait for the end.

    Args:
        playbook: name without ``.yml``.
        playbooks: the folder of the playbook, with its ``ansible.cfg``.
        inventory: file or folder.
        devices: names in the inventory; at least one.
        folder: the run's own; created here, and must not exist.
        variables: extra variables; passed in a file, not as an argument.
        options: further arguments of ``ansible-playbook``, such as ``--skip-tags always``.
        on_task: called with each task's end on each device.
        cancelled: polled; True ends the run.

    Raises:
        ThorError: ``playbook_unknown``, ``inventory_missing``, ``run_folder``.
    """
    _check(playbook, playbooks, inventory)
    _make(folder)
    _dies_with_us(folder / "bin")
    with _private(folder / "vars.json") as file:
        json.dump(dict(variables or {}), file, ensure_ascii=False)
    book = _Book(folder, on_task)
    runner = ansible_runner.interface.init_runner(
        private_data_dir=str(folder),
        project_dir=str(playbooks.absolute()),
        playbook=f"{playbook}.yml",
        inventory=str(inventory.absolute()),
        limit=",".join(devices),
        forks=len(devices),
        cmdline=" ".join([f"-e @{folder / 'vars.json'}", options]).strip(),
        envvars={
            "PATH": os.pathsep.join([str(folder / "bin"), *_path()]),
            "ANSIBLE_CONFIG": str(playbooks.absolute() / "ansible.cfg"),
            # Explicit: ansible-runner disables it unless the environment sets it.
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_NOCOLOR": "1",
            **ansible_environment.starting(),
        },
        suppress_env_files=True,
        ident="run",
        quiet=True,
        event_handler=book.event,
        status_handler=lambda status, runner_config: _hide_environment(status, folder),  # noqa: ARG005 - its name
        cancel_callback=cancelled,
    )
    try:
        runner.run()
    finally:
        _hide_environment({"status": "running"}, folder)
        book.close()
    code = runner.rc if runner.status in {"successful", "failed"} else None
    return Run(folder, code, frozenset(book.failed), frozenset(book.unreachable))


class _Book:
    """A log per device, and the failed devices."""

    def __init__(self, folder: Path, on_task: Callable[[TaskEnd], None]) -> None:
        self._folder, self._on_task = folder, on_task
        self.failed: set[str] = set()
        self.unreachable: set[str] = set()
        self._logs: dict[str, TextIO] = {}

    def event(self, event: dict[str, Any]) -> bool:
        """Process an event of ansible-runner; return True to keep its file."""
        data = event.get("event_data") or {}
        if event.get("event") == "playbook_on_stats":
            self.failed, self.unreachable = set(data.get("failures") or ()), set(data.get("dark") or ())
        device = data.get("host")
        if not isinstance(device, str):
            return True
        text = _ESCAPES.sub("", str(event.get("stdout") or "")).strip("\r\n")
        if text:
            self._write(device, f"{data.get('start') or event.get('created')} {data.get('task')}\n{text}\n")
        end = task_end(event)
        if end is not None:
            self._on_task(end)
        return True

    def close(self) -> None:
        for log in self._logs.values():
            log.close()

    def _write(self, device: str, text: str) -> None:
        if device not in self._logs:
            self._logs[device] = _private(log_file(self._folder, device))
        self._logs[device].write(text)
        self._logs[device].flush()


def task_end(event: Mapping[str, Any]) -> TaskEnd | None:
    """Return the end of a task in an event of ansible-runner; None for another event."""
    outcome = _ENDS.get(str(event.get("event")))
    data = event.get("event_data") or {}
    if outcome is None or not isinstance(data.get("host"), str):
        return None
    result = data.get("res")
    return TaskEnd(
        device=data["host"],
        task=str(data.get("task") or ""),
        action=str(data.get("resolved_action") or data.get("task_action") or "").rpartition(".")[2],
        outcome=outcome,
        result=result if isinstance(result, dict) else {},
        role=str(data.get("role") or "").rpartition(".")[2],
    )


def _check(playbook: str, playbooks: Path, inventory: Path) -> None:
    if not (playbooks / f"{playbook}.yml").is_file():
        known = ", ".join(sorted(path.stem for path in playbooks.glob("*.yml")))
        raise ThorError(
            "playbook_unknown", f"There is no {playbooks / playbook}.yml.", f"Name one of: {known or 'none'}."
        )
    if not inventory.exists():
        raise ThorError(
            "inventory_missing", f"There is no inventory {inventory}.", "Name another one with -i."
        )


def _make(folder: Path) -> None:
    try:
        folder.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE)
        (folder / "devices").mkdir(mode=PRIVATE)
    except OSError as fault:
        raise ThorError(
            "run_folder",
            f"{folder} cannot be made: {fault.strerror}.",
            "Make room for it, or name another place with THORCTL_STATE_DIR.",
        ) from fault


def _path() -> list[str]:
    """Return the search path of programs: this environment's own Ansible first."""
    return [str(Path(sys.executable).parent), *os.environ.get("PATH", os.defpath).split(os.pathsep)]


def _dies_with_us(folder: Path) -> None:
    """Return an ansible-playbook that ends when this process is killed; otherwise it would wait forever.

    Its workers end with their present task.

    ansible-runner starts it on a terminal of its own, where it ignores our hang-up. Without setpriv
    (util-linux: every Linux) it is started unchanged.
    """
    tool, setpriv = Path(sys.executable).with_name("ansible-playbook"), shutil.which("setpriv")
    if setpriv is None:
        return
    folder.mkdir(mode=PRIVATE)
    words = shlex.join([setpriv, "--pdeathsig", "KILL", "--", str(tool)])
    shim = folder / "ansible-playbook"
    with _private(shim) as file:
        file.write(f'#!/bin/sh\nexec {words} "$@"\n')
    shim.chmod(PRIVATE)


def _private(file: Path) -> TextIO:
    """Create a file that only its owner can read."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def _hide_environment(status: Mapping[str, Any], folder: Path) -> None:
    """Remove the file of the whole environment that ansible-runner writes; nothing reads it."""
    if status.get("status") == "running":
        (folder / "artifacts" / "run" / "command").unlink(missing_ok=True)
