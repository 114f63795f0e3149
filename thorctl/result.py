"""The result of a command, and its JSON envelope.

A command computes and returns; only ``thorctl.cli.main`` prints. The envelope is versioned: its keys are
pinned by tests/test_result.py, and changes are additions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

from thorctl.protocol import errors
from thorctl.protocol.encode import encode
from thorctl.protocol.sentence import sentence

if TYPE_CHECKING:
    from thorctl.errors import ThorError

SCHEMA = 1
Status = Literal["success", "partial", "error"]


class Exit(IntEnum):
    """Exit codes of ``thorctl``."""

    SUCCESS = errors.SUCCESS
    ERROR = errors.ERROR
    USAGE = errors.USAGE
    PARTIAL = errors.PARTIAL
    LEASED = errors.LEASED
    DECLINED = errors.DECLINED


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, on one device or on none in particular."""

    code: str
    message: str
    remedy: str
    device: str | None = None

    def __post_init__(self) -> None:
        """Punctuate a text that may come from another program or an earlier agent."""
        object.__setattr__(self, "message", sentence(self.message))
        object.__setattr__(self, "remedy", sentence(self.remedy))

    @classmethod
    def of(cls, error: ThorError) -> Problem:
        """Return the problem of an exception."""
        return cls(error.code, error.message, error.remedy, error.device)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The JSON object of ``--json``.

    Attributes:
        schema: ``SCHEMA``.
        command: the verb.
        status: ``success``, ``partial`` (some devices) or ``error``.
        exit_code: of the process.
        data: of the verb.
        errors: what went wrong.
    """

    schema: int
    command: str
    status: Status
    exit_code: int
    data: dict[str, object]
    errors: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a command.

    ``view`` is the human-readable output on stdout: a rich renderable, a string, or None for nothing.
    ``data`` is the machine-readable output; it must be plain JSON. ``line``: the last of a stream of JSON
    lines.
    """

    command: str
    data: dict[str, Any] = field(default_factory=dict)
    errors: tuple[Problem, ...] = ()
    exit_code: int = Exit.SUCCESS
    view: object = None
    line: bool = False

    @property
    def status(self) -> Status:
        """``success``, ``partial`` (some devices) or ``error``."""
        if self.exit_code == Exit.SUCCESS:
            return "success"
        return "partial" if self.exit_code == Exit.PARTIAL else "error"

    def envelope(self) -> dict[str, Any]:
        """Return the JSON object of ``--json``: an ``Envelope``."""
        found = Envelope(SCHEMA, self.command, self.status, int(self.exit_code), self.data, self.errors)
        return encode(found)  # type: ignore[no-any-return]  # a dataclass is an object

    @classmethod
    def failure(cls, command: str, error: ThorError) -> Result:
        """Return the result of a failed command."""
        return cls(command, errors=(Problem.of(error),), exit_code=error.exit_code)


def exit_code_for(good: int, bad: int) -> int:
    """Return the exit code of a command over many devices: success, partial or error."""
    if bad == 0:
        return Exit.SUCCESS
    return Exit.PARTIAL if good else Exit.ERROR
