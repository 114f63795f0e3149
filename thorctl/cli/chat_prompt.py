"""The conversation of ``thorctl chat`` on a terminal."""

from __future__ import annotations

import dataclasses
import readline  # noqa: F401 - line editing of input(), with a history in memory only
from typing import TYPE_CHECKING

from rich.text import Text

from thorctl.chat.generation import Conversation, generate
from thorctl.chat.view import Screen, summary
from thorctl.errors import ThorError
from thorctl.ui.console import echo

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from thorctl.cli.context import Context
    from thorctl.remote.tunnel import Engine

HELP = """\
/reset          forget the conversation
/think on|off   let the model think first, or answer directly
/quit           end (or Ctrl-D); Ctrl-C stops an answer"""


def converse(context: Context, portal: BlockingPortal, engine: Engine, conversation: Conversation) -> None:
    """Read prompts and show answers until the user ends the conversation."""
    remark = context.messages
    head = f"{engine.device} serves {engine.model} ({engine.release}). /help lists the commands."
    remark.print(head, highlight=False)
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            remark.print()
            return
        except KeyboardInterrupt:
            remark.print("\n/quit or Ctrl-D leaves.", style="dim", highlight=False)
            continue
        if line in {"/quit", "/exit"}:
            return
        if line.startswith("/"):
            remark.print(obey(line, conversation), style="dim", highlight=False)
        elif line:
            _answer(context, portal, engine, conversation, line)


def obey(line: str, conversation: Conversation) -> str:
    """Execute a slash command; return the message for the user."""
    words = line.split()
    if words == ["/reset"]:
        conversation.messages.clear()
        return "Forgotten."
    if words in (["/think", "on"], ["/think", "off"]):
        on = words[1] == "on"
        conversation.settings = dataclasses.replace(conversation.settings, thinking=on)
        return f"Thinking is {words[1]}."
    return HELP if words == ["/help"] else f"No such command: {line}.\n{HELP}"


def _answer(
    context: Context, portal: BlockingPortal, engine: Engine, conversation: Conversation, prompt: str
) -> None:
    screen = Screen(lambda text: echo(text, newline=False), context.messages)
    future = portal.start_task_soon(generate, engine, conversation, prompt, screen.show)
    try:
        generation = future.result()
    except KeyboardInterrupt:
        future.cancel()
        screen.close()
        context.messages.print("Stopped.", style="yellow")
    except ThorError as error:
        screen.close()
        context.messages.print(Text(f"error {error.code}  {error.message}", style="red"))
        context.messages.print(Text(f"  what to do: {error.remedy}"))
    else:
        screen.close()
        context.messages.print(summary(generation), style="dim", highlight=False)
