"""The owner of a lease or of a trial: who, and for what purpose.

It is one text, ``ann@desk (rollout 20261125-1 5f3a90c1)``, because agents of the version before take and
compare one text only. Without a purpose it is ``by hand``: a verb that a person typed, or a playbook.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_HAND = "by hand"
UNKNOWN = "?"  # the holder of a lease that the agent cannot read
ROLLOUT = "rollout "  # a purpose that begins so is a rollout's: its id, and what no other rollout has
_TEXT = re.compile(r"(?P<name>[^()]+) \((?P<purpose>[^()]+)\)")


@dataclass(frozen=True)
class Owner:
    """``name`` is ``user@host``; ``purpose`` is ``by hand`` or ``rollout ID TOKEN``."""

    name: str
    purpose: str = BY_HAND

    def __str__(self) -> str:
        """As the agent's ``--holder`` takes it."""
        return self.name if self.purpose == BY_HAND else f"{self.name} ({self.purpose})"

    @property
    def known(self) -> bool:
        """Whether the device could read whose lease it has."""
        return self.name != UNKNOWN

    @property
    def rollout(self) -> str | None:
        """The id of the rollout that it owns for; None: no rollout."""
        words = self.purpose.removeprefix(ROLLOUT).split()
        return words[0] if self.purpose.startswith(ROLLOUT) and words else None

    @property
    def words(self) -> str:
        """For people: without what only tells two rollouts of one id apart."""
        if not self.known:
            return "an unknown holder"
        return f"{self.name} (rollout {self.rollout})" if self.rollout else str(self)

    def way_out(self, device: str) -> str:
        """Return the command that ends this owner's right to ``device``."""
        force = f"`thorctl lease give {device} --force`"
        if not self.known:
            return f"Remove the unreadable lease: {force}."
        if self.rollout:
            return f"Wait for its end, or {self.ends}; if its record is lost, {force}."
        return f"{self.name} gives it back with `thorctl lease give {device}`; for anybody else, {force}."

    @property
    def ends(self) -> str:
        """How a rollout that was interrupted comes to its end."""
        resume, abort = (f"`thorctl rollout {verb} {self.rollout}`" for verb in ("resume", "abort"))
        return f"{resume} or {abort} where {self.name} began it"


def parse(text: str) -> Owner:
    """Return the owner in a text; any text is one."""
    found = _TEXT.fullmatch(text)
    return Owner(found["name"], found["purpose"]) if found else Owner(text)


def lease_reason(lease: Mapping[str, object]) -> str | None:
    """Return the reason of a lease; None if there is none, or it only repeats the owner's rollout."""
    reason = lease.get("reason")
    repeats = owner_of(lease).rollout is not None and str(reason).startswith(ROLLOUT)
    return str(reason) if reason and not repeats else None


def held_words(lease: Mapping[str, object]) -> str:
    """``ann@desk until 2026-11-30T12:30:00Z: antenna``: holder, end and reason of a lease, once each."""
    owner, ends, reason = owner_of(lease), lease.get("expires_at"), lease_reason(lease)
    if reason is None and not owner.rollout:
        reason = "no reason given"
    return owner.words + (f" until {ends}" if ends else "") + (f": {reason}" if reason else "")


def owner_of(lease: Mapping[str, object]) -> Owner:
    """Return the owner of a lease; an earlier agent has the whole text as its holder."""
    owner, purpose = parse(str(lease.get("holder"))), lease.get("purpose")
    return Owner(owner.name, purpose) if isinstance(purpose, str) else owner
