"""Test the features of a running engine's API one by one, within a time limit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent.bench import metrics as bench_metrics
from thorctl.agent.smoke import features
from thorctl.agent.smoke.features import FAILED, NOT_ASKED, PASSED, Result
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.plural import counted
from thorctl.protocol.think_tags import split_thinking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.agent.core.clock import Clock
    from thorctl.agent.engine.chat_stream import Reply
    from thorctl.agent.engine.client import EngineClient

CANCEL_PIECES = 3  # events of the stream before the disconnect: the generation has begun
CANCEL_SECONDS = 60.0
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Engine:
    """An engine, and the parameters of its test.

    Attributes:
        smoke, options: of the release.
        sampling: for the second attempt at a tool call.
        silence_seconds: longest wait for the next piece of a stream.
        left: returns the seconds left for all features.
        note: called with the name of the present feature.
    """

    client: EngineClient
    clock: Clock
    model: str
    smoke: Mapping[str, Any]
    options: Mapping[str, Any]
    sampling: Mapping[str, float]
    silence_seconds: float
    left: Callable[[], float]
    note: Callable[[str], None]

    def ask_all(self) -> list[Result]:
        """Test every feature once by its name; stop after a failure that ended the engine."""
        ask: dict[str, Callable[[], list[Result]]] = {
            features.LOGPROBS: partial(
                self._simple, features.LOGPROBS, features.logprobs_body(), features.logprobs_fault
            ),
            features.STRUCTURED: partial(
                self._simple,
                features.STRUCTURED,
                features.structured_body(self.answer_tokens),
                features.structured_fault,
            ),
            features.TOOL_CALL: self._tool_call,
            features.LONG_PROMPT: self._long_prompt,
            features.CANCELLED: self._cancelled,
        }
        found: list[Result] = []
        ended: str | None = None
        for name, work in ask.items():
            why = ended or features.reason_not_to_ask(name, self.smoke, self.options)
            if why is None and self.left() <= 0:
                found.append(Result(name, FAILED, "the smoke test's time was over before it"))
            elif why is not None:
                found.append(Result(name, NOT_ASKED, why))
            else:
                self.note(name)
                began = self.clock.monotonic()
                found += [
                    Result(one.name, one.result, one.reason, round(self.clock.monotonic() - began, 1))
                    for one in work()
                ]
                if features.failed(found) and not self.client.healthy():
                    ended = f"the engine was not healthy after {name}"
        names = {one.name for one in found}
        return [
            *found,
            *(
                Result(name, NOT_ASKED, f"{features.LONG_PROMPT} has no answer")
                for name in features.NAMES
                if name not in names
            ),
        ]

    @property
    def answer_tokens(self) -> int:
        """Return the longest answer in tokens, as the profile sets it for its prompts."""
        return int(self.smoke["max_tokens"])

    def _chat(self, body: dict[str, Any]) -> Reply:
        seconds = max(1.0, self.left())
        reply = self.client.chat(
            {"model": self.model, **body},
            silence_seconds=min(self.silence_seconds, seconds),
            total_seconds=seconds,
        )
        if not self.options.get("reasoning-parser"):
            reply.reasoning, reply.content = split_thinking(reply.content)
        return reply

    def _simple(self, name: str, body: dict[str, Any], judge: Callable[[Reply], str | None]) -> list[Result]:
        reply = self._chat(body)
        fault = features.broken(reply) or judge(reply)
        made = counted(reply.tokens or 0, "token")
        return [Result(name, FAILED, fault) if fault else Result(name, PASSED, made)]

    def _tool_call(self) -> list[Result]:
        body = features.tool_body(self.answer_tokens)
        reply = self._chat(body)
        fault = features.broken(reply)
        if fault is None and (missed := features.tool_fault(reply)):
            # A sound model may once answer with text: repeat with its maker's sampling, with thinking.
            again = {
                **body,
                **self.sampling,
                "seed": 1,
            }
            again["chat_template_kwargs"] = {"enable_thinking": True}
            reply = self._chat(again)
            fault = features.broken(reply) or features.tool_fault(reply)
            if fault:
                fault = f"{fault}; and before it: {missed}"
        name = features.TOOL_CALL
        return [Result(name, FAILED, fault) if fault else Result(name, PASSED, reply.calls[0].arguments[:80])]

    def _long_prompt(self) -> list[Result]:
        name, answer = features.LONG_PROMPT, features.LONG_ANSWER
        context = self.client.context_tokens()
        if context is None:
            return [Result(name, FAILED, "/v1/models has no max_model_len")]
        sample = self._chat(features.long_sample_body())
        if sample.error or not sample.prompt_tokens:
            return [Result(name, FAILED, sample.error or "usage.prompt_tokens is missing")]
        wanted = features.long_tokens(context, self.options)
        lines = features.lines_for(wanted, sample.prompt_tokens)
        most = features.long_answer_tokens(context, wanted, self.answer_tokens)
        reply = self._chat(features.long_body(lines, most))
        fault = features.broken(reply) or features.long_fault(reply, wanted)
        if fault:
            return [Result(name, FAILED, fault)]
        passed = Result(name, PASSED, f"{reply.prompt_tokens} tokens of a context of {context}")
        if reason := features.reason_not_to_ask(answer, self.smoke, self.options):
            return [passed, Result(answer, NOT_ASKED, reason)]
        wrong = features.long_answer_fault(reply, lines)
        return [
            passed,
            Result(answer, FAILED, wrong) if wrong else Result(answer, PASSED, f"of {lines} records"),
        ]

    def _cancelled(self) -> list[Result]:
        name = features.CANCELLED
        before = self.client.text("/metrics")
        others, generated = bench_metrics.total(before, bench_metrics.RUNNING), _made(before)
        context = self.client.context_tokens()
        if others is None or generated is None or context is None:
            return [Result(name, FAILED, "the engine's metrics or its context cannot be read")]
        body = {"model": self.model, **features.cancel_body(context)}
        fault = self.client.cancel(
            body, pieces=CANCEL_PIECES, silence_seconds=min(self.silence_seconds, max(1.0, self.left()))
        )
        if fault:
            return [Result(name, FAILED, fault)]
        until = self.clock.monotonic() + CANCEL_SECONDS
        while True:
            after = self.client.text("/metrics")
            running = bench_metrics.total(after, bench_metrics.RUNNING)
            if running == 0 or self.clock.monotonic() > until:
                break
            self.clock.sleep(POLL_SECONDS)
        if not self.client.healthy():
            return [Result(name, FAILED, "the engine is not healthy after a client disconnected")]
        return [_judge_cancel(running, others, (_made(after) or 0) - generated, int(body["max_tokens"]))]


def _made(metrics: str | None) -> int | None:
    return bench_metrics.total(metrics, bench_metrics.GENERATED)


def _judge_cancel(running: int | None, others: int, made: int, asked: int) -> Result:
    """Evaluate a cancelled request. ``made``: tokens since; ``others``: requests that ran before ours."""
    name = features.CANCELLED
    if running is None:
        return Result(name, FAILED, "the engine's metrics cannot be read after a client disconnected")
    if running and others:
        return Result(name, NOT_ASKED, f"{others} other requests ran, so the end of ours is not observable")
    if running:
        return Result(
            name,
            FAILED,
            f"{counted(running, 'request')} still running {CANCEL_SECONDS:g} s after a client disconnected",
        )
    if made >= asked and not others:
        return Result(name, FAILED, f"all {asked} tokens were generated although the client disconnected")
    return Result(name, PASSED, f"no request runs; {made} of {asked} tokens were generated")
