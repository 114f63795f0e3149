"""One playbook on a set of devices, by ansible-runner: results as they come, a log for each device.

A run keeps everything in a folder of its own that only its owner may read: ``vars.json``, ansible-runner's
events and output below ``artifacts/``, and ``devices/<name>.log``. The environment, which may hold secrets,
is handed on to Ansible and kept nowhere. Host keys are verified.
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

# Of ansible-runner's events, those that tell how a task ended on one host.
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
    """How a task ended on a device.

    Attributes:
        outcome: ``ok``, ``failed``, ``unreachable`` or ``skipped``.
        action: the module, such as ``thor_agent``.
        result: what the module returned; Ansible has taken out what is ``no_log``.
        role: the role that the task is of; empty: none.
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
        failed, unreachable: devices, as Ansible's recap counts them: without what was rescued or ignored.
    """

    folder: Path
    exit_code: int | None
    failed: frozenset[str]
    unreachable: frozenset[str]

    def log(self, device: str) -> Path:
        """Where the device's log lies."""
        return log_file(self.folder, device)


def log_file(folder: Path, device: str) -> Path:
    """The log of a device in a run's folder."""
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
    """Runs ``<playbook>.yml`` on these devices, all at once, and waits for the end.

    Args:
        playbook: name without ``.yml``.
        playbooks: the folder it lies in, with the ``ansible.cfg`` that holds for it.
        inventory: file or folder.
        devices: names in the inventory; at least one.
        folder: the run's own; made here, and must not exist.
        variables: extra variables; they go through a file, not through an argument.
        options: further words of ``ansible-playbook``, such as ``--skip-tags always``.
        on_task: called with each task's end on each device as it comes.
        cancelled: asked all the time; True ends the run.

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
            # Said outright: ansible-runner turns it off wherever the environment does not name it.
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
    """Keeps a log for each device, and who failed."""

    def __init__(self, folder: Path, on_task: Callable[[TaskEnd], None]) -> None:
        self._folder, self._on_task = folder, on_task
        self.failed: set[str] = set()
        self.unreachable: set[str] = set()
        self._logs: dict[str, TextIO] = {}

    def event(self, event: dict[str, Any]) -> bool:
        """One of ansible-runner's events; True keeps its file."""
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
    """The end of a task that an event of ansible-runner tells; None if it tells something else."""
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
    """Where programs are found: this environment's own Ansible first, wherever thorctl was called from."""
    return [str(Path(sys.executable).parent), *os.environ.get("PATH", os.defpath).split(os.pathsep)]


def _dies_with_us(folder: Path) -> None:
    """An ansible-playbook that ends when we are killed; without a controller it would wait for ever.

    Its workers end with the task they are at.

    ansible-runner starts it on a terminal of its own, deaf to the hang-up that our end is. Where there is no
    setpriv (util-linux: every Linux), it starts as it is.
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
    """A new file that only its owner can read."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def _hide_environment(status: Mapping[str, Any], folder: Path) -> None:
    """ansible-runner writes the whole environment into a file before it starts; nothing reads it."""
    if status.get("status") == "running":
        (folder / "artifacts" / "run" / "command").unlink(missing_ok=True)
