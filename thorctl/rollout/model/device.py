"""One device in a rollout: what is remembered of it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thorctl.rollout.model.phases import SEEN_ONCE, SETTLED, Phase

if TYPE_CHECKING:
    from thorctl.protocol.status import Soak


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of one device. Times are seconds since the epoch, on the controller's clock.

    Attributes:
        target: the release it is to get.
        why: the last thing worth telling: why it failed, is absent, or how it went.
        fault: why it is not well; None = nothing is held against it.
        before: the release that was committed when it was last looked at before its activation.
        since: when the journal said that state began: it moves with every change on the device.
        had_release, baseline: whether a release served before, and its tokens per second in a smoke test.
        staged: whether all bytes were seen to be there.
        restaged: whether they were staged again since an activation did not find them all.
        began_at: when our activation began; None = none that may have had an effect.
        trial_from: when it was seen to be on trial.
        trial_seconds: the deadline that was given to the device.
        soak_from, restarts: when the soak began, and how often its engine had been restarted by then.
        soak: how far the device is with the work of its soak; None = it was not begun, or nobody knows.
        changed: whether the new release was committed by this rollout.
        leased: whether the device may be under our lease.
        due: no step before.
        strikes: looks in a row that found it unwell.
        tries: unfruitful attempts at the same thing.
        silent_since, refused_since: since when it gives no answer, or is in use by others.
        hold, held_since: the reason of its hold when it was last looked at before its activation, and since
            when this run has waited for its end.
        absences: how often it became absent in this run.
        looked_at: when it was last looked at.
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
        """Nothing more is expected of it for now."""
        return self.phase in SETTLED

    @property
    def unconfirmed(self) -> bool:
        """Updated or kept for review in a run before this one, and not looked at since."""
        return self.phase in SEEN_ONCE and self.looked_at == 0.0

    @property
    def counts_as_failed(self) -> bool:
        """Also while it is still on its way back."""
        return self.phase in {Phase.FAILED, Phase.IN_REVIEW, Phase.UNREACHABLE} or (
            self.fault is not None
            and self.phase
            in {Phase.ROLLING_BACK, Phase.ROLLBACK_UNVERIFIED, Phase.SMOKING_PREVIOUS, Phase.UNKNOWN}
        )

    @property
    def trial_ends(self) -> float | None:
        """When the device's own deadline ends its trial; None without one."""
        start = self.trial_from if self.trial_from is not None else self.began_at
        return None if start is None else start + self.trial_seconds


def forget_trial(device: Device) -> Device:
    """As before its activation."""
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
