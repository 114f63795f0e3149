"""The exception that reaches a user: a stable code, a message and a remedy."""

from __future__ import annotations

from thorctl.protocol import controller_errors
from thorctl.protocol.sentence import sentence


class ThorError(Exception):
    """A failure with a remedy.

    Attributes:
        code: of ``protocol.controller_errors``, such as ``lock_mismatch``.
        message: the condition, one sentence.
        remedy: the next step, one sentence; names the command that fixes it, if there is one.
        device: the affected device, or None.
        exit_code: the exit code of the process.
    """

    def __init__(self, code: str, message: str, remedy: str, *, device: str | None = None) -> None:
        self.code = code
        self.message = sentence(message)
        self.remedy = sentence(remedy)
        super().__init__(self.message)
        self.device = device
        self.exit_code = controller_errors.exit_code(code)
