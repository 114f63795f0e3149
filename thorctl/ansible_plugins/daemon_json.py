"""/etc/docker/daemon.json: merged with what is there, never overwritten."""

from __future__ import annotations

from typing import Any

# dockerd takes these from the file on SIGHUP (docs.docker.com, "dockerd", configuration reloading).
RELOADABLE = frozenset(
    {
        "debug",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "default-runtime",
        "runtimes",
        "insecure-registries",
        "registry-mirrors",
        "features",
        "shutdown-timeout",
    }
)


def merged(
    existing: dict[str, Any],
    log: dict[str, Any],
    insecure_registries: list[str],
    extra: dict[str, Any],
    data_root: str | None = None,
) -> dict[str, Any]:
    """What daemon.json should be.

    Args:
        existing: what it says now; every key of it that nothing below names stays.
        log: log settings, taken only where the file has none: somebody who chose a log driver keeps it.
        insecure_registries: added to those that are there.
        extra: these win over what is there.
        data_root: where Docker keeps its data; None leaves that alone. Images go there too: a new Docker (29)
            would leave them with containerd, in another place.
    """
    wanted = dict(existing)
    if not {"log-driver", "log-opts"} & existing.keys():
        wanted |= log
    registries = list(existing.get("insecure-registries") or [])
    new = [registry for registry in insecure_registries if registry not in registries]
    if new:
        wanted["insecure-registries"] = registries + new
    if data_root:
        wanted["data-root"] = data_root
        wanted["features"] = (existing.get("features") or {}) | {"containerd-snapshotter": False}
    return wanted | extra


def needs_restart(wanted: dict[str, Any], existing: dict[str, Any]) -> bool:
    """Whether dockerd must be restarted; false where a reload takes the change."""
    different = {key for key in existing.keys() | wanted.keys() if existing.get(key) != wanted.get(key)}
    return not different <= RELOADABLE
