"""Parse the body of a tool call's block, in each notation that models of this family use.

Standard library only. `qwable_tool_calls.py` finds the blocks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Call:
    """One tool call; ``id`` is None if the model gave no usable one."""

    name: str
    arguments: str  # a JSON object, as text
    id: str | None


def read(attributes: Mapping[str, str], body: str, schemas: Mapping[str, Mapping[str, Any]]) -> Call | None:
    """Return the call in a block with these attributes, or None. ``schemas`` as in ``Reader``."""
    name, ident = attributes.get("name"), attributes.get("id")
    text = body.strip()
    arguments: Any
    if text.startswith("<"):
        parts = _parts(text)
        if parts is None:
            return None
        name, ident = name or parts.name, ident or parts.id
        if parts.input is None:
            schema = schemas.get(name or "", {})
            arguments = {key: typed(value, schema, key) for key, value in parts.values.items()}
        else:
            arguments = None if parts.values else _object(parts.input)
    else:
        arguments = _object(text)
        if arguments is not None and not name:
            name, ident, arguments = _envelope(arguments, ident)
    written = _written(arguments)
    name = (name or "").strip()
    return Call(name, written, ident) if written is not None and _TOOL.fullmatch(name) else None


def inside_value(body: str) -> bool:
    """Return whether the body ends inside a JSON string or an XML child."""
    if not body.lstrip().startswith("<"):
        return _open_string(body)
    return _open_child(_FUNCTION_OPENING.sub("", body))


_TOOL = re.compile(r"[\w.:/-]{1,128}")
_NAMES = ("name", "tool", "tool_name")
_INPUTS = ("input", "arguments", "parameters", "args")

# ------------------------------------------------------------------------------------------------------------
# JSON

_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)\s*```", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _open_string(text: str) -> bool:
    return '"' in _STRING.sub("", text)


def _object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object, with or without a code fence; None if it is not one. Empty text is {}."""
    fenced = _FENCE.fullmatch(text.strip())
    text = (fenced[1] if fenced else text).strip()
    try:
        # Raw line breaks in strings are common and accepted.
        value = json.loads(text, strict=False) if text else {}
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _written(arguments: Any) -> str | None:
    """Format an object as JSON that every client can read; None if that is impossible (NaN, for example)."""
    if not isinstance(arguments, dict):
        return None
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can carry
        return json.dumps(arguments)
    except (ValueError, RecursionError):
        return None
    return text


def _envelope(body: dict[str, Any], ident: str | None) -> tuple[str | None, str | None, Any]:
    """Return name, id and arguments of a call that is one JSON object."""
    name = next((body[key] for key in _NAMES if isinstance(body.get(key), str)), None)
    arguments: Any = next((body[key] for key in _INPUTS if key in body), {})
    if isinstance(arguments, str):  # as in OpenAI's API
        arguments = _object(arguments)
    given = body.get("id")
    return name, ident or (given if isinstance(given, str) else None), arguments


# ------------------------------------------------------------------------------------------------------------
# XML

_FUNCTION_OPENING = re.compile(r"^\s*<function=[^>\n]+>")
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*)</function>", re.DOTALL)
_CHILD = re.compile(r"\s*<([A-Za-z_]\w*)(?:\s+name\s*=\s*(?:\"([^\"\n]*)\"|'([^'\n]*)')|=([^>\n]*))?\s*>")


@dataclass(frozen=True)
class _Parts:
    name: str | None
    id: str | None
    input: str | None  # JSON, as text
    values: dict[str, str]  # parameters, as text


def _parts(text: str) -> _Parts | None:
    """Parse the children of a block; None if there is other text between them."""
    name = None
    if function := _FUNCTION.fullmatch(text):
        name, text = function[1].strip().strip("\"'"), function[2]
    single: dict[str, str] = {}
    values: dict[str, str] = {}
    at = 0
    while child := _CHILD.match(text, at):
        end = _child_end(text, child)
        if end is None:
            return None
        value, at = text[child.end() : end.start()], end.end()
        key = next((word for word in child.groups()[1:] if word is not None), None)
        if key is None:
            single[child[1]] = value
        elif child[1] == "parameter":
            values[key.strip().strip("\"'")] = value
        else:
            return None
    if text[at:].strip() or not set(single) <= {*_NAMES, *_INPUTS, "id"}:
        return None
    return _Parts(
        name or next((single[key].strip() for key in _NAMES if key in single), None),
        single["id"].strip() if "id" in single else None,
        next((single[key] for key in _INPUTS if key in single), None),
        values,
    )


def _open_child(text: str) -> bool:
    at = 0
    while child := _CHILD.match(text, at):
        end = _child_end(text, child)
        if end is None:
            return True
        at = end.end()
    return False


def _child_end(text: str, child: re.Match[str]) -> re.Match[str] | None:
    """Return the closing tag of a child; None if it is still open."""
    closing = re.compile(rf"</{child[1]}\s*>")
    end = closing.search(text, child.end())
    # Only JSON has strings; in a parameter's text a quotation mark has no meaning.
    while end and child[1] in _INPUTS and _open_string(text[child.end() : end.start()]):
        end = closing.search(text, end.end())
    return end


# ------------------------------------------------------------------------------------------------------------
# Types: XML has only text, tools require numbers.


def typed(text: str, schema: Mapping[str, Any], key: str) -> Any:
    """Convert a parameter's text to the type of the tool's schema; keep the text if that fails.

    One line break after the opening tag and one before the closing tag belong to the notation.
    """
    text = text.removeprefix("\n").removesuffix("\n")
    properties = schema.get("properties")
    wanted = _types(properties.get(key)) if isinstance(properties, dict) else set()
    if not wanted - {"string"}:
        return text
    word = text.strip()
    try:
        value = json.loads({"True": "true", "False": "false", "None": "null"}.get(word, word), strict=False)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and value.is_integer() and "number" not in wanted and "integer" in wanted:
        value = int(value)
    return value if wanted & _NAMES_OF_TYPES[type(value)] else text


_NAMES_OF_TYPES = {
    type(None): {"null"},
    bool: {"boolean"},
    int: {"integer", "number"},
    float: {"number"},
    str: {"string"},
    list: {"array"},
    dict: {"object"},
}


def _types(schema: Any) -> set[str]:
    """Return the JSON types that a schema allows; empty if unspecified."""
    if not isinstance(schema, dict):
        return set()
    given = schema.get("type")
    found = {given} if isinstance(given, str) else {word for word in given or () if isinstance(word, str)}
    for key in ("anyOf", "oneOf"):
        for one in schema.get(key) or ():
            found |= _types(one)
    return found
