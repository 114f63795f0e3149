"""``thorctl bench``: how fast the running releases generate, by the model card's method."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from thorctl.bench import card as cards
from thorctl.bench.compare import TOLERANCE
from thorctl.bench.verdict import judge
from thorctl.bench.view import plan_view, view
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.release import profile
from thorctl.remote.agent_call import run_verb
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.remote.call import Call
from thorctl.remote.detached import Task, run_tasks
from thorctl.result import Result
from thorctl.store import baselines
from thorctl.store.baselines import Baseline
from thorctl.store.connection import opened
from thorctl.ui.progress import StepProgress

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from thorctl.bench.verdict import Outcome
    from thorctl.inventory.devices import Device
    from thorctl.release.profile import Card

PART_SECONDS = 1800.0  # as thor-agent's own; one of the three measurements takes a Thor one to two minutes
READY_SECONDS = 3600.0  # before them the engine may still be starting, for the first time


def sized(name: str, words: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """An option that is handed on to the agent if it is given."""
    return click.option(f"--{name}", type=click.IntRange(1), metavar="N", help=words)


@click.command(
    epilog="""\b
Examples:
  thorctl bench thor-01                 the card's sizes: some five minutes on a Thor
  thorctl bench --quick                 every device, small sizes: a minute
  thorctl bench thor-01 --set-baseline  this is how fast it is: measure others against it
  thorctl bench --dry-run               what would be run, and compared with what
  thorctl bench lab --json | jq '.data.devices[] | {name, error, card}'
"""
)
@click.argument("devices", nargs=-1)
@click.option(
    "--quick", is_flag=True, help="Measure with small sizes; comparable with other quick results only."
)
@sized("tokens", "Tokens of each answer. [default: 256; quick: 32]")
@sized("requests", "Number of requests of a single stream. [default: 8; quick: 3]")
@sized("rounds", "Number of batches of concurrent streams. [default: 4; quick: 1]")
@sized("at-once", "Streams of a batch, at most what the engine runs at once. [default: 16]")
@click.option("--set-baseline", is_flag=True, help="Make this result the baseline, whatever its speed.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, max_open=True),
    default=TOLERANCE,
    show_default=True,
    help="Accepted slowdown against the baseline, as a share from 0 to 1.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be run; run nothing.")
@click.option(
    "--parallel", type=click.IntRange(1), default=50, show_default=True, help="Devices measured at once."
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=PART_SECONDS,
    show_default=True,
    help="Time limit of each of the three measurements, in seconds.",
)
@pass_context
def command(
    context: Context,
    /,
    devices: tuple[str, ...],
    *,
    set_baseline: bool,
    tolerance: float,
    dry_run: bool,
    parallel: int,
    timeout: float,
    **sizes: bool | int | None,
) -> Result:
    """Measure how fast the running releases generate, by the model card's method.

    vLLM's own benchmark client runs in the engine's container: one stream, then 16 at once with the same
    prompt and with different ones. Nobody else may use the engine meanwhile. The first measurement of a
    release on a device is its baseline; later ones must not be slower by more than the tolerance, and are
    refused a comparison in another power mode. `thorctl baseline` shows and forgets them;
    docs/how-to/bench.md says how to read the figures.

    Exit code 0 when every device measured and none was slower, 3 when some, 1 when none did, 4 when all are
    leased or at work for someone else.
    """
    fleet = chosen_devices(context, devices)
    words = [*sizes_as_words(sizes), "--timeout", f"{timeout:g}"]
    with opened() as db:
        if dry_run:
            return _plan(context, fleet, db, words, parallel)
        answers = _measure(context, fleet, words, parallel, 3 * timeout + READY_SECONDS)
        outcomes = [
            judge(answer, _known(db, answer), tolerance=tolerance, set_baseline=set_baseline)
            for answer in answers
        ]
        for outcome in outcomes:
            if outcome.keep:
                _keep(db, outcome)
    return _result(context, outcomes)


def sizes_as_words(sizes: dict[str, bool | int | None]) -> list[str]:
    """The options that were given, as the agent takes them."""
    words = []
    for name, value in sizes.items():
        if value is True:
            words.append(f"--{name}")
        elif value:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _measure(
    context: Context, fleet: Sequence[Device], words: Sequence[str], parallel: int, timeout: float
) -> list[Answer]:
    with StepProgress(context.messages) as progress:
        at_work: dict[str, tuple[str, float]] = {}

        def told(device: str, known: Mapping[str, object]) -> None:
            detail = str(known.get("message") or known.get("phase"))
            if at_work.get(device, ("",))[0] != detail:
                done(device)
                at_work[device] = (detail, time.monotonic())
                progress(device, detail, None)

        def done(device: str) -> None:
            if device in at_work:
                detail, since = at_work.pop(device)
                progress(device, detail, time.monotonic() - since)

        def answered(answer: Answer) -> None:
            if answer.ok:
                done(answer.device)

        call = Call("bench", tuple(words))
        tasks = [Task(device, call, me(), seconds=timeout) for device in fleet]
        return run_tasks(tasks, limit=parallel, on_answer=answered, on_progress=told)


def _known(db: sqlite3.Connection, answer: Answer) -> Baseline | None:
    release = answer.data.get("release")
    return baselines.get(db, answer.device, release) if isinstance(release, str) else None


def _keep(db: sqlite3.Connection, outcome: Outcome) -> None:
    measured = outcome.answer.data
    now = datetime.now(UTC).isoformat(timespec="seconds")
    baselines.put(db, Baseline(outcome.device, measured["release"], now, me(), measured))


def _result(context: Context, outcomes: Sequence[Outcome]) -> Result:
    card_of = {
        one.measurement.release: _card(context, one.measurement.release)
        for one in outcomes
        if one.measurement
    }
    shown = []
    for one in outcomes:
        rows = cards.table(one.measurement, card_of[one.measurement.release]) if one.measurement else ()
        shown.append(one.as_json() | {"card": [row.as_json() for row in rows]})
    judged = [replace(one.answer, error=one.problem) for one in outcomes]
    return Result(
        "bench",
        data={"devices": shown},
        errors=tuple(one.problem for one in outcomes if one.problem),
        exit_code=exit_code_for_answers(judged),
        view=fit(view(outcomes, card_of, datetime.now(UTC))),
    )


def _card(context: Context, release: str) -> Card | None:
    """The model card of the profile that the release was made from, if this project has it."""
    try:
        return profile.load(context.deploy, release.rpartition("-")[0]).card
    except ThorError:
        return None


def _plan(
    context: Context, fleet: Sequence[Device], db: sqlite3.Connection, words: Sequence[str], parallel: int
) -> Result:
    with context.messages.status("Asking what would be run …"):
        answers = run_verb(fleet, "bench", [*words, "--dry-run"], holder=me(), limit=parallel)
    good = [answer for answer in answers if answer.ok]
    known = {answer.device: _known(db, answer) for answer in good}
    now = datetime.now(UTC)
    return Result(
        "bench",
        data={
            "dry_run": True,
            "devices": [
                {
                    "name": answer.device,
                    "release": answer.data.get("release"),
                    "method": answer.data.get("method"),
                    "baseline": {"set_at": one.set_at, "set_by": one.set_by}
                    if (one := known[answer.device])
                    else None,
                }
                for answer in good
            ],
        },
        errors=tuple(answer.error for answer in answers if answer.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(plan_view([(answer.device, answer.data, known[answer.device]) for answer in good], now)),
    )
