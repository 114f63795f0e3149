"""The answer of one device: the agent's object, or the reason why there is none.

An Answer is made of exit code, stdout and stderr. Anything but exactly one well-formed object of the called
verb is a failure; nothing is guessed from unreadable text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from thorctl.protocol import foreign_json
from thorctl.protocol.decode import Malformed
from thorctl.protocol.jobs import NAME, RUNNING, Begun, Result
from thorctl.protocol.paths import AGENT
from thorctl.protocol.status import Status
from thorctl.remote import earlier
from thorctl.result import Exit, Problem
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
AGENT_SCHEMA = 1
QUOTED_CHARACTERS = 160  # how much of an unreadable answer an error quotes

_SUDO_PASSWORD = re.compile(r"sudo: .*(password is required|terminal is required|askpass)", re.IGNORECASE)
_SUDO_REFUSED = re.compile(r"sudo: |is not in the sudoers|not allowed to execute", re.IGNORECASE)
_NOT_FOUND = re.compile(r"not found|No such file or directory|can't open file", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """One device's answer to one verb.

    Attributes:
        device: its name in the inventory.
        object: the agent's JSON object, or None if the device could not be asked or its answer not be read.
        error: None exactly when the agent reported success.
        reached: whether the login on the device succeeded.
        seconds: from the first packet to the last, on the controller's clock.
    """

    device: str
    object: dict[str, Any] | None = None
    error: Problem | None = None
    reached: bool = True
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the agent did what it was asked."""
        return self.error is None

    def get(self, kind: type[T]) -> T | None:
        """The data as an instance of the verb's class; None if there is none, or it is none of that class."""
        if self.object is None:
            return None
        try:
            return earlier.read(kind, self.data)
        except Malformed:
            return None

    @property
    def data(self) -> dict[str, Any]:
        """The agent's data; empty when there is none."""
        data = (self.object or {}).get("data")
        return data if isinstance(data, dict) else {}


def exit_code_for_answers(answers: Sequence[Answer]) -> int:
    """0 all did it, 3 some, 4 none and each because another holder has the device, else 1."""
    failed = [answer.error.code for answer in answers if answer.error]
    if not failed:
        return Exit.SUCCESS
    if len(failed) < len(answers):
        return Exit.PARTIAL
    return Exit.LEASED if all(code in {"leased", "busy"} for code in failed) else Exit.ERROR


def read_answer(device: str, verb: str, exit_code: int | None, stdout: str, stderr: str) -> Answer:
    """Reads what ``thor-agent VERB`` printed. ``exit_code`` is None when a signal ended it."""
    try:
        parsed = foreign_json.read_writable(stdout)
    except ValueError:
        return Answer(device, error=_no_object(device, exit_code, stdout, stderr))
    fault = _fault(parsed, verb, exit_code)
    if fault:
        return Answer(device, error=garbage(device, fault))
    if parsed["ok"]:
        malformed = _malformed(verb, parsed["data"])
        if malformed:
            return Answer(device, error=garbage(device, malformed))
        return Answer(device, object=parsed)
    return Answer(device, object=parsed, error=_agent_problem(device, verb, parsed["error"]))


def _malformed(verb: str, data: dict[str, object]) -> str | None:
    """The first field of a status that is not as the contract has it; ``Answer.get`` reads the others."""
    try:
        if verb == "status":
            earlier.read(Status, data)
    except Malformed as fault:
        return str(fault)
    return None


def is_before_detached_verbs(answer: Answer) -> bool:
    """Whether the agent is of the version before: it does not know the option, so it came to no verb."""
    found = answer.object or {}
    return answer.error is not None and answer.error.code == "bad_call" and found.get("verb") == "?"


def read_begun(answer: Answer) -> str | Answer:
    """The job that a call has begun; else its answer, which is a failure."""
    if answer.error:
        return answer
    begun = answer.get(Begun)
    if begun is None or not NAME.fullmatch(begun.job):
        return Answer(answer.device, error=garbage(answer.device, "it names no job"))
    return begun.job


def read_result(told: Answer, verb: str, job: str) -> Result | Answer:
    """Return the state of a running job; otherwise the verb's answer, or the reason why there is none."""
    if told.error:
        return told
    found = told.get(Result)
    if found is None or (found.job, found.verb) != (job, verb):
        return Answer(told.device, error=garbage(told.device, f"it has no result of {verb}, job {job}"))
    if found.state == RUNNING:
        return found
    return read_answer(told.device, verb, found.exit_code, json.dumps(found.answer), "")


def _fault(parsed: object, verb: str, exit_code: int | None) -> str | None:
    """What is wrong with an object's shape, or None."""
    if not isinstance(parsed, dict):
        return f"it printed {quoted(json.dumps(parsed))}, not an object"
    ok, data, error = parsed.get("ok"), parsed.get("data"), parsed.get("error")
    tells_how = isinstance(error, dict) and isinstance(error.get("code"), str)
    # A bad call is refused before it has a verb.
    other_verb = parsed.get("verb") != verb and ok is not False
    faults = {
        f"it speaks schema {parsed.get('schema')!r}, this thorctl schema {AGENT_SCHEMA}": (
            parsed.get("schema") != AGENT_SCHEMA
        ),
        f"it answered {parsed.get('verb')!r}, asked for {verb!r}": other_verb,
        "its object has no valid `ok`": not isinstance(ok, bool),
        f"it said ok but exited with {exit_code}": ok is True and exit_code != 0,
        "it said ok but sent no data": ok is True and not isinstance(data, dict),
        "it said it failed but exited with 0": ok is False and exit_code == 0,
        "it said it failed but not how": ok is False and not tells_how,
    }
    return next((fault for fault, found in faults.items() if found), None)


def _agent_problem(device: str, verb: str, error: dict[str, Any]) -> Problem:
    message = str(error.get("message") or f"{verb} failed.")
    remedy = for_device(str(error.get("remedy") or "See `thorctl logs DEVICE --agent`."), device)
    return Problem(error["code"], message, remedy, device)


def for_device(remedy: str, device: str) -> str:
    """An agent's remedy with the name that the device, which does not know it, has in the inventory."""
    return re.sub(r"\bDEVICE\b", lambda _: device, remedy)


def garbage(device: str, fault: str) -> Problem:
    """The error of an answer that is not what was asked for."""
    return Problem(
        "agent_garbage",
        f"The agent's answer is invalid: {fault}.",
        f"Install this thorctl's agent: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
        device,
    )


def _no_object(device: str, exit_code: int | None, stdout: str, stderr: str) -> Problem:
    if _SUDO_PASSWORD.search(stderr):
        return Problem(
            "sudo_password",
            "The agent needs root, and sudo on the device asks for a password.",
            f"Give the login user NOPASSWD for {AGENT} in /etc/sudoers.d, or the password in "
            "ansible_become_password (vaulted), or set ansible_user=root.",
            device,
        )
    if not stdout.strip() and _NOT_FOUND.search(stderr):
        return Problem(
            "agent_missing",
            f"There is no working {AGENT} on the device.",
            f"Install it: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
            device,
        )
    if _SUDO_REFUSED.search(stderr):
        return Problem(
            "sudo_refused",
            f"sudo refused to run the agent: {quoted(stderr)}",
            f"Allow the login user to run {AGENT} in /etc/sudoers.d, or set ansible_user=root.",
            device,
        )
    said = quoted(stdout) if stdout.strip() else "nothing"
    ended = "was killed" if exit_code is None else f"exited with {exit_code}"
    tail = f", and on stderr {quoted(last_line(stderr))}" if stderr.strip() else ""
    return Problem(
        "agent_garbage",
        f"The agent's answer cannot be read: it {ended} and printed {said}{tail}.",
        "If a shell start file of the login user prints text, make it quiet; else run `cd playbooks "
        f"&& ansible-playbook site.yml --limit {device}`.",
        device,
    )


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def quoted(text: str) -> str:
    """``text`` as one printable line, cut short, in quotation marks."""
    line = one_line(text)
    if len(line) > QUOTED_CHARACTERS:
        line = line[:QUOTED_CHARACTERS] + "…"
    return f'"{line}"'
