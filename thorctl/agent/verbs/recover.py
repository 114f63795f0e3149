"""``recover``: finish what a crash or reboot interrupted. Runs at boot before the engine, and when asked."""

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
    """Bring journal, unit and engine together again; what was not committed is rolled back."""
    booted = not (ctx.paths.run_dir / "boot").exists()
    boot = this_boot(ctx)
    if args.committed:
        return _tell(ctx, args.committed)
    journal = load_journal(ctx.paths)
    swept = _sweep(ctx, booted=booted)
    if journal.state in (EMPTY, COMMITTED):
        mended = _mend(ctx, journal)
        return Outcome(_data("mended_unit" if mended else "nothing", journal), changed=mended or swept)
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
    # A trial that nothing would end: its time is up, or somebody took its timer away.
    return "deadline" if journal.state == TRIAL else "interrupted"


def _mend(ctx: Context, journal: Journal) -> bool:
    """Make the installed unit the current release's, and let it run; one that runs already runs on."""
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
        # What serves needs neither this file nor a disk that can be written to: better that than nothing.
        ctx.log.warning("%s cannot be checked, and stays as it is: %s", journal.current, broken)
        _follow(ctx, journal)
        return False
    if engine_unit.installed(ctx, release) and engine_unit.up(ctx):
        _follow(ctx, journal)
        return False
    switch.run_again(ctx, release)
    return True


def _follow(ctx: Context, journal: Journal) -> None:
    """Arrange door and bridge for the engine that runs on: ``site.yml`` may just have installed them."""
    try:
        running = release_store.read_document(ctx.paths, journal.running) if journal.running else None
    except AgentError as unreadable:
        ctx.log.warning("door and bridge stay as they are: %s", unreadable)
        return
    door.follow(ctx, running)


def _sweep(ctx: Context, *, booted: bool) -> bool:
    """Remove what interrupted writes left; a stage that may be at work (not at boot) keeps its own."""
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
            except OSError as stays:  # rubbish must not keep the engine from starting
                ctx.log.warning("%s", stays)
    return found


def _tell(ctx: Context, committed: str) -> Outcome:
    """The operator's word after ``journal_corrupt``; the broken journal is kept beside for the autopsy."""
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
    ctx.files.remove(ctx.paths.smoke_json)  # activations are counted from 0 again: it must prove nothing
    save_journal(ctx, journal)
    _mend(ctx, journal)
    return Outcome(_data("told", journal), changed=True)


def _data(did: str, journal: Journal) -> Recovered:
    return Recovered(did, journal.state, journal.running)
