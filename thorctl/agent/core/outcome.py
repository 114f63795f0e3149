"""The result of a verb: an ``Outcome``, or a raised ``AgentError``. Only ``__main__`` prints."""

from __future__ import annotations

import signal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from thorctl.protocol import errors
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.encode import encode
from thorctl.protocol.envelope import AGENT_SCHEMA, AgentAnswer, Fault
from thorctl.protocol.sentence import sentence

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_BUSY = errors.BUSY
EXIT_TERMINATED = errors.SIGNAL + signal.SIGTERM


class AgentError(Exception):
    """A verb's failure, under a code of ``protocol.errors``.

    Attributes:
        code: stable word, such as ``disk_too_small``; it decides the exit code.
        message: the condition, one sentence.
        remedy: the next step, one sentence.
        details: further facts for programs (JSON-serialisable).
        data: the verb's data as far as known, e.g. the generations of a failed smoke test.
        changed: whether the verb changed anything on the device.
        exit_code: 1 failed, 2 bad call or bad state, 3 busy; 128 + N if signal N ended the verb.
    """

    def __init__(
        self,
        code: str,
        message: str,
        remedy: str,
        *,
        details: dict[str, object] | None = None,
        data: object = None,
        changed: bool = False,
        exit_code: int | None = None,
    ) -> None:
        self.code = code
        self.message = sentence(message)
        self.remedy = sentence(remedy)
        super().__init__(self.message)
        self.details: dict[str, object] = details or {}
        self.data = data
        self.changed = changed
        self.exit_code = errors.agent_exit_code(code) if exit_code is None else exit_code


def ended_by(verb: str, signal_name: str) -> AgentError:
    """Return the error of a verb that a signal, such as ``SIGTERM``, ended."""
    return AgentError(
        "internal",
        f"The verb `{verb}` was ended by {signal_name}.",
        "Run it again; `thorctl status DEVICE` shows the device's state.",
        exit_code=errors.SIGNAL + signal.Signals[signal_name],
    )


def unforeseen(bug: BaseException) -> AgentError:
    """Return ``internal`` for an unexpected exception, with the place where it was raised."""
    place, raised = "", bug.__traceback__
    while raised is not None:
        place = f" ({PurePath(raised.tb_frame.f_code.co_filename).name}:{raised.tb_lineno})"
        raised = raised.tb_next
    return AgentError(
        "internal",
        f"A fault of the agent: {type(bug).__name__}: {bug}{place}.",
        "Check the device with `thorctl status DEVICE`, then repeat the command. Report the fault with "
        "the output of `thorctl logs DEVICE --events`.",
    )


@dataclass(frozen=True)
class Outcome:
    """The result of a verb. A set ``error`` is equivalent to a raised ``AgentError``.

    Attributes:
        data: an instance of the class that ``protocol.verbs`` names for the verb; None: there is none.
        changed: whether the verb changed anything on the device.
        error: the reason of a failure.
        then: runs after the object was printed; its output follows the object.
    """

    data: object = None
    changed: bool = False
    error: AgentError | None = None
    then: Callable[[], None] | None = None

    @classmethod
    def of_error(cls, error: AgentError) -> Outcome:
        """Return the outcome of a raised error."""
        return cls(data=error.data, changed=error.changed, error=error)

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""
        return self.error.exit_code if self.error else errors.DONE

    @property
    def json(self) -> dict[str, Any]:
        """Return the data in the printed form."""
        return {} if self.data is None else encode(self.data)

    def document(self, verb: str) -> dict[str, Any]:
        """Return the JSON object for stdout: an ``AgentAnswer``."""
        error = self.error
        fault = Fault(error.code, error.message, error.remedy, error.details) if error else None
        answer = AgentAnswer(AGENT_SCHEMA, verb, error is None, self.changed, self.json, fault)
        return encode(answer)  # type: ignore[no-any-return]  # a dataclass is an object
