"""Runs where vLLM is installed: its own parser reads configurations, and says which options it has.

Imports nothing of ours. Reads one JSON object from standard input, name to the text of a serve.yaml; prints
one: version, the values as the parser took them, its complaint where it refused, and its options.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

# Options that the parser takes as any JSON, and vLLM's own class for them, which it makes of them afterwards.
LATER = {"speculative-config": "SpeculativeConfig"}
# Names that the parser does not judge, but the server at its start.
ATTENTION = "attention-backend"


def main() -> None:
    """See the module."""
    configurations: dict[str, str] = json.load(sys.stdin)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import vllm

        parser, serve = serve_parser()
        parsed = {name: parse(parser, text) for name, text in configurations.items()}
        answer = {
            "version": vllm.__version__,
            "parsed": parsed,
            "options": options(serve),
            "words": words(),
        }
    json.dump(answer, out, default=str)


def serve_parser() -> tuple[Any, Any]:
    """The parser of the command `vllm` with its subcommand `serve`, as vLLM makes it; and that one's own."""
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm")
    return parser, ServeSubcommand().subparser_init(parser.add_subparsers(required=True, dest="subparser"))


def parse(parser: Any, text: str) -> dict[str, Any]:
    """What the parser makes of one file: ``{"values"}`` or ``{"refused"}``."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "serve.yaml"
        file.write_text(text)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                values = parser.parse_args(["serve", "--config", str(file)])
        except (SystemExit, ValueError, TypeError) as error:
            return {"refused": said.getvalue().strip().splitlines()[-1:] or [str(error)]}
    plain = {key: vars(of) if dataclasses.is_dataclass(of) else of for key, of in vars(values).items()}
    return {"values": {key: value for key, value in plain.items() if value is not None}}


def words() -> dict[str, list[str]]:
    """What vLLM knows of values that its parser does not judge: attention backends, backends of the draft."""
    from typing import get_args

    from vllm.config.kernel import MoEBackend
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    return {
        "attention-backend": [backend.name for backend in AttentionBackendEnum],
        "moe_backend": list(get_args(MoEBackend)),
    }


def options(parser: Any) -> dict[str, dict[str, Any]]:
    """Every long option, as `thorctl.release.vllm_options.Option` describes it."""
    found = {}
    for group in parser._action_groups:  # argparse offers no other way to its options
        for action in group._group_actions:
            for option in action.option_strings:
                if option.startswith("--"):
                    name = option.removeprefix("--")
                    found[name] = {
                        "flag": action.nargs == 0,
                        "many": action.nargs in ("+", "*"),
                        "choices": sorted(map(str, action.choices)) if action.choices else None,
                    } | ({} if action.nargs == 0 else value(name, group.title, action))
    return found


def value(name: str, title: str, action: Any) -> dict[str, Any]:
    """What a value must be: by the parser's function, and by the field that vLLM puts it into."""
    import vllm.config
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    takes, optional, made = parsed_by(action.type)
    row: dict[str, Any] = {"takes": takes} | ({"optional": True} if optional else {})
    frontend = sys.modules[serve_arguments().__module__].FrontendArgs
    owner = frontend if title == "Frontend" else getattr(vllm.config, title, vllm.config.VllmConfig)
    field = schema(owner, action.dest) or of_default(action.default)
    if takes in {"int", "float", "number", "number or auto"}:
        row |= {key: field[key] for key in BOUNDS.values() if key in field}
    if takes in {"json", "json or text"} and field.get("types"):
        row["takes"] = {("object",): "object", ("array",): "array"}.get(tuple(field["types"]), takes)
    made = getattr(vllm.config, LATER[name]) if name in LATER else made
    if made is not None:
        keys = sorted(one.name for one in dataclasses.fields(made) if one.init)
        row |= {"takes": "object", "keys": {key: schema(made, key) for key in keys}}
    if takes == "folded":
        row |= {"takes": "text", "folded": True}
    registered = {"tool-call-parser": ToolParserManager, "reasoning-parser": ReasoningParserManager}
    if name in registered:
        row["registered"] = sorted(registered[name].list_registered())
    if name == ATTENTION:
        row["registered"] = sorted(words()[ATTENTION])
        row["folded"] = True
    return row


def serve_arguments() -> Any:
    """vLLM's function that makes the parser: it has moved."""
    from vllm.entrypoints.cli import serve

    return serve.make_arg_parser


def of_default(default: Any) -> dict[str, Any]:
    """The type of a JSON option by its default, where the field's own is not known."""
    known = ((dict, "object"), (list, "array"))
    return next(({"types": [name]} for kind, name in known if isinstance(default, kind)), {})


def parsed_by(function: Any) -> tuple[str, bool, Any]:
    """What a parser's function takes, whether "None" as well, and the class that it makes of it."""
    name = getattr(function, "__qualname__", "str").rpartition(".")[2]
    if name in {"_optional_type", "_parse_type"}:
        (inner,) = (cell.cell_contents for cell in function.__closure__ if callable(cell.cell_contents))
        takes, optional, made = parsed_by(inner)
        return takes, optional or name == "_optional_type", made
    if name == "parse_dataclass":
        return "object", False, function.__defaults__[0]
    if name == "<lambda>":
        return ("folded" if function("A-b") == "a_b" else "text"), False, None
    known = {"int": "int", "float": "float", "human_readable_int": "number", "loads": "json"}
    known |= {"human_readable_int_or_auto": "number or auto", "union_dict_and_str": "json or text"}
    return known.get(name, "text"), False, None


BOUNDS = {"minimum": "least", "exclusiveMinimum": "above", "maximum": "most", "exclusiveMaximum": "below"}


def schema(owner: Any, name: str) -> dict[str, Any]:
    """A field of one of vLLM's classes: JSON types, bounds, choices; {} where that is not known."""
    from typing import Annotated

    from pydantic import TypeAdapter

    field = getattr(owner, "__pydantic_fields__", {}).get(name)
    validators = getattr(owner, "__pydantic_decorators__", None)
    if field is None:
        return {}
    read_first = any(  # by a function of vLLM's own: other notations may be taken
        name in one.info.fields and one.info.mode in {"before", "plain"}
        for one in getattr(validators, "field_validators", {}).values()
    )
    try:
        of: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        found = TypeAdapter(of).json_schema()
    except Exception:  # noqa: BLE001 - a type that JSON has not: anything may be meant
        return {}
    parts = found.get("anyOf", [found])
    if read_first:
        named = [one for one in parts if one.get("type") != "null"]
        words = [str(word) for one in named for word in one.get("enum", ())]
        # What vLLM reads first there are small and capital letters.
        known = bool(named) and all("enum" in one and one.get("type") == "string" for one in named)
        return {"types": ["string"], "choices": sorted(words), "folded": True} if known else {}
    parts = [found["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in parts]
    if not all("type" in one and isinstance(one["type"], str) for one in parts):
        return {}
    parts = [one for one in parts if one["type"] != "null"]
    row: dict[str, Any] = {"types": sorted({one["type"] for one in parts})}
    if all("enum" in one or "const" in one for one in parts):
        row["choices"] = sorted({str(each) for one in parts for each in one.get("enum", [one.get("const")])})
    if len(parts) == 1:
        row |= {ours: parts[0][theirs] for theirs, ours in BOUNDS.items() if theirs in parts[0]}
    return row


if __name__ == "__main__":
    main()
