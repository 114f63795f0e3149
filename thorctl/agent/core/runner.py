"""Run other programs: argument lists, never a shell. The only place that starts one."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

RC_TIMED_OUT = 124  # as timeout(1) of coreutils
RC_NOT_FOUND = 127  # as a shell
OUTPUT_BYTES = 64 * 1024 * 1024  # of one program, whose output may come from the engine or its image


@dataclass(frozen=True)
class Completed:
    """The result of a program: exit status and output (UTF-8, undecodable bytes replaced)."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it exited 0."""
        return self.rc == 0


class _Reader(threading.Thread):
    """Read a program's output, and kill it if it exceeds the limit."""

    def __init__(self, process: subprocess.Popen[bytes], stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._process, self._stream = process, stream
        self.content, self.full = bytearray(), False
        self.start()

    def run(self) -> None:
        """Read to the end."""
        with self._stream:
            while piece := os.read(self._stream.fileno(), 65536):
                self.content += piece
                if len(self.content) > OUTPUT_BYTES:
                    self.full = True
                    self._process.kill()
                    return


def _feed(stream: IO[bytes], text: str) -> None:
    with suppress(BrokenPipeError), stream:
        stream.write(text.encode())


def _text(content: bytearray) -> str:
    return content.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


class Runner:
    """Run programs found on PATH. Tests pass a subclass, or put a directory of fakes first on PATH."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
    ) -> Completed:
        """Run a program to its end. A missing program gives rc 127, a slow one rc 124; neither raises.

        One that writes more than ``OUTPUT_BYTES`` is killed.

        Args:
            argv: program and arguments.
            timeout: seconds until it is killed.
            stdin: its input; None = no input.
            env: variables in addition to the agent's own.
        """
        until = time.monotonic() + timeout
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **(env or {})},
            )
        except (FileNotFoundError, PermissionError) as missing:
            return Completed(tuple(argv), RC_NOT_FOUND, "", str(missing))
        readers = [_Reader(process, stream) for stream in (process.stdout, process.stderr) if stream]
        try:
            if process.stdin:
                threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True).start()
            for reader in readers:  # they end with the last process that has the pipe open
                reader.join(max(0.0, until - time.monotonic()))
            late = any(reader.is_alive() for reader in readers)
            rc = process.wait(0.0 if late else max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            late, rc = True, RC_TIMED_OUT
        finally:
            process.kill()
            process.wait()
        if late:
            return Completed(tuple(argv), RC_TIMED_OUT, "", f"{argv[0]}: no answer within {timeout:g} s")
        out, said = (_text(reader.content) for reader in readers)
        if any(reader.full for reader in readers):
            said = f"{argv[0]}: killed, because it wrote more than {OUTPUT_BYTES} bytes"
        return Completed(tuple(argv), rc, out, said)

    def spawn(
        self, argv: Sequence[str], *, output: IO[bytes] | int, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a program and return; stdout and stderr go to ``output``. For long downloads.

        Raises:
            OSError: the program could not be started.
        """
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
