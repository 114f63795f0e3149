"""The phases of a device in a rollout, and their transitions: the verb of each, and where its end may lead.

The table is the source: ``scheduler`` takes the next verb from it, ``transitions`` admits no other phase
after a verb, and the diagram in docs/explanation/rollout.md is drawn from it (``views.transitions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a device is. The words are what people read."""

    NEW = "not seen yet"
    CHECKING = "to be checked"  # by a preflight, before a byte of the release is fetched
    STAGING = "to be staged"
    STAGED = "staged"
    HELD = "on hold"  # by the device's own veto, whose end is waited for without our lease
    LEASED = "leased"
    MEASURING = "to be measured"  # leased; the speed of the release it has is not known
    READY = "ready"  # leased and seen: the activation may begin
    TRIAL = "on trial"  # activated; its smoke test is next
    SOAKING = "soaking"
    PASSED = "passed"  # the commit is next
    REVIEW_REQUESTED = "review requested"  # a first release failed its smoke test
    IN_REVIEW = "kept for review"  # on trial until a person accepts the release or ends the trial
    UNKNOWN = "unknown"  # changed, or maybe: its status decides
    ROLLBACK_REQUESTED = "rollback requested"  # of a committed release
    ROLLING_BACK = "rolling back"
    ROLLBACK_UNVERIFIED = "rollback unverified"  # its status decides
    SMOKING_PREVIOUS = (
        "testing the previous release"  # rolled back; the smoke test of the release before is next
    )
    UPDATED = "updated"
    FAILED = "failed"  # and on the release it had
    ROLLED_BACK = "rolled back"
    ABSENT = "absent"  # not a failure: caught up later
    UNREACHABLE = "unreachable"  # changed, and silent since; its own deadline rolls it back
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
)  # each run looks at them once: a person may have changed them
# Out of service, or about to be: what `parallel` limits.
CHANGING = PREPARED | {Phase.TRIAL, Phase.REVIEW_REQUESTED, Phase.UNKNOWN, Phase.ROLLING_BACK}
# No step takes these further by itself.
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
    """A verb of a phase, and the phases that its end may lead to; ``start`` among them: said again."""

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
# A rollout that stops: what is on trial is rolled back, what is prepared waits; UPDATED only if asked for.
STOPPED = dict.fromkeys(ON_TRIAL, P.ROLLING_BACK) | dict.fromkeys(PREPARED, P.STAGED)
# Another controller takes over: a trial's status decides, a lease is taken anew.
RESUMED = (
    dict.fromkeys(ON_TRIAL | {P.UNREACHABLE}, P.UNKNOWN)
    | dict.fromkeys(PREPARED, P.STAGED)
    | {P.ROLLBACK_FAILED: P.ROLLBACK_REQUESTED}
)


def admitted(phase: Phase, verb: str) -> frozenset[Phase]:
    """Phases to which the end of ``verb`` may lead a device that is in ``phase`` by then.

    The phase is one from which the verb begins, or one to which a stop moved the device meanwhile. ``give``
    is possible in each phase and changes none but those prepared.
    """
    if verb == "give":
        return frozenset({P.STAGED if phase in PREPARED else phase})
    begun = {row for row in ROWS if row.verb == verb and phase in (row.start, STOPPED.get(row.start))}
    late = frozenset() if any(row.start is phase for row in begun) else frozenset({phase})
    return late.union(*(row.to for row in begun))
