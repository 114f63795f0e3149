# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Controller side of thor_agent: select the agent, wait for long verbs, evaluate the answer."""

from __future__ import annotations

import getpass
import hashlib
import os.path
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from thorctl.ansible_plugins import check_mode
from thorctl.ansible_plugins import failure as explain
from thorctl.ansible_plugins.check_mode import stand_in
from thorctl.ansible_plugins.poll import Look, look_command, read_look
from thorctl.ansible_plugins.progress import progress_line, worth_showing
from thorctl.errors import ThorError
from thorctl.protocol.paths import AGENT_ARCHIVE
from thorctl.remote import agent_archive
from thorctl.remote.answer import Answer, read_answer
from thorctl.remote.call import Call, call_for
from thorctl.ui.printable import printable, printable_all

MODULE = "thorctl.thor.thor_agent"  # the module of this name
LOOK_EVERY_SECONDS = 2
WAIT_SECONDS = 10
TIMEOUT_SECONDS = 21600  # six hours: 24 GB over 10 Mb/s take five and a half


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See ``ansible-doc -t module thor_agent``."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(
        {"verb", "release", "arguments", "timeout", "unreachable_for", "holder", "installed"}
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the agent's object as an Ansible result; failed unless it is readable and successful.

        It contains no character that controls the terminal.
        """
        result: dict[str, Any] = printable_all(self._result(tmp, task_vars))
        return result

    def _result(self, tmp: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._device = str(self._vars.get("inventory_hostname", "device"))
        args = self._task.args
        release = args.get("release")
        try:
            asked = call_for(str(args.get("verb")), release, args.get("arguments") or [])
            runs = stand_in(asked, release) if self._task.check_mode else asked
            if asked is runs and self._task.diff and release and check_mode.shows_diff(asked.verb):
                plan = self._ask(stand_in(asked, release))
                result["diff"] = [] if plan.error else check_mode.diffs(asked.verb, plan.data)
            answer = self._ask_patiently(runs)
        except ThorError as error:
            return result | {
                "failed": True,
                "code": error.code,
                "msg": f"{error.code}: {error.message} — {error.remedy}",
            }
        return result | self._judged(asked, runs, answer)

    @property
    def _holder(self) -> str:
        return self._task.args.get("holder") or f"{getpass.getuser()}@{socket.gethostname()}"

    @property
    def _timeout(self) -> int:
        return int(self._task.args.get("timeout") or TIMEOUT_SECONDS)

    def _judged(self, asked: Call, runs: Call, answer: Answer) -> dict[str, Any]:
        judged: dict[str, Any] = {
            "changed": bool((answer.object or {}).get("changed")),
            "agent": answer.object,
        }
        if asked.verb == "smoke" and runs.verb == "smoke":
            for generation in answer.data.get("generations") or []:
                self._say(explain.generation_line(generation))
        if answer.error is not None:
            return judged | {"failed": True, "code": answer.error.code, "msg": explain.failure_text(answer)}
        if runs is not asked:
            judged["changed"] = check_mode.would_change(asked.verb, runs.verb, answer.data)
            if runs.verb == "plan":
                judged["diff"] = check_mode.diffs(asked.verb, answer.data)
        return judged

    def _ask_patiently(self, call: Call) -> Answer:
        """Call the agent as ``_ask``; if an interrupted run still does the same there, wait for it."""
        until = time.monotonic() + self._timeout
        answer = self._ask(call)
        while explain.busy_with(answer) == (call.verb, self._holder) and time.monotonic() < until:
            self._say(f"{call.verb} is still running there from an earlier run: waiting for it")
            time.sleep(WAIT_SECONDS)
            answer = self._ask(call)
        return answer

    def _ask(self, call: Call) -> Answer:
        """Run one verb with the installed agent, or a read-only one with a shipped agent if necessary.

        With ``installed`` the installed agent answers, whichever it is.
        """
        may_ship = call.reads_only and not boolean(self._task.args.get("installed", False))
        with tempfile.TemporaryDirectory(prefix="thorctl-") as scratch:
            zipapp = agent_archive.build(Path(scratch) / "agent.pyz")
            ours = hashlib.sha256(zipapp.read_bytes()).hexdigest() if may_ship else None
            said = self._run(call, AGENT_ARCHIVE, ours)
            if said.get("ran") is False and may_ship:
                self._make_tmp_path()
                shipped = self._connection._shell.join_path(self._connection._shell.tmpdir, "agent.pyz")
                self._transfer_file(str(zipapp), shipped)
                said = self._run(call, shipped, ours)
        if said.get("ran") is False:
            raise ThorError(
                "agent_missing",
                f"There is no {AGENT_ARCHIVE} on {self._device}.",
                "Install it: ansible-playbook site.yml --tags thor_host.",
            )
        if not isinstance(said.get("said"), str):
            raise ThorError(
                "agent_garbage",
                f"{call.verb} gave no result: {said.get('msg') or said.get('module_stderr') or said}",
                "Run it again with -vvv; the device's state is unknown until it answers.",
            )
        return read_answer(
            self._device, call.verb, said.get("exit_code"), said["said"], said.get("log") or ""
        )

    def _run(self, call: Call, zipapp: str, only_if_sha256: str | None) -> dict[str, Any]:
        module_args = {
            "verb": call.verb,
            "words": list(call.words),
            "stdin": call.stdin,
            "holder": self._holder,
            "zipapp": zipapp,
            "only_if_sha256": only_if_sha256,
        }
        if call.detached:
            return self._run_detached(call, module_args)
        said: dict[str, Any] = self._execute_module(MODULE, module_args, task_vars=self._vars)
        return said

    def _run_detached(self, call: Call, module_args: dict[str, Any]) -> dict[str, Any]:
        """Run the verb with Ansible's async_wrapper, so that it outlives this SSH connection."""
        self._task.async_val = self._timeout
        try:
            started = self._execute_module(MODULE, module_args, task_vars=self._vars, wrap_async=True)
        finally:
            self._task.async_val = 0
        if not started.get("results_file"):
            return dict(started)
        self._wait(call, started["results_file"])
        job = {"jid": started["ansible_job_id"], "_async_dir": os.path.dirname(started["results_file"])}  # noqa: PTH120
        said: dict[str, Any] = self._execute_module(
            "ansible.legacy.async_status", {**job, "mode": "status"}, task_vars=self._vars
        )
        self._execute_module("ansible.legacy.async_status", {**job, "mode": "cleanup"}, task_vars=self._vars)
        return said

    def _wait(self, call: Call, results_file: str) -> None:
        """Return once the result is written.

        Raises:
            ThorError: ``unreachable``, ``rebooted`` or ``timeout``; the text names what continues.
        """
        patience = int(self._task.args.get("unreachable_for") or 300)
        began = heard = shown_at = time.monotonic()
        shown: dict[str, Any] | None = None
        boot = ""
        while True:
            look = self._look(results_file)
            now = time.monotonic()
            if look is not None:
                heard, boot = now, boot or look.boot
                if look.finished:
                    return
                if look.boot != boot:
                    raise ThorError(
                        "rebooted",
                        f"{self._device} restarted while {call.verb} ran.",
                        "Check its state with `thorctl status`, then run it again: it recovers by itself.",
                    )
                if look.progress and worth_showing(shown, look.progress, now - shown_at):
                    self._say(progress_line(look.progress))
                    shown, shown_at = look.progress, now
            if now - heard > patience:
                raise ThorError(
                    "unreachable",
                    f"{self._device} has not answered for {patience} s while {call.verb} ran.",
                    f"Run it again later: {call.verb} continues on the device, and what is done is kept.",
                )
            if now - began > self._timeout + 60:
                raise ThorError(
                    "timeout",
                    f"{call.verb} did not end within {self._timeout} s.",
                    "See `thorctl status` and the agent's events; a longer `timeout` may be all it needs.",
                )
            time.sleep(LOOK_EVERY_SECONDS)

    def _look(self, results_file: str) -> Look | None:
        try:
            seen = self._low_level_execute_command(look_command(results_file), sudoable=True)
        except AnsibleConnectionFailure:
            self._connection.reset()
            return None
        return read_look(str(seen.get("stdout", "")))

    def _say(self, text: str) -> None:
        self._display.display(printable(f"[{self._device}] {text}"))
