"""The state of a fleet: one row per device, and the verdict over all; None is unknown.

``attention`` of a row lists why it needs an operator; empty means none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from thorctl.protocol.encode import encode
from thorctl.protocol.identity import twins
from thorctl.protocol.owner import parse
from thorctl.protocol.plural import counted, form
from thorctl.protocol.states import ACTIVATING, COMMITTED, EMPTY, ROLLING_BACK, TRIAL
from thorctl.protocol.status import UNKNOWN, Comparison, Status
from thorctl.release.convergence import RUNS, SERVES, Aspect, Verdict, convergence, profile_of
from thorctl.status import drift as status_drift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thorctl.inventory.devices import Device
    from thorctl.protocol.identity import Identity
    from thorctl.protocol.progress import Progress
    from thorctl.release.convergence import Convergence, Desired
    from thorctl.remote.answer import Answer
    from thorctl.result import Problem


_SAME = {Verdict.IN_PLACE: True, Verdict.DIFFERS: False, Verdict.UNKNOWN: None}
# Short names of connection errors for the table; the error itself has the details.
_NO_STATUS = {
    "agent_missing": "no agent",
    "journal_corrupt": "journal corrupt",
    "host_key_mismatch": "wrong host key",
    "host_key_unknown": "unknown host key",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One device.

    Attributes:
        reachable: whether a login succeeded, whatever its agent answered.
        convergence: the comparison with its desired release.
        desired: the release of its profile, lock and class; None if unknown here.
        same_as: another inventory name under which this machine counts.
        at_work: whether a process of this machine runs the rollout that began the device's trial.
    """

    name: str
    site: str | None
    reachable: bool
    report: Status
    convergence: Convergence
    desired: Desired | None = None
    error: Problem | None = None
    same_as: str | None = None
    at_work: bool = False

    @property
    def identity(self) -> Identity:
        """The identity that the device reports."""
        return self.report.identity

    @property
    def another_document(self) -> bool:
        """Whether the device has the desired release's id with another document."""
        return Aspect.DOCUMENT in self.convergence.differs

    @property
    def serves_wanted(self) -> bool | None:
        """Whether the engine is ready with the desired release; None if that is unknown."""
        return None if self.desired is None else self.convergence.of(SERVES) is Verdict.IN_PLACE

    @property
    def layout_note(self) -> str | None:
        """A note if the committed release is of the desired profile in an earlier layout; else None."""
        layout = self.convergence.earlier_layout
        if layout is None or self.desired is None:
            return None
        later, profile = self.desired.layout, profile_of(self.desired.id)
        return f"layout {layout}; a rollout installs layout {later}: thorctl rollout start {profile}"

    @property
    def _release(self) -> Comparison:
        desired, found = self.desired.id if self.desired else None, self.report.release
        if self.desired and self.another_document:
            desired, found = f"sha256:{self.desired.sha256}", f"sha256:{self.report.release_sha256}"
        same = _SAME[self.convergence.of(RUNS)]
        return Comparison(what="release", wanted=desired, found=found, same=same, note=self.layout_note)

    @property
    def compared(self) -> list[Comparison] | None:
        """Return all comparisons of desired and actual, the release first; None without an answer."""
        return None if self.report.compared is None else [self._release, *self.report.compared]

    @property
    def drift(self) -> list[Comparison] | None:
        """Return those that are not known to be equal; None without an answer."""
        if self.report.drift is None:
            return None
        release = self._release
        return [*([] if release.same or release.note else [release]), *self.report.drift]

    def as_json(self) -> dict[str, Any]:
        """Return the device's data of ``status --json``."""
        report, engine = encode(self.report), self.report.engine
        return {
            **report,
            "name": self.name,
            "site": self.site,
            "reachable": self.reachable,
            "wanted_release": self.desired.id if self.desired else None,
            "answers_as": self.report.name,
            "same_as": self.same_as,
            "compared": encode(self.compared),
            "drift": encode(self.drift),
            "engine": engine.word,
            "engine_unit": engine.unit,
            "engine_restarts": engine.restarts,
            "model": engine.model,
            "attention": list(attention(self)),
            "error": asdict(self.error) if self.error else None,
        }


def row(device: Device, answer: Answer, desired: Desired | None) -> Row:
    """Return the row of one device; without a usable status everything is unknown."""
    report = answer.get(Status) or UNKNOWN
    found = convergence(report, desired)
    return Row(device.name, device.site, answer.reached, report, found, desired, answer.error)


def rows(devices: Sequence[Device], answers: Sequence[Answer], desired: Mapping[str, Desired]) -> list[Row]:
    """Return the rows of a fleet, in the order of ``devices``."""
    found = [
        row(device, answer, desired.get(device.name)) for device, answer in zip(devices, answers, strict=True)
    ]
    further = twins({one.name: one.identity for one in found})
    return [replace(one, same_as=further.get(one.name)) for one in found]


def attention(row: Row) -> tuple[str, ...]:
    """Return why this device needs an operator, most important first."""
    if row.error:
        return (_NO_STATUS.get(row.error.code, "no status" if row.reachable else "unreachable"),)
    report, found = row.report, []
    if row.same_as:
        found.append(f"is the same machine as {row.same_as}: remove one of the two names")
    elif row.identity.name not in {None, row.name}:
        found.append(f"answers as {row.identity.name}: swapped, or its address is reused")
    if report.state == EMPTY:
        found.append("no release yet")
    elif report.state == TRIAL:
        found.append(_trial(row))
    elif report.state != COMMITTED:
        found.append(report.state or "state unknown")
    if report.state != EMPTY and report.engine.word != "ready":
        cold = report.engine.cold_start_seconds
        longest = f" (cold start, up to {round(cold / 60)} min)" if cold else ""
        found.append(f"engine {report.engine.word or 'unknown'}{longest}")
    if row.desired and report.release and Aspect.RELEASE in row.convergence.differs and not row.layout_note:
        found.append(f"serves {report.release}, desired is {row.desired.id}")
    if row.desired and row.another_document:
        found.append(f"another document has the id {row.desired.id} (release_conflict)")
    if report.state in {ACTIVATING, ROLLING_BACK}:  # files, unit and engine are being replaced
        return tuple(found)
    found += _smoke(report)
    found += ["drift unknown"] if report.drift is None else map(status_drift.words, report.drift)
    return tuple(found)


def _trial(row: Row) -> str:
    """Describe the trial: its end, its owner, and the commands that end it."""
    report = row.report
    if review := review_words(report.review_seconds_left):
        return (
            f"{review}: end it with `thorctl commit {row.name} --accept-failed-smoke REASON` or "
            f"`thorctl rollback {row.name}`"
        )
    words = f"on trial until {clock(report.deadline)}" if report.deadline else "on trial"
    if not report.activated_by:
        return words
    owner = parse(report.activated_by)
    words += f", begun by {owner.words}"
    if owner.rollout is None:
        return f"{words}: end it with `thorctl commit {row.name}` or `thorctl rollback {row.name}`"
    if row.at_work:
        return words
    return f"{words}, which is not at work on this machine: {owner.ends}"


def _smoke(report: Status) -> list[str]:
    smoke = report.last_smoke
    if report.state == EMPTY:
        return []
    if smoke is None or (report.release and smoke.release != report.release):
        return ["this release has no smoke test yet"]
    if smoke.passed or smoke.accepted:
        return []
    checks = f" ({', '.join(smoke.failed_checks)})" if smoke.failed_checks else ""
    return [f"last smoke test failed{checks}"]


def review_words(seconds_left: int | None) -> str | None:
    """Format the time left of a review; None if the trial is not kept for one."""
    if seconds_left is None:
        return None
    hours, minutes = divmod(-(-seconds_left // 60), 60)
    return f"kept for review, {f'{hours} h ' if hours else ''}{minutes} min left"


def remarks(row: Row) -> tuple[str, ...]:
    """Return remarks that need no operator: an earlier layout, work in progress, a lease, a hold."""
    report, found = row.report, []
    if row.layout_note:
        found.append(row.layout_note)
    smoke = report.last_smoke
    if smoke and smoke.accepted and report.state == COMMITTED and smoke.release == report.release:
        found.append(f"its smoke failed and was accepted by {smoke.accepted.by}: {smoke.accepted.reason}")
    if restarts := report.engine.restarts:
        end = report.engine.last_end
        last = f", last after {end.code} {end.status}" if end else ""
        found.append(f"engine restarted {counted(restarts, 'time')}{last}")
    if report.progress:
        found.append(progress_words(report.progress))
    if report.lease:
        reason = report.lease.own_reason
        found.append(f"leased by {report.lease.owner.words}" + (f" ({reason})" if reason else ""))
    if report.hold:
        found.append(f"on hold: {report.hold.reason}")
    return tuple(found)


def progress_words(progress: Progress) -> str:
    """Format ``stage: checkpoint 45 %``."""
    share = "" if progress.percent is None else f" {progress.percent} %"
    return f"{progress.verb}: {progress.phase}{share}"


def clock(time: str) -> str:
    """Format ``2026-01-02T03:04:05Z`` as ``03:04:05Z``; anything else unchanged."""
    return time.partition("T")[2] or time


def verdict(fleet: Sequence[Row]) -> str:
    """Return one sentence on all: the number of devices that serve their desired release."""
    total = len(fleet)
    serve = form(total, "device serves", "devices serve")
    known = [r for r in fleet if r.desired is not None]
    needy = sum(1 for r in fleet if attention(r))
    tail = "." if not needy else f"; {counted(needy, 'needs', 'need')} attention."
    if not known:
        ready = sum(1 for r in fleet if r.report.engine.word == "ready")
        return f"{ready} of {total} {serve} a model (the desired release is unknown here){tail}"
    good = sum(1 for r in known if r.serves_wanted)
    unknown = f" (unknown for {total - len(known)})" if len(known) < total else ""
    earlier = sum(1 for r in known if r.layout_note)
    waiting = f", {earlier} an earlier layout of it" if earlier else ""
    return f"{good} of {total} {serve} the desired release{waiting}{unknown}{tail}"
