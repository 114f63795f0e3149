"""``thorctl logs``: show the engine's log, the agent's, or the device's events."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import one_device
from thorctl.cli.process import stop_writing
from thorctl.protocol import foreign_json
from thorctl.remote.journalctl import in_order, log_command, reads_backwards
from thorctl.remote.journalctl import shown as is_shown
from thorctl.remote.lines import stream_lines
from thorctl.result import Result
from thorctl.status.event_view import in_words
from thorctl.ui.console import echo

if TYPE_CHECKING:
    from thorctl.remote.journalctl import Log

DEFAULT_LINES = 100
JSON_CHARACTERS = 64 * 1024 * 1024  # of all lines: --json collects them until the end


@click.command(
    epilog="""\b
Examples:
  thorctl logs thor-01                       the engine's last 100 lines
  thorctl logs thor-01 -f                    and new lines, until Ctrl-C
  thorctl logs thor-01 --since "10 min ago" -n 1000
  thorctl logs thor-01 --events              who did what when
  thorctl logs thor-01 --events --json | jq '.data.lines[] | select(.verb == "activate")'
"""
)
@click.argument("device")
@click.option(
    "--engine", "log", flag_value="engine", default="engine", help="Log of the vLLM server.  [default]"
)
@click.option("--agent", "log", flag_value="agent", help="Log of long verbs, recoveries and ended trials.")
@click.option("--events", "log", flag_value="events", help="Changes of the device: who, what, when.")
@click.option("-f", "--follow", is_flag=True, help="Show new lines until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), help="Number of last lines. [default: 100; all with --since]"
)
@click.option("--since", metavar="TIME", help='Begin, as for journalctl: "10 min ago", "2026-01-31 12:00".')
@pass_context
def command(
    context: Context, device: str, *, log: Log, follow: bool, lines: int | None, since: str | None
) -> Result | None:
    """Show the engine's or the agent's log of a device."""
    if since and log == "events":
        raise click.UsageError("--since is for the journal; with --events give a number: -n 1000.")
    if follow and context.json:
        raise click.UsageError("--follow never ends, --json is one object; leave one of them out.")
    if follow and since and lines is not None:
        raise click.UsageError("--follow with --since shows all lines since then; leave --lines out.")
    if lines is None and not since:
        lines = DEFAULT_LINES
    target = one_device(context, device)
    words = log_command(log, lines=lines, follow=follow, since=since, as_json=context.json)
    backwards = reads_backwards(lines=lines, since=since)
    if context.json or backwards:
        found: list[str] = []
        asyncio.run(stream_lines(target, words, found.append, most_characters=JSON_CHARACTERS))
        found = in_order(found) if backwards else found
        found = [line for line in found if is_shown(line)]
    if context.json:
        return Result("logs", data={"device": target.name, "log": log, "lines": list(map(_parsed, found))})
    try:
        if backwards:
            for line in found:
                echo(line)
        else:
            asyncio.run(stream_lines(target, words, partial(_show, log)))
    except KeyboardInterrupt:
        if not follow:
            raise
    except BrokenPipeError:  # `thorctl logs … | head`
        stop_writing()
    return None


def _show(log: Log, line: str) -> None:
    if is_shown(line):
        echo(in_words(line) if log == "events" else line)


def _parsed(line: str) -> Any:
    """Parse a line of JSON; return another line as text."""
    try:
        return foreign_json.read(line)
    except ValueError:
        return line
