"""The timer that ends a trial though nobody comes back: a transient unit of systemd on the device itself.

It names the state and the activation it was set for, so one that fires late or was left over does nothing.
Systemd counts its seconds by a clock that never jumps, and tries a rollback that fails (Docker hangs) again.
Whoever holds the lock when the time is up, with a verb that could last for hours, is evicted; a rollback, a
commit or a clean-up at work is waited for.
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
GUARD_SECONDS = 120  # until the device looks after a verb that may have died; one at work is left alone
EVICTED = ("smoke", "bench", "activate")  # an activation goes back by itself when it is told to end
KILL_SECONDS = 600.0  # stopping an engine takes 240 s at most; who is not gone then hangs


def guard(ctx: Context, state: str, activation: int, release_id: str, leave_alone: int = 0) -> None:
    """Have the device roll ``release_id`` back as soon as whoever holds the lock dies in ``state``.

    ``leave_alone``: seconds after which one that is still at work is ended.
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
    """Have the device roll ``release_id`` back in ``seconds``, if it is then still in ``state``.

    ``also``: further options of the rollback.

    Raises:
        AgentError: ``internal``, if systemd refused: without its timer no trial begins.
    """
    disarm(ctx, state, activation)
    reason = "deadline" if state in (TRIAL, REVIEW) else "interrupted"
    argv = [
        *("systemd-run", "--collect", "--unit", unit_name(state, activation)),
        *("--description", f"End of the {state} state of {release_id}"),
        *("--on-active", f"{seconds}s", "--timer-property", "AccuracySec=1s"),
        *("--property", "Restart=on-failure", "--property", f"RestartSec={AGAIN_SECONDS}"),
        # Another verb is at work, or `systemctl stop` (`dismiss`): no failure of the unit. It is tried again,
        # also after a SIGTERM that is not systemd's; a stop by systemd is never followed by a restart.
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
    """Take the timer back; it is fine if there is none, and harmless if it stays."""
    ctx.runner.run(["systemctl", "stop", f"{unit_name(state, activation)}.timer"])


def dismiss(ctx: Context, state: str, activation: int) -> None:
    """As ``disarm``, and end what the timer has started: for a verb that is not that."""
    name = unit_name(state, activation)
    ctx.runner.run(["systemctl", "stop", f"{name}.timer", f"{name}.service"])


def armed(ctx: Context, state: str, activation: int) -> bool:
    """True if the timer still waits for its time.

    Raises:
        AgentError: ``internal``, if systemd does not say.
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


def still_meant(journal: Journal, only_in: str) -> bool:
    """True if the timer's activation is in the timer's state still, or died on its way back from there.

    The timer of a trial means nothing once the trial is kept for review, and that of a review only then.
    """
    state, _, activation = only_in.partition(":")
    now = journal.timer if journal.state == TRIAL else journal.state
    return activation == str(journal.activation) and now in (state, ROLLING_BACK)


def unit_name(state: str, activation: int) -> str:
    """Name of the transient units, such as ``thor-trial-7``."""
    return f"thor-{state}-{activation}"


def review_seconds_left(ctx: Context, journal: Journal) -> int | None:
    """Seconds until the review ends; None where the trial is not kept for one."""
    if journal.review is None or journal.deadline_since_boot is None:
        return None
    return max(0, round(journal.deadline_since_boot - ctx.clock.since_boot()))


class LockEviction:
    """Evict the lock's owner: SIGTERM after ``grace_seconds``, SIGKILL ``KILL_SECONDS`` later.

    Call it with the owner again and again while the lock is held. ``only_in`` is the timer's: one that was
    left over evicts nobody.
    """

    def __init__(self, ctx: Context, only_in: str | None, grace_seconds: float, *locks: Path) -> None:
        self._ctx, self._locks, self._only_in = ctx, locks, only_in
        self._begins = ctx.clock.monotonic() + grace_seconds
        self._asked: int | None = None
        self._since = 0.0

    def __call__(self, owner: dict[str, Any]) -> None:
        """``owner`` is what the lock's file says; it may be another one each time."""
        pid = owner.get("pid")
        if owner.get("verb") not in EVICTED or not isinstance(pid, int):
            return
        if not any(has_open(pid, lock) for lock in self._locks):  # another process by the same number
            return
        now = self._ctx.clock.monotonic()
        if self._only_in is None or now < self._begins:
            return
        try:
            if not still_meant(load_journal(self._ctx.paths), self._only_in):
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
