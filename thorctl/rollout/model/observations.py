"""What a device's own status makes of it. Pure.

After ``activate`` and ``rollback``, and after every step whose end nobody saw, the status has the last word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.protocol.owner import owner_of
from thorctl.rollout.model.device import Device, Phase
from thorctl.rollout.model.observations_after import confirmed, reconciled, reviewed, soaked
from thorctl.rollout.model.observations_before import prepared, present, waiting_for_hold
from thorctl.rollout.model.rules import ABSENT_LOOK_SECONDS, LOOK_SECONDS
from thorctl.rollout.model.transitions import absent, failed_untouched

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.rollout.model.rules import Ended, Rules


def looked(device: Device, end: Ended, rules: Rules) -> Device:
    """After the agent's status."""
    seen = replace(device, looked_at=end.at)
    if not end.ok:
        return _unseen(seen, end, rules)
    if "state" not in end.data:
        return _unseen(
            seen, replace(end, ok=False, code="agent_garbage", message="its status says nothing"), rules
        )
    lease = end.data.get("lease")
    seen = replace(
        seen, silent_since=None, leased=isinstance(lease, dict) and str(owner_of(lease)) == rules.holder
    )
    judge = _LOOKS.get(device.phase)
    return judge(seen, end, rules) if judge else seen


def _unseen(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase in {Phase.UPDATED, Phase.IN_REVIEW}:
        return device  # as it was last seen
    if device.phase in {Phase.NEW, Phase.ABSENT, Phase.HELD, Phase.LEASED}:
        booting = device.phase is Phase.ABSENT and end.code == "auth_failed"  # pam_nologin's way to say so
        if end.code in {"device_unreachable", "agent_timeout"} or booting:
            return absent(device, f"offline: {end.message}", end.at)
        return failed_untouched(device, end.words)
    if device.phase is Phase.UNREACHABLE:
        return replace(device, due=end.at + ABSENT_LOOK_SECONDS)
    since = end.at if device.silent_since is None else device.silent_since
    silent = replace(device, silent_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since < rules.wait.silence_seconds:
        return silent
    why = f"no usable answer for {end.at - since:.0f} s ({end.words}); its own deadline takes it back"
    return replace(
        silent, phase=Phase.UNREACHABLE, why=f"{device.fault}; then {why}" if device.fault else why
    )


_LOOKS: dict[Phase, Callable[[Device, Ended, Rules], Device]] = {
    Phase.NEW: present,
    Phase.ABSENT: present,
    Phase.HELD: waiting_for_hold,
    Phase.LEASED: prepared,
    Phase.SOAKING: soaked,
    Phase.UNKNOWN: reconciled,
    Phase.ROLLBACK_UNVERIFIED: reconciled,
    Phase.UNREACHABLE: reconciled,
    Phase.UPDATED: confirmed,
    Phase.IN_REVIEW: reviewed,
}
