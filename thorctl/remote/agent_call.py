"""Call one verb of the agent on many devices over SSH: one connection per device, limited concurrency.

A device that fails in any way gives an Answer with a Problem; only programming errors are raised.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncssh

from thorctl.errors import ThorError
from thorctl.inventory.devices import Become
from thorctl.protocol.paths import AGENT
from thorctl.protocol.verbs import VERBS
from thorctl.remote.answer import Answer, last_line, quoted, read_answer
from thorctl.remote.ssh import BECOME, CONNECT_TIMEOUT, connect
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.inventory.devices import Device

STDOUT_LIMIT = 4 * 1024 * 1024  # characters; the largest genuine answer is a smoke report of some 100 KB
NO_PASSWORD = Become()
# Markers on stderr of `as_root` with a password: sudo's prompt; the start of the command.
PROMPT, READY = "thorctl-asks-for-the-password:", "thorctl-is-root"
STDERR_LIMIT = 64 * 1024  # bytes kept of the log, for error messages


def run_verb(
    devices: Sequence[Device],
    verb: str,
    args: Sequence[str] = (),
    *,
    stdin: str | None = None,
    holder: str | None = None,
    limit: int = 50,
    connect_timeout: float = CONNECT_TIMEOUT,
    timeout: float | None = None,
    on_answer: Callable[[Answer], None] | None = None,
    on_line: Callable[[str, str], None] | None = None,
) -> list[Answer]:
    """Run ``thor-agent VERB ARGS`` on every device; return answers in the order of ``devices``.

    Args:
        stdin: text for the verb's standard input, such as a release document.
        holder: holder of the lease; None leaves it to the agent (the SSH login).
        limit: number of concurrent devices.
        connect_timeout: seconds until logged in.
        timeout: seconds for the verb itself; None: the verb's own (``protocol.verbs``).
        on_answer: called with each answer as it arrives.
        on_line: called with the device's name and each line of its log.
    """
    return asyncio.run(
        run_verb_async(
            devices,
            verb,
            args,
            stdin=stdin,
            holder=holder,
            limit=limit,
            connect_timeout=connect_timeout,
            timeout=timeout,
            on_answer=on_answer,
            on_line=on_line,
        )
    )


async def run_verb_async(
    devices: Sequence[Device],
    verb: str,
    args: Sequence[str] = (),
    *,
    stdin: str | None = None,
    holder: str | None = None,
    limit: int = 50,
    connect_timeout: float = CONNECT_TIMEOUT,
    timeout: float | None = None,  # noqa: ASYNC109 - part of the answer's contract, not of the caller's scope
    on_answer: Callable[[Answer], None] | None = None,
    on_line: Callable[[str, str], None] | None = None,
) -> list[Answer]:
    """Do the same as ``run_verb`` in a running event loop."""
    gate = asyncio.Semaphore(limit)

    async def one(device: Device) -> Answer:
        async with gate:
            started = time.monotonic()
            try:
                async with connect(device, connect_timeout) as connection:
                    user = connection.get_extra_info("username")
                    command = agent_command(user, verb, args, holder, become_of(connection))
                    heard = partial(on_line, device.name) if on_line else None
                    answer = await ask(
                        connection, device.name, verb, command, stdin=stdin, timeout=timeout, heard=heard
                    )
            except ThorError as error:
                answer = Answer(device.name, error=Problem.of(error), reached=False)
            answer = replace(answer, seconds=time.monotonic() - started)
        if on_answer:
            on_answer(answer)
        return answer

    return await asyncio.gather(*(one(device) for device in devices))


def as_root(user: str, words: Sequence[str], become: Become = NO_PASSWORD) -> str:
    """Return a shell command that runs ``words`` as root. Without a password it fails instead of asking."""
    if user == "root":
        return shlex.join(("env", "LC_ALL=C", *words))
    sudo = ("env", "LC_ALL=C", become.program, *become.flags)
    if become.password is None:
        return shlex.join((*sudo, "-n", "--", *words))
    announce = ("/bin/sh", "-c", f'echo {READY} >&2; exec "$@"', "sh")
    return shlex.join((*sudo, "-S", "-p", PROMPT, "--", *announce, *words))


def agent_command(
    user: str,
    verb: str,
    args: Sequence[str],
    holder: str | None = None,
    become: Become = NO_PASSWORD,
    *,
    options: Sequence[str] = (),
) -> str:
    """Return the shell command for one verb; ``options`` precede it."""
    who = ("--holder", holder) if holder else ()
    return as_root(user, (AGENT, *who, *options, verb, *args), become)


def become_of(connection: asyncssh.SSHClientConnection) -> Become:
    """Return how the login of ``connection`` becomes root."""
    return connection.get_extra_info(BECOME) or NO_PASSWORD


async def start(
    connection: asyncssh.SSHClientConnection, command: str, **arguments: Any
) -> asyncssh.SSHClientProcess[Any]:
    """Start a command of ``as_root``; pass the password to sudo only when it asks.

    Args:
        arguments: of ``create_process``; stdin may be ``asyncssh.DEVNULL``.

    Raises:
        ThorError: ``sudo_password``, ``sudo_refused``.
        asyncssh.Error, OSError: the connection failed.
    """
    password = become_of(connection).password
    if password is None or READY not in command:
        return await connection.create_process(command, **arguments)
    silent = arguments.get("stdin") == asyncssh.DEVNULL
    process = await connection.create_process(command, **arguments | {"stdin": asyncssh.PIPE})
    try:
        await _answer_sudo(process, password, binary=arguments.get("encoding", "") is None)
    except BaseException:
        process.close()
        raise
    if silent:
        process.stdin.write_eof()
    return process


async def _answer_sudo(process: asyncssh.SSHClientProcess[Any], password: str, *, binary: bool) -> None:
    def coded(text: str) -> Any:
        return text.encode() if binary else text

    for asked in (False, True):
        try:
            said = await process.stderr.readuntil((coded(PROMPT), coded(f"{READY}\n")))
        except asyncio.IncompleteReadError as end:
            said = end.partial.decode(errors="replace") if isinstance(end.partial, bytes) else end.partial
            raise ThorError(
                "sudo_refused",
                f"sudo on the device did not start the command: {quoted(last_line(said))}",
                "Allow the login user to run commands as root in /etc/sudoers, or set ansible_user=root.",
            ) from None
        if not said.endswith(coded(PROMPT)):
            return
        if not asked:
            process.stdin.write(coded(f"{password}\n"))
    raise ThorError(
        "sudo_password",
        "sudo on the device does not accept the password of ansible_become_password.",
        "Correct ansible_become_password in the inventory's vault, or give the login user NOPASSWD in "
        "/etc/sudoers.d.",
    )


async def ask(
    connection: asyncssh.SSHClientConnection,
    device: str,
    verb: str,
    command: str,
    *,
    stdin: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - becomes an Answer, not an exception
    heard: Callable[[str], None] | None = None,
) -> Answer:
    """Run one command on an open connection and read its answer; ``heard`` gets each line of its log."""
    limit = VERBS[verb].seconds if timeout is None else timeout
    try:
        async with asyncio.timeout(limit):
            return await _ask(connection, device, verb, command, stdin=stdin, heard=heard)
    except TimeoutError:
        return Answer(device, error=_late(device, verb, limit))
    except ThorError as error:
        return Answer(device, error=replace(Problem.of(error), device=device))
    except (asyncssh.Error, OSError) as error:
        problem = Problem(
            "device_unreachable",
            f"The connection failed during {verb}: {error}.",
            f"Check its result with `thorctl status {device}`, then repeat the command if needed.",
            device,
        )
        return Answer(device, error=problem, reached=False)


async def _ask(
    connection: asyncssh.SSHClientConnection,
    device: str,
    verb: str,
    command: str,
    *,
    stdin: str | None,
    heard: Callable[[str], None] | None,
) -> Answer:
    process = await start(connection, command, errors="replace")
    errors = asyncio.create_task(_read(process.stderr, STDERR_LIMIT, keep_reading=True, heard=heard))
    try:
        if stdin is not None:
            process.stdin.write(stdin)
        process.stdin.write_eof()
        stdout, whole = await _read(process.stdout, STDOUT_LIMIT, keep_reading=False)
        if not whole:
            return Answer(device, error=_too_much(device, verb))
        stderr, _ = await errors
        await process.wait_closed()
        return read_answer(device, verb, process.exit_status, stdout, stderr)
    finally:
        process.close()  # without waiting for a hanging agent
        errors.cancel()
        await asyncio.gather(errors, return_exceptions=True)


async def _read(
    reader: asyncssh.SSHReader[str],
    limit: int,
    *,
    keep_reading: bool,
    heard: Callable[[str], None] | None = None,
) -> tuple[str, bool]:
    """Read up to ``limit`` characters, and return whether that was all. ``keep_reading`` keeps the newest."""
    text = line = ""
    while piece := await reader.read(65536):
        text += piece
        if heard:
            *whole, line = (line + piece).split("\n")
            for one in whole:
                heard(one)
            line = line[-limit:]
        if len(text) > limit:
            if not keep_reading:
                return text, False
            text = text[-limit:]
    return text, True


async def run_bounded(
    connection: asyncssh.SSHClientConnection, command: str, limit: int = STDOUT_LIMIT
) -> tuple[int | None, str, str]:
    """Run one command on an open connection; return its exit code, stdout and stderr.

    Raises:
        ThorError: ``answer_too_large`` if stdout has more than ``limit`` characters.
        asyncssh.Error, OSError: the connection failed.
    """
    process = await start(connection, command, errors="replace", stdin=asyncssh.DEVNULL)
    errors = asyncio.create_task(_read(process.stderr, STDERR_LIMIT, keep_reading=True))
    try:
        stdout, whole = await _read(process.stdout, limit, keep_reading=False)
        if not whole:
            raise ThorError(
                "answer_too_large",
                f"`{command[:80]}` printed more than {limit} characters; the rest was not read.",
                "Check the device: no valid answer is that long.",
            )
        stderr, _ = await errors
        await process.wait_closed()
        return process.exit_status, stdout, stderr
    finally:
        process.close()
        errors.cancel()
        await asyncio.gather(errors, return_exceptions=True)


def _too_much(device: str, verb: str) -> Problem:
    return Problem(
        "agent_garbage",
        f"The agent printed more than {STDOUT_LIMIT} characters for {verb}; the rest was not read.",
        f"Install this thorctl's agent: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
        device,
    )


def _late(device: str, verb: str, timeout: float) -> Problem:
    return Problem(
        "agent_timeout",
        f"The agent has not answered {verb} within {timeout:g} s.",
        f"Check whether it is still running (`thorctl status {device}`), and its log (`thorctl logs "
        f"{device} --events`).",
        device,
    )
