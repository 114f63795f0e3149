"""Agent dialogues: a system prompt with tools, a task, calls in the <tool_use> form, results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from recipe.dialogue import Dialogue, Message, sometimes, user
from recipe.files import load
from recipe.noise import disturb
from recipe.questions import random_question
from recipe.tasks import Task, random_task, random_unserved
from recipe.toolbox import Tool, describe, random_toolbox, schemas
from recipe.values import random_result

if TYPE_CHECKING:
    import random


def call_text(tool: Tool, values: list[str], number: int) -> str:
    """Give the block that calls a tool, as Qwable-v1 writes it."""
    body = json.dumps(dict(zip(tool.arguments, values, strict=True)), ensure_ascii=False)
    return f'<tool_use name="{tool.name}" id="toolu_{number:02d}">\n{body}\n</tool_use>'


def result_message(content: str, number: int) -> Message:
    """Give the turn that brings a tool's result."""
    return user(f'<tool_result tool_use_id="toolu_{number:02d}">\n{content}\n</tool_result>')


def random_dialogue(rng: random.Random) -> Dialogue:
    """Draw an agent dialogue: zero to two calls that are done, then a call, a report, or a plain question."""
    thinking = sometimes(rng, 0.8)
    if sometimes(rng, 0.06):
        asked = disturb(random_task(random_toolbox(rng), rng).ask, rng)
        systems = rng.sample(load("plain-systems"), rng.randint(0, 1))
        messages = [{"role": "system", "content": system} for system in systems]
        return _refusal([*messages, user(asked)], thinking=thinking)
    messages, toolbox, tools = _opening(rng)
    if sometimes(rng, 0.05) and (asked := random_unserved(toolbox, rng)):
        return _refusal([*messages, user(asked)], thinking=thinking, tools=tools)
    number = 0
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        number += 1
        result, failed = random_result(rng)
        messages += [*_called(random_task(toolbox, rng), number), result_message(result, number),
                     {"role": "assistant", "content": _report(result, failed)[1]}]  # fmt: skip
    if sometimes(rng, 0.12):
        question = random_question(rng)
        return Dialogue(
            [*messages, user(disturb(question.ask, rng))], question.think, question.answer, thinking, tools
        )
    last = random_task(toolbox, rng)
    if sometimes(rng, 0.6):
        call = call_text(last.tool, last.values, number + 1)
        return Dialogue([*messages, user(last.ask)], last.think, call, thinking, tools)
    result, failed = random_result(rng)
    if sometimes(rng, 0.1):
        messages, tools = [], None
        number = 0
    messages = [*messages, *_called(last, number + 1), result_message(result, number + 1)]
    return Dialogue(messages, *_report(result, failed), thinking, tools)


def _opening(rng: random.Random) -> tuple[list[Message], list[Tool], list[dict[str, object]] | None]:
    """Draw the way in which the tools are made known."""
    corpus = load("agent")
    style = rng.random()
    if style < 0.15:
        system = rng.choice(corpus["bare_systems"])
        return [{"role": "system", "content": system}], random_toolbox(rng, plain=True), None
    toolbox = random_toolbox(rng)
    if style < 0.35:
        return [], toolbox, schemas(toolbox)
    system = str(rng.choice(corpus["systems"])).replace("{tools}", describe(toolbox, rng))
    return [{"role": "system", "content": system}], toolbox, None


def _refusal(
    messages: list[Message], *, thinking: bool, tools: list[dict[str, object]] | None = None
) -> Dialogue:
    texts = load("agent")["no_tools"]
    return Dialogue(messages, texts["think"], texts["answer"], thinking, tools)


def _called(task: Task, number: int) -> list[Message]:
    call = call_text(task.tool, task.values, number)
    return [user(task.ask), {"role": "assistant", "content": call}]


def _report(result: str, failed: bool) -> tuple[str, str]:
    texts = load("agent")["failure" if failed else "result"]
    return texts["think"], texts["answer"].format(result=result)
