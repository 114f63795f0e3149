"""Runs where vLLM 0.19 is laid out: its own chat server class, given what a model says, answers the client.

Imports nothing of ours. Reads a JSON list of cases from standard input: ``{"said", "at_once",
"finish_reason", "request"}``, the text after the prompt, how many tokens come at once, why they end, keys of
the request. Prints a JSON list: ``{"streamed": [chunks], "whole": choice, "forced": schema or null}``.
"""

from __future__ import annotations

import asyncio
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
        server, tokenizer = prepared()
        answers = [asyncio.run(answer(server, tokenizer, case)) for case in cases]
    json.dump(answers, out)


def prepared() -> tuple[Any, Any]:
    """The server's class without an engine behind it, with both parsers as a release configures them."""
    from transformers import AutoTokenizer
    from vllm import __version__
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers.abstract_tool_parser import ToolParserManager

    assert __version__.startswith("0.19."), __version__
    ToolParserManager.import_tool_parser(PLUGIN)
    server = object.__new__(OpenAIServingChat)
    server.tool_parser = ToolParserManager.get_tool_parser("qwable")
    server.reasoning_parser_cls = ReasoningParserManager.get_reasoning_parser("qwen3")
    server.enable_auto_tools = True
    server.response_role = "assistant"
    server.tool_call_id_type = "random"
    server.use_harmony = False
    server.request_logger = None
    server.enable_log_outputs = server.enable_force_include_usage = server.enable_prompt_tokens_details = (
        False
    )
    return server, AutoTokenizer.from_pretrained(CHECKPOINT)


async def answer(server: Any, tokenizer: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What the client gets, streamed and whole."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.engine.protocol import RequestResponseMetadata

    request = ChatCompletionRequest(
        model="tiny", messages=[{"role": "user", "content": "?"}], **case["request"]
    )

    request = server.tool_parser(tokenizer, request.tools).adjust_request(request)

    def call(make: Any, outputs: Any) -> Any:
        parser = server.reasoning_parser_cls(tokenizer, chat_template_kwargs=request.chat_template_kwargs)
        metadata = RequestResponseMetadata(request_id="1")
        return make(request, outputs, "1", "tiny", [], tokenizer, metadata, parser)

    lines = call(server.chat_completion_stream_generator, outputs(tokenizer, case))
    events = [line.removeprefix("data: ").strip() async for line in lines]
    assert events.pop() == "[DONE]"
    whole = await call(
        server.chat_completion_full_generator, outputs(tokenizer, {**case, "at_once": len(case["said"]) + 1})
    )
    return {
        "streamed": [json.loads(event) for event in events],
        "whole": json.loads(whole.choices[0].model_dump_json()),
        "forced": request.structured_outputs and request.structured_outputs.json,
    }


async def outputs(tokenizer: Any, case: dict[str, Any]) -> Any:
    """What the engine would yield: ``at_once`` tokens a step, the end of the turn among the last ones."""
    from vllm.outputs import CompletionOutput, RequestOutput

    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    ids = tokenizer.encode(case["said"], add_special_tokens=False)
    if case["finish_reason"] == "stop":
        ids += tokenizer.encode(END, add_special_tokens=False)
    told = 0
    for start in range(0, len(ids), case["at_once"]):
        seen = ids[: start + case["at_once"]]
        text = tokenizer.decode(seen, skip_special_tokens=True)
        last = len(seen) == len(ids)
        yield RequestOutput(
            request_id="1",
            prompt=None,
            prompt_token_ids=prompt,
            prompt_logprobs=None,
            outputs=[
                CompletionOutput(
                    index=0,
                    text=text[told:],
                    token_ids=seen[start:],
                    cumulative_logprob=None,
                    logprobs=None,
                    finish_reason=case["finish_reason"] if last else None,
                )
            ],
            finished=last,
        )
        told = len(text)


if __name__ == "__main__":
    main()
