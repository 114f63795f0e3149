"""What a device is judged by, and how a step on it ended. Values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from thorctl.protocol.decode import Malformed
from thorctl.protocol.envelope import Details
from thorctl.protocol.identity import UNKNOWN, Identity
from thorctl.protocol.owner import ROLLOUT
from thorctl.remote import earlier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.rollout.policy import Figures, Speed, Wait

T = TypeVar("T")
HOLD_LOOK_SECONDS = 60.0  # between two looks at a device whose hold is waited for
LOOK_SECONDS = 15.0  # until a device in doubt, or one in use, is asked again
LONGEST_RETRY_SECONDS = 900.0
SOAK_LOOK_SECONDS = 60.0  # between two looks in a soak
SOAK_FIRST_LOOK_SECONDS = 5.0  # until the device knows how fast its soak's work goes: short work is over soon
ABSENT_LOOK_SECONDS = 300.0  # between two looks at an absent device
STRIKES = 2  # one look may find an engine too busy to answer
TRIES = 3
ABSENCES = 5  # a device that comes and goes more often than this in one run is left for the next

# What purpose and reason of a lease begin with that a rollout took: it ends without anybody's help.
AUTOMATIC = ROLLOUT
# The device was not asked, or nobody knows what it did.
UNANSWERED = frozenset({"device_unreachable", "agent_timeout", "agent_garbage"})
PASSING = frozenset({"download_interrupted", "image_pull_failed", "docker_unavailable"})
UNHEALTHY = frozenset({"smoke_failed", "engine_not_ready", "engine_died"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What a device is judged by.

    Attributes:
        holder: who holds our leases, purpose included.
        soak_seconds: of its wave.
        activate_seconds: the longest an activation may take, its undoing included.
        stopped: whether the rollout has stopped.
        returns: whether devices that are committed already return.
        lease: the reason that our leases give: it tells us from a controller of the same user and host name.
        over_hold: the reason of the hold that an operator passes over; None = none.
        layout: of the release it is to get.
        sha256: of that release's document, whole.
        identity: which machine answered under its name when the plan was made.
        work: its load in the soak; None = no load.
        pause_seconds: how long that may be put off.
        review_seconds: how long its first release is kept on trial if it fails its smoke test; 0 = not.
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
        """The longest a soak may take: its time, or its steps at the slowest rate and all their pauses."""
        if self.work is None:
            return self.soak_seconds
        worked = math.ceil(self.work.steps / self.work.minimum_steps_per_second)
        return max(self.soak_seconds, worked + self.pause_seconds)


@dataclass(frozen=True, slots=True)
class Ended:
    """A step's end. ``data`` and ``details`` are as recorded; ``told`` and ``known`` read them."""

    at: float
    ok: bool
    reached: bool = True
    code: str = ""
    message: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)

    def told(self, kind: type[T]) -> T | None:
        """The verb's data; None where the step failed, or its data is none of that class."""
        if not self.ok:
            return None
        try:
            return earlier.read(kind, self.data)
        except Malformed:
            return None

    @property
    def known(self) -> Details:
        """Details of the agent's error; nothing is known where they are not as the contract has them."""
        try:
            return earlier.read(Details, self.details)
        except Malformed:
            return Details()

    @property
    def unanswered(self) -> bool:
        """Whether nobody knows what the step did."""
        return not self.ok and (not self.reached or self.code in UNANSWERED)

    @property
    def passing(self) -> bool:
        """Whether another try may succeed with nothing changed: the device says so, or an earlier agent."""
        retriable = self.known.retriable
        return self.code in PASSING if retriable is None else retriable

    @property
    def retry_seconds(self) -> float:
        """When to try again: what a hub asked for, within ``LONGEST_RETRY_SECONDS``."""
        asked = self.known.retry_after_seconds
        return LOOK_SECONDS if asked is None else min(max(asked, LOOK_SECONDS), LONGEST_RETRY_SECONDS)

    @property
    def words(self) -> str:
        """The error as people read it."""
        return f"{self.code}: {self.message}"
