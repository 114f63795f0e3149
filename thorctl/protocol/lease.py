"""Lease and hold: one operator's right to change a device, and the device's own veto against activation."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.owner import ROLLOUT, Owner, parse


@dataclass(frozen=True)
class Lease:
    """A lease.

    Attributes:
        holder: ``user@host``; an earlier agent has the purpose in it too.
        purpose: ``by hand`` or ``rollout ID TOKEN``; None: by an earlier agent.
        host: where the holder sits.
        reason: the holder's words.
        taken_at: RFC 3339, UTC; None: the lease cannot be read.
        expires_at: RFC 3339, UTC, by the wall clock as it is now; None: the lease cannot be read.
    """

    holder: str
    purpose: str | None = None
    host: str | None = None
    reason: str | None = None
    taken_at: str | None = None
    expires_at: str | None = None

    @property
    def owner(self) -> Owner:
        """Who holds it, and for what purpose."""
        owner = parse(self.holder)
        return owner if self.purpose is None else Owner(owner.name, self.purpose)

    @property
    def own_reason(self) -> str | None:
        """The reason; None where there is none, or where it only repeats the owner's rollout."""
        repeats = self.owner.rollout is not None and str(self.reason).startswith(ROLLOUT)
        return self.reason if self.reason and not repeats else None

    @property
    def words(self) -> str:
        """``ann@desk until 2026-11-30T12:30:00Z: antenna``: holder, end and reason, once each."""
        return self.owner.words + (f" until {self.expires_at}" if self.expires_at else "") + self._because

    @property
    def unending(self) -> str:
        """``ann@desk: antenna``: holder and reason."""
        return self.owner.words + self._because

    @property
    def _because(self) -> str:
        reason = self.own_reason
        if reason is None and not self.owner.rollout:
            reason = "no reason given"
        return f": {reason}" if reason else ""


@dataclass(frozen=True)
class LeaseShown:
    """Data of ``lease``; None: nobody has it."""

    lease: Lease | None


@dataclass(frozen=True)
class Hold:
    """A hold.

    Attributes:
        reason: why the device is not to be changed now, in the device's own words.
        since: RFC 3339, UTC; None: the hold cannot be read.
    """

    reason: str
    since: str | None = None


@dataclass(frozen=True)
class HoldShown:
    """Data of ``hold``; None: the device does not hold."""

    hold: Hold | None
