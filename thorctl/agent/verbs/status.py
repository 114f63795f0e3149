"""``status``: the device's state. Reads only, takes no lock, has a time limit; an unknown value is null."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import thorctl
from thorctl.agent.core import machine
from thorctl.agent.core.clock import as_text
from thorctl.agent.core.files import read_json
from thorctl.agent.core.gather import Source, gather
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.drift import actual, desired, docker_settings, host_settings, units
from thorctl.agent.drift import compare as drift
from thorctl.agent.engine import cache, endpoint
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.engine.api_key import api_key
from thorctl.agent.engine.client import EngineClient
from thorctl.agent.facts import host as device_host
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import LAYOUTS, SOCKET_LAYOUT
from thorctl.agent.smoke import last as last_smoke
from thorctl.agent.soak import record as soak
from thorctl.agent.staging import image
from thorctl.agent.state import deadline, rollback
from thorctl.agent.state.journal import load_journal
from thorctl.agent.verbs import facts, hold, lease
from thorctl.protocol.decode import decode
from thorctl.protocol.paths import ENGINE_SOCKET
from thorctl.protocol.progress import Progress
from thorctl.protocol.status import HOST, RELEASE, Comparison, Container, Engine, RollbackTarget, Status
from thorctl.protocol.verbs import VERBS

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.engine.unit import UnitState
    from thorctl.agent.release.document import Release
    from thorctl.agent.state.journal import Journal
    from thorctl.protocol.status import UnitEnd

ENGINE_SECONDS = 2.0
LONGEST_SECONDS = 6.0


def run(ctx: Context, args: argparse.Namespace) -> Outcome:  # noqa: ARG001 - the verb takes no arguments
    """Return all that is known; a corrupt journal is an error, with the rest still in the data."""
    journal: Journal | None = None
    fault: AgentError | None = None
    try:
        journal = load_journal(ctx.paths)
    except AgentError as corrupt:
        fault = corrupt
    release, broken = _release(ctx, journal)
    device = _device_json(ctx)
    wish = desired.of_host(device)
    packages = partial(device_host.package_holds, ctx) if wish and wish.packages else lambda: None
    asked = wish.settings if wish else {}
    facts_source = Source("facts", partial(facts.status_facts, ctx))
    unit = Source("unit", partial(engine_unit.state, ctx))
    container = Source("container", partial(_container, ctx))
    last_end = Source("last end", partial(engine_unit.last_end, ctx))
    models = Source("models", partial(_models, ctx, release))
    parts = Source("release", partial(actual.compared, ctx, journal, release, broken))
    rollback = Source("rollback", partial(_rollback, ctx, journal))
    held = Source("packages", packages)
    host = (
        Source("units", partial(units.compared, ctx, engine=bool(journal and journal.running))),
        Source("docker", partial(docker_settings.compared, ctx, release)),
        Source("settings", partial(host_settings.compared, ctx, asked)),
    )
    sources = (facts_source, unit, container, last_end, models, parts, rollback, held, *host)
    gather(*sources, seconds=LONGEST_SECONDS, log=ctx.log)
    shown = facts_source.value or facts.StatusFacts()
    # A part without an answer in time is unknown, not healthy.
    compared = parts.value or [Comparison("release", RELEASE, journal.running if journal else None)]
    compared += actual.rollback_items(rollback.value)
    compared += drift.host_items(wish, shown.power_mode, held.value)
    for one in host:
        compared += [Comparison(one.name, HOST)] if one.value is None else one.value
    running_sha256 = journal.running_sha256 if journal else None
    status = Status(
        name=_text(device, "name"),
        site=_text(device, "site"),
        device_class=_text(device, "device_class"),
        machine=machine.machine(ctx),
        serial=machine.serial(ctx),
        state=journal.state if journal else None,
        release=journal.running if journal else None,
        previous=_before(journal)[0],
        target=journal.target if journal else None,
        deadline=_deadline(ctx, journal),
        since=journal.since if journal else None,
        activated_by=journal.activated_by if journal else None,
        # Earlier agents recorded none.
        release_sha256=release.sha256 if release and running_sha256 is None else running_sha256,
        previous_sha256=_before(journal)[1],
        target_sha256=journal.target_sha256 if journal else None,
        rollback=rollback.value,
        review_seconds_left=deadline.review_seconds_left(ctx, journal) if journal else None,
        release_layout=release.layout if release else None,
        engine=_engine(
            ctx,
            release,
            unit=unit.value,
            models=models.value,
            container=container.value,
            last_end=last_end.value,
        ),
        l4t=shown.l4t,
        power_mode=shown.power_mode,
        memory_available_bytes=shown.memory_available_bytes,
        memory_total_bytes=shown.memory_total_bytes,
        disk_free_bytes=shown.disk_free_bytes,
        temperature_celsius=shown.temperature_celsius,
        last_smoke=last_smoke.read(ctx),
        soak=soak.shown(ctx, journal),
        lease=lease.current(ctx),
        hold=hold.current(ctx),
        progress=_progress(ctx),
        agent_version=thorctl.__version__,
        agent_verbs=tuple(VERBS),
        agent_layouts=tuple(LAYOUTS),
        compared=tuple(compared),
        drift=tuple(drift.drifted(compared)),
    )
    if fault:
        fault.data = status
    return Outcome(status, error=fault)


def _release(ctx: Context, journal: Journal | None) -> tuple[Release | None, str | None]:
    """Return the release that should run; else the error code of its document."""
    if journal is None or journal.running is None:
        return None, None
    try:
        return release_store.read_document(ctx.paths, journal.running, journal.running_sha256), None
    except AgentError as broken:
        ctx.log.warning("%s", broken)
        return None, broken.code


def _before(journal: Journal | None) -> tuple[str | None, str | None]:
    """Return the release that a rollback would restore, or the previous one, and its hash."""
    if journal is None:
        return None, None
    if journal.target:
        return journal.current, journal.current_sha256
    return journal.previous, journal.previous_sha256


def _rollback(ctx: Context, journal: Journal | None) -> RollbackTarget | None:
    """Return the release that a rollback restores, and its missing parts; None if there is none."""
    release, sha256 = _before(journal)
    if release is None:
        return None
    try:
        return RollbackTarget(release, tuple(rollback.missing_parts(ctx, release, sha256)))
    except (AgentError, OSError):
        return RollbackTarget(release)


def _device_json(ctx: Context) -> object:
    try:
        return read_json(ctx.paths.device_json)
    except (ValueError, OSError):
        return None


def _text(device: object, key: str) -> str | None:
    found = device.get(key) if isinstance(device, dict) else None
    return found if isinstance(found, str) else None


def _deadline(ctx: Context, journal: Journal | None) -> str | None:
    """Return the trial's deadline by the present wall clock: its timer uses the clock since boot."""
    if journal is None or journal.deadline is None or journal.deadline_since_boot is None:
        return journal.deadline if journal else None
    try:
        if journal.boot != (ctx.paths.run_dir / "boot").read_text().strip():
            return journal.deadline
        left = journal.deadline_since_boot - ctx.clock.since_boot()
        return as_text(round(ctx.clock.now() + left))
    except (OSError, OverflowError, ValueError):
        return journal.deadline


def _cold(ctx: Context, release: Release) -> float | None:
    """Return the longest time of a start with empty caches; None if they are filled."""
    return None if cache.ready_mark(ctx, release).exists() else release.ready_seconds(first_start=True)


def _engine(
    ctx: Context,
    release: Release | None,
    *,
    unit: UnitState | None,
    models: list[str] | None,
    container: Container | None,
    last_end: UnitEnd | None,
) -> Engine:
    ready = bool(release and models and release.model in models)
    on_socket = bool(release and release.layout == SOCKET_LAYOUT)
    return Engine(
        socket=ENGINE_SOCKET if on_socket else None,
        unit=unit.active if unit else None,
        ready=ready,
        model=release.model if ready and release else None,
        container=container,
        restarts=unit.restarts if unit else None,
        last_end=last_end,
        cold_start_seconds=None if ready or not release else _cold(ctx, release),
    )


def _models(ctx: Context, release: Release | None) -> list[str] | None:
    if release is None:
        return None
    client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))

    def ask() -> list[str] | None:
        return client.models() if client.healthy() else None

    models = Source("engine", ask)
    gather(models, seconds=ENGINE_SECONDS, log=ctx.log)
    return models.value


def _container(ctx: Context) -> Container | None:
    container = ctx.docker.container(ENGINE_CONTAINER)
    return None if container is None else Container(image.running_digest(ctx, container))


def _progress(ctx: Context) -> Progress | None:
    """Return the progress of the verb that runs; None if unreadable, or left by a killed process."""
    try:
        progress = decode(Progress, read_json(ctx.paths.progress_json))
        if progress.pid is None:
            return None
        os.kill(progress.pid, 0)
    except PermissionError:
        return progress  # the process belongs to another user
    except (ValueError, OSError, OverflowError):
        return None
    return progress
