"""What its status makes of a device that nothing was changed on yet. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thorctl.protocol.identity import identity_of, stranger
from thorctl.protocol.states import CHANGING, COMMITTED, EMPTY
from thorctl.release.convergence import (
    COMMITTED_RELEASE,
    SERVES,
    Aspect,
    Convergence,
    Desired,
    Verdict,
    convergence,
)
from thorctl.rollout.model.device import Device, Phase
from thorctl.rollout.model.rules import ABSENCES
from thorctl.rollout.model.transitions import (
    absent,
    failed_untouched,
    held,
    hold_of,
    in_use_words,
    is_ours,
    leased_words,
    may_wait_for_hold,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.rollout.model.rules import Ended, Rules


def present(device: Device, end: Ended, rules: Rules) -> Device:
    """First seen, or seen again, and untouched by us. Another machine under its name is left alone."""
    other = stranger(device.name, identity_of(end.data), rules.identity)
    return absent(device, other, end.at) if other else _present(device, end, rules)


def _present(device: Device, end: Ended, rules: Rules) -> Device:
    status = end.data
    state, release = status.get("state"), status.get("release")
    found = convergence(status, Desired(device.target, rules.sha256 or None, rules.layout))
    if found.of(COMMITTED_RELEASE) is Verdict.IN_PLACE:
        return _there(device, found, status, rules)
    if state in CHANGING:
        return _in_use(device, end, rules)
    if state not in {COMMITTED, EMPTY}:
        return failed_untouched(device, f"its state cannot be read: {state!r}")
    hindrance = _hindrance(device, end, rules) if device.phase is Phase.ABSENT else None
    if hindrance:
        return absent(device, hindrance, end.at)
    if device.absences > ABSENCES:
        return replace(device, phase=Phase.ABSENT, due=math.inf)
    phase = Phase.STAGED if device.staged else Phase.CHECKING
    return replace(device, phase=phase, before=release, tries=0, due=0.0)


def _in_use(device: Device, end: Ended, rules: Rules) -> Device:
    """Others are at it; or this rollout's own activation, of the very document, began later than was seen."""
    status = end.data
    whole = bool(rules.sha256) and status.get("release_sha256") == rules.sha256
    if whole and status.get("release") == device.target and is_ours(status, rules):
        return replace(device, phase=Phase.UNKNOWN, due=0.0)
    return absent(device, in_use_words(device.name, status), end.at)


def _hindrance(device: Device, end: Ended, rules: Rules) -> str | None:
    """Why a device that is back would be absent again at once."""
    lease, hold = end.data.get("lease"), hold_of(end.data)
    if hold is not None and hold != rules.over_hold and not may_wait_for_hold(device, end, rules):
        return f"on hold: {hold}"
    if lease and not device.leased:
        return leased_words(device.name, lease)
    return None


def prepared(device: Device, end: Ended, rules: Rules) -> Device:
    """The last look before the activation, under our lease: what it finds is what a failure returns to."""
    status = end.data
    seen = present(device, end, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    lease = status.get("lease")
    if not device.leased or not isinstance(lease, dict) or lease.get("reason") != rules.lease:
        taken = f", {leased_words(device.name, lease)}" if isinstance(lease, dict) else ""
        return absent(replace(device, leased=False), f"our lease was taken from us{taken}", end.at)
    known = status.get("agent_layouts")
    if rules.layout not in (known if isinstance(known, list) else [1]):
        return failed_untouched(
            device,
            f"agent_too_old: its agent {status.get('agent_version')} does not read a release of layout "
            f"{rules.layout}; install this thorctl's: cd playbooks && ansible-playbook site.yml --limit "
            f"{device.name}",
        )
    if rules.work is not None and "soak" not in status:
        return failed_untouched(
            device,
            f"agent_too_old: its agent {status.get('agent_version')} cannot work a soak; install this "
            f"thorctl's: cd playbooks && ansible-playbook site.yml --limit {device.name}",
        )
    hold = hold_of(status)
    if hold is not None and hold != rules.over_hold:
        return held(device, hold, end, rules)
    smoke = status.get("last_smoke")
    release = status.get("release")
    known = isinstance(smoke, dict) and smoke.get("release") == release and smoke.get("passed") is True
    baseline = smoke.get("tokens_per_second") if known and isinstance(smoke, dict) else None
    since = status.get("since")
    measured = baseline is not None or release is None or rules.speed is None
    return replace(
        seen,
        phase=Phase.READY if measured else Phase.MEASURING,
        before=release,
        since=since if isinstance(since, str) else None,
        had_release=release is not None,
        baseline=float(baseline) if isinstance(baseline, (int, float)) else None,
        refused_since=None,
        hold=hold,
        held_since=None,
    )


def waiting_for_hold(device: Device, end: Ended, rules: Rules) -> Device:
    """A look at a device whose hold is waited for: gone, passed over, still there, or there for too long."""
    seen = present(device, end, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    hold = hold_of(end.data)
    if hold is None or hold == rules.over_hold:
        return seen
    return held(device, hold, end, rules)


def _there(device: Device, found: Convergence, status: Mapping[str, Any], rules: Rules) -> Device:
    """A device that has committed the target's id. One with another document of that id has failed."""
    if Aspect.DOCUMENT in found.differs:
        return failed_untouched(
            device,
            f"release_conflict: {device.target} is another document there (SHA-256 "
            f"{status['release_sha256']}, not {rules.sha256}); find out who staged it: "
            f"thorctl logs {device.name} --events",
        )
    if found.of(SERVES) is Verdict.IN_PLACE:
        return replace(device, phase=Phase.UPDATED, why="it serves this release already")
    return failed_untouched(device, "it has this release already, but its engine is not ready")
