"""``thorctl chat``: talk to a device's model."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click
from anyio.from_thread import start_blocking_portal

from thorctl.chat.generation import Conversation, Settings, generate
from thorctl.chat.view import Screen, summary
from thorctl.cli.chat_prompt import converse
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import one_device
from thorctl.cli.process import stop_writing
from thorctl.errors import ThorError
from thorctl.remote.tunnel import Engine, open_engine
from thorctl.result import Result
from thorctl.ui.console import echo

if TYPE_CHECKING:
    from thorctl.chat.generation import Generation
    from thorctl.chat.stream import Event

API_KEY = "THORCTL_API_KEY"


@click.command(
    epilog="""\b
Examples:
  thorctl chat thor-01                                  a conversation; /help lists its commands
  thorctl chat thor-01 "What is the capital of France?"
  thorctl chat thor-01 --no-thinking < question.txt > answer.txt
  thorctl chat thor-01 "Say hi." --json | jq .data.answer
"""
)
@click.argument("device")
@click.argument("prompt", required=False)
@click.option("--no-thinking", is_flag=True, help="Ask the model to answer at once.")
@click.option("--max-tokens", type=click.IntRange(1), help="Most tokens to generate, thinking included.")
@click.option(
    "--temperature",
    type=click.FloatRange(0.0, 2.0),
    help="Sampling temperature; 0 = always the likeliest token.",
)
@pass_context
def command(
    context: Context,
    device: str,
    prompt: str | None,
    *,
    no_thinking: bool,
    max_tokens: int | None,
    temperature: float | None,
) -> Result | None:
    """Talk to a device's model. Thinking and answer are shown separately.

    The answer goes to stdout, thinking and remarks to stderr. Without PROMPT it is read from stdin; on a
    terminal a conversation begins. If the engine requires a key, set THORCTL_API_KEY.
    """
    settings = Settings(False if no_thinking else None, max_tokens, temperature)
    talk = prompt is None and sys.stdin.isatty() and not context.json
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
    if not talk and not prompt:
        raise ThorError(
            "prompt_empty",
            "The prompt is empty.",
            f'Give one, such as `thorctl chat {device} "Hello"`, or pipe it in.',
        )
    target = one_device(context, device)
    # The connection has a thread of its own, so that Ctrl-C stops a generation and not the connection.
    with start_blocking_portal() as portal:
        tunnel = portal.wrap_async_context_manager(open_engine(target, api_key=os.environ.get(API_KEY)))
        with tunnel as engine:
            if talk:
                converse(context, portal, engine, Conversation(settings))
                return None
            screen = Screen(write, context.messages)
            show = ignore if context.json else screen.show
            try:
                work = partial(generate, engine, Conversation(settings), str(prompt), show)
                future = portal.start_task_soon(work)
                generation: Generation = future.result()
            except KeyboardInterrupt:
                future.cancel()
                raise
            except BrokenPipeError:
                stop_writing()
                return None
            finally:
                screen.close()
    context.messages.print(summary(generation), style="dim", highlight=False)
    return _result(engine, generation)


def _result(engine: Engine, generation: Generation) -> Result:
    data = {"device": engine.device, "model": engine.model, "release": engine.release, **asdict(generation)}
    return Result("chat", data=data)


def write(text: str) -> None:
    """Write to stdout without buffering."""
    echo(text, newline=False)


def ignore(event: Event) -> None:
    """Ignore an event."""
