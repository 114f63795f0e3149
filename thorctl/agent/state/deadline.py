"""End a trial on time: a transient systemd timer on the device, independent of any connection.

The timer names the state and the activation it was set for, so a late or stale one does nothing. systemd
measures its seconds with a monotonic clock and retries a rollback that fails (Docker hangs). When the time is
up, a lock owner whose verb could last for hours is evicted; a rollback, a commit or a clean-up is waited for.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.holder import DEVICE
from thorctl.agent.core.locking import has_open
from thorctl.agent.core.outcome import EXIT_BUSY, EXIT_TERMINATED, AgentError
from thorctl.agent.state.journal import REVIEW, load_journal
from thorctl.protocol.states import ROLLING_BACK, TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal

AGAIN_SECONDS = 60
GUARD_SECONDS = 120  # until the device checks whether the verb still runs
EVICTED = ("smoke", "bench", "activate")  # an activation rolls back by itself on SIGTERM
KILL_SECONDS = 600.0  # stopping an engine takes 240 s at most; a process that runs longer hangs


def guard(ctx: Context, state: str, activation: int, release_id: str, leave_alone: int = 0) -> None:
    """Roll ``release_id`` back on the device if the lock's owner dies in ``state``.

    ``leave_alone``: seconds after which an owner that still runs is evicted.
    """
    arm(ctx, state, activation, release_id, GUARD_SECONDS, also=("--leave-alone", str(leave_alone)))


def arm(
    ctx: Context,
    state: str,
    activation: int,
    release_id: str,
    seconds: int,
    *,
    also: tuple[str, ...] = (),
) -> None:
    """Set the timer that rolls ``release_id`` back in ``seconds``, if the device is then still in ``state``.

    ``also``: further options of the rollback.

    Raises:
        AgentError: ``internal``, if systemd reports a failure: no trial begins without its timer.
    """
    disarm(ctx, state, activation)
    reason = "deadline" if state in (TRIAL, REVIEW) else "interrupted"
    argv = [
        *("systemd-run", "--collect", "--unit", unit_name(state, activation)),
        *("--description", f"End of the {state} state of {release_id}"),
        *("--on-active", f"{seconds}s", "--timer-property", "AccuracySec=1s"),
        *("--property", "Restart=on-failure", "--property", f"RestartSec={AGAIN_SECONDS}"),
        # Exit codes for "busy" and for SIGTERM (`systemctl stop`) are no failure of the unit. It is restarted
        # all the same, except after a stop by systemd itself.
        *("--property", f"SuccessExitStatus={EXIT_BUSY} {EXIT_TERMINATED}"),
        *("--property", f"RestartForceExitStatus={EXIT_BUSY} {EXIT_TERMINATED}"),
        *(*ctx.paths.agent_words, "--holder", DEVICE),
        *("rollback", "--reason", reason, "--only-in", f"{state}:{activation}"),
        *also,
    ]
    done = ctx.runner.run(argv)
    if not done.ok:
        raise AgentError(
            "internal",
            f"systemd did not start the timer of the deadline (exit {done.rc}): {done.stderr.strip()}",
            "Read `systemctl status` and `journalctl -b` on the device, then repeat the command.",
        )


def disarm(ctx: Context, state: str, activation: int) -> None:
    """Stop the timer. A missing timer is no error, and one that stays does nothing."""
    ctx.runner.run(["systemctl", "stop", f"{unit_name(state, activation)}.timer"])


def cancel(ctx: Context, state: str, activation: int) -> None:
    """Stop the timer and the service it started. Not for the rollback that runs as that service."""
    name = unit_name(state, activation)
    ctx.runner.run(["systemctl", "stop", f"{name}.timer", f"{name}.service"])


def armed(ctx: Context, state: str, activation: int) -> bool:
    """Return whether the timer is active.

    Raises:
        AgentError: ``internal``, if systemd does not report it.
    """
    timer = f"{unit_name(state, activation)}.timer"
    done = ctx.runner.run(["systemctl", "show", "--property", "ActiveState", timer])
    if not done.ok:
        raise AgentError(
            "internal",
            f"systemd does not report whether {timer} is active (exit {done.rc}): {done.stderr.strip()}",
            "Read `systemctl status` and `journalctl -b` on the device, then repeat the command.",
        )
    return done.stdout.strip() == "ActiveState=active"


def timer_applies(journal: Journal, only_in: str) -> bool:
    """Return whether the timer's activation is still in the timer's state, or in a rollback from there.

    The timer of a trial does not apply during a review, nor that of a review before it.
    """
    state, _, activation = only_in.partition(":")
    now = journal.timer if journal.state == TRIAL else journal.state
    return activation == str(journal.activation) and now in (state, ROLLING_BACK)


def unit_name(state: str, activation: int) -> str:
    """Return the name of the transient units, such as ``thor-trial-7``."""
    return f"thor-{state}-{activation}"


def review_seconds_left(ctx: Context, journal: Journal) -> int | None:
    """Return the seconds until the review ends; None without a review."""
    if journal.review is None or journal.deadline_since_boot is None:
        return None
    return max(0, round(journal.deadline_since_boot - ctx.clock.since_boot()))


class LockEviction:
    """Evict the lock's owner: SIGTERM after ``grace_seconds``, SIGKILL ``KILL_SECONDS`` later.

    Call it with the owner repeatedly while the lock is held. ``only_in`` is the timer's: a stale timer evicts
    nobody.
    """

    def __init__(self, ctx: Context, only_in: str | None, grace_seconds: float, *locks: Path) -> None:
        self._ctx, self._locks, self._only_in = ctx, locks, only_in
        self._begins = ctx.clock.monotonic() + grace_seconds
        self._asked: int | None = None
        self._since = 0.0

    def __call__(self, owner: dict[str, Any]) -> None:
        """Evict ``owner``, the content of the lock's file; it may be another one in each call."""
        pid = owner.get("pid")
        if owner.get("verb") not in EVICTED or not isinstance(pid, int):
            return
        if not any(has_open(pid, lock) for lock in self._locks):  # the number was reused by another process
            return
        now = self._ctx.clock.monotonic()
        if self._only_in is None or now < self._begins:
            return
        try:
            if not timer_applies(load_journal(self._ctx.paths), self._only_in):
                return
        except AgentError:
            return
        if pid != self._asked:
            self._asked, self._since = pid, now
            self._send(pid, signal.SIGTERM, owner)
        elif now - self._since >= KILL_SECONDS:
            self._since = now
            self._send(pid, signal.SIGKILL, owner)

    def _send(self, pid: int, number: signal.Signals, owner: dict[str, Any]) -> None:
        self._ctx.log.warning(
            "the trial's time is up: %s to `%s` of %s", number.name, owner["verb"], owner.get("holder")
        )
        with suppress(ProcessLookupError):
            os.kill(pid, number)
