"""One device in memory: the agent's journal, lease and hold, and what the new release does on it."""

from __future__ import annotations

from dataclasses import dataclass

OLD, NEW = "m-aaaaaaaaaaaa", "m-bbbbbbbbbbbb"
HOLDER = "ann@desk"
SOAK = 60
NATURES = (
    "well", "smoke_fails", "slow", "dies_in_soak", "hangs_in_soak", "never_ready", "garbage", "bad_disk",
    "unfit", "first_fails",
)  # fmt: skip
WORK_SECONDS = 90.0  # longer than the soak's own time


class ViolationError(AssertionError):
    """The rollout did what it must never do."""


@dataclass
class Lease:
    holder: str
    reason: str
    expires: float


@dataclass
class ModelDevice:
    """One device: the agent's journal, lease and hold, and its nature: what the new release does on it."""

    name: str
    nature: str = "well"
    state: str = "committed"
    current: str | None = OLD
    previous: str | None = None
    target: str | None = None
    left: str | None = None
    since: int = 0
    deadline: float | None = None
    staged: bool = False
    smoked: bool = False
    smoke_at: float = 0.0
    restarts: int = 0
    worked_from: float | None = None  # since when its engine is worked in its soak
    lease: Lease | None = None
    hold: str | None = None
    linked: bool = True
    powered_at: float = 0.0
    working: str | None = None  # the verb that has the state lock
    answers_as: str | None = None  # the name that another machine at its address has
    machine: str | None = None
    unmeasured: bool = False  # whether no smoke test of the release it has is known
    activations: int = 0
    excuses: int = 0  # trials that ended without a verdict: another activation is needed
    review: bool = False  # whether its trial is kept for review
    accepted: bool = False  # whether a person committed it though its smoke test failed
    attended: float = 0.0  # seconds of its trial in which a controller lived and could reach it

    def __post_init__(self) -> None:
        if self.nature == "first_fails":
            self.state, self.current = "empty", None

    @property
    def running(self) -> str | None:
        return self.target if self.state in {"activating", "trial"} else self.current

    def work(self, now: float) -> dict[str, object] | None:
        """What its status says of its soak."""
        if self.worked_from is None or self.state != "trial":
            return None
        worked = now - self.worked_from
        state = "done" if worked >= WORK_SECONDS else "running"
        state = "failed" if self.nature == "hangs_in_soak" and worked > 30 else state
        steps = min(int(worked * 20000 / WORK_SECONDS), 20000)
        return {
            "release": self.target, "state": state, "alive": state == "running", "steps": steps,
            "steps_wanted": 20000, "steps_per_second": steps / worked if worked else None,
            "reason": "its engine hangs" if state == "failed" else None,
        }  # fmt: skip

    def moved(self, state: str) -> None:
        self.state, self.since, self.review = state, self.since + 1, False

    def go_back(self) -> None:
        """Rolling back from a trial, or from a committed release to the one before."""
        if self.state in {"activating", "trial"}:
            self.left, self.target, self.deadline = self.target, None, None
        else:
            self.left, self.current, self.previous = self.current, self.previous, None
        self.moved("committed" if self.current else "empty")
