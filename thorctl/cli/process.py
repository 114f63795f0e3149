"""The process environment: streams, home, working directory; and unexpected failures."""

from __future__ import annotations

import io
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from types import TracebackType

TRACEBACK = "THORCTL_TRACEBACK"  # if set, an unexpected failure prints Python's traceback


def prepare() -> None:
    """Make the standard streams usable, and suppress Python's own warnings.

    A closed stream becomes the null device: otherwise the next opened file would get its number, and receive
    the output.
    what is printed would land in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        stream = getattr(sys, name)
        if stream is None:
            # Not closed: it is the process's own stream.
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a locale that lacks a character
    warnings.simplefilter("ignore")
    if os.environ.get("HOME") == "":
        del os.environ["HOME"]  # the account's entry is used
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name, "1").strip("0") == "":
            del os.environ[name]  # in 0 columns nothing would be printed


def require_places() -> Path:
    """Return the working directory, after checking it and the home.

    Raises:
        ThorError: ``working_directory_gone``, ``home_unknown``.
    """
    try:
        Path.home()
    except RuntimeError as error:
        raise ThorError(
            "home_unknown",
            f"HOME is not set, and the user {os.getuid()} has no account entry.",
            "Set HOME to a folder of your own: `export HOME=DIR`.",
        ) from error
    try:
        return Path.cwd()
    except OSError as error:
        raise ThorError(
            "working_directory_gone",
            f"The working directory cannot be read: {error.strerror}.",
            "Change to a folder that exists: `cd DIR`.",
        ) from error


def stop_writing() -> None:
    """Discard further output after a BrokenPipeError."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unforeseen(error: Exception) -> ThorError:
    """Return the error for an exception that no verb handles."""
    from thorctl.registry import environment  # noqa: PLC0415 - importing httpx takes 0.1 s

    for fault in environment.faults().values():  # most likely the cause
        return fault
    if isinstance(error, OSError):
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ThorError(
            "file_unusable",
            f"{' → '.join(names) or 'A file'}: {error.strerror or error}.",
            "Check its owner, its mode and its disk, or name other folders with HOME, TMPDIR, "
            "XDG_STATE_HOME or THORCTL_STATE_DIR.",
        )
    return ThorError(
        "internal",
        f"A fault of thorctl: {type(error).__name__}: {error} ({_place(error.__traceback__)}).",
        f"Report it with the traceback that `{TRACEBACK}=1` before the same command prints.",
    )


def _place(trace: TracebackType | None) -> str:
    """Return the file and line where it was raised."""
    import traceback  # noqa: PLC0415 - tokenize and linecache, which no other call needs

    frames = traceback.extract_tb(trace)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
