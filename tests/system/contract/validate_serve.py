"""Runs where vLLM is installed: whether `vllm serve` would start with a configuration, short of the GPU.

Imports nothing of ours but its neighbour. Reads one JSON object from standard input: ``files``, name to text,
those of a checkpoint without its weights; ``serve``, name to the text of a serve.yaml, in which MODEL stands
for the checkpoint's folder. Prints one: ``version``, and ``refused``, name to vLLM's complaint or null.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from parse_serve import serve_parser  # type: ignore[import-not-found]  # beside it in the container


def main() -> None:
    """See the module."""
    asked = json.load(sys.stdin)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        import vllm

        logging.disable(logging.CRITICAL)
        for name, text in asked["files"].items():
            (Path(folder) / name).write_text(text)
        parser, _ = serve_parser()
        refused = {
            name: complaint(parser, text.replace("MODEL", folder)) for name, text in asked["serve"].items()
        }
        answer = {"version": vllm.__version__, "refused": refused}
    json.dump(answer, out, default=str)


def complaint(parser: Any, text: str) -> str | None:
    """What the parser, the server or the engine's configuration says against it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "serve.yaml"
        file.write_text(text)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                arguments = parser.parse_args(["serve", "--config", str(file)])
            start(copy.deepcopy(arguments))  # vLLM changes the parser's defaults
        except (SystemExit, Exception) as error:  # noqa: BLE001 - whatever it is, it would not start
            return (said.getvalue().strip().splitlines() or [f"{type(error).__name__}: {error}"])[-1]
    return None


def start(arguments: Any) -> None:
    """Everything of a start before the model is loaded."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    try:
        from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args
        from vllm.entrypoints.launchers.launcher import validate_api_server_args
    except ImportError:
        from vllm.entrypoints.openai.api_server import validate_api_server_args
        from vllm.entrypoints.openai.cli_args import validate_parsed_serve_args

    arguments.model = arguments.model_tag or arguments.model
    validate_parsed_serve_args(arguments)
    made = AsyncEngineArgs.from_cli_args(arguments).create_engine_config(UsageContext.OPENAI_API_SERVER)
    arguments.structured_outputs_config = made.structured_outputs_config
    validate_api_server_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    main()
