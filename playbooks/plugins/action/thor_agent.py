# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Controller side of thor_agent: select the agent, wait for long verbs, evaluate the answer."""

from __future__ import annotations

import getpass
import hashlib
import shlex
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from thorctl.ansible_plugins import check_mode
from thorctl.ansible_plugins import failure as explain
from thorctl.ansible_plugins.check_mode import stand_in
from thorctl.ansible_plugins.progress import progress_line, worth_showing
from thorctl.errors import ThorError
from thorctl.protocol.jobs import END_SECONDS, Result
from thorctl.protocol.paths import AGENT, AGENT_ARCHIVE
from thorctl.remote import agent_archive
from thorctl.remote.answer import Answer, is_before_detached_verbs, read_answer, read_begun, read_result
from thorctl.remote.call import Call, call_for
from thorctl.result import Problem
from thorctl.ui.printable import printable, printable_all

if TYPE_CHECKING:
    from thorctl.protocol.progress import Progress

MODULE = "thorctl.thor.thor_agent"  # the module of this name
WAIT_SECONDS = 5  # of one `result`: as often progress is shown
POLL_SECONDS = 2.0  # between two calls of `result`, however soon the first one ends
SILENT = frozenset({"device_unreachable", "agent_garbage", "agent_missing"})  # the connection broke
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
            answer = self._ask(runs)
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
        answer = read_answer(
            self._device, call.verb, said.get("exit_code"), said["said"], said.get("log") or ""
        )
        return self._wait(call, answer) if call.detached else answer

    def _run(self, call: Call, zipapp: str, only_if_sha256: str | None) -> dict[str, Any]:
        module_args = {
            "options": ["--detach", "--limit", str(self._timeout)] if call.detached else [],
            "verb": call.verb,
            "words": list(call.words),
            "stdin": call.stdin,
            "holder": self._holder,
            "zipapp": zipapp,
            "only_if_sha256": only_if_sha256,
        }
        said: dict[str, Any] = self._execute_module(MODULE, module_args, task_vars=self._vars)
        return said

    def _wait(self, call: Call, begun: Answer) -> Answer:
        """Return the answer of a detached verb, once it has ended.

        Raises:
            ThorError: ``agent_too_old``, ``unreachable`` or ``timeout``.
        """
        if is_before_detached_verbs(begun):
            raise ThorError(
                "agent_too_old",
                f"The agent of {self._device} does not know detached verbs, which {call.verb} needs.",
                "Install this thorctl's: ansible-playbook site.yml --tags thor_host.",
            )
        job = read_begun(begun)
        if isinstance(job, Answer):
            return job
        patience = int(self._task.args.get("unreachable_for") or 300)
        began = heard = shown_at = time.monotonic()
        shown: Progress | None = None
        while True:
            asked = time.monotonic()
            told = self._result_of(job)
            found = read_result(told, call.verb, job)
            now = time.monotonic()
            silent = isinstance(found, Answer) and told.error is not None and told.error.code in SILENT
            if isinstance(found, Answer) and not silent:
                return found
            if not silent:
                heard = now
            elif now - heard > patience:
                raise ThorError(
                    "unreachable",
                    f"{self._device} has not answered for {patience} s while {call.verb} ran.",
                    f"Run it again later: {call.verb} continues on the device, and what is done is kept.",
                )
            progress = found.progress if isinstance(found, Result) else None
            if progress and worth_showing(shown, progress, now - shown_at):
                self._say(progress_line(progress))
                shown, shown_at = progress, now
            if now - began > self._timeout + END_SECONDS:
                raise ThorError(
                    "timeout",
                    f"{call.verb} did not end within {self._timeout} s.",
                    "See `thorctl status` and the agent's events; a longer `timeout` may be all it needs.",
                )
            time.sleep(max(0.0, asked + POLL_SECONDS - time.monotonic()))

    def _result_of(self, job: str) -> Answer:
        """Return the state of the job; a module for each call would cost the device a second."""
        command = shlex.join([AGENT, "result", job, "--wait", str(WAIT_SECONDS)])
        try:
            seen = self._low_level_execute_command(command, sudoable=True)
        except AnsibleConnectionFailure as broken:
            self._connection.reset()
            problem = Problem("device_unreachable", f"{broken}", "Try again.", self._device)
            return Answer(self._device, error=problem, reached=False)
        said, log = (str(seen.get(key) or "") for key in ("stdout", "stderr"))
        return read_answer(self._device, "result", seen.get("rc"), said, log)

    def _say(self, text: str) -> None:
        self._display.display(printable(f"[{self._device}] {text}"))
