"""The phases of a device in a rollout, and the transition table: each phase's verb, and the phases after it.

The table is the only source: ``scheduler`` takes the next verb from it, ``transitions`` admits no other phase
after a verb, and the diagram in docs/explanation/rollout.md is generated from it (``views.transitions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """A device's phase; the values are shown to people."""

    NEW = "not seen yet"
    CHECKING = "to be checked"  # by a preflight, before the release is fetched
    STAGING = "to be staged"
    STAGED = "staged"
    HELD = "on hold"  # the device's own veto; its end is waited for without our lease
    LEASED = "leased"
    MEASURING = "to be measured"  # leased; the speed of its present release is unknown
    READY = "ready"  # leased and observed: the activation may begin
    TRIAL = "on trial"  # activated; the smoke test is next
    SOAKING = "soaking"
    PASSED = "passed"  # the commit is next
    REVIEW_REQUESTED = "review requested"  # a first release failed its smoke test
    IN_REVIEW = "kept for review"  # on trial until an operator accepts the release or ends the trial
    UNKNOWN = "unknown"  # possibly changed: its status decides
    ROLLBACK_REQUESTED = "rollback requested"  # for a committed release
    ROLLING_BACK = "rolling back"
    ROLLBACK_UNVERIFIED = "rollback unverified"  # its status decides
    SMOKING_PREVIOUS = (
        "testing the previous release"  # rolled back; the smoke test of the previous release is next
    )
    UPDATED = "updated"
    FAILED = "failed"  # and on its previous release
    ROLLED_BACK = "rolled back"
    ABSENT = "absent"  # not a failure: a later wave catches it up
    UNREACHABLE = "unreachable"  # changed, then silent; its own deadline rolls it back
    ROLLBACK_FAILED = "rollback failed"


PREPARED = frozenset({Phase.LEASED, Phase.MEASURING, Phase.READY})
UNSTAGED = frozenset({Phase.NEW, Phase.CHECKING, Phase.STAGING})
UNTOUCHED = UNSTAGED | {Phase.STAGED, Phase.HELD} | PREPARED
ON_TRIAL = frozenset({Phase.TRIAL, Phase.SOAKING, Phase.PASSED})
GOING_BACK = frozenset(
    {Phase.ROLLBACK_REQUESTED, Phase.ROLLING_BACK, Phase.ROLLBACK_UNVERIFIED, Phase.SMOKING_PREVIOUS}
)
SETTLED = frozenset(
    {
        Phase.UPDATED,
        Phase.FAILED,
        Phase.IN_REVIEW,
        Phase.ROLLED_BACK,
        Phase.ABSENT,
        Phase.UNREACHABLE,
        Phase.ROLLBACK_FAILED,
    }
)
SEEN_ONCE = frozenset(
    {Phase.UPDATED, Phase.IN_REVIEW}
)  # observed once per run: an operator may have changed them
# Out of service, or about to be: limited by `parallel`.
CHANGING = PREPARED | {Phase.TRIAL, Phase.REVIEW_REQUESTED, Phase.UNKNOWN, Phase.ROLLING_BACK}
# Phases that no step leaves by itself.
UNFINISHED = ON_TRIAL | GOING_BACK | {Phase.REVIEW_REQUESTED, Phase.UNKNOWN}

P = Phase
_SEEN_AGAIN = (P.CHECKING, P.STAGED, P.UPDATED, P.UNKNOWN, P.ABSENT, P.FAILED)
_BACK = (
    *(P.IN_REVIEW, P.ABSENT, P.ROLLING_BACK, P.SMOKING_PREVIOUS),
    *(P.FAILED, P.ROLLED_BACK, P.UNREACHABLE),
)
_RECONCILED = (*_BACK, P.TRIAL, P.SOAKING, P.UPDATED, P.STAGED)


@dataclass(frozen=True)
class Row:
    """A phase's verb, and the phases after it; with ``start`` among them the verb is repeated."""

    start: Phase
    verb: str
    to: frozenset[Phase]


def _row(start: Phase, verb: str, *to: Phase) -> Row:
    return Row(start, verb, frozenset(to))


ROWS = (
    _row(P.NEW, "look", P.CHECKING, P.UPDATED, P.UNKNOWN, P.ABSENT, P.FAILED),
    _row(P.CHECKING, "preflight", P.CHECKING, P.STAGING, P.ABSENT, P.FAILED),
    _row(P.STAGING, "stage", P.STAGING, P.STAGED, P.ABSENT, P.FAILED),
    _row(P.STAGED, "take", P.STAGED, P.LEASED, P.ABSENT, P.FAILED),
    _row(P.HELD, "look", P.HELD, *_SEEN_AGAIN),
    _row(P.LEASED, "look", P.READY, P.MEASURING, P.HELD, P.UPDATED, P.UNKNOWN, P.ABSENT, P.FAILED),
    _row(P.MEASURING, "smoke", P.READY, P.STAGED, P.ABSENT),
    _row(
        *(P.READY, "activate"),
        *(P.TRIAL, P.UNKNOWN, P.ROLLBACK_UNVERIFIED, P.STAGING, P.STAGED, P.HELD, P.ABSENT),
    ),
    _row(P.TRIAL, "smoke", P.SOAKING, P.REVIEW_REQUESTED, P.UNKNOWN, P.ROLLING_BACK),
    _row(P.SOAKING, "soak", P.SOAKING, P.UNKNOWN, P.ROLLING_BACK),
    _row(P.SOAKING, "look", P.SOAKING, P.PASSED, P.UNKNOWN, P.ROLLING_BACK, P.UNREACHABLE),
    _row(P.PASSED, "commit", P.UPDATED, P.UNKNOWN, P.ROLLING_BACK),
    _row(P.REVIEW_REQUESTED, "review", P.IN_REVIEW, P.UNKNOWN, P.ROLLING_BACK),
    _row(P.IN_REVIEW, "look", P.IN_REVIEW, P.UPDATED, P.FAILED),
    _row(P.UNKNOWN, "look", P.UNKNOWN, *_RECONCILED),
    _row(P.ROLLBACK_REQUESTED, "take", P.ROLLBACK_REQUESTED, P.ROLLING_BACK, P.ROLLBACK_FAILED),
    _row(P.ROLLBACK_REQUESTED, "rollback", P.ROLLBACK_REQUESTED, P.ROLLBACK_UNVERIFIED, P.UNREACHABLE),
    _row(P.ROLLING_BACK, "rollback", P.ROLLING_BACK, P.ROLLBACK_UNVERIFIED, P.UNREACHABLE),
    _row(P.ROLLBACK_UNVERIFIED, "look", P.ROLLBACK_UNVERIFIED, *_BACK),
    _row(P.SMOKING_PREVIOUS, "smoke", P.SMOKING_PREVIOUS, P.ROLLED_BACK, P.FAILED),
    _row(P.UPDATED, "look", P.UPDATED, P.FAILED),
    _row(P.ABSENT, "look", *_SEEN_AGAIN),
    _row(P.UNREACHABLE, "look", P.UNREACHABLE, *_RECONCILED),
)
VERBS = {phase: tuple(row.verb for row in ROWS if row.start is phase) for phase in Phase}
# A rollout that stops: trials are rolled back, prepared devices wait; UPDATED ones only if requested.
STOPPED = dict.fromkeys(ON_TRIAL, P.ROLLING_BACK) | dict.fromkeys(PREPARED, P.STAGED)
# Another controller takes over: a trial's status decides, a lease is acquired again.
RESUMED = (
    dict.fromkeys(ON_TRIAL | {P.UNREACHABLE}, P.UNKNOWN)
    | dict.fromkeys(PREPARED, P.STAGED)
    | {P.ROLLBACK_FAILED: P.ROLLBACK_REQUESTED}
)


def admitted(phase: Phase, verb: str) -> frozenset[Phase]:
    """Return the phases that the end of ``verb`` may lead to from ``phase``.

    ``phase`` is one that the verb begins in, or one that a stop changed it to meanwhile. ``give`` is possible
    in each phase and changes prepared ones only.
    """
    if verb == "give":
        return frozenset({P.STAGED if phase in PREPARED else phase})
    begun = {row for row in ROWS if row.verb == verb and phase in (row.start, STOPPED.get(row.start))}
    late = frozenset() if any(row.start is phase for row in begun) else frozenset({phase})
    return late.union(*(row.to for row in begun))
