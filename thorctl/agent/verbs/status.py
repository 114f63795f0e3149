"""``status``: where this device stands. Reads only, takes no lock, never waits long; unknown is null."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import thorctl
from thorctl.agent.core import machine
from thorctl.agent.core.clock import as_text
from thorctl.agent.core.files import read_json
from thorctl.agent.core.gather import gather
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.drift import actual, desired, docker_settings, host_settings, units
from thorctl.agent.drift import compare as drift
from thorctl.agent.drift.compare import Item
from thorctl.agent.engine import cache, endpoint
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.engine.api_key import api_key
from thorctl.agent.engine.client import EngineClient
from thorctl.agent.facts import host as device_host
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import LAYOUTS, SOCKET_LAYOUT
from thorctl.agent.soak import record as soak
from thorctl.agent.staging import image
from thorctl.agent.state import journal_file, rollback_check
from thorctl.agent.verbs import commit, facts, hold, lease, review
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.agent.state.journal import Journal

ENGINE_SECONDS = 2.0
LONGEST_SECONDS = 6.0
_HASHES = ("release_sha256", "previous_sha256", "target_sha256")
_JOURNAL = ("state", "release", "previous", "target", "deadline", "since", "activated_by")
_NO_FACTS = (
    "l4t",
    "power_mode",
    "memory_available_bytes",
    "memory_total_bytes",
    "disk_free_bytes",
    "temperature_celsius",
)


def run(ctx: Context, args: argparse.Namespace) -> Outcome:  # noqa: ARG001 - the verb takes no arguments
    """Everything known; a corrupt journal is an error, with the rest still in the data."""
    journal: Journal | None = None
    fault: AgentError | None = None
    try:
        journal = journal_file.load(ctx.paths)
    except AgentError as corrupt:
        fault = corrupt
    release, broken = _release(ctx, journal)
    wish = desired.of_host(_device_json(ctx))
    found = gather(
        {
            "facts": partial(facts.light, ctx),
            "unit": partial(engine_unit.state, ctx),
            "container": partial(_container, ctx),
            "last_end": partial(engine_unit.last_end, ctx),
            "models": partial(_models, ctx, release),
            "compared": partial(actual.compared, ctx, journal, release, broken),
            "rollback": partial(_rollback, ctx, journal),
            "units": partial(units.compared, ctx, engine=bool(journal and journal.running)),
            "docker": partial(docker_settings.compared, ctx, release),
            "packages": partial(device_host.package_holds, ctx) if wish and wish.packages else lambda: None,
            "settings": partial(host_settings.compared, ctx, wish.settings) if wish else list,
        },
        seconds=LONGEST_SECONDS,
        log=ctx.log,
    )
    light = found["facts"] or dict.fromkeys(_NO_FACTS)
    # A part that did not come back in time is unknown, not well.
    compared = found["compared"] or [Item("release", drift.RELEASE, journal.running if journal else None)]
    compared += actual.way_back_items(found["rollback"])
    compared += drift.host_items(wish, light["power_mode"], found["packages"])
    for part in ("units", "docker", "settings"):
        compared += [Item(part, drift.HOST, None)] if found[part] is None else found[part]
    data = {
        **_device(ctx),
        **_journal(journal),
        "deadline": _deadline(ctx, journal),
        "rollback": found["rollback"],
        "review_seconds_left": review.seconds_left(ctx, journal) if journal else None,
        "release_layout": release.layout if release else None,
        "engine": _engine(ctx, found, release),
        **light,
        "last_smoke": commit.last_smoke(ctx),
        "soak": soak.shown(ctx, journal),
        "lease": lease.current(ctx),
        "hold": hold.current(ctx),
        "progress": _progress(ctx),
        "agent_version": thorctl.__version__,
        "agent_layouts": list(LAYOUTS),
        "compared": [item.document() for item in compared],
        "drift": [item.document() for item in drift.drifted(compared)],
    }
    if release and data["release_sha256"] is None:  # committed by an agent that recorded none
        data["release_sha256"] = release.sha256
    if fault:
        fault.data = data
    return Outcome(data, error=fault)


def _release(ctx: Context, journal: Journal | None) -> tuple[Release | None, str | None]:
    """The release that should run; else the code of what is wrong with its document."""
    if journal is None or journal.running is None:
        return None, None
    try:
        return release_store.read_document(ctx.paths, journal.running, journal.running_sha256), None
    except AgentError as broken:
        ctx.log.warning("%s", broken)
        return None, broken.code


def _rollback(ctx: Context, journal: Journal | None) -> dict[str, Any] | None:
    """The release that a rollback returns to, and what of it is not on the device; None: there is none."""
    if journal is None:
        return None
    back = (
        (journal.current, journal.current_sha256)
        if journal.target
        else (journal.previous, journal.previous_sha256)
    )
    if back[0] is None:
        return None
    try:
        return {"release": back[0], "lacking": rollback_check.lacking(ctx, back[0], back[1])}
    except (AgentError, OSError):
        return {"release": back[0], "lacking": None}


def _device_json(ctx: Context) -> Any:
    try:
        return read_json(ctx.paths.device_json)
    except (ValueError, OSError):
        return None


def _device(ctx: Context) -> dict[str, Any]:
    device = _device_json(ctx)
    known = device if isinstance(device, dict) else {}
    named = {key: known.get(key) for key in ("name", "site", "device_class")}
    return {**named, "machine": machine.machine(ctx), "serial": machine.serial(ctx)}


def _journal(journal: Journal | None) -> dict[str, Any]:
    if journal is None:
        return dict.fromkeys((*_HASHES, *_JOURNAL))
    return {
        "state": journal.state,
        "release": journal.running,
        # On trial, what a rollback returns to; else the release before the committed one.
        "previous": journal.current if journal.target else journal.previous,
        "target": journal.target,
        "deadline": journal.deadline,
        "since": journal.since,
        "activated_by": journal.activated_by,
        "release_sha256": journal.running_sha256,
        "previous_sha256": journal.current_sha256 if journal.target else journal.previous_sha256,
        "target_sha256": journal.target_sha256,
    }


def _deadline(ctx: Context, journal: Journal | None) -> str | None:
    """When the trial ends, by the wall clock as it is now: its timer counts by another one."""
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
    """How long a start may take whose caches are not filled; None if they are."""
    return None if cache.ready_mark(ctx, release).exists() else release.ready_seconds(first_start=True)


def _engine(ctx: Context, found: dict[str, Any], release: Release | None) -> dict[str, Any]:
    unit, models = found["unit"], found["models"]
    ready = bool(release and models and release.model in models)
    on_socket = bool(release and release.layout == SOCKET_LAYOUT)
    return {
        "socket": ENGINE_SOCKET if on_socket else None,
        "unit": unit.active if unit else None,
        "ready": ready,
        "model": release.model if ready and release else None,
        "container": found["container"],
        "restarts": unit.restarts if unit else None,
        "last_end": found["last_end"],
        "cold_start_seconds": None if ready or not release else _cold(ctx, release),
    }


def _models(ctx: Context, release: Release | None) -> list[str] | None:
    if release is None:
        return None
    client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))

    def ask() -> list[str] | None:
        return client.models() if client.healthy() else None

    models: list[str] | None = gather({"engine": ask}, seconds=ENGINE_SECONDS, log=ctx.log)["engine"]
    return models


def _container(ctx: Context) -> dict[str, Any] | None:
    container = ctx.docker.container(ENGINE_CONTAINER)
    if container is None:
        return None
    return {"image_digest": image.running_digest(ctx, container)}


def _progress(ctx: Context) -> dict[str, Any] | None:
    try:
        progress: dict[str, Any] | None = read_json(ctx.paths.progress_json)
        if progress is not None:
            os.kill(int(progress["pid"]), 0)
    except PermissionError:
        return progress  # alive, and another user's
    except (ValueError, OSError, KeyError, TypeError):
        return None  # unreadable, or left by a killed process
    return progress
