"""The limits that a device is evaluated by, and the end of a step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from thorctl.protocol.decode import Malformed
from thorctl.protocol.envelope import Details
from thorctl.protocol.identity import UNKNOWN, Identity
from thorctl.protocol.jobs import INTERRUPTED
from thorctl.protocol.owner import ROLLOUT
from thorctl.remote import earlier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.rollout.policy import Figures, Speed, Wait

T = TypeVar("T")
HOLD_LOOK_SECONDS = 60.0  # between two observations of a device whose hold is waited for
LOOK_SECONDS = 15.0  # until a device in doubt or in use is observed again
LONGEST_RETRY_SECONDS = 900.0
SOAK_LOOK_SECONDS = 60.0  # between two observations in a soak
SOAK_FIRST_LOOK_SECONDS = 5.0  # until the soak's rate is known: a short soak ends soon
ABSENT_LOOK_SECONDS = 300.0  # between two observations of an absent device
STRIKES = 2  # a single one may find the engine too busy to answer
TRIES = 3
ABSENCES = 5  # a device with more absences than this in one run is left for the next

# Prefix of purpose and reason of a rollout's lease, which ends without an operator.
AUTOMATIC = ROLLOUT
# Error codes of steps that were not sent, or whose effect is unknown.
UNANSWERED = frozenset({"device_unreachable", "agent_timeout", "agent_garbage", INTERRUPTED})
MALFORMED = "agent_garbage"  # error code of an answer that cannot be decoded
PASSING = frozenset({"download_interrupted", "image_pull_failed", "docker_unavailable"})
UNHEALTHY = frozenset({"smoke_failed", "engine_not_ready", "engine_died"})


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits that a device is evaluated by.

    Attributes:
        holder: the holder of our leases, purpose included.
        soak_seconds: of its wave.
        activate_seconds: longest time of an activation, its rollback included.
        stopped: whether the rollout has stopped.
        returns: whether committed devices are rolled back.
        lease: reason of our leases: it identifies us among controllers of the same user and host name.
        over_hold: reason of the hold that an operator overrides; None = none.
        layout: of the target release.
        sha256: of the target release's document.
        identity: the machine that answered under its name when the plan was made.
        work: the load of its soak; None = no load.
        pause_seconds: longest pause of that load.
        review_seconds: length of the review of a first release that fails its smoke test; 0 = none.
    """

    holder: str
    soak_seconds: int
    activate_seconds: int
    speed: Speed | None
    wait: Wait
    stopped: bool = False
    returns: bool = False
    lease: str = ""
    over_hold: str | None = None
    layout: int = 1
    sha256: str = ""
    identity: Identity = UNKNOWN
    work: Figures | None = None
    pause_seconds: int = 0
    review_seconds: int = 0

    @property
    def soak_limit_seconds(self) -> int:
        """The longest time of a soak: its minimum, or its steps at the lowest rate with all pauses."""
        if self.work is None:
            return self.soak_seconds
        worked = math.ceil(self.work.steps / self.work.minimum_steps_per_second)
        return max(self.soak_seconds, worked + self.pause_seconds)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a step. ``data`` and ``details`` are as recorded; ``told`` and ``known`` decode them."""

    at: float
    ok: bool
    reached: bool = True
    code: str = ""
    message: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)

    def told(self, kind: type[T]) -> T | None:
        """Return the verb's data; None if the step failed, or its data has another form."""
        if not self.ok:
            return None
        try:
            return earlier.read(kind, self.data)
        except Malformed:
            return None

    def malformed(self, kind: type) -> str:
        """Return the field of the verb's data that is not of the class, and how; empty if all are."""
        try:
            earlier.read(kind, self.data)
        except Malformed as fault:
            return str(fault)
        return ""

    @property
    def known(self) -> Details:
        """The details of the agent's error; empty if they are malformed."""
        try:
            return earlier.read(Details, self.details)
        except Malformed:
            return Details()

    @property
    def unanswered(self) -> bool:
        """Whether the effect of the step is unknown."""
        return not self.ok and (not self.reached or self.code in UNANSWERED)

    @property
    def passing(self) -> bool:
        """Whether another try may succeed without a change, by the answer or an earlier agent's code."""
        retriable = self.known.retriable
        return self.code in PASSING if retriable is None else retriable

    @property
    def retry_seconds(self) -> float:
        """The time of the next try: a hub's own value, within ``LONGEST_RETRY_SECONDS``."""
        asked = self.known.retry_after_seconds
        return LOOK_SECONDS if asked is None else min(max(asked, LOOK_SECONDS), LONGEST_RETRY_SECONDS)

    @property
    def words(self) -> str:
        """The error in text form."""
        return f"{self.code}: {self.message}"
