"""A long verb on a device: begun detached, then polled, over connections that may break.

The device does the work and keeps the answer (``protocol.jobs``); what is here may be killed and repeated.
Agents of the version before have no detached verbs: theirs are called attached.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.protocol import foreign_json
from thorctl.protocol.decode import decode
from thorctl.protocol.encode import encode
from thorctl.protocol.jobs import END_SECONDS
from thorctl.protocol.progress import Progress
from thorctl.protocol.verbs import MINUTE, VERBS
from thorctl.remote.agent_call import agent_command, ask, become_of
from thorctl.remote.answer import Answer, is_before_detached_verbs, read_begun, read_result
from thorctl.remote.call import Call
from thorctl.remote.connections import Connections
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thorctl.inventory.devices import Device

WAIT_SECONDS = 30  # of one `result`, which is then repeated
ANSWER_SECONDS = 30.0  # beyond that, for the way there and back and a busy device
POLL_SECONDS = 2.0  # between two calls of `result`, however soon the first one ends
PROGRESS_SECONDS = 5
SILENCE_SECONDS = 300.0  # without an answer, before a device is given up
LOST = frozenset({"device_unreachable", "agent_timeout"})  # nothing usable came, and it may be repeated
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # between attempts to reach a device again; the last one repeats


@dataclass(frozen=True, slots=True)
class Task:
    """One verb for one device.

    Attributes:
        holder: the caller; None: the agent takes the SSH login.
        seconds: time limit of the verb, kept by the device; None: the verb's own.
        silence_seconds: how long the device may give no answer before it counts as unreachable.
        request: name of the job; a repeated request joins it.
    """

    device: Device
    call: Call
    holder: str | None = None
    seconds: float | None = None
    silence_seconds: float = SILENCE_SECONDS
    request: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def limit(self) -> float:
        """Time limit of the verb, in seconds."""
        return VERBS[self.call.verb].seconds if self.seconds is None else self.seconds


def run_tasks(
    tasks: Sequence[Task],
    *,
    limit: int = 50,
    on_answer: Callable[[Answer], None] | None = None,
    on_progress: Callable[[str, Mapping[str, object]], None] | None = None,
) -> list[Answer]:
    """Run verbs on devices, ``limit`` of them at once; return the answers in the order of ``tasks``.

    Args:
        on_answer: called with each answer as it comes.
        on_progress: called with the device's name and its progress.
    """

    async def all_of_them() -> list[Answer]:
        connections, gate = Connections(), asyncio.Semaphore(limit)

        async def one(task: Task) -> Answer:
            async with gate:
                answer = await run_task(task, connections, on_progress=on_progress)
            if on_answer:
                on_answer(answer)
            return answer

        try:
            return await asyncio.gather(*(one(task) for task in tasks))
        finally:
            await connections.close()

    return asyncio.run(all_of_them())


async def run_call(
    device: Device,
    call: Call,
    connections: Connections,
    *,
    holder: str | None = None,
    seconds: float | None = None,
    options: Sequence[str] = (),
    heard: Callable[[str], None] | None = None,
) -> Answer:
    """The answer to one call, which is waited for on the connection.

    Args:
        seconds: time limit; None: the verb's own.
        options: words before the verb.
        heard: called with each line of the log.
    """
    try:
        return await _call(
            device, call, connections, holder=holder, seconds=seconds, options=options, heard=heard
        )
    except ThorError as error:
        return _not_reached(device, error)


async def _call(
    device: Device,
    call: Call,
    connections: Connections,
    *,
    holder: str | None = None,
    seconds: float | None = None,
    options: Sequence[str] = (),
    heard: Callable[[str], None] | None = None,
) -> Answer:
    """As ``run_call``; raises the ThorError of a login that failed, before which nothing was asked."""
    async with connections.to(device) as connection:
        user = connection.get_extra_info("username")
        command = agent_command(user, call.verb, call.words, holder, become_of(connection), options=options)
        answer = await ask(
            connection, device.name, call.verb, command, stdin=call.stdin, timeout=seconds, heard=heard
        )
    if answer.error and answer.error.code in LOST:
        connections.discard(device)
    return answer


def _not_reached(device: Device, error: ThorError) -> Answer:
    return Answer(device.name, error=replace(Problem.of(error), device=device.name), reached=False)


async def run_task(
    task: Task,
    connections: Connections,
    *,
    on_progress: Callable[[str, Mapping[str, object]], None] | None = None,
) -> Answer:
    """Begin the verb and wait for its answer.

    The answer is ``interrupted`` if the device ended the verb without one, ``device_unreachable`` if it was
    silent for too long, and ``agent_timeout`` if it has not told an end long after the verb's limit.
    """
    started = time.monotonic()
    answer = await _Polling(task, connections, on_progress).answer()
    return replace(answer, seconds=time.monotonic() - started)


@dataclass
class _Polling:
    """One task: the calls for it, and whether one of them may have reached the device."""

    task: Task
    connections: Connections
    on_progress: Callable[[str, Mapping[str, object]], None] | None
    asked: bool = False

    async def answer(self) -> Answer:
        task, call = self.task, self.task.call
        options = ("--detach", "--request", task.request, "--limit", str(round(task.limit)))
        begun = await self._patiently(call, MINUTE, options)
        if is_before_detached_verbs(begun):
            return await run_call(task.device, call, self.connections, holder=task.holder, seconds=task.limit)
        job = read_begun(begun)
        if isinstance(job, Answer):
            return job
        until = time.monotonic() + task.limit + END_SECONDS
        result = Call("result", (job, "--wait", str(WAIT_SECONDS), "--progress", str(PROGRESS_SECONDS)))
        while True:
            asked = time.monotonic()
            told = await self._patiently(result, WAIT_SECONDS + ANSWER_SECONDS)
            found = read_result(told, call.verb, job)
            if isinstance(found, Answer):
                return found
            if found.progress:
                self._tell(found.progress)
            if time.monotonic() >= until:
                return Answer(task.device.name, error=_late(task))
            await asyncio.sleep(asked + POLL_SECONDS - time.monotonic())  # an agent that does not wait

    async def _patiently(self, call: Call, seconds: float, options: Sequence[str] = ()) -> Answer:
        """Repeat a call until the device answers, or has been silent for too long.

        A device that cannot be reached for the very first call is not waited for: nothing was begun.
        """
        task, heard, tries = self.task, time.monotonic(), 0
        while True:
            try:
                answer = await _call(
                    task.device, call, self.connections, holder=task.holder, seconds=seconds, options=options,
                    heard=self._hear,
                )  # fmt: skip
                self.asked = True
            except ThorError as error:
                answer = _not_reached(task.device, error)
            if answer.error is None or answer.error.code not in LOST or not self.asked:
                return answer
            if time.monotonic() - heard >= task.silence_seconds:
                return replace(answer, error=_silent(task, answer.error), reached=False)
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    def _hear(self, line: str) -> None:
        """A line that `result` writes while it waits."""
        if not line.startswith('{"progress"'):
            return
        with contextlib.suppress(ValueError, KeyError):
            self._tell(decode(Progress, foreign_json.read(line)["progress"]))

    def _tell(self, progress: Progress) -> None:
        if self.on_progress:
            self.on_progress(self.task.device.name, encode(progress))


def _silent(task: Task, last: Problem) -> Problem:
    return Problem(
        "device_unreachable",
        f"No answer for {task.silence_seconds:g} s while {task.call.verb} ran: {last.message}",
        f"Repeat the command once the device answers: {task.call.verb} continues there meanwhile.",
        task.device.name,
    )


def _late(task: Task) -> Problem:
    return Problem(
        "agent_timeout",
        f"{task.call.verb} has not ended within {task.limit:g} s, nor {END_SECONDS:g} s later.",
        f"See `thorctl status {task.device.name}` and `thorctl logs {task.device.name} --agent`.",
        task.device.name,
    )
