"""Run a read-only verb with this thorctl's own agent on a device without an agent, or with another one.

If the same agent is installed, it answers. Otherwise ours is sent with the call: it is in a temporary
directory of the device for that call, and nothing else changes there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from thorctl.errors import ThorError
from thorctl.protocol.paths import AGENT_ARCHIVE
from thorctl.remote import agent_archive
from thorctl.remote.agent_call import agent_command, as_root, ask, become_of, run_bounded
from thorctl.remote.answer import Answer
from thorctl.remote.ssh import CONNECT_TIMEOUT, connect
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.inventory.devices import Device

SHA256SUM_LIMIT = 4096  # characters of its one line
SHA256SUM_SECONDS = 30.0  # for one file of 300 KB on a busy device
# The agent in base64 is the first line of stdin, the verb's own input the rest. -I: neither the working
# directory nor the environment nor a user's site-packages adds code. /run is root's, whatever TMPDIR is.
LOADER = """\
import base64, os, subprocess, sys, tempfile
agent, _, rest = sys.stdin.buffer.read().partition(b"\\n")
run = "/run" if os.geteuid() == 0 else None
with tempfile.TemporaryDirectory(prefix="thorctl-", dir=run) as place:
    path = os.path.join(place, "agent.pyz")
    with open(path, "wb") as file:
        file.write(base64.b64decode(agent))
    sys.exit(subprocess.run([sys.executable, "-I", path, *sys.argv[1:]], input=rest).returncode)
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A read-only verb for one device: its arguments and its stdin."""

    device: Device
    verb: str
    words: tuple[str, ...] = ()
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Zipapp:
    """The bytes of our agent."""

    content: bytes

    @classmethod
    def packed(cls) -> Zipapp:
        """Return the agent of this thorctl."""
        with tempfile.TemporaryDirectory(prefix="thorctl-") as scratch:
            return cls(agent_archive.build(Path(scratch) / "agent.pyz").read_bytes())

    @property
    def sha256(self) -> str:
        """The hash by which an installed agent is recognised as the same."""
        return hashlib.sha256(self.content).hexdigest()

    def carrying(self, stdin: str) -> str:
        """Return the stdin of LOADER."""
        return f"{base64.b64encode(self.content).decode()}\n{stdin}"


def look(
    questions: Sequence[Question],
    *,
    limit: int = 50,
    connect_timeout: float = CONNECT_TIMEOUT,
    timeout: float | None = None,
    on_answer: Callable[[Answer], None] | None = None,
) -> list[Answer]:
    """Return the answers, in the order of ``questions``; see ``agent_call.run_verb`` for the arguments."""
    return asyncio.run(
        look_async(
            questions, limit=limit, connect_timeout=connect_timeout, timeout=timeout, on_answer=on_answer
        )
    )


async def look_async(
    questions: Sequence[Question],
    *,
    limit: int = 50,
    connect_timeout: float = CONNECT_TIMEOUT,
    timeout: float | None = None,  # noqa: ASYNC109 - becomes an Answer, not an exception
    on_answer: Callable[[Answer], None] | None = None,
) -> list[Answer]:
    """Do the same as ``look`` in a running event loop."""
    if not questions:
        return []
    gate, ours = asyncio.Semaphore(limit), Zipapp.packed()

    async def one(question: Question) -> Answer:
        async with gate:
            started = time.monotonic()
            try:
                async with connect(question.device, connect_timeout) as connection:
                    answer = await _ask(connection, question, ours, timeout)
            except ThorError as error:
                answer = Answer(question.device.name, error=Problem.of(error), reached=False)
            answer = replace(answer, seconds=time.monotonic() - started)
        if on_answer:
            on_answer(answer)
        return answer

    return await asyncio.gather(*(one(question) for question in questions))


async def _ask(
    connection: asyncssh.SSHClientConnection,
    question: Question,
    ours: Zipapp,
    timeout: float | None = None,  # noqa: ASYNC109 - as above
) -> Answer:
    user, name, verb = connection.get_extra_info("username"), question.device.name, question.verb
    if await _installed(connection) == ours.sha256:
        command = agent_command(user, verb, question.words, become=become_of(connection))
        return await ask(connection, name, verb, command, stdin=question.stdin, timeout=timeout)
    command = as_root(user, ("python3", "-I", "-c", LOADER, verb, *question.words), become_of(connection))
    answer = await ask(connection, name, verb, command, stdin=ours.carrying(question.stdin), timeout=timeout)
    return replace(answer, error=_explained(answer.error))


def _explained(problem: Problem | None) -> Problem | None:
    """Adapt a shipped agent's failure: python3 under sudo starts it, not the installed agent."""
    if problem is None or problem.code not in {"agent_missing", "sudo_password", "sudo_refused"}:
        return problem
    if problem.code == "agent_missing":
        return Problem(
            "python_missing",
            "The device has no python3, which the agent needs.",
            "Install it on the device (3.10 or newer): `sudo apt-get install python3`.",
            problem.device,
        )
    remedy = (
        "Allow the login user python3 with NOPASSWD in /etc/sudoers.d, or set ansible_user=root. Or "
        "install this thorctl's agent: `cd playbooks && ansible-playbook site.yml --tags thor_host "
        f"--ask-become-pass --limit {problem.device}`."
    )
    return replace(problem, remedy=remedy)


async def _installed(connection: asyncssh.SSHClientConnection) -> str | None:
    """Return the SHA-256 of the installed agent; None if there is none, or it cannot be read."""
    try:
        async with asyncio.timeout(SHA256SUM_SECONDS):
            code, stdout, _ = await run_bounded(connection, f"sha256sum {AGENT_ARCHIVE}", SHA256SUM_LIMIT)
    except (TimeoutError, asyncssh.Error, OSError, ThorError):
        return None
    words = stdout.split()
    return words[0] if code == 0 and words else None
