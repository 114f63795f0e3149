"""Merge settings into /etc/docker/daemon.json without removing existing ones."""

from __future__ import annotations

from typing import Any

# dockerd reloads these from the file on SIGHUP (docs.docker.com, "dockerd", configuration reloading).
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
) -> dict[str, Any]:
    """Return the new content of daemon.json.

    Args:
        existing: the present content; keys not named below are kept.
        log: log settings, applied only if the file has none, which keeps a chosen log driver.
        insecure_registries: added to the existing ones.
        extra: override existing settings.
    """
    wanted = dict(existing)
    if not {"log-driver", "log-opts"} & existing.keys():
        wanted |= log
    registries = list(existing.get("insecure-registries") or [])
    new = [registry for registry in insecure_registries if registry not in registries]
    if new:
        wanted["insecure-registries"] = registries + new
    return wanted | extra


def needs_restart(wanted: dict[str, Any], existing: dict[str, Any]) -> bool:
    """Return whether dockerd must be restarted; False if a reload suffices."""
    different = {key for key in existing.keys() | wanted.keys() if existing.get(key) != wanted.get(key)}
    return not different <= RELOADABLE
