"""Runs where vLLM is installed: its own parser reads configurations, and says which options it has.

Imports nothing of ours. Reads one JSON object from standard input, name to the text of a serve.yaml; prints
one: version, the values as the parser took them, its complaint where it refused, and its options.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    """See the module."""
    configurations: dict[str, str] = json.load(sys.stdin)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import vllm

        parser, serve = serve_parser()
        parsed = {name: parse(parser, text) for name, text in configurations.items()}
        answer = {"version": vllm.__version__, "parsed": parsed, "options": options(serve)}
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


def options(parser: Any) -> dict[str, dict[str, Any]]:
    """Every long option: whether it is a flag, takes several values, and its choices."""
    found = {}
    for action in parser._actions:  # argparse offers no other way to its options
        for option in action.option_strings:
            if option.startswith("--"):
                found[option.removeprefix("--")] = {
                    "flag": action.nargs == 0,
                    "many": action.nargs in ("+", "*"),
                    "choices": sorted(map(str, action.choices)) if action.choices else None,
                }
    return found


if __name__ == "__main__":
    main()
