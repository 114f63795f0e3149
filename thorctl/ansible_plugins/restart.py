"""Decide whether a playbook may restart a device: on request or in its window, and not while it is in use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from thorctl.errors import ThorError
from thorctl.inventory import maintenance
from thorctl.protocol.owner import owner_of

QUIET = frozenset({"empty", "committed"})


def decide(
    status: dict[str, Any], *, allowed: bool, window: str | None, local_time: str, holder: str | None = None
) -> dict[str, str]:
    """Return ``{"decision": "restart"|"later"|"refuse", "message": code and sentence}``.

    Args:
        status: data of the agent's ``status``.
        allowed: restarts were requested explicitly.
        window: the maintenance window as text; None or '': there is none.
        local_time: the device's local time, ``2026-11-28T02:10``.
        holder: leases of this holder are ignored.
    """
    try:
        opened = bool(window) and maintenance.is_open(str(window), datetime.fromisoformat(local_time.strip()))
    except ThorError as error:
        return _said("refuse", f"{error.code}: {error.message} — {error.remedy}")
    except ValueError:
        return _said("refuse", f"clock_unreadable: The device's local time is malformed: {local_time!r}.")
    if not allowed and not opened:
        if window:
            return _said("later", f"it is {local_time.strip()} there, the window is {window}")
        return _said("refuse", "a restart was not requested, and there is no maintenance window")
    obstacle = _obstacle(status, holder)
    return _said("refuse", obstacle) if obstacle else _said("restart", "")


def window_problem(window: str) -> str:
    """Return the error of a maintenance window; '' if it is valid or absent."""
    try:
        if window:
            maintenance.parse(window)
    except ThorError as error:
        return f"{error.code}: {error.message} — {error.remedy}"
    return ""


def _obstacle(status: dict[str, Any], holder: str | None) -> str:
    """Return what a restart would disturb; '' if nothing."""
    hold, lease = status.get("hold"), status.get("lease")
    if hold:
        return (
            f"held: the device is on hold for {hold.get('reason')!r} since {hold.get('since')}; "
            "`thorctl hold release DEVICE` ends that"
        )
    if lease and str(owner_of(lease)) != holder:
        return (
            f"leased: {owner_of(lease).words} has it until {lease.get('expires_at')} ({lease.get('reason')})"
        )
    if status.get("progress"):
        return f"busy: the agent is at work ({(status.get('progress') or {}).get('verb')})"
    if status.get("state") not in QUIET:
        return f"bad_state: it is {status.get('state')}; a restart would roll it back to the previous release"
    return ""


def _said(decision: str, message: str) -> dict[str, str]:
    return {"decision": decision, "message": message}
