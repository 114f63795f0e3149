"""``thorctl preflight``: can the devices take their release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.errors import ThorError
from thorctl.preflight.report import report
from thorctl.preflight.view import PreflightView
from thorctl.protocol.verbs import VERBS
from thorctl.release import find as releases
from thorctl.release.desired import check_deploy
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.remote.shipped_agent import Question, look
from thorctl.result import Problem, Result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thorctl.inventory.devices import Device


Made = dict[tuple[str | None, str | None], dict[str, Any] | Problem]


@click.command(
    epilog="""\b
Examples:
  thorctl preflight thor-01             one device: every check
  thorctl preflight                     the fleet: what is not right, each finding once
  thorctl preflight lab --skip swap,l4t go on without these checks: their failures become warnings
  thorctl preflight --profile qwable-v1-nvfp4a16-upstream    could they take another one?
  thorctl preflight --json | jq '.data.devices[] | {name, counts, test_device}'
"""
)
@click.argument("devices", nargs=-1)
@click.option("--profile", help="Profile to check for. [default: thor_profile of the inventory]")
@click.option(
    "--skip",
    multiple=True,
    metavar="CHECK,…",
    help="Checks whose failure is only a warning; each failure names its own.",
)
@click.option(
    "--parallel", type=click.IntRange(1), default=50, show_default=True, help="Devices asked at once."
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=VERBS["preflight"].seconds,
    show_default=True,
    help="Time limit of a device, in seconds.",
)
@pass_context
def command(
    context: Context,
    devices: tuple[str, ...],
    *,
    profile: str | None,
    skip: tuple[str, ...],
    parallel: int,
    timeout: float,
) -> Result:
    """Check whether devices can take their release. Changes nothing.

    Works on bare devices too: where no agent is installed, or another one, ours comes along for the one call.
    Ends with the model card's test device beside each device. Exit code 0 when every device can, 3 when some
    can, 1 when none can.
    """
    fleet = chosen_devices(context, devices)
    for device in fleet:
        check_deploy(context.deploy, device)
    made = _releases(context.deploy, fleet, profile)
    words = ("--release", "-", *(("--skip", ",".join(skip)) if skip else ()))
    answers = _refused(fleet, made, profile)
    questions = [
        Question(device, "preflight", words, json.dumps(_release(made, device, profile), ensure_ascii=False))
        for device in fleet
        if device.name not in answers
    ]
    left = {question.device.name for question in questions}
    with context.messages.status(f"Looking at {', '.join(sorted(left))} …") as shown:

        def note(answer: Answer) -> None:
            left.discard(answer.device)
            if left:
                shown.update(f"Looking at {', '.join(sorted(left))} …")

        answers |= {
            answer.device: answer
            for answer in look(questions, limit=parallel, timeout=timeout, on_answer=note)
        }
    ordered = [answers[device.name] for device in fleet]
    _require_sensible(ordered)
    reports = [
        report(device.name, _release(made, device, profile), answer)
        for device, answer in zip(fleet, ordered, strict=True)
    ]
    return Result(
        "preflight",
        data={"devices": reports},
        errors=tuple(dict.fromkeys(answer.error for answer in ordered if answer.error)),
        exit_code=exit_code_for_answers(ordered),
        view=fit(PreflightView(reports)),
    )


def _releases(deploy: Path, fleet: Sequence[Device], profile: str | None) -> Made:
    """What each pair of profile and class in the fleet makes: a release's document, or why there is none."""
    made: Made = {}
    for device in fleet:
        name, kind = pair = (profile or device.profile, device.device_class)
        if pair not in made:
            made[pair] = _made(deploy, name, kind)
    return made


def _made(deploy: Path, name: str | None, kind: str | None) -> dict[str, Any] | Problem:
    if name is None or kind is None:
        missing = "thor_profile" if name is None else "thor_device_class"
        return Problem(
            "inventory_incomplete",
            f"{missing} is not set, so there is no release to look for.",
            f"Set {missing} in the inventory, for the device or its group.",
        )
    try:
        return releases.build(deploy, name, kind).document()
    except ThorError as error:
        return Problem.of(error)


def _release(made: Made, device: Device, profile: str | None) -> dict[str, Any] | None:
    found = made[profile or device.profile, device.device_class]
    return None if isinstance(found, Problem) else found


def _refused(fleet: Sequence[Device], made: Made, profile: str | None) -> dict[str, Answer]:
    """Devices that need not be asked: what they are to take cannot be made here."""
    refused = {}
    for device in fleet:
        found = made[profile or device.profile, device.device_class]
        if isinstance(found, Problem):
            # The profile's fault, not the device's: told once for all of them.
            refused[device.name] = Answer(device.name, error=found, reached=False)
    return refused


def _require_sensible(answers: Sequence[Answer]) -> None:
    """Raises the agent's complaint about our words, which every device would repeat."""
    for answer in answers:
        if answer.error and answer.error.code == "bad_call":
            raise ThorError("bad_call", answer.error.message, answer.error.remedy, exit_code=2)
