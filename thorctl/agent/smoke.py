"""``thor-agent smoke``: let the running release generate text, and judge the text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent import journal_file
from thorctl.agent.api_key import api_key
from thorctl.agent.engine import endpoint
from thorctl.agent.engine_client import EngineClient
from thorctl.agent.gather import gather
from thorctl.agent.judge import Generation, judge, split_thinking
from thorctl.agent.outcome import AgentError, Outcome
from thorctl.agent.serving import running_release, wait_until_ready
from thorctl.agent.smoke_report import Report, shorten

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.context import Context
    from thorctl.agent.release_document import Release

# A damaged engine can fail on its sixth request only (vllm issue 55406: within five), or with two at once.
_LEAST_SEQUENTIAL = 8
_LEAST_CONCURRENT = 2
# The first request may compile kernels before its first token; a healthy engine is never silent longer.
SILENCE_SECONDS = 180.0
TOTAL_SECONDS = 600.0


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Smoke the release that runs; ``args.id`` must be it, where given.

    Raises:
        AgentError: ``smoke_failed``, ``engine_not_ready``, ``engine_died``; ``bad_state`` where no release
            runs, or another one.
    """
    release = running_release(ctx, args.id)
    client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))
    ctx.progress.update("smoke", release=release.id, message="waiting for the engine")
    wait_until_ready(ctx, client, release)
    report = _smoke(ctx, client, release)
    # Which activation it speaks of: times do not say, where the clock may jump.
    activation = journal_file.load(ctx.paths).activation
    record = {**report.record(ctx.clock.now_text()), "activation": activation}
    ctx.files.write_json(ctx.paths.smoke_json, record)
    return Outcome(data=report.data(), error=report.error())


def _smoke(ctx: Context, client: EngineClient, release: Release) -> Report:
    one_by_one, at_once = _prompts(release)
    wanted, started = len(one_by_one) + len(at_once), ctx.clock.monotonic()
    generate = partial(_generate, ctx, client, release)
    sequential: list[Generation] = []
    concurrent: list[Generation] = []
    for number, prompt in enumerate(one_by_one, start=1):
        ctx.progress.update("smoke", release=release.id, message=f"generation {number} of {wanted}")
        sequential.append(generate(prompt))
        if sequential[-1].error is not None or not sequential[-1].ended:
            # An engine that broke a stream is done for; nine more timeouts would tell nothing new.
            break
    else:
        ctx.progress.update("smoke", release=release.id, message=f"{len(at_once)} generations at once")
        # Threads that a stopped agent need not wait for: a hung engine must not hold up a signal.
        asked = {str(number): partial(generate, prompt) for number, prompt in enumerate(at_once)}
        made = gather(asked, seconds=TOTAL_SECONDS + SILENCE_SECONDS, log=ctx.log)
        concurrent = [generation for generation in made.values() if generation is not None]
    return Report(release.id, sequential, concurrent, wanted, ctx.clock.monotonic() - started)


def _prompts(release: Release) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the prompts to send one after another, and those to send at once; the profile's are cycled."""
    smoke = release.document["profile"]["smoke"]
    prompts = smoke["prompts"]
    if not prompts:
        raise AgentError("release_invalid", "The profile has no smoke prompts.", "Give it smoke.prompts.")
    one_by_one = max(_LEAST_SEQUENTIAL, int(smoke["sequential"]))
    at_once = max(_LEAST_CONCURRENT, int(smoke["concurrent"]))
    cycled = [prompts[number % len(prompts)] for number in range(one_by_one + at_once)]
    return cycled[:one_by_one], cycled[one_by_one:]


def _generate(ctx: Context, client: EngineClient, release: Release, prompt: dict[str, Any]) -> Generation:
    profile = release.document["profile"]
    thinking = bool(prompt.get("thinking"))
    body = {
        "model": release.model,
        "messages": [{"role": "user", "content": prompt["ask"]}],
        "temperature": 0,
        "max_tokens": int(profile["smoke"]["max_tokens"]),
        "chat_template_kwargs": {"enable_thinking": thinking},
    }
    reply = client.chat(body, silence_seconds=SILENCE_SECONDS, total_seconds=TOTAL_SECONDS)
    reasoning, answer = reply.reasoning, reply.content
    if not profile["serve"].get("reasoning-parser"):
        reasoning, answer = split_thinking(reply.content)
    generation = Generation(
        prompt_name=prompt["name"],
        prompt=prompt["ask"],
        thinking=thinking,
        expect=prompt.get("expect"),
        reasoning=reasoning,
        answer=answer,
        tokens=reply.tokens,
        seconds=reply.seconds,
        finish_reason=reply.finish_reason,
        ended=reply.ended,
        error=reply.error,
    )
    _log(ctx, generation)
    return generation


def _log(ctx: Context, generation: Generation) -> None:
    failed = judge(generation)
    verdict = "right" if not failed else "; ".join(f"{entry.check}: {entry.detail}" for entry in failed)
    ctx.log.info(
        "%s: %r -> %r (thinking %r; %s tokens, %.1f s): %s",
        generation.prompt_name,
        shorten(generation.prompt),
        shorten(generation.answer),
        shorten(generation.reasoning),
        generation.tokens,
        generation.seconds,
        verdict,
    )
