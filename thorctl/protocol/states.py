"""States of a device, and the transitions between them: the table that the agent's journal admits.

Steps are those of ``thorctl.agent.state.journal``. Whatever instant the power fails at, ``recover`` leads
from ``activating`` and ``rolling-back`` on by ``begin_rollback`` and ``finish_rollback``.
"""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass

EMPTY, COMMITTED, ACTIVATING, TRIAL, ROLLING_BACK = (
    "empty",
    "committed",
    "activating",
    "trial",
    "rolling-back",
)
STATES = (EMPTY, COMMITTED, ACTIVATING, TRIAL, ROLLING_BACK)
CHANGING = (ACTIVATING, TRIAL, ROLLING_BACK)  # neither empty nor committed: somebody's change is not over


@dataclass(frozen=True)
class Transition:
    """One step of the journal: the states that it begins in, and those it may lead to."""

    step: str
    start: tuple[str, ...]
    to: tuple[str, ...]


TRANSITIONS = {
    one.step: one
    for one in (
        Transition("begin_activation", (EMPTY, COMMITTED, ACTIVATING), (ACTIVATING,)),
        Transition("begin_trial", (ACTIVATING,), (TRIAL,)),
        Transition("begin_review", (TRIAL,), (TRIAL,)),
        Transition("commit", (TRIAL,), (COMMITTED,)),
        Transition("begin_rollback", (COMMITTED, ACTIVATING, TRIAL), (ROLLING_BACK,)),
        Transition("finish_rollback", (ROLLING_BACK,), (COMMITTED, EMPTY)),
    )
}
