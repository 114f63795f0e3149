"""Generate docs/reference: ``python -m thorctl.cli.reference cli|protocol|schemas``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from typing import TYPE_CHECKING

import click

from thorctl.cli.main import VERBS, cli
from thorctl.cli.schemas import schemas
from thorctl.protocol import paths
from thorctl.protocol.controller_errors import ERRORS
from thorctl.protocol.errors import AGENT_ERRORS
from thorctl.protocol.states import TRANSITIONS
from thorctl.protocol.verbs import HOUR, MINUTE
from thorctl.protocol.verbs import VERBS as VERBS_OF_AGENT
from thorctl.ui.console import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100  # columns of the help texts
HEADER = """\
# thorctl, verb by verb

Made by `make docs`; a test fails when it is not current.
Data goes to stdout, messages to stderr; `--json` may stand anywhere on the line.
Exit codes: 0 success, 1 error, 2 usage, 3 partial (some devices), 4 leased by someone else,
5 the question was answered with no. A verb that changes devices asks; without a terminal it needs `--yes`.
"""


def reference() -> str:
    """Return the page of all verbs, without those that are not implemented."""
    settings = dict(cli.context_settings) | {"max_content_width": WIDTH, "terminal_width": WIDTH}
    root = click.Context(cli, info_name="thorctl", **settings)
    parts = [HEADER, *_section("thorctl", cli, root, level=2)]
    for verb in sorted(VERBS):
        if importlib.util.find_spec(f"thorctl.cli.{verb}") is None:
            continue
        command = cli.get_command(root, verb)
        if command is not None:
            parts += _command(verb, command, root)
    return "\n".join(parts)


PROTOCOL_HEADER = """\
# Protocol: agent and controller

Made by `make docs` from `thorctl/protocol`, which the agent, the command line and the Ansible plugins
import; a test fails when it is not current. [Interfaces](interfaces.md) has arguments and data of each verb,
[schemas.json](schemas.json) the JSON Schema of the data.

## Verbs

A verb without locks changes nothing. A detached verb runs in a transient unit, so that a lost connection
loses nothing. The time limit is the caller's, unless it gives another.

| verb | takes | locks | refused under another's lease | detached | time limit |
|---|---|---|---|---|---|
"""


STATES_WORDS = """\
The device is in one state, recorded in its journal. `activate`, `commit`, `rollback`, the deadline of a trial
and `recover` (at boot) consist of these steps; a step outside the table is refused."""


ERRORS_WORDS = """\
Codes are stable: programs decide by them. The last columns are the exit codes of the process; thorctl exits
with 3 instead where only some of several devices failed. A verb that a signal ended exits with 128 plus the
signal's number. [Troubleshooting](../how-to/troubleshoot.md) has the way out of the errors."""


def protocol() -> str:
    """Return the page of verbs, states, paths and error codes, without internal verbs."""
    takes = {"document": "release document on stdin", "id": "release id", None: "–"}
    rows = [
        f"| `{verb.name}` | {takes[verb.takes]} | {', '.join(f'`{lock}`' for lock in verb.locks) or '–'} "
        f"| {_yes(verb.leased and bool(verb.locks))} | {_yes(verb.detached)} | {_length(verb.seconds)} |"
        for verb in VERBS_OF_AGENT.values()
        if not verb.internal
    ]
    named = [
        f"| `{name}` | `{value}` |"
        for name, value in vars(paths).items()
        if name.isupper() and isinstance(value, str) and value.startswith("/")
    ]
    edges = {
        (a, b): f"  {_node(a)} --> {_node(b)}: {one.step}"
        for one in TRANSITIONS.values()
        for a in one.start
        for b in one.to
    }
    states = ["", "## States", "", STATES_WORDS, "", "```mermaid", "stateDiagram-v2", "  [*] --> empty"]
    states += [*edges.values(), "```"]
    table = [*states, "", "## Paths", "", "| name | path |", "|---|---|", *named, ""]
    return PROTOCOL_HEADER + "\n".join([*rows, *table, *_errors()])


def _errors() -> Iterator[str]:
    yield from ("## Error codes", "", ERRORS_WORDS, "")
    yield from ("### Of the agent", "", "| code | meaning | thor-agent | thorctl |", "|---|---|---|---|")
    for code, one in AGENT_ERRORS.items():
        yield f"| `{code}` | {one.meaning} | {one.agent_exit_code} | {one.exit_code} |"
    yield from ("", "### Of thorctl and the playbooks", "", "| code | meaning | thorctl |", "|---|---|---|")
    for code, one in sorted(ERRORS.items()):
        if code not in AGENT_ERRORS:
            yield f"| `{code}` | {one.meaning} | {one.exit_code} |"
    yield ""


def _node(state: str) -> str:
    return state.replace("-", "_")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _length(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:g} s"
    return f"{seconds / HOUR:g} h" if seconds >= HOUR else f"{seconds / MINUTE:g} min"


def _command(name: str, command: click.Command, parent: click.Context, level: int = 2) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, parent=parent, max_content_width=WIDTH, terminal_width=WIDTH
    )
    yield from _section(context.command_path, command, context, level)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _command(child, found, context, level + 1)


def _section(title: str, command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    text = inspect.cleandoc(command.get_help(context))
    lines = [line.rstrip() for line in text.splitlines()]
    yield "\n".join([f"{'#' * level} {title}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    pages = {"cli": reference, "protocol": protocol, "schemas": schemas}
    echo(pages[sys.argv[1]](), newline=False)
