"""Compare Docker's effective settings (`docker info`) with those of site.yml."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError
from thorctl.protocol.paths import DOCKER_SETTINGS
from thorctl.protocol.status import HOST, Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

DAEMON_JSON = "/etc/docker/daemon.json"


def _registries(info: Mapping[str, Any]) -> list[str]:
    registry = info.get("RegistryConfig") or {}
    indexes: Mapping[str, Any] = registry.get("IndexConfigs") or {}
    named = [name for name, index in indexes.items() if not index.get("Secure")]
    return sorted({*named, *(registry.get("InsecureRegistryCIDRs") or [])})


def _mirrors(info: Mapping[str, Any]) -> list[str]:
    return sorted(str(one).rstrip("/") for one in (info.get("RegistryConfig") or {}).get("Mirrors") or [])


_USED: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "data-root": lambda info: info.get("DockerRootDir"),
    "default-runtime": lambda info: info.get("DefaultRuntime"),
    "insecure-registries": _registries,
    "live-restore": lambda info: info.get("LiveRestoreEnabled"),
    "log-driver": lambda info: info.get("LoggingDriver"),
    "registry-mirrors": _mirrors,
    "runtimes": lambda info: sorted(info.get("Runtimes") or {}),
    "storage-driver": lambda info: info.get("Driver"),
}


def compared(ctx: Context, release: Release | None) -> list[Comparison]:
    """Compare Docker's settings item by item; [] if site.yml has recorded none."""
    try:
        wanted = read_json(ctx.paths.at(DOCKER_SETTINGS))
        wanted = read_json(ctx.paths.at(DAEMON_JSON)) if wanted is None else wanted
    except (ValueError, OSError):
        return [Comparison("docker settings", HOST, None)]
    if not (wanted is None or isinstance(wanted, dict)):
        return [Comparison("docker settings", HOST, None)]
    runtime = release.document["device_class"]["container"].get("runtime") if release else None
    try:
        info: Mapping[str, Any] | None = ctx.docker.info()
    except AgentError:
        info = None
    return items(wanted or {}, runtime, info)


def items(wanted: Mapping[str, Any], runtime: str | None, info: Mapping[str, Any] | None) -> list[Comparison]:
    """Compare each setting that Docker reports; ``info`` None: Docker does not answer."""
    settings = dict(wanted)
    if runtime:
        settings["runtimes"] = {**(settings.get("runtimes") or {}), runtime: {}}
    found = []
    for name, used in _USED.items():
        if name not in settings:
            continue
        asked = _plain(name, settings[name])
        if info is None:
            found.append(Comparison(f"docker {name}", HOST, asked))
            continue
        uses = used(info)
        if isinstance(asked, list):  # Docker adds its own: 127.0.0.0/8, runc, its shims
            uses = [one for one in uses if one in asked]
        found.append(Comparison(f"docker {name}", HOST, asked, uses, None if uses is None else uses == asked))
    return found


def _plain(name: str, value: Any) -> Any:
    if name == "data-root":
        return os.path.realpath(value)
    if name == "registry-mirrors":
        return sorted(str(one).rstrip("/") for one in value)
    return sorted(value) if isinstance(value, (list, dict)) else value
