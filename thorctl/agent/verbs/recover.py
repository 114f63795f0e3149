"""``recover``: complete what a crash or reboot interrupted. Runs at boot before the engine, and on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.files import TEMPORARY_PREFIX
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import door
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.release import store as release_store
from thorctl.agent.state import deadline, rollback, switch
from thorctl.agent.state.journal import Journal, load_journal, save_journal
from thorctl.protocol.results import Recovered
from thorctl.protocol.states import COMMITTED, EMPTY, ROLLING_BACK, TRIAL

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Make journal, unit and engine consistent; roll back what was not committed."""
    booted = not (ctx.paths.run_dir / "boot").exists()
    boot = this_boot(ctx)
    if args.committed:
        return _record(ctx, args.committed)
    journal = load_journal(ctx.paths)
    swept = _sweep(ctx, booted=booted)
    if journal.state in (EMPTY, COMMITTED):
        repaired = _repair(ctx, journal)
        return Outcome(_data("mended_unit" if repaired else "nothing", journal), changed=repaired or swept)
    restarted = booted or journal.boot != boot
    if journal.state == TRIAL and not restarted and deadline.armed(ctx, journal.timer, journal.activation):
        _follow(ctx, journal)
        return Outcome(_data("nothing", journal), changed=swept)
    did = "finished_rollback" if journal.state == ROLLING_BACK else "rolled_back"
    journal = rollback.roll_back(ctx, journal, _reason(journal, restarted=restarted))
    return Outcome(_data(did, journal), changed=True)


def _reason(journal: Journal, *, restarted: bool) -> str:
    if restarted:
        return "reboot"
    # A trial without an end: its deadline has passed, or its timer is gone.
    return "deadline" if journal.state == TRIAL else "interrupted"


def _repair(ctx: Context, journal: Journal) -> bool:
    """Install and start the current release's unit; leave a running engine alone."""
    if not journal.current:
        if not ctx.paths.engine_unit.exists():
            _follow(ctx, journal)
            return False
        switch.run_nothing(ctx)
        return True
    try:
        release = release_store.restore(ctx, journal.current, journal.current_sha256)
    except (AgentError, OSError) as broken:
        if not engine_unit.is_of(ctx, journal.current):
            raise
        # The running engine needs neither this file nor a writable disk: keep it.
        ctx.log.warning("%s cannot be checked and is not changed: %s", journal.current, broken)
        _follow(ctx, journal)
        return False
    if engine_unit.installed(ctx, release) and engine_unit.up(ctx):
        _follow(ctx, journal)
        return False
    switch.restart_release(ctx, release)
    return True


def _follow(ctx: Context, journal: Journal) -> None:
    """Start door and bridge for the running engine: ``site.yml`` may just have installed them."""
    try:
        running = release_store.read_document(ctx.paths, journal.running) if journal.running else None
    except AgentError as unreadable:
        ctx.log.warning("door and bridge are not changed: %s", unreadable)
        return
    door.follow(ctx, running)


def _sweep(ctx: Context, *, booted: bool) -> bool:
    """Remove the rest of interrupted writes; except at boot, keep those of a stage that may run."""
    found = False
    places = [ctx.paths.state_dir, ctx.paths.engine_unit.parent, *([ctx.paths.releases] if booted else [])]
    for directory in places:
        for rubbish in directory.glob(f"{TEMPORARY_PREFIX}*") if directory.is_dir() else ():
            ctx.log.info("removing %s", rubbish)
            try:
                if rubbish.is_dir():
                    ctx.files.remove_tree(rubbish)
                else:
                    ctx.files.remove(rubbish)
                found = True
            except OSError as stays:  # temporary files must not prevent the engine's start
                ctx.log.warning("%s", stays)
    return found


def _record(ctx: Context, committed: str) -> Outcome:
    """Record the operator's ``--committed`` after ``journal_corrupt``; keep the broken journal beside."""
    try:
        load_journal(ctx.paths)
    except AgentError as corrupt:
        ctx.log.warning("%s", corrupt)
    else:
        remedy = "Leave `--committed` out."
        raise AgentError("bad_state", "The journal is readable, so it needs no `--committed`.", remedy)
    now = ctx.clock.now_text()
    journal = Journal(since=now)
    if committed != "none":
        release = release_store.load(ctx.paths, committed)
        journal = Journal(
            state=COMMITTED,
            current=release.id,
            current_sha256=release.sha256,
            since=now,
            boot=this_boot(ctx),
        )
    if ctx.paths.journal.exists():
        ctx.files.write(
            ctx.paths.journal.with_name(f"state.json.corrupt-{int(ctx.clock.now())}"),
            ctx.paths.journal.read_bytes(),
        )
    ctx.files.remove(ctx.paths.smoke_json)  # the count of activations restarts at 0: it must not match one
    save_journal(ctx, journal)
    _repair(ctx, journal)
    return Outcome(_data("told", journal), changed=True)


def _data(did: str, journal: Journal) -> Recovered:
    return Recovered(did, journal.state, journal.running)
