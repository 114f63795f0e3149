"""``activate``: switch to a staged release and wait until it is ready; the device is then on trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.agent.core import docker_wait
from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.clock import as_text
from thorctl.agent.core.outcome import AgentError, Outcome, ended_by, unforeseen
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.engine import door, ready
from thorctl.agent.facts import ports
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.staging import image, verified
from thorctl.agent.state import deadline, disk_full, rollback, switch
from thorctl.agent.state.journal import begin_activation, begin_trial, load_journal, save_journal
from thorctl.agent.verbs import hold
from thorctl.protocol.results import Activated
from thorctl.protocol.sentence import sentence
from thorctl.protocol.states import ACTIVATING, COMMITTED, ROLLING_BACK, TRIAL

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.agent.state.journal import Journal

# Time to stop the old engine and start the new one, on top of the release's own start limit.
SWITCH_SECONDS = 600


@dataclass(frozen=True)
class _Call:
    ctx: Context
    release: Release
    trial_seconds: int
    over_hold: str | None


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Activate a staged, restorable release on a device without a hold whose port is free."""
    if args.deadline <= 0:
        raise AgentError("bad_call", f"--deadline {args.deadline} is not positive.", "Give it in seconds.")
    release = release_store.load(ctx.paths, args.id)
    ctx = docker_wait.patient(ctx)
    _check_staged(ctx, release)
    call = _Call(ctx, release, args.deadline, args.over_hold)
    image.pin(ctx, release)
    journal = load_journal(ctx.paths)
    if journal.state == TRIAL and not deadline.armed(ctx, journal.timer, journal.activation):
        # Its deadline has passed, or its timer was lost in a restart: roll back.
        journal = rollback.roll_back(ctx, journal, "deadline")
    if journal.state in (TRIAL, COMMITTED) and journal.running == release.id:
        release_store.read_document(ctx.paths, release.id, journal.running_sha256)
        return _again(call, journal)
    if journal.state == TRIAL:
        raise AgentError(
            "bad_state",
            f"The device is on trial with {journal.target} until {journal.deadline}.",
            "Commit it or roll it back first: `thorctl commit DEVICE` or `thorctl rollback DEVICE`.",
        )
    hold.check(ctx, args.over_hold)
    _check_port(ctx, release)
    if journal.state == ROLLING_BACK or (journal.state == ACTIVATING and journal.target != release.id):
        # The process that activated it is dead, or it would hold the lock.
        journal = rollback.roll_back(ctx, journal, "interrupted")
        if journal.current == release.id:
            return _again(call, journal)
    if journal.state == COMMITTED:
        rollback.check_restorable(ctx, journal)
    return _switch(call, journal)


def _switch(call: _Call, before: Journal) -> Outcome:
    ctx, release = call.ctx, call.release
    now, by = ctx.clock.now_text(), str(ctx.holder.owner)
    journal = begin_activation(before, release.id, now, this_boot(ctx), release.sha256, by=by)
    disk_full.reserve(ctx)
    longest = int(release.ready_seconds(first_start=True)) + SWITCH_SECONDS
    deadline.guard(ctx, ACTIVATING, journal.activation, release.id, longest)
    try:
        save_journal(ctx, journal)
        switch.run_release(ctx, release)
        seconds = ready.wait(ctx, release)
        deadline.arm(ctx, TRIAL, journal.activation, release.id, call.trial_seconds)
        began = ctx.clock.now()
        ends = ctx.clock.since_boot() + call.trial_seconds
        journal = begin_trial(journal, as_text(began), as_text(began + call.trial_seconds), ends)
        save_journal(ctx, journal)
    except (Exception, Interrupted) as failed:
        raise _undo(ctx, release, failed) from failed
    deadline.cancel(ctx, ACTIVATING, journal.activation)
    return Outcome(_data(journal, seconds), changed=True)


def _again(call: _Call, journal: Journal) -> Outcome:
    """Restart the engine of a release that already runs, unless it is healthy."""
    ctx, release = call.ctx, call.release
    if ready.healthy(ctx, release):
        return Outcome(_data(journal, 0.0))
    hold.check(ctx, call.over_hold)
    _check_port(ctx, release)
    try:
        switch.restart_release(ctx, release)
        return Outcome(_data(journal, ready.wait(ctx, release)), changed=True)
    except (Exception, Interrupted) as failed:
        if journal.state == TRIAL:
            raise _undo(ctx, release, failed) from failed
        raise


def _undo(ctx: Context, release: Release, failed: BaseException) -> AgentError:
    """Roll back after a failed activation; return the error with the device's present state."""
    told_to_end = ended_by("activate", str(failed)) if isinstance(failed, Interrupted) else None
    failed = told_to_end or failed
    journal = load_journal(ctx.paths)
    if journal.target == release.id:
        try:
            journal = rollback.roll_back(
                ctx, journal, f"activation failed: {failed}", repair=told_to_end is None
            )
        except (AgentError, OSError) as stuck:
            message = f"{sentence(str(failed))} The rollback failed as well and is repeated: {stuck}"
            return AgentError(
                "internal",
                message,
                "Wait for the next attempt, or run `sudo thor-agent recover` on the device at once.",
                changed=True,
                exit_code=told_to_end.exit_code if told_to_end else None,
            )
    deadline.cancel(ctx, ACTIVATING, journal.activation)
    back, waited = f"The device is back on {journal.current or 'no release'}.", None
    if told_to_end is None:
        try:
            waited = rollback.wait_for_current(ctx, journal)
        except AgentError as not_ready:
            back = f"The device rolled back to {journal.current}, which is not ready either: {not_ready}"
    data = Activated(journal.current, journal.state, rolled_back_ready_seconds=waited)
    failed = disk_full.as_error(failed) or failed
    if not isinstance(failed, AgentError):
        failed = unforeseen(failed)
    return AgentError(
        failed.code,
        f"{failed.message} {back}",
        failed.remedy,
        details=failed.details,
        data=data,
        changed=True,
        exit_code=failed.exit_code,
    )


def _data(journal: Journal, seconds: float) -> Activated:
    previous = journal.current if journal.state == TRIAL else journal.previous
    return Activated(journal.running, journal.state, journal.deadline, seconds, previous)


def _check_staged(ctx: Context, release: Release) -> None:
    faults = [bad.document() for bad in verified.unverified(ctx, release)]
    lacking = [] if image.present(ctx, release) else [f"image {release.image}"]
    if faults or lacking:
        what = ", ".join([*lacking, *(f"{fault['path']} ({fault['code']})" for fault in faults[:3])])
        raise AgentError(
            "not_staged",
            f"{release.id} is incomplete on this device: {what}.",
            "Stage it again: `thorctl stage DEVICE`. Only what is missing or changed is fetched.",
            details={"image_present": not lacking, "files": faults},
        )


def _check_port(ctx: Context, release: Release) -> None:
    if release.layout == SOCKET_LAYOUT and not door.installed(ctx, door.DOOR_UNIT):
        return  # closed door: no program of ours uses the port
    listener = ports.listener(ctx, release.port)
    if listener and not (listener.is_engine or listener.is_door):
        raise AgentError(
            "port_in_use",
            f"Port {release.port} is in use by {listener}.",
            f"Stop it (`ss -ltnp 'sport = :{release.port}'` on the device shows it), or set another "
            "serve.port in the profile.",
            details={"port": release.port, "pid": listener.pid, "process": listener.name},
        )
