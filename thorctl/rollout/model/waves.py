"""Assign the devices of a fleet to a policy's waves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.rollout.policy import Policy, Wave


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device of the rollout; ``release`` is its target, ``layout`` that release's."""

    name: str
    release: str
    site: str | None = None
    labels: tuple[str, ...] = ()
    layout: int = 1
    memory_bytes: int | None = None  # needed by its engine; None if vLLM sizes its cache itself
    keep_failed_seconds: int = 0  # length of the review of a first release that fails its smoke test


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """One wave. ``seconds``: from its first activation to the end of its last soak."""

    number: int
    name: str
    devices: tuple[str, ...]
    soak_seconds: int
    success_percent: float
    approval: bool  # whether an operator must approve it
    seconds: float | None = None
    worked: bool = False  # whether its devices soak under load; false in plans of earlier versions


def waves(policy: Policy, left: Sequence[Candidate], everybody: Sequence[Candidate]) -> list[PlannedWave]:
    """Return all waves that are not empty; together they hold every device.

    Raises:
        ThorError: ``policy_never_stops``, ``policy_empty_canary``, ``policy_canary_is_all``,
            ``policy_leaves_out``, ``policy_selector``.
    """
    _check_errors(policy, len(left))
    if not left:
        return []
    open_devices = _ordered(left, policy.order)
    found: list[PlannedWave] = []

    def add(wave: Wave, name: str, chosen: Sequence[Candidate]) -> None:
        soak = policy.soak_seconds if wave.soak_seconds is None else wave.soak_seconds
        success = 100.0 if not found else wave.success_percent or policy.success_percent
        asks = policy.approve == "each_wave" or (policy.approve == "after_canary" and len(found) == 1)
        names = tuple(one.name for one in chosen)
        worked = policy.work is not None and (not found or policy.work.waves == "all")
        approval = bool(found) and asks
        found.append(PlannedWave(len(found) + 1, name, names, soak, success, approval, worked=worked))
        for one in chosen:
            open_devices.remove(one)

    canary = _chosen(policy, policy.canary, open_devices, left, everybody)
    if not canary:
        raise _empty(policy, len(left))
    if len(canary) == len(left) > 1:
        raise ThorError(
            "policy_canary_is_all",
            f"The canary of policy {policy.name} ({policy.canary.words}) takes all of "
            f"{counted(len(left), 'device')}.",
            "Choose fewer: `canary: {count: 1}`.",
        )
    add(policy.canary, "canary", canary)
    for wave in policy.waves:
        if wave.each:
            for site in dict.fromkeys(one.site for one in open_devices):
                add(wave, f"site {site or '(none)'}", [one for one in open_devices if one.site == site])
            continue
        if not open_devices:
            break
        chosen = _chosen(policy, wave, open_devices, left, everybody)
        if chosen:  # none: all are in earlier waves or updated already, or the share rounds down to 0
            add(wave, wave.words, chosen)
    if open_devices:
        raise ThorError(
            "policy_leaves_out",
            f"No wave of policy {policy.name} takes {shortened([one.name for one in open_devices])}.",
            "Add a last wave `{rest: true}`, or name the devices to leave out: 'all,!NAME'.",
        )
    return found


def _check_errors(policy: Policy, fleet: int) -> None:
    cap, percent = policy.errors.stop_at_devices, policy.errors.stop_at_percent
    if fleet and percent is None and cap is not None and cap > fleet:
        raise ThorError(
            "policy_never_stops",
            f"Policy {policy.name} stops at {counted(cap, 'failed device')}, but only {fleet} would change.",
            f"Set errors.stop_at_devices to {fleet} or less, or add errors.stop_at_percent.",
        )


def _chosen(
    policy: Policy,
    wave: Wave,
    open_devices: Sequence[Candidate],
    left: Sequence[Candidate],
    everybody: Sequence[Candidate],
) -> list[Candidate]:
    """Return those of ``open_devices`` that ``wave`` selects, in order."""
    if wave.rest:
        return list(open_devices)
    if wave.count is not None:
        return list(open_devices[: wave.count])
    if wave.percent is not None:
        # Rounded first: 33.3 % of 3000 is 999, but a little less in floating point.
        return list(open_devices[: math.floor(round(len(left) * wave.percent / 100, 6))])

    def meant(one: Candidate) -> bool:
        if wave.devices is not None:
            return one.name in wave.devices
        return one.site == wave.site if wave.site is not None else wave.label in one.labels

    missing = set(wave.devices or ()) - {one.name for one in everybody}
    if missing or not any(meant(one) for one in everybody):
        what = f"device {min(missing)!r}" if missing else f"device of {wave.words!r}"
        raise ThorError(
            "policy_selector",
            f"Policy {policy.name} has a wave for a {what}, which is not among the chosen devices.",
            "Correct the policy or the choice of devices, which is "
            f"{shortened([one.name for one in everybody])}.",
        )
    return [one for one in open_devices if meant(one)]


def _empty(policy: Policy, fleet: int) -> ThorError:
    canary = policy.canary
    if canary.percent is None:
        why = "has no device to change: all serve the release already"
        remedy = "Choose a canary among the devices that change."
    else:
        why = f"would be empty: {canary.percent:g} % of {fleet} rounds down to 0"
        remedy = "Set `count: 1`, or a larger percentage."
    message = f"The canary of policy {policy.name} ({canary.words}) {why}."
    return ThorError("policy_empty_canary", message, remedy)


def _ordered(left: Sequence[Candidate], order: str) -> list[Candidate]:
    keys: dict[str, Callable[[Candidate], Any]] = {
        "name": lambda one: one.name,
        "site": lambda one: one.site or "",
    }
    return sorted(left, key=keys[order]) if order in keys else list(left)
