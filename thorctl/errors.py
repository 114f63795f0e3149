"""The one exception that reaches a user: what went wrong, under a stable code, and what to do about it."""

from __future__ import annotations

from thorctl.protocol import errors
from thorctl.protocol.sentence import sentence


class ThorError(Exception):
    """A failure with a remedy.

    Attributes:
        code: of ``protocol.errors``, such as ``lock_mismatch``.
        message: what is wrong, one sentence.
        remedy: what to do next, one sentence; names the command where one fixes it.
        device: the device it concerns, or None.
        exit_code: what the process exits with.
    """

    def __init__(
        self, code: str, message: str, remedy: str, *, device: str | None = None, exit_code: int | None = None
    ) -> None:
        self.code = code
        self.message = sentence(message)
        self.remedy = sentence(remedy)
        super().__init__(self.message)
        self.device = device
        self.exit_code = errors.exit_code(code) if exit_code is None else exit_code
