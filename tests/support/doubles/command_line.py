"""thorctl in this process, where the process itself is not under test: a new Python takes half a second."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from thorctl.cli.main import run, show, wants_json


@dataclass(frozen=True)
class Done:
    """What a command line printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def thorctl(*words: str) -> Done:
    """Run one command line as ``main`` does, without its handling of a closed stdout and of tracebacks."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        if result := run(list(words)):
            show(result, wants_json(list(words)))
    return Done(int(result.exit_code) if result else 0, out.getvalue(), err.getvalue())
