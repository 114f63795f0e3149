"""Agent dialogues: a system prompt with tools, a task, calls in the <tool_use> form, results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from recipe.dialogue import Dialogue, Message, sometimes, user
from recipe.files import load
from recipe.noise import disturb
from recipe.questions import random_question
from recipe.toolbox import Tool, describe, random_toolbox, schemas
from recipe.values import random_result, random_value

if TYPE_CHECKING:
    import random


def call_text(tool: Tool, values: list[str], number: int) -> str:
    """Give the block that calls a tool, as Qwable-v1 writes it."""
    body = json.dumps(dict(zip(tool.arguments, values, strict=True)), ensure_ascii=False)
    return f'<tool_use name="{tool.name}" id="toolu_{number:02d}">\n{body}\n</tool_use>'


def result_message(content: str, number: int) -> Message:
    """Give the turn that brings a tool's result."""
    return user(f'<tool_result tool_use_id="toolu_{number:02d}">\n{content}\n</tool_result>')


def task(action: dict[str, Any], rng: random.Random) -> tuple[str, list[str]]:
    """Draw a request for one action; gives its text and the argument values in the tool's order."""
    values = {name: random_value(name, rng) for name in action["values"]}
    ask = str(rng.choice(action["ask"])).format(**values)
    if ask[-1] != "?" and sometimes(rng, 0.5):
        ask += "."
    return ask, [values[name] for name in action["values"]]


def random_dialogue(rng: random.Random) -> Dialogue:
    """Draw an agent dialogue: zero to two calls that are done, then a call, a report, or a plain question."""
    corpus = load("agent")
    toolbox = random_toolbox(rng)
    system: list[Message] = []
    tools = None
    style = rng.random()
    if style < 0.15:
        system, toolbox = (
            [{"role": "system", "content": rng.choice(corpus["bare_systems"])}],
            random_toolbox(rng, plain=True),
        )
    elif style < 0.35:
        tools = schemas(toolbox)
    else:
        content = str(rng.choice(corpus["systems"])).replace("{tools}", describe(toolbox, rng))
        system = [{"role": "system", "content": content}]

    messages, number = list(system), 0
    thinking = sometimes(rng, 0.8)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        tool = rng.choice(toolbox)
        ask, values = task(tool.action, rng)
        number += 1
        result, failed = random_result(rng)
        report = _report(result, failed)[1]
        messages += [
            user(ask),
            {"role": "assistant", "content": call_text(tool, values, number)},
            result_message(result, number),
            {"role": "assistant", "content": report},
        ]

    if sometimes(rng, 0.12):
        question = random_question(rng)
        return Dialogue(
            [*messages, user(disturb(question.ask, rng))], question.think, question.answer, thinking, tools
        )
    tool = rng.choice(toolbox)
    ask, values = task(tool.action, rng)
    messages.append(user(ask))
    call = call_text(tool, values, number + 1)
    if sometimes(rng, 0.65):
        return Dialogue(messages, tool.action["think"].format(tool=tool.name), call, thinking, tools)
    result, failed = random_result(rng)
    think, answer = _report(result, failed)
    messages += [{"role": "assistant", "content": call}, result_message(result, number + 1)]
    return Dialogue(messages, think, answer, thinking, tools)


def _report(result: str, failed: bool) -> tuple[str, str]:
    texts = load("agent")["failure" if failed else "result"]
    return texts["think"], texts["answer"].format(result=result)
