"""vLLM's tool parser ``qwable``: ``qwable_tool_calls`` behind vLLM's interface.

    vllm serve … --enable-auto-tool-choice --tool-call-parser qwable \\
      --tool-parser-plugin /etc/thor-engine/qwable_tool_parser.py

Runs in vLLM 0.19 to 0.32 (both are tested). A call is streamed in one piece after its block has ended: only
then is it certain.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from vllm.sampling_params import StructuredOutputsParams
from vllm.tool_parsers.abstract_tool_parser import ToolParser, ToolParserManager
from vllm.utils.import_utils import import_from_path

try:
    from vllm.entrypoints.generate.base import protocol  # its place in 0.32
except ImportError:
    from vllm.entrypoints.openai.engine import protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# vLLM imports a plugin by its path, so its neighbours are not on the search path. The first import wins.
import_from_path("qwable_call_body", Path(__file__).with_name("qwable_call_body.py"))
calls = import_from_path("qwable_tool_calls", Path(__file__).with_name("qwable_tool_calls.py"))

# Later versions call `finish_streaming` when output ends; for earlier ones see prev_tool_call_arr.
TOLD_OF_THE_END = hasattr(ToolParser, "engine_based_streaming")
# 0.19 parses answers to tool_choice "required" and to a named tool itself, as the JSON it enforces.
ASKED_FOR_REQUIRED = hasattr(ToolParser, "supports_required_and_named")


@ToolParserManager.register_module("qwable")
class QwableToolParser(ToolParser):  # type: ignore[misc] # vLLM is in the image only
    """One per request. Whole output: ``extract_tool_calls``; streamed: ``extract_tool_calls_streaming``."""

    supports_required_and_named = False  # forced calls have the model's own form: see adjust_request
    engine_based_streaming = True  # takes deltas only, and requires finish_streaming

    def __init__(self, tokenizer: Any, tools: Any = None) -> None:
        self._reader: Any = None
        self._calls = 0
        self._last: Any = None  # the message returned last
        self._told: list[dict[str, str]] = []
        super().__init__(tokenizer, tools)

    def adjust_request(self, request: Any) -> Any:
        """Enforce a block of the right form if the client requires a call."""
        if not ASKED_FOR_REQUIRED:
            return super().adjust_request(request)
        if tools := demanded(request):
            single = request.tool_choice != "required" or request.parallel_tool_calls is False
            request.structured_outputs = StructuredOutputsParams(
                structural_tag=json.dumps(blocks(tools, single=single))
            )
            # The client's own output format cannot hold as well: the call takes precedence.
            setattr(request, "response_format" if hasattr(request, "response_format") else "text", None)
        return request

    def extract_tool_calls(self, model_output: str, request: Any) -> Any:
        """Return content and calls of a complete answer."""
        if not reads_calls(request):
            return protocol.ExtractedToolCallInformation(
                tools_called=False, tool_calls=[], content=model_output
            )
        reader = new_reader(request)
        found = [*reader.feed(model_output), *reader.finish()]
        made = [
            protocol.ToolCall(
                id=call.id or new_id(),
                function=protocol.FunctionCall(name=call.name, arguments=call.arguments),
            )
            for call in found
            if not isinstance(call, str)
        ]
        content = "".join(text for text in found if isinstance(text, str))
        return protocol.ExtractedToolCallInformation(
            tools_called=bool(made), tool_calls=made, content=content or None
        )

    def extract_tool_calls_streaming(  # noqa: PLR0917 - vLLM's own signature
        self,
        previous_text: str,  # noqa: ARG002 - the reader has its own state
        current_text: str,  # noqa: ARG002
        delta_text: str,
        previous_token_ids: Sequence[int],  # noqa: ARG002
        current_token_ids: Sequence[int],  # noqa: ARG002
        delta_token_ids: Sequence[int],  # noqa: ARG002
        request: Any,
    ) -> Any:
        """Return what is decided after this delta; None if there is nothing new."""
        if not reads_calls(request):
            return protocol.DeltaMessage(content=delta_text) if delta_text else None
        if self._reader is None:
            self._reader = new_reader(request)
        self._last = self._message(self._reader.feed(delta_text))
        if self._last is None and self._reader.holds and not TOLD_OF_THE_END:
            self._last = protocol.DeltaMessage()  # an empty one, for prev_tool_call_arr to fill
        return self._last

    def finish_streaming(self) -> Any:
        """Return the undecided rest at the end of the output; None if there is none."""
        reader, self._reader = self._reader, None
        return self._message(reader.finish()) if reader is not None else None

    def _message(self, found: list[Any]) -> Any:
        if not found:
            return None
        message = protocol.DeltaMessage()
        if content := "".join(text for text in found if isinstance(text, str)):
            message.content = content
        made = [self._delta(call) for call in found if not isinstance(call, str)]
        if made:
            message.tool_calls = made
        return message

    def _delta(self, call: Any) -> Any:
        made = protocol.DeltaToolCall(
            index=self._calls,
            id=call.id or new_id(),
            type="function",
            function=protocol.DeltaFunctionCall(name=call.name, arguments=call.arguments),
        )
        self._calls += 1
        return made

    @property
    def prev_tool_call_arr(self) -> list[dict[str, str]]:
        """Empty: no part of a call is unsent, so vLLM must not repair the last chunk.

        Before 0.26 a parser is not told that the output has ended, but only then the server reads this list.
        The undecided rest is added to the message that the server is about to send. If it holds the first
        call, the list names it, which makes `finish_reason` `tool_calls`.
        """
        if TOLD_OF_THE_END or self._reader is None:
            return self._told
        known = self._calls
        late = self.finish_streaming()
        if late is None or self._last is None:
            return self._told
        if late.content:
            self._last.content = (self._last.content or "") + late.content
        if late.tool_calls:
            self._last.tool_calls = [
                *self._last.tool_calls,
                *(late.tool_calls if known else apart(late.tool_calls)),
            ]
            if not known:
                said = [call.function for call in late.tool_calls]
                self._told = [{"name": one.name, "arguments": one.arguments} for one in said]
                self.streamed_args_for_tool = [one.arguments for one in said]
        return self._told

    @prev_tool_call_arr.setter
    def prev_tool_call_arr(self, value: list[dict[str, str]]) -> None:
        """Accept the empty list that the base class assigns, and no other value."""


def apart(made: list[Any]) -> list[Any]:
    """Split the first call's name from its arguments: vLLM does not repair a message that begins so."""
    first, *others = made
    name = protocol.DeltaFunctionCall(name=first.function.name)
    arguments = protocol.DeltaFunctionCall(arguments=first.function.arguments)
    return [
        protocol.DeltaToolCall(index=first.index, id=first.id, type="function", function=name),
        protocol.DeltaToolCall(index=first.index, function=arguments),
        *others,
    ]


def reads_calls(request: Any) -> bool:
    """Return whether the client offers tools and allows calls; otherwise blocks are plain text."""
    return bool(request.tools) and request.tool_choice != "none"


def new_reader(request: Any) -> Any:
    """Return a reader with the request's tools and the ids used in its conversation."""
    earlier = getattr(request, "messages", None) or getattr(request, "input", None)
    taken = set()
    for one in earlier if isinstance(earlier, list) else ():
        ident = (
            one.get("tool_call_id") or one.get("call_id")
            if isinstance(one, dict)
            else getattr(one, "call_id", None)
        )
        if isinstance(ident, str):
            taken.add(ident)
    return calls.Reader(dict(functions(request)), taken)


def functions(request: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return name and argument schema of each function tool, in chat completions and in responses."""
    found = []
    for tool in request.tools or ():
        function = getattr(tool, "function", tool)
        if name := getattr(function, "name", None):
            found.append((name, getattr(function, "parameters", None) or {}))
    return found


def demanded(request: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the tools of which the client requires one; empty if a call is optional."""
    choice = request.tool_choice
    if not request.tools or choice in (None, "auto", "none"):
        return []
    named = getattr(getattr(choice, "function", choice), "name", None)
    return [(name, schema) for name, schema in functions(request) if choice == "required" or name == named]


def blocks(tools: list[tuple[str, dict[str, Any]]], *, single: bool) -> dict[str, Any]:
    """Return xgrammar's structural tag for one or more ``<tool_use>`` blocks with valid arguments."""
    tags = [
        {
            "type": "tag",
            "begin": f'<tool_use name="{name}" id="toolu_',
            "content": {
                "type": "sequence",
                "elements": [
                    {"type": "regex", "pattern": "[A-Za-z0-9]{1,24}"},
                    {"type": "const_string", "value": '">\n'},
                    {"type": "json_schema", "json_schema": schema or {"type": "object"}},
                ],
            },
            "end": "\n</tool_use>",
        }
        for name, schema in tools
    ]
    form = {"type": "tags_with_separator", "tags": tags, "separator": "\n", "at_least_one": True}
    return {"type": "structural_tag", "format": {**form, "stop_after_first": single}}


def new_id() -> str:
    """Return a new id in the model's own form."""
    return f"toolu_{uuid4().hex[:24]}"
