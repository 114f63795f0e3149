"""Generate docs/reference/schemas.json, the JSON Schema of the contract, from its dataclasses."""

from __future__ import annotations

import inspect
import json
import re
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from thorctl.protocol.envelope import AgentAnswer
from thorctl.protocol.progress import Progress
from thorctl.protocol.verbs import VERBS, Verb
from thorctl.result import Envelope

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PRIMITIVES: dict[Any, dict[str, Any]] = {
    object: {},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
}
_INNERMOST = re.compile(r"\{[^{}]*\}")  # written on one line
_FIELD = re.compile(r"([a-z_, ]+): (.*)")


def schemas() -> str:
    """Return the document: an answer of thor-agent at its root, each class below ``$defs``."""
    definitions: dict[str, Any] = {}
    for kind in (AgentAnswer, Progress, Envelope, *(kind for one in VERBS.values() for kind in _kinds(one))):
        _define(kind, definitions)
    root = {
        "$schema": DIALECT,
        "title": "thor-agent's answers, and what is made of them",
        "description": "Made by `make docs` from thorctl/protocol; a test fails when it is not current. "
        "An answer of thor-agent is valid against the document; `thorctl --json` prints an "
        "`Envelope`. A reader ignores keys that are not listed: later versions add some.",
        "$ref": "#/$defs/AgentAnswer",
        "allOf": [
            {"if": _succeeded(verb.name), "then": {"properties": {"data": _one_of(_kinds(verb))}}}
            for verb in VERBS.values()
            if verb.data_class is not None
        ],
        "$defs": dict(sorted(definitions.items())),
    }
    text = json.dumps(root, indent=1, ensure_ascii=False) + "\n"
    return _INNERMOST.sub(lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)


def _succeeded(verb: str) -> dict[str, Any]:
    return {"properties": {"verb": {"const": verb}, "ok": {"const": True}}}


def _kinds(verb: Verb) -> list[type]:
    return [kind for kind in (verb.data_class, verb.planned_class) if kind is not None]


def _one_of(kinds: list[type]) -> dict[str, Any]:
    return _reference(kinds[0]) if len(kinds) == 1 else {"anyOf": [_reference(kind) for kind in kinds]}


def _reference(kind: type) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _define(kind: type, definitions: dict[str, Any]) -> None:
    """Add the class, and those that its fields are of."""
    if kind.__name__ in definitions:
        return
    summary, described = _described(kind)
    schema: dict[str, Any] = {"type": "object", "description": summary}
    definitions[kind.__name__] = schema
    hints = get_type_hints(kind)
    own = [one for one in fields(kind) if one.init]
    schema["required"] = [
        _key(one.name) for one in own if one.default is MISSING and one.default_factory is MISSING
    ]
    schema["properties"] = {
        _key(one.name): _schema(hints[one.name], definitions) | described.get(one.name, {}) for one in own
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an annotation ``kind`` that ``protocol.decode`` supports."""
    if isinstance(kind, type) and is_dataclass(kind):
        _define(kind, definitions)
        return _reference(kind)
    if kind in _PRIMITIVES:
        return dict(_PRIMITIVES[kind])
    return _OF[get_origin(kind)](get_args(kind), definitions)


def _word(words: tuple[str, ...], _: dict[str, Any]) -> dict[str, Any]:
    return {"enum": list(words)}


def _sequence(kinds: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _schema(kinds[0], definitions)}


def _mapping(kinds: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": _schema(kinds[1], definitions)}


def _either(kinds: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    parts = [_schema(one, definitions) for one in kinds]
    plain = all(set(one) == {"type"} for one in parts)
    return {"type": [one["type"] for one in parts]} if plain else {"anyOf": parts}


_OF = {Literal: _word, Union: _either, types.UnionType: _either, tuple: _sequence, dict: _mapping}


def _described(kind: type) -> tuple[str, dict[str, dict[str, str]]]:
    """Return the first line of a class's docstring, and the text of each field in its ``Attributes``."""
    text = inspect.getdoc(kind) or ""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in text.partition("Attributes:\n")[2].splitlines():
        if match := _FIELD.fullmatch(line.removeprefix("    ")):
            names = match[1].split(", ")
            found |= {name: [match[2]] for name in names}
        else:
            for name in names:
                found[name].append(line.strip())
    return text.partition("\n")[0], {
        name: {"description": " ".join(lines).strip()} for name, lines in found.items()
    }


def _key(name: str) -> str:
    return name.removesuffix("_")
