"""``smoke``: let the running release generate text, and check the text.

Prompts with thinking are sampled as the model's maker recommends, the others decoded greedily, all with fixed
seeds. A single failure is repeated with another seed. The features of the API are tested afterwards.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.gather import Source, gather
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import endpoint
from thorctl.agent.engine.api_key import api_key
from thorctl.agent.engine.client import EngineClient
from thorctl.agent.release.serving import running_release, wait_until_ready
from thorctl.agent.smoke import ask, features, sampling
from thorctl.agent.smoke.judge import Generation, judge, may_be_asked_again
from thorctl.agent.smoke.report import Report, shorten
from thorctl.agent.staging import checkpoint
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.think_tags import split_thinking

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

# A damaged engine can fail on its sixth request only (vllm issue 55406: within five), or with two at once.
_LEAST_SEQUENTIAL = 8
_LEAST_CONCURRENT = 2
# The first request may compile kernels before its first token; a healthy engine is never silent for longer.
SILENCE_SECONDS = 180.0
TOTAL_SECONDS = 600.0  # for one generation
# For all of them: ten of 2,048 tokens take 500 s on a Thor; the controller waits for 1,800 s.
SMOKE_SECONDS = 1500.0
_SEED = 1
_ANOTHER_SEED = 1001
# For a second attempt without a recommended sampling: greedy decoding would repeat the failure.
_SAMPLED = {"temperature": 0.6, "top_p": 0.95}
_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class _Asking:
    """The common parameters of all requests of one smoke test."""

    ctx: Context
    client: EngineClient
    release: Release
    sampling: sampling.Sampling
    until: float

    def left(self) -> float:
        """Return the seconds left for the whole smoke test."""
        return self.until - self.ctx.clock.monotonic()

    def note(self, message: str) -> None:
        """Report the current step as progress."""
        self.ctx.progress.update("smoke", release=self.release.id, message=message)


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Test the running release; ``args.id``, if given, must be it.

    Raises:
        AgentError: ``smoke_failed``, ``engine_not_ready``, ``engine_died``; ``bad_state`` if no release
            runs, or another one.
    """
    release = running_release(ctx, args.id)
    client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))
    ctx.progress.update("smoke", release=release.id, message="waiting for the engine")
    wait_until_ready(ctx, client, release)
    found = sampling.recommended(release.document["profile"]["smoke"], release.options, _config(ctx, release))
    report = _smoke(_Asking(ctx, client, release, found, ctx.clock.monotonic() + SMOKE_SECONDS))
    # Identify the activation by its number: times are ambiguous if the clock jumps.
    activation = load_journal(ctx.paths).activation
    record = {**report.record(ctx.clock.now_text()), "activation": activation}
    ctx.files.write_json(ctx.paths.smoke_json, record)
    return Outcome(data=report.data(), error=report.error())


def _config(ctx: Context, release: Release) -> bytes | None:
    """Return the checkpoint's generation_config.json; None unless it is present and as locked."""
    locked = {file.path: file.sha256 for file in release.checkpoint_files}.get(sampling.FILE)
    try:
        with (checkpoint.final_dir(ctx, release) / sampling.FILE).open("rb") as file:
            content = file.read(_CONFIG_BYTES)
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == locked else None


def _smoke(asking: _Asking) -> Report:
    ctx, release = asking.ctx, asking.release
    one_by_one, at_once = _prompts(release)
    wanted, started = len(one_by_one) + len(at_once), ctx.clock.monotonic()
    sequential: list[Generation] = []
    concurrent: list[Generation] = []
    for number, prompt in enumerate(one_by_one):
        if asking.left() <= 0:
            break
        asking.note(f"generation {number + 1} of {wanted}")
        sequential.append(_generate(asking, prompt, _SEED + number))
        if sequential[-1].error is not None or not sequential[-1].ended:
            # After a broken stream, further requests would only time out.
            break
    else:
        asking.note(f"{len(at_once)} generations at once")
        # Daemon threads: a hung engine must not delay the handling of a signal.
        asked = [
            Source(f"generation {number}", partial(_generate, asking, prompt, _SEED + number))
            for number, prompt in enumerate(at_once, start=len(one_by_one))
        ]
        gather(*asked, seconds=min(TOTAL_SECONDS, max(1.0, asking.left())) + SILENCE_SECONDS, log=ctx.log)
        concurrent = [one.value for one in asked if one.value is not None]
    missed = _ask_missed_again(asking, sequential, concurrent) if len(sequential) == len(one_by_one) else None
    report = partial(
        Report, release.id, sequential, concurrent, wanted, sampling=asking.sampling, missed=missed
    )
    generations = report(seconds=0.0)
    if generations.failures:
        why = "the generations failed before"
        results = [features.Result(name, features.NOT_ASKED, why) for name in features.NAMES]
    else:
        results = _features(asking)
    return report(seconds=ctx.clock.monotonic() - started, features=results)


def _ask_missed_again(
    asking: _Asking, sequential: list[Generation], concurrent: list[Generation]
) -> Generation | None:
    """Repeat the generation that failed, if exactly one did, and replace it; return the first attempt."""
    wrong = [
        (place, number)
        for place in (sequential, concurrent)
        for number, one in enumerate(place)
        if judge(one)
    ]
    if len(wrong) != 1:
        return None
    ((place, number),) = wrong
    first = place[number]
    if not may_be_asked_again(first) or asking.left() <= 0:
        return None
    asking.note(f"{first.prompt_name} once more")
    prompt = {
        "name": first.prompt_name,
        "ask": first.prompt,
        "expect": first.expect,
        "thinking": first.thinking,
    }
    place[number] = _generate(asking, prompt, _ANOTHER_SEED, _second_sampling(asking))
    return first


def _second_sampling(asking: _Asking) -> dict[str, float]:
    values = asking.sampling.values
    return values if values.get("temperature") else _SAMPLED


def _features(asking: _Asking) -> list[features.Result]:
    engine = ask.Engine(
        client=asking.client,
        clock=asking.ctx.clock,
        model=asking.release.model,
        smoke=asking.release.document["profile"]["smoke"],
        options=asking.release.options,
        sampling=_second_sampling(asking),
        silence_seconds=SILENCE_SECONDS,
        left=asking.left,
        note=asking.note,
    )
    found = engine.ask_all()
    for one in found:
        asking.ctx.log.info("%s: %s: %s", one.name, one.result, one.reason)
    return found


def _prompts(release: Release) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the prompts to send one by one, and those to send concurrently; the profile's repeat."""
    smoke = release.document["profile"]["smoke"]
    prompts = smoke["prompts"]
    if not prompts:
        raise AgentError(
            "release_invalid",
            "The profile has no smoke prompts.",
            "Add smoke.prompts to the profile, then lock and roll it out again.",
        )
    one_by_one = max(_LEAST_SEQUENTIAL, int(smoke["sequential"]))
    at_once = max(_LEAST_CONCURRENT, int(smoke["concurrent"]))
    cycled = [prompts[number % len(prompts)] for number in range(one_by_one + at_once)]
    return cycled[:one_by_one], cycled[one_by_one:]


def _generate(
    asking: _Asking, prompt: dict[str, Any], seed: int, values: dict[str, float] | None = None
) -> Generation:
    """Generate with the sampling ``values``; default: the maker's for thinking prompts, else greedy."""
    release, profile = asking.release, asking.release.document["profile"]
    thinking = bool(prompt.get("thinking"))
    chosen = values or (asking.sampling.values if thinking else sampling.GREEDY)
    body = {
        "model": release.model,
        "messages": [{"role": "user", "content": prompt["ask"]}],
        **chosen,
        "seed": seed,
        "max_tokens": int(profile["smoke"]["max_tokens"]),
        "chat_template_kwargs": {"enable_thinking": thinking},
    }
    seconds = max(1.0, min(TOTAL_SECONDS, asking.left()))
    reply = asking.client.chat(body, silence_seconds=min(SILENCE_SECONDS, seconds), total_seconds=seconds)
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
    _log(asking.ctx, generation)
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
