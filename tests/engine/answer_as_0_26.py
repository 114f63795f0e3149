"""Runs where vLLM 0.26 is laid out: its own parser of answers, both of a release's parsers within.

Imports nothing of ours. Reads a JSON list of cases from standard input: ``{"said", "at_once", "tools"}``, the
text after the prompt, how many tokens come at once, the request's tools. Prints a JSON list: ``{"streamed":
[deltas], "whole": {"content", "reasoning", "calls": [[name, arguments, id]]}}``.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

PLUGIN = "/etc/thor-engine/qwable_tool_parser.py"
CHECKPOINT = "/models/checkpoint"
PROMPT = "<|im_start|>assistant\n<think>\n"
END = "<|im_end|>"


def main() -> None:
    """See the module."""
    cases = json.load(sys.stdin)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        parser, tokenizer = prepared()
        answers = [answer(parser, tokenizer, case) for case in cases]
    json.dump(answers, out)


def prepared() -> tuple[Any, Any]:
    """The class that the server makes one of for each request, and the model's tokenizer."""
    from transformers import AutoTokenizer
    from vllm import __version__
    from vllm.parser.parser_manager import ParserManager
    from vllm.tool_parsers.abstract_tool_parser import ToolParserManager

    assert __version__.startswith("0.26."), __version__
    ToolParserManager.import_tool_parser(PLUGIN)
    parser = ParserManager.get_parser(
        tool_parser_name="qwable", reasoning_parser_name="qwen3", enable_auto_tools=True, model_name="tiny"
    )
    return parser, AutoTokenizer.from_pretrained(CHECKPOINT)


def answer(parser: Any, tokenizer: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What the server would tell the client, streamed and whole."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    request = ChatCompletionRequest(
        model="tiny", messages=[{"role": "user", "content": "?"}], tools=case["tools"]
    )
    reasoning, content, calls = parser(tokenizer, request.tools).parse(
        case["said"], request, enable_auto_tools=True
    )
    whole = {
        "content": content,
        "reasoning": reasoning,
        "calls": [[call.name, call.arguments, call.id] for call in calls or ()],
    }
    return {
        "streamed": list(deltas(parser(tokenizer, request.tools), tokenizer, request, case)),
        "whole": whole,
    }


def deltas(parser: Any, tokenizer: Any, request: Any, case: dict[str, Any]) -> Any:
    """The messages of a stream: ``at_once`` tokens a step, the end of the turn among the last ones."""
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    ids = tokenizer.encode(case["said"] + END, add_special_tokens=False)
    told = 0
    for start in range(0, len(ids), case["at_once"]):
        seen = ids[: start + case["at_once"]]
        text = tokenizer.decode(seen, skip_special_tokens=True)
        message = parser.parse_delta(
            text[told:], seen[start:], request, prompt_token_ids=prompt, finished=len(seen) == len(ids)
        )
        told = len(text)
        if message is not None:
            yield json.loads(message.model_dump_json(exclude_unset=True))


if __name__ == "__main__":
    main()
