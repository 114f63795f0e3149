"""What a user asks of an agent, and the call that answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from recipe.files import load
from recipe.values import random_value

if TYPE_CHECKING:
    import random

    from recipe.toolbox import Tool

LISTING_SHARE = 0.25  # of the tasks, where there is a shell but no tool for directories


class Task(NamedTuple):
    """A request, the thinking, and the call: tool and argument values in the tool's order."""

    ask: str
    think: str
    tool: Tool
    values: list[str]


def random_task(toolbox: list[Tool], rng: random.Random) -> Task:
    """Draw a request that one of these tools can serve."""
    corpus = load("agent")
    shells = [tool for tool in toolbox if tool.action is corpus["actions"]["shell"]]
    listing = corpus["actions"]["list"]
    if shells and all(tool.action is not listing for tool in toolbox) and rng.random() < LISTING_SHARE:
        ask, (folder,) = _request(listing, rng)
        return Task(ask, corpus["list_by_shell"].format(tool=shells[0].name), shells[0], [f"ls {folder}"])
    tool = rng.choice(toolbox)
    ask, values = _request(tool.action, rng)
    return Task(ask, tool.action["think"].format(tool=tool.name), tool, values)


def random_unserved(toolbox: list[Tool], rng: random.Random) -> str | None:
    """Draw a request that none of these tools can serve; a shell is taken to serve all."""
    actions = load("agent")["actions"]
    offered = [tool.action for tool in toolbox]
    others = [action for action in actions.values() if action not in offered]
    if not others or actions["shell"] in offered:
        return None
    return _request(rng.choice(others), rng)[0]


def _request(action: dict[str, Any], rng: random.Random) -> tuple[str, list[str]]:
    values = {name: random_value(name, rng) for name in action["values"]}
    ask = str(rng.choice(action["ask"])).format(**values)
    if ask[-1] != "?" and rng.random() < 0.5:
        ask += "."
    return ask, [values[name] for name in action["values"]]
