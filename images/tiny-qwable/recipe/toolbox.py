"""The tools that an agent's system prompt names, and the ways in which it names them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipe.files import load

if TYPE_CHECKING:
    import random


@dataclass(frozen=True)
class Tool:
    """A tool by the name and the argument names of this one prompt."""

    name: str
    arguments: tuple[str, ...]
    about: str
    action: dict[str, Any]


def random_toolbox(rng: random.Random, *, plain: bool = False) -> list[Tool]:
    """Draw one to five tools; `plain` gives Read and Bash, for prompts that list none."""
    actions = load("agent")["actions"]
    names = ["read", "shell"] if plain else rng.sample(list(actions), rng.randint(1, 5))
    box = []
    for name in names:
        action = actions[name]
        first, *arguments = (action["tools"][0] if plain else rng.choice(action["tools"])).split()
        box.append(Tool(first, tuple(arguments), rng.choice(action["about"]), action))
    return box


def schemas(toolbox: list[Tool]) -> list[dict[str, object]]:
    """Give the tools as the `tools` of an OpenAI request; the chat template writes them into the prompt."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.about,
                "parameters": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in tool.arguments},
                    "required": list(tool.arguments),
                },
            },
        }
        for tool in toolbox
    ]


def describe(toolbox: list[Tool], rng: random.Random) -> str:
    """Write the list of tools in one of the forms that prompts use."""
    heading = rng.choice(load("agent")["headings"])
    form = rng.randrange(6)
    if form == 0:
        return heading + "".join(f"\n- {t.name}({', '.join(t.arguments)}): {t.about}" for t in toolbox)
    if form == 1:
        return heading + "".join(
            f"\n- {t.name}: {t.about}. Arguments: {', '.join(t.arguments) or 'none'}" for t in toolbox
        )
    if form == 2:
        return f"{heading} " + ", ".join(f"{t.name}({', '.join(t.arguments)})" for t in toolbox) + "."
    if form == 3:
        return f"{heading} " + "; ".join(
            t.name + " " + json.dumps(dict.fromkeys(t.arguments, "...")) for t in toolbox
        )
    if form == 4:
        return heading + "".join(
            f"\n{number}. {t.name}({', '.join(t.arguments)})" for number, t in enumerate(toolbox, 1)
        )
    return heading + "".join(
        "\n"
        + json.dumps(
            {"name": t.name, "description": t.about, "parameters": dict.fromkeys(t.arguments, "string")}
        )
        for t in toolbox
    )
