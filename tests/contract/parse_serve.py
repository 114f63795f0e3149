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

# Options whose value is one JSON object, and vLLM's own class for it: the parser takes any object, the engine
# then refuses a name that the class has not.
OBJECTS = {"speculative-config": "SpeculativeConfig", "compilation-config": "CompilationConfig"}


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
    return {"values": {key: value for key, value in vars(values).items() if value is not None}}


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
    """Every long option: whether it is a flag, takes several values, its choices, the keys of its object."""
    import vllm.config

    keys = {
        option: sorted(field.name for field in dataclasses.fields(getattr(vllm.config, name)) if field.init)
        for option, name in OBJECTS.items()
    }
    found = {}
    for action in parser._actions:  # argparse offers no other way to its options
        for option in action.option_strings:
            if option.startswith("--"):
                name = option.removeprefix("--")
                found[name] = {
                    "flag": action.nargs == 0,
                    "many": action.nargs in ("+", "*"),
                    "choices": sorted(map(str, action.choices)) if action.choices else None,
                } | ({"keys": keys[name]} if name in keys else {})
    return found


if __name__ == "__main__":
    main()
