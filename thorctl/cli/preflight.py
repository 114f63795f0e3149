"""``thorctl preflight``: check whether devices can run their release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.errors import ThorError
from thorctl.preflight.report import report
from thorctl.preflight.view import PreflightView
from thorctl.protocol.verbs import VERBS
from thorctl.release.desired import deploy_problem, desired_releases
from thorctl.release.document import Release
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.remote.shipped_agent import Question, look
from thorctl.result import Problem, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.inventory.devices import Device


@click.command(
    epilog="""\b
Examples:
  thorctl preflight thor-01             one device: every check
  thorctl preflight                     the fleet: failures and warnings, each once
  thorctl preflight lab --skip swap,l4t make failures of these checks warnings
  thorctl preflight --profile qwable-v1-nvfp4a16-upstream    check for another profile
  thorctl preflight --json | jq '.data.devices[] | {name, counts, test_device}'
"""
)
@click.argument("devices", nargs=-1)
@click.option("--profile", help="Profile to check for. [default: thor_profile of the inventory]")
@click.option(
    "--skip",
    multiple=True,
    metavar="CHECK,…",
    help="Checks to lower to a warning; each failure names its own.",
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
    """Check whether devices can run their release. Changes nothing.

    Works on bare devices too: without the same agent there, this thorctl's is sent for the call. Ends with
    the model card's test device beside each device. Exit code 0 if every device can, 3 if some can, 1 if
    none can.
    """
    fleet = chosen_devices(context, devices)
    for device in fleet:
        if problem := deploy_problem(context.deploy, device):
            raise problem
    desired = desired_releases(context.deploy, fleet, profile)
    documents = {name: one.document() for name, one in desired.items() if isinstance(one, Release)}
    words = ("--release", "-", *(("--skip", ",".join(skip)) if skip else ()))
    # An error of the profile, not of a device: reported once.
    answers = {
        device.name: Answer(device.name, error=_problem(device, profile, desired[device.name]), reached=False)
        for device in fleet
        if device.name not in documents
    }
    questions = [
        Question(device, "preflight", words, json.dumps(documents[device.name], ensure_ascii=False))
        for device in fleet
        if device.name in documents
    ]
    left = {question.device.name for question in questions}
    with context.messages.status(f"Checking {', '.join(sorted(left))} …") as shown:

        def note(answer: Answer) -> None:
            left.discard(answer.device)
            if left:
                shown.update(f"Checking {', '.join(sorted(left))} …")

        answers |= {
            answer.device: answer
            for answer in look(questions, limit=parallel, timeout=timeout, on_answer=note)
        }
    ordered = [answers[device.name] for device in fleet]
    _require_sensible(ordered)
    reports = [
        report(device.name, documents.get(device.name), answer)
        for device, answer in zip(fleet, ordered, strict=True)
    ]
    return Result(
        "preflight",
        data={"devices": reports},
        errors=tuple(dict.fromkeys(answer.error for answer in ordered if answer.error)),
        exit_code=exit_code_for_answers(ordered),
        view=fit(PreflightView(reports)),
    )


def _problem(device: Device, profile: str | None, error: Release | ThorError | None) -> Problem:
    """Return why there is no release to check for."""
    if isinstance(error, ThorError):
        return Problem.of(error)
    missing = "thor_profile" if (profile or device.profile) is None else "thor_device_class"
    return Problem(
        "inventory_incomplete",
        f"{missing} is not set, so the release of the device is unknown.",
        f"Set {missing} in the inventory, for the device or its group.",
    )


def _require_sensible(answers: Sequence[Answer]) -> None:
    """Raise the agent's error about invalid arguments, which every device would repeat."""
    for answer in answers:
        if answer.error and answer.error.code == "bad_call":
            raise ThorError("bad_call", answer.error.message, answer.error.remedy)
