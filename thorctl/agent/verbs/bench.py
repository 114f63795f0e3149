"""``bench``: measure the running release with the model card's method.

Changes nothing, but occupies the engine for minutes: it takes the device's lock, respects another operator's
lease and the device's hold, and fails if the engine serves other requests before or during the measurement.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.bench import bytes as bench_bytes
from thorctl.agent.bench import call as bench_call
from thorctl.agent.bench import client as bench_client
from thorctl.agent.bench import condition as bench_condition
from thorctl.agent.bench import headers as bench_headers
from thorctl.agent.bench import metrics as bench_metrics
from thorctl.agent.bench.result import UnusableError
from thorctl.agent.core import disconnect
from thorctl.agent.core.machine import machine
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.engine import endpoint, loopback
from thorctl.agent.engine.api_key import api_key
from thorctl.agent.engine.client import EngineClient
from thorctl.agent.release import serve_yaml
from thorctl.agent.release.serving import running_release, wait_until_ready
from thorctl.agent.staging import image
from thorctl.agent.verbs import hold
from thorctl.protocol import foreign_json
from thorctl.protocol.bench import BenchPlan, EngineUsed, Measured, Measurement, Method
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.bench import call
    from thorctl.agent.bench.call import Sizes
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.protocol.bench import Figures


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Measure; with ``--dry-run`` list the measurements only.

    Raises:
        AgentError: ``bad_state``, ``bad_call``, ``held``, ``engine_not_ready``, ``engine_died``,
            ``bench_failed``; ``busy`` while others use the engine.
    """
    release = running_release(ctx, args.id)
    serve = release.document["profile"]["serve"]
    wanted = _wanted(args)
    sizes = bench_call.checked(wanted, serve)
    plan = bench_call.measurements(sizes)
    planned = BenchPlan(
        release=release.id,
        machine=machine(ctx),
        device_class=release.document["device_class"].get("name"),
        power_modes=_words(release.document["device_class"].get("power_modes")),
        method=Method(
            **vars(sizes),
            at_once_wanted=wanted.at_once,
            quick=bool(args.quick),
            commands=tuple(tuple(_shown(release, step)) for step in plan),
        ),
    )
    if args.dry_run:
        return Outcome(planned)
    hold.check(ctx)
    client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))
    ctx.progress.update("bench", release=release.id, message="waiting for the engine")
    wait_until_ready(ctx, client, release)
    began = ctx.clock.monotonic()
    try:
        with (
            disconnect.terminate_on_disconnect()
        ):  # otherwise it would continue after the client disconnects, and delay the next one
            found = _measured(ctx, client, release, plan, planned, timeout=args.timeout)
    except UnusableError as fault:
        raise _failed(client, release, str(fault), planned) from fault
    single = found.measured.single
    found = _with_memory(ctx, release, sizes, single.input_tokens / single.requests, found)
    return Outcome(replace(found, seconds=round(ctx.clock.monotonic() - began, 1)))


def _words(found: list[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)


def _wanted(args: argparse.Namespace) -> Sizes:
    """Return the sizes of --quick or of the card, with those of the command line in their place."""
    given = {"tokens": args.tokens, "requests": args.requests, "rounds": args.rounds, "at_once": args.at_once}
    basis = bench_call.QUICK if args.quick else bench_call.CARD
    return replace(basis, **{name: value for name, value in given.items() if value is not None})


def _shown(release: Release, step: call.Measurement) -> list[str]:
    return bench_call.words(step, port=release.port, model=release.model, result=f"{step.name}.json")


def _measured(
    ctx: Context,
    client: EngineClient,
    release: Release,
    plan: tuple[call.Measurement, ...],
    planned: BenchPlan,
    *,
    timeout: float,
) -> Measurement:
    before, counters = bench_condition.read(ctx), client.text("/metrics")
    _check_alone(counters)
    key = api_key(ctx)
    measured: dict[str, Figures] = {}
    with loopback.port(ctx, release) as port:
        for number, step in enumerate(plan, start=1):
            what = f"{number} of {len(plan)}: {step.name}, {len(step.prompts)} × {step.tokens} tokens, "
            what += f"{step.at_once} at once"
            ctx.progress.update("bench", release=release.id, message=what)
            ctx.log.info("%s", what)
            try:
                measured[step.name] = bench_client.measure(
                    ctx, step, port=port, model=release.model, key=key, timeout=timeout
                )
            except UnusableError as fault:
                raise UnusableError(f"{step.name}: {fault}") from fault
    alone = _made_ours(counters, client.text("/metrics"), sum(step.generated for step in plan))
    after = bench_condition.read(ctx)
    if before.power_mode != after.power_mode:
        raise UnusableError(
            f"the power mode changed from {before.power_mode} to {after.power_mode} meanwhile"
        )
    return Measurement(
        **vars(planned),
        measured=Measured(**measured),
        engine=EngineUsed(
            vllm_version=_version(client), image_digest=_digest(ctx), model=release.model, alone=alone
        ),
        before=before,
        after=after,
        over_current_delta=bench_condition.delta(before.over_current_events, after.over_current_events),
    )


def _check_alone(counters: str | None) -> None:
    """Raise ``busy`` if the engine serves other requests. Without counters, see ``_made_ours``."""
    at_work = (bench_metrics.total(counters, bench_metrics.RUNNING) or 0) + (
        bench_metrics.total(counters, bench_metrics.WAITING) or 0
    )
    if at_work:
        raise AgentError(
            "busy",
            f"The engine is answering {counted(at_work, 'other request')}.",
            "Measure when nobody uses it: other requests would be in the figures.",
            details={"requests": at_work},
        )


def _made_ours(before: str | None, after: str | None, ours: int) -> bool | None:
    """Return True if the engine generated exactly our tokens; None without counters.

    Raises:
        UnusableError: it generated more (other requests) or fewer (a failed warm-up).
    """
    first = bench_metrics.total(before, bench_metrics.GENERATED)
    last = bench_metrics.total(after, bench_metrics.GENERATED)
    if first is None or last is None:
        return None
    if last - first != ours:
        who = "somebody else used it" if last - first > ours else "requests of the warm-up failed"
        raise UnusableError(
            f"the engine made {last - first} tokens meanwhile, {ours} of them asked for here: {who}"
        )
    return True


def _with_memory(
    ctx: Context, release: Release, sizes: Sizes, prompt_tokens: float, found: Measurement
) -> Measurement:
    """Add the checkpoint's size on disk, the bytes a token takes, and the share of the bandwidth reached."""
    folder = ctx.paths.checkpoints / release.checkpoint_name
    files = [folder / file.path for file in release.checkpoint_files]
    found = replace(found, checkpoint_bytes=sum(file.stat().st_size for file in files))
    try:
        parts = bench_bytes.bytes_per_token(
            bench_headers.tensor_bytes(file for file in files if file.suffix == ".safetensors"),
            json.loads((folder / "config.json").read_bytes()),
            serve=serve_yaml.options(release),
            context_tokens=prompt_tokens + sizes.tokens / 2,
        )
    except (bench_bytes.UnaccountableError, ValueError, OSError, KeyError, AttributeError) as fault:
        return replace(found, unknown=str(fault))
    bandwidth = release.document["device_class"].get("memory_bandwidth_bytes_per_second")
    reached = bench_bytes.share(found.measured.single.decode_tokens_per_second, parts["total"], bandwidth)
    return replace(found, bytes_per_token=parts, roofline=reached)


def _version(client: EngineClient) -> str | None:
    try:
        return str(foreign_json.read(client.text("/version") or "")["version"])
    except (ValueError, KeyError, TypeError):
        return None


def _digest(ctx: Context) -> str | None:
    try:
        container = ctx.docker.container(ENGINE_CONTAINER)
    except AgentError:
        return None
    return image.running_digest(ctx, container) if container else None


def _failed(client: EngineClient, release: Release, why: str, planned: BenchPlan) -> AgentError:
    healthy = client.healthy()
    remedy = (
        "Repeat the command; if it fails again, check the engine with `thorctl smoke DEVICE`."
        if healthy
        else "Read `thorctl logs DEVICE` and `thorctl status DEVICE`: the engine no longer answers."
    )
    return AgentError(
        "bench_failed",
        f"The benchmark of {release.id} has no valid result: {why}.",
        remedy,
        details={"engine_healthy": healthy},
        data=planned,
    )
