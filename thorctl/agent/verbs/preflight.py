"""``preflight``: check whether this device can run a release. Reads only."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, WARN, Item
from thorctl.agent.checks.judge import CHECKS, judge
from thorctl.agent.checks.situation import Situation
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.facts import ports
from thorctl.agent.release import store as release_store
from thorctl.agent.staging import checkpoint, image
from thorctl.agent.verbs import facts
from thorctl.protocol.preflight import CheckItem, PreflightReport

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Check this device against ``args.release``.

    Raises:
        AgentError: ``preflight_failed`` with all items in its data; ``bad_call`` for an unknown check.
    """
    skip = {name.strip() for name in args.skip.split(",") if name.strip()}
    unknown = sorted(skip - set(CHECKS))
    if unknown:
        remedy = f"Use one of: {', '.join(CHECKS)}."
        raise AgentError("bad_call", f"--skip names unknown checks: {', '.join(unknown)}.", remedy)
    release = release_store.read_argument(args.release)
    situation = collect(ctx, release)
    items = judge(situation, skip)
    found = facts.with_settings(ctx, situation.facts) if args.settings else situation.facts
    data = replace(report(release.id, items), image_present=situation.image_present, facts=found)
    return Outcome(data=data, error=failure(items, data))


def collect(ctx: Context, release: Release) -> Situation:
    """Read the input of all checks."""
    found = facts.collect(ctx)
    processes = (one.pid for one in found.gpu_processes or ())
    return Situation(
        facts=found,
        release=release.document,
        listener=ports.listener(ctx, release.port),
        image_present=_image_present(ctx, release),
        checkpoint_present_bytes=_checkpoint_present(ctx, release),
        engine_running=_engine_running(ctx),
        engine_pids=frozenset(pid for pid in processes if ports.in_engine(ctx, pid)),
        now=ctx.clock.now(),
        python=sys.version_info[:3],
    )


def report(release: str, items: list[Item]) -> PreflightReport:
    """Return the checks in the form of the verb's data."""
    counts = Counter(item.status for item in items)
    return PreflightReport(
        release,
        tuple(
            CheckItem(item.name, item.status, item.found, item.wanted, item.message, item.remedy, item.switch)
            for item in items
        ),
        {status: counts[status] for status in (PASS, WARN, FAIL)},
    )


def failure(items: list[Item], data: PreflightReport) -> AgentError | None:
    """Return ``preflight_failed`` with ``data``, or None; it details the first failure, names the others."""
    failed = [item for item in items if item.status == FAIL]
    if not failed:
        return None
    first, names = failed[0], ", ".join(item.name for item in failed)
    message = f"Preflight failed ({names}). {first.message} Found {first.found}, required {first.wanted}."
    remedy = f"{first.remedy} Use `{first.switch}` to lower this check to a warning."
    return AgentError(
        "preflight_failed",
        message,
        remedy,
        details={"failed": [item.name for item in failed]},
        data=data,
    )


def _engine_running(ctx: Context) -> bool:
    try:
        container = ctx.docker.container(ENGINE_CONTAINER)
    except AgentError:
        return False
    return bool(container and (container.get("State") or {}).get("Running"))


def _image_present(ctx: Context, release: Release) -> bool:
    try:
        return image.present(ctx, release)
    except AgentError:
        return False


def _checkpoint_present(ctx: Context, release: Release) -> int:
    total = int(release.document["lock"]["checkpoint"]["total_bytes"])
    return total - checkpoint.missing_bytes(ctx, release)
