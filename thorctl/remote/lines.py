"""Run a command on a device and pass its output on line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh

from thorctl.errors import ThorError
from thorctl.remote.agent_call import as_root, become_of, start
from thorctl.remote.answer import last_line, quoted
from thorctl.remote.ssh import CONNECT_TIMEOUT, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.inventory.devices import Device

STDERR_CHARACTERS = 4096  # enough for a program's error


async def stream_lines(
    device: Device,
    words: Sequence[str],
    show: Callable[[str], None],
    *,
    most_characters: int | None = None,
    connect_timeout: float = CONNECT_TIMEOUT,
) -> None:
    """Run ``words`` as root on ``device``; pass each line of stdout, without its end, to ``show``.

    A line without an end arrives in pieces of asyncssh's window (2 MiB).

    Raises:
        ThorError: as ``ssh.connect``; ``command_failed``, ``sudo_password``, ``device_unreachable``,
            ``answer_too_large`` for more than ``most_characters``.
    """
    total = 0
    async with connect(device, connect_timeout) as connection:
        command = as_root(connection.get_extra_info("username"), words, become_of(connection))
        process = await start(connection, command, errors="replace", stdin=asyncssh.DEVNULL)
        try:
            async for line in process.stdout:
                total += len(line)
                if most_characters is not None and total > most_characters:
                    raise _too_much(device.name, most_characters)
                if line:  # the iteration ends with an empty one
                    show(line.rstrip("\n"))
            stderr = await process.stderr.read(STDERR_CHARACTERS)
            await process.wait_closed()
        except BrokenPipeError:  # of our own stdout, not of the connection
            raise
        except (asyncssh.Error, OSError) as error:
            raise ThorError(
                "device_unreachable",
                f"The connection failed: {error}.",
                f"Repeat the command; `thorctl status {device.name}` shows whether the device answers.",
                device=device.name,
            ) from None
        finally:
            process.close()
        if process.exit_status != 0:
            raise _failed(device.name, words[0], stderr)


def _too_much(device: str, most: int) -> ThorError:
    return ThorError(
        "answer_too_large",
        f"The log has more than {most} characters.",
        "Ask for less: --lines N, --since TIME; or leave out --json.",
        device=device,
    )


def _failed(device: str, program: str, stderr: str) -> ThorError:
    if "password is required" in stderr or "terminal is required" in stderr:
        return ThorError(
            "sudo_password",
            "Reading the log needs root, and sudo on the device asks for a password.",
            "Give the login user NOPASSWD in /etc/sudoers.d, or set ansible_user=root.",
            device=device,
        )
    if program == "tail":
        return ThorError(
            "log_missing",
            f"The device has no events yet: {quoted(last_line(stderr))}.",
            f"Install the agent and a release: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
            device=device,
        )
    return ThorError(
        "command_failed",
        f"{program} failed on the device: {quoted(last_line(stderr))}.",
        f"Check the state of the device: `thorctl status {device}`.",
        device=device,
    )
