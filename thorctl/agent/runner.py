"""The only place where the agent starts other programs: argument lists, never a shell."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

RC_TIMED_OUT = 124  # as coreutils' timeout(1)
RC_NOT_FOUND = 127  # as the shell


@dataclass(frozen=True)
class Completed:
    """How a program ended: exit status and its text (UTF-8, undecodable bytes replaced)."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """True if it exited 0."""
        return self.rc == 0


class Runner:
    """Runs programs found on PATH. Tests pass a subclass, or put a directory of fakes first on PATH."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
    ) -> Completed:
        """Run to the end. Never raises for what the program does: missing => rc 127, too slow => rc 124.

        Args:
            argv: program and arguments.
            timeout: seconds until it is killed.
            stdin: text to feed; None = no input.
            env: variables on top of the agent's own.
        """
        try:
            done = subprocess.run(
                list(argv),
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                env={**os.environ, **(env or {})},
                check=False,
            )
        except FileNotFoundError as missing:
            return Completed(tuple(argv), RC_NOT_FOUND, "", str(missing))
        except PermissionError as denied:
            return Completed(tuple(argv), RC_NOT_FOUND, "", str(denied))
        except subprocess.TimeoutExpired:
            return Completed(tuple(argv), RC_TIMED_OUT, "", f"{argv[0]}: no answer within {timeout:g} s")
        return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)

    def spawn(
        self, argv: Sequence[str], *, output: IO[bytes] | int, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start and return at once; stdout and stderr go to ``output``. For long downloads.

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
