"""What a model is made to say in each version of vLLM: every notation, every broken one, and mixtures."""

from __future__ import annotations

from tests.engine.test_notations import NOTATIONS, TEXTS

THOUGHT = "I look at the file.\n"
TOOLS = [
    {"type": "function", "function": {"name": "Read", "parameters": {"type": "object", "properties": {}}}}
]
GIVEN = {"toolu_01", "toolu_02"}  # the ids in what is said
_FIRST, _ = NOTATIONS["as trained"]
_SECOND = _FIRST.replace("_01", "_02")
_END = "</tool_use>"
SAID = {
    **{f"call, {name}": text for name, (text, _) in NOTATIONS.items()},
    **{f"text, {name}": text for name, text in TEXTS.items()},
    "two calls": f"{_FIRST}\n{_SECOND}",
    "text around": f"First.\n{_FIRST}\nThen.",
    "two calls, the last not closed": f"{_FIRST}\n{_SECOND.removesuffix(_END)}",
    "text, then a call not closed": f"First.\n{_FIRST.removesuffix(_END)}",
    "text, then two calls, the last not closed": f"First.\n{_FIRST}\n{_SECOND.removesuffix(_END)}",
    "a call, then text that looks like one": f"{_FIRST}\nThe tag is <tool_use",
}


def thought_and_said(name: str) -> str:
    """What comes after the prompt, which has opened the thinking."""
    return f"{THOUGHT}</think>\n\n{SAID[name]}"
