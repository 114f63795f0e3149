"""``thorctl smoke``: known questions to the running models."""

from __future__ import annotations

import getpass
import socket

import click

from thorctl.cli.context import Context, pass_context
from thorctl.cli.detached import run_shown
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.protocol.verbs import VERBS
from thorctl.remote.answer import exit_code_for_answers
from thorctl.remote.call import Call
from thorctl.remote.detached import Task
from thorctl.result import Result
from thorctl.smoke.report import as_json, view


@click.command(
    epilog="""\b
Examples:
  thorctl smoke                  every device of the inventory, one line each
  thorctl smoke thor-01 -v       one device, each prompt with its text, each check with its reason
  thorctl smoke lab --json | jq '.data.devices[] | {name, passed, results}'
"""
)
@click.argument("devices", nargs=-1)
@click.option(
    "--parallel", type=click.IntRange(1), default=50, show_default=True, help="Devices asked at once."
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=VERBS["smoke"].seconds,
    show_default=True,
    help="Time limit of a device, in seconds.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show every prompt with its text, and every check.")
@pass_context
def command(
    context: Context, devices: tuple[str, ...], parallel: int, timeout: float, *, verbose: bool
) -> Result:
    """Ask the running models known questions and judge the answers.

    Prompts with thinking are sampled as the model's maker recommends; a single miss is asked once more. Then
    log-probabilities, a JSON schema, a tool call, a long prompt and a cancelled stream are asked for.

    The device asks its own engine, so nothing but text crosses the network. Exit code 0 when every device
    passed, 3 when some did, 1 when none did, 4 when all are leased by someone else.
    """
    fleet = chosen_devices(context, devices)
    tasks = [Task(device, Call("smoke"), me(), seconds=timeout) for device in fleet]
    answers = run_shown(context, "Smoke test", tasks, parallel=parallel)
    return Result(
        "smoke",
        data={"devices": [as_json(answer) for answer in answers]},
        errors=tuple(answer.error for answer in answers if answer.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(view(answers, verbose=verbose)),
    )


def me() -> str:
    """Who asks, as leases name it."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
