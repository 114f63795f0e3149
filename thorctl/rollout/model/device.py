"""The state of one device in a rollout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thorctl.rollout.model.phases import SEEN_ONCE, SETTLED, Phase

if TYPE_CHECKING:
    from thorctl.protocol.status import Soak


@dataclass(frozen=True, slots=True)
class Device:
    """The state of one device. Times are seconds since the epoch, on the controller's clock.

    Attributes:
        target: the release to install.
        why: the last reason to show: of a failure, an absence, or a success.
        fault: why it is unhealthy; None = no fault.
        before: the committed release at the last observation before its activation.
        since: the journal's begin of that state: it changes with every change on the device.
        had_release, baseline: whether a release served before, and its tokens per second in a smoke test.
        staged: whether staging has completed.
        restaged: whether the release was staged again after an incomplete activation.
        began_at: begin of our activation; None = none that may have had an effect.
        trial_from: when the trial was first observed.
        trial_seconds: length of the trial, as sent to the device.
        soak_from, restarts: begin of the soak, and the engine's restarts before it.
        soak: progress of the soak's load; None = not begun or unknown.
        changed: whether this rollout committed the new release.
        leased: whether the device may have our lease.
        due: earliest time of the next step.
        strikes: consecutive unhealthy observations.
        tries: consecutive failed attempts at the same step.
        silent_since, refused_since: begin of a time without an answer, or in use by others.
        hold, held_since: reason of its hold at the last observation before its activation, and the time since
            which this run has waited for its end.
        absences: number of absences in this run.
        looked_at: time of the last observation.
    """

    name: str
    target: str
    phase: Phase = Phase.NEW
    why: str = ""
    fault: str | None = None
    before: str | None = None
    since: str | None = None
    had_release: bool = False
    baseline: float | None = None
    speed: float | None = None
    staged: bool = False
    restaged: bool = False
    began_at: float | None = None
    trial_from: float | None = None
    trial_seconds: int = 0
    soak_from: float | None = None
    restarts: int | None = None
    soak: Soak | None = None
    changed: bool = False
    leased: bool = False
    due: float = 0.0
    strikes: int = 0
    tries: int = 0
    silent_since: float | None = None
    refused_since: float | None = None
    hold: str | None = None
    held_since: float | None = None
    absences: int = 0
    looked_at: float = 0.0
    activations: int = 0

    @property
    def settled(self) -> bool:
        """Whether no step is expected for now."""
        return self.phase in SETTLED

    @property
    def unconfirmed(self) -> bool:
        """Whether it was updated or kept for review in an earlier run, and not observed since."""
        return self.phase in SEEN_ONCE and self.looked_at == 0.0

    @property
    def counts_as_failed(self) -> bool:
        """Whether it failed, also while its rollback is in progress."""
        return self.phase in {Phase.FAILED, Phase.IN_REVIEW, Phase.UNREACHABLE} or (
            self.fault is not None
            and self.phase
            in {Phase.ROLLING_BACK, Phase.ROLLBACK_UNVERIFIED, Phase.SMOKING_PREVIOUS, Phase.UNKNOWN}
        )

    @property
    def trial_ends(self) -> float | None:
        """The end of its trial by the device's own deadline; None without one."""
        start = self.trial_from if self.trial_from is not None else self.began_at
        return None if start is None else start + self.trial_seconds


def forget_trial(device: Device) -> Device:
    """Return the device without the fields of its activation."""
    return replace(
        device,
        began_at=None,
        trial_from=None,
        soak_from=None,
        restarts=None,
        soak=None,
        strikes=0,
        silent_since=None,
    )
