"""The entry point: find the verb, run it, print its Result once, exit with its code.

Imports only what every call needs (click, the standard library); rich, pydantic and asyncssh are imported
where they are used, so that `thorctl --version` is fast.
"""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from thorctl import __version__
from thorctl import project as projects
from thorctl.cli import commands, process
from thorctl.cli.context import Context
from thorctl.cli.group import LazyGroup
from thorctl.errors import ThorError
from thorctl.result import Exit, Result

# Verb -> its short help. The module thorctl.cli.<verb> is imported when the verb is called, so that
# `thorctl --help` does not import asyncssh and docker.
VERBS = {
    "activate": "Switch devices to a staged release, on trial.",
    "baseline": "Show or forget the baselines of benchmarks.",
    "bench": "Measure the generation speed by the model card's method.",
    "chat": "Talk to a device's model.",
    "checkpoint": "Audit, repair, quantize or publish a checkpoint.",
    "commit": "Keep the release that a device has on trial.",
    "doctor": "Check the tools, keys and inventory of this machine.",
    "edge": "Manage the authority, certificates and API keys of the edge.",
    "history": "Show rollouts, their steps on devices, and accepted smoke tests.",
    "hold": "Show, set or release the hold of a device against changes.",
    "init": "Create a project: inventory, profile, playbook and settings.",
    "lease": "Show, take or give back the right to change a device.",
    "lock": "Resolve a profile to an image digest, a commit and file hashes.",
    "logs": "Show the engine's or the agent's log of a device.",
    "preflight": "Check whether devices can run their release.",
    "release": "Show the parts of a release.",
    "render": "Write the files that would run on a device to a folder.",
    "rollback": "Restore the previous release, without a network.",
    "rollout": "Roll a release out to a fleet in waves.",
    "sim": "Run simulated devices on this machine.",
    "smoke": "Ask the running models known questions and judge the answers.",
    "stage": "Download a release to devices and verify it.",
    "status": "Show the release, state, engine and drift of devices.",
}


WITHOUT_PROJECT = "init"  # the verb that creates one


CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=LazyGroup, package="thorctl.cli", verbs=VERBS, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="thorctl")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout instead of text.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress and no remarks on stderr.")
@click.option(
    "-i",
    "--inventory",
    type=click.Path(path_type=Path),
    envvar="THORCTL_INVENTORY",
    help="Ansible inventory. [default: inventory/ of the project, else the running simulation's]",
)
@click.option(
    "--project",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    envvar="THORCTL_PROJECT",
    help="Folder with deploy/. [default: the nearest one above]",
)
@click.pass_context
def cli(ctx: click.Context, as_json: bool, quiet: bool, inventory: Path | None, project: Path | None) -> None:
    """Put a large language model on a fleet of Jetson Thor devices, and keep it healthy.

    \b
    Try it without a device:       make demo
    See what a fleet is doing:     thorctl status
    Preview what would run:        thorctl render tiny-qwable --out /tmp/preview
    """
    from thorctl.store import place
    from thorctl.ui.console import Console

    here = process.require_places()
    folder = _project(ctx.invoked_subcommand, project, here)
    if isinstance(ctx.obj, list):
        ctx.obj.append(folder)
    ctx.obj = Context(
        project=folder,
        json=as_json,
        quiet=quiet,
        messages=Console(stderr=True, quiet=quiet),
        inventory=inventory,
    )
    place.default_folder = partial(_state_folder, ctx.obj)


def _project(verb: str | None, named: Path | None, here: Path) -> Path:
    if verb == WITHOUT_PROJECT:
        return here
    return projects.given(named) if named else projects.find(here)


def _state_folder(context: Context) -> Path:
    from thorctl.cli.devices import state_folder

    return state_folder(context)


def show(result: Result, as_json: bool) -> None:
    """Print a result: data to stdout, problems to stderr."""
    from rich.text import Text

    from thorctl.ui.console import Console, echo, echo_json
    from thorctl.ui.printable import one_line

    if as_json:
        echo_json(result.envelope(), indent=None if result.line else 2)
        return
    if isinstance(result.view, str):
        echo(result.view)
    elif result.view is not None:
        Console().print(result.view)
    messages = Console(stderr=True, highlight=False)
    for problem in result.errors:
        where = f"{problem.device}: " if problem.device else ""
        # The terminal wraps: a path cut here could not be copied. Further lines of a message are indented,
        # so that none of them looks like an error of its own.
        said, remedy = (text.replace("\n", "\n  ") for text in (problem.message, problem.remedy))
        code = one_line(problem.code)
        messages.print(
            Text.assemble(("error ", "bold red"), (code, "dim"), "  ", where, said), soft_wrap=True
        )
        messages.print(Text.assemble(("  what to do: ", "bold"), remedy), soft_wrap=True)


def usage_result(error: click.ClickException, command: str) -> Result:
    """Return a usage error as a Result, so that early failures are JSON too."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "thorctl"
    remedy = f"See `{path} --help`."
    option = error.option_name if isinstance(error, click.NoSuchOption) else None
    if " " in path and any(option in one.opts for one in cli.params):  # an option of all verbs
        remedy = f"Put it before the verb: `thorctl {option} … {path.partition(' ')[2]}`."
    if isinstance(error, click.BadParameter) and ctx and (variable := _variable(ctx, error.param)):
        error.param_hint = variable
        remedy = f"Correct the environment variable {variable}, or unset it."
    return Result.failure(command, ThorError("usage", error.format_message(), remedy))


def _variable(ctx: click.Context, param: click.Parameter | None) -> str | None:
    """Return the environment variable that set ``param``; None otherwise."""
    source = ctx.get_parameter_source(param.name) if param and param.name else None
    if param is None or source is not click.core.ParameterSource.ENVIRONMENT:
        return None
    return param.envvar if isinstance(param.envvar, str) else None


def wants_json(arguments: list[str]) -> bool:
    """Return whether ``--json`` was given; read from the words, since the parse may have failed."""
    return "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments


def command_of(arguments: list[str]) -> str:
    """Return the verb of a command line."""
    return next((word for word in arguments if word in VERBS), "thorctl")


def run(arguments: list[str]) -> Result | None:
    """Run one command line. Return None if click has printed everything (help, version)."""
    project: list[Path] = []  # the verb's, once it is known
    result = _run(arguments, project)
    return commands.typed(result, project[0]) if result and project else result


def _run(arguments: list[str], project: list[Path]) -> Result | None:
    command = command_of(arguments)
    # --json is accepted anywhere on the line.
    words = [word for word in arguments if word != "--json"] if wants_json(arguments) else arguments
    words = ["--json", *words] if wants_json(arguments) else words
    try:
        value: Any = cli.main(args=words, prog_name="thorctl", standalone_mode=False, obj=project)
    except ThorError as error:
        return Result.failure(command, error)
    except click.exceptions.Abort:
        remedy = "Run it again: every step can be repeated."
        return Result.failure(command, ThorError("interrupted", "The command was interrupted.", remedy))
    except click.exceptions.NoArgsIsHelpError as error:
        if wants_json(arguments):
            return usage_result(error, command)
        from thorctl.ui.console import echo

        echo(error.format_message())  # `thorctl edge keys`: the list of verbs
        return None
    except click.ClickException as error:
        return usage_result(error, command)
    return value if isinstance(value, Result) else None


def main() -> None:
    """Run ``thorctl``."""
    process.prepare()
    arguments = sys.argv[1:]
    if not arguments:
        arguments = ["--help"]
    try:
        result = run(arguments)
    except Exception as error:
        if os.environ.get(process.TRACEBACK):
            raise
        result = Result.failure(command_of(arguments), process.unforeseen(error))
    exit_code = int(result.exit_code) if result else int(Exit.SUCCESS)
    try:
        if result:
            show(result, wants_json(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # `thorctl status | head`: the reader has ended; the exit code is still the verdict's.
        process.stop_writing()
    except OSError as error:  # the disk below stdout is full
        from thorctl.ui.console import Console

        process.stop_writing()
        with contextlib.suppress(OSError):
            failure = ThorError(
                "output_failed",
                f"The output cannot be written: {error.strerror}.",
                "Free space on its disk, or write it elsewhere.",
            )
            Console(stderr=True).print(f"error {failure.code}  {failure.message}", soft_wrap=True)
        exit_code = exit_code or failure.exit_code
    sys.exit(exit_code)
