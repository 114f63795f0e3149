"""The journal (``state.json``): content, transitions, storage. The table is in ``protocol.states``.

A transition is written before the actions it announces (``activating``, ``rolling-back``) and after those
it reports (``trial``, ``committed``, ``empty``). The journal therefore never claims an action that has not
happened, and holds all that is needed to restore ``current`` after a crash. It is read whole or not at all.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.state import disk_full
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.states import (
    ACTIVATING,
    COMMITTED,
    EMPTY,
    ROLLING_BACK,
    STATES,
    TRANSITIONS,
    TRIAL,
)

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.paths import Paths

REVIEW = "review"  # not a state of the journal: the purpose of the timer of a trial under review
SCHEMA = 1
CORRUPT_REMEDY = (
    "Check the disk (`dmesg`, `smartctl` on the device): the agent writes this file whole. Then "
    "record the committed release there: `sudo thor-agent recover --committed ID` (or `none`)."
)


class IllegalTransition(Exception):  # noqa: N818 - an event, not an error of the program
    """A transition that the current state does not allow."""


@dataclass(frozen=True)
class Journal:
    """The state of a device's releases.

    Attributes:
        state: one of ``STATES``.
        current: the committed release, or the target of a rollback in progress; None: none.
        previous: the release committed before ``current``, retained for a rollback; None: none.
        target: the release being activated, on trial, or being left; None in ``empty`` and ``committed``.
        since: start of this state, RFC 3339.
        deadline: end of the trial, RFC 3339; only in ``trial``.
        activated_at: start of the trial of the running release, RFC 3339.
        activation: number of activations; a timer or a smoke test of one does not affect the next.
        boot: boot ID at ``since``; a different one now means that the device restarted.
        reason: reason of the last rollback.
        left: the release that the last rollback removed from service; None after another activation began.
        current_sha256: SHA-256 of the current release's document; None: recorded by an earlier agent.
        previous_sha256: SHA-256 of the previous release's document.
        target_sha256: SHA-256 of the target's document.
        activated_by: operator who activated the target or the current release; None: earlier agent.
        deadline_since_boot: the deadline in seconds of the clock since boot; None: earlier agent.
        review: start of the review of a trial whose smoke test failed, RFC 3339; None: no review.
    """

    state: str = EMPTY
    current: str | None = None
    previous: str | None = None
    target: str | None = None
    since: str | None = None
    deadline: str | None = None
    activated_at: str | None = None
    activation: int = 0
    boot: str | None = None
    reason: str | None = None
    left: str | None = None
    current_sha256: str | None = None
    previous_sha256: str | None = None
    target_sha256: str | None = None
    activated_by: str | None = None
    deadline_since_boot: float | None = None
    review: str | None = None

    @property
    def timer(self) -> str:
        """The state that the trial's timer was set for: ``REVIEW`` during a review."""
        return REVIEW if self.review else TRIAL

    @property
    def running(self) -> str | None:
        """The release that the engine should serve: the target during a trial, else ``current``."""
        return self.target if self.state in (ACTIVATING, TRIAL) else self.current

    @property
    def running_sha256(self) -> str | None:
        """The SHA-256 of the document of ``running``."""
        return self.target_sha256 if self.state in (ACTIVATING, TRIAL) else self.current_sha256

    def sha256_of(self, release_id: str) -> str | None:
        """Return the recorded SHA-256 of a release's document; None if there is none."""
        known = {
            self.current: self.current_sha256,
            self.previous: self.previous_sha256,
            self.target: self.target_sha256,
        }
        return known.get(release_id)

    @property
    def needed(self) -> set[str]:
        """The releases that a clean-up must keep."""
        return {one for one in (self.current, self.previous, self.target) if one}

    def document(self) -> dict[str, Any]:
        """Return the document as stored."""
        return {"schema": SCHEMA, **asdict(self)}


def begin_activation(
    journal: Journal,
    target: str,
    now: str,
    boot: str,
    sha256: str | None = None,
    *,
    by: str | None = None,
) -> Journal:
    """Transition ``empty``, ``committed`` → ``activating``; repeat an interrupted activation of ``target``.

    ``sha256`` is the SHA-256 of the target's document, ``by`` the owner of the trial.
    """
    _require(journal, "begin_activation", "activate")
    if journal.state == ACTIVATING and journal.target != target:
        raise IllegalTransition(f"activate in state {journal.state}")
    if target == journal.current:
        raise IllegalTransition(f"{target} is committed already")
    return replace(
        journal,
        state=ACTIVATING,
        target=target,
        target_sha256=sha256,
        since=now,
        deadline=None,
        deadline_since_boot=None,
        activated_at=None,
        activated_by=by,
        activation=journal.activation + 1,
        boot=boot,
        reason=None,
        left=None,
    )


def begin_trial(
    journal: Journal, now: str, deadline: str, deadline_since_boot: float | None = None
) -> Journal:
    """Transition ``activating`` → ``trial``."""
    _require(journal, "begin_trial", "begin the trial")
    return replace(
        journal,
        state=TRIAL,
        since=now,
        activated_at=now,
        deadline=deadline,
        deadline_since_boot=deadline_since_boot,
    )


def begin_review(journal: Journal, now: str, deadline: str, deadline_since_boot: float) -> Journal:
    """Extend a ``trial`` by a review; once, and only on a device without a committed release."""
    _require(journal, "begin_review", "keep for review")
    if journal.current is not None or journal.review is not None:
        raise IllegalTransition("keep for review twice, or with a release to restore")
    return replace(journal, review=now, deadline=deadline, deadline_since_boot=deadline_since_boot)


def commit(journal: Journal, now: str) -> Journal:
    """Transition ``trial`` → ``committed``: the target becomes current, current becomes previous."""
    _require(journal, "commit", "commit")
    return replace(
        journal,
        state=COMMITTED,
        current=journal.target,
        current_sha256=journal.target_sha256,
        previous=journal.current,
        previous_sha256=journal.current_sha256,
        target=None,
        target_sha256=None,
        since=now,
        deadline=None,
        deadline_since_boot=None,
        review=None,
    )


def begin_rollback(journal: Journal, now: str, reason: str) -> Journal:
    """Transition ``activating``, ``trial``, or ``committed`` with a previous release → ``rolling-back``.

    ``current`` becomes the release to restore, ``target`` the release to leave.
    """
    _require(journal, "begin_rollback", "roll back")
    announced = replace(
        journal,
        state=ROLLING_BACK,
        since=now,
        deadline=None,
        deadline_since_boot=None,
        review=None,
        activated_at=None,
        activated_by=None,
        reason=reason,
    )
    if journal.state != COMMITTED:
        return announced
    if journal.previous is None:
        raise IllegalTransition("roll back without a previous release")
    return replace(
        announced,
        current=journal.previous,
        current_sha256=journal.previous_sha256,
        previous=None,
        previous_sha256=None,
        target=journal.current,
        target_sha256=journal.current_sha256,
    )


def finish_rollback(journal: Journal, now: str) -> Journal:
    """Transition ``rolling-back`` → ``committed``, or ``empty`` on a device without a committed release."""
    _require(journal, "finish_rollback", "finish the rollback")
    state = COMMITTED if journal.current else EMPTY
    return replace(journal, state=state, since=now, target=None, target_sha256=None, left=journal.target)


def from_document(document: Any) -> Journal:
    """Read a stored journal.

    Raises:
        ValueError: the document is not a journal, or its fields contradict each other.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or "state" not in document:
        raise ValueError("not a journal of schema 1")
        # Fields of a newer agent are ignored: an older agent installed in its place must be able to recover.
    known = {one.name for one in fields(Journal)}
    journal = Journal(**{key: value for key, value in document.items() if key in known})
    fault = _fault(journal)
    if fault:
        raise ValueError(fault)
    return journal


def _fault(journal: Journal) -> str | None:
    numbers, ends = ("activation", "deadline_since_boot"), journal.deadline_since_boot
    texts = {key: value for key, value in asdict(journal).items() if key not in numbers}
    rules = (
        (all(value is None or isinstance(value, str) for value in texts.values()), "a value is not text"),
        (ends is None or type(ends) in (int, float), "deadline_since_boot is not a number"),
        (isinstance(journal.activation, int) and journal.activation >= 0, "activation is not a count"),
        (journal.state in STATES, f"unknown state {journal.state!r}"),
        (journal.state != EMPTY or not journal.needed, "empty, yet it names a release"),
        (journal.state != COMMITTED or journal.current is not None, "committed to nothing"),
        ((journal.target is None) == (journal.state in (EMPTY, COMMITTED)), "target does not fit the state"),
        (journal.target is None or journal.target != journal.current, "target is current"),
        ((journal.deadline is not None) == (journal.state == TRIAL), "deadline does not fit the state"),
        (
            journal.review is None or None not in (journal.deadline, ends),
            "a review without an end",
        ),
    )
    return next((fault for holds, fault in rules if not holds), None)


def _require(journal: Journal, step: str, words: str) -> None:
    if journal.state not in TRANSITIONS[step].start:
        raise IllegalTransition(f"{words} in state {journal.state}")


def load_journal(paths: Paths) -> Journal:
    """Return the journal; a device on which nothing was ever activated is ``empty``.

    Raises:
        AgentError: ``journal_corrupt``.
    """
    try:
        document = read_json(paths.journal)
        if document is not None:
            return from_document(document)
    except (ValueError, OSError) as fault:
        raise _corrupt(f"{paths.journal} cannot be read: {fault}") from fault
    if paths.engine_unit.exists():
        # The journal is written before the first unit is installed, so it has existed.
        raise _corrupt(f"{paths.journal} is gone although {paths.engine_unit.name} is installed")
    return Journal()


def save_journal(ctx: Context, journal: Journal) -> None:
    """Store ``journal`` durably before returning.

    Raises:
        OSError: it could not be written; the stored journal is unchanged.
    """
    try:
        ctx.files.write_json(ctx.paths.journal, journal.document())
    except OSError as refused:
        # The reserve is for the end of a trial, by commit or rollback, not for its beginning.
        beginning = journal.state in (ACTIVATING, TRIAL)
        if beginning or refused.errno not in disk_full.FULL or not disk_full.drop_reserve(ctx):
            raise
        ctx.files.write_json(ctx.paths.journal, journal.document())
    ctx.log.info(
        "state %s (current %s, target %s)", journal.state, journal.current or "-", journal.target or "-"
    )


def _corrupt(message: str) -> AgentError:
    return AgentError("journal_corrupt", message + ".", CORRUPT_REMEDY)
