"""Render the nginx files of an edge or a door from its settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.edge.routes import METRICS, REFUSALS, ROUTES
from thorctl.files import templates
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.edge.settings import DoorSettings, Settings

GENERATION = "@GENERATION@"
_HEX = 12
EDGE, DOOR = "edge", "door"


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of an edge or a door.

    Attributes:
        run: directory of run-time files; its user's alone.
        access_log: nginx's target for it.
        engine: the engine's socket.
    """

    run: str
    access_log: str
    engine: str = ENGINE_SOCKET

    @classmethod
    def on_device(cls, name: str) -> Places:
        """Return the paths on a device."""
        return cls(f"/run/thor-{name}", f"syslog:server=unix:/dev/log,nohostname,tag=thor_{name}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files by name, for root and one account, and their generation (12 hex of their SHA-256)."""

    generation: str
    files: dict[str, str]


def render(settings: Settings, deploy: Path, places: Places | None = None) -> Rendered:
    """Render an edge. Deterministic: the same settings and templates give the same bytes on any machine.

    ``deploy``: the project's folder; templates in its folder ``edge`` replace the shipped ones.
    """
    files = _templates(
        EDGE, settings, deploy, places, keyed=True, metrics_addresses=settings.metrics_addresses
    )
    files |= {
        "tls.crt": settings.certificate.strip() + "\n",
        "tls.key": settings.private_key.get_secret_value().strip() + "\n",
    }
    return _generation(files)


def render_door(settings: DoorSettings, deploy: Path, places: Places | None = None) -> Rendered:
    """Render a door that is not closed, as `render`."""
    keyed = settings.mode == "keyed"
    return _generation(_templates(DOOR, settings, deploy, places, keyed=keyed, metrics_addresses=()))


def _templates(
    name: str,
    settings: Settings | DoorSettings,
    deploy: Path,
    places: Places | None,
    *,
    keyed: bool,
    metrics_addresses: tuple[str, ...],
) -> dict[str, str]:
    values = {
        "name": name,
        "edge": name == EDGE,
        "keyed": keyed,
        "settings": settings,
        # Without required keys none is installed on the device.
        "keys": settings.keys if keyed else {},
        "metrics_keys": settings.metrics_keys if keyed else {},
        "metrics_addresses": metrics_addresses,
        "places": places or Places.on_device(name),
        "routes": (*ROUTES, METRICS) if settings.metrics else ROUTES,
        "metrics": METRICS if settings.metrics else None,
        "refusals": REFUSALS,
        "generation": GENERATION,
    }
    return templates.render(deploy, "edge", ("nginx.conf", "keys.conf"), values)


def _generation(files: dict[str, str]) -> Rendered:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content.encode())}\n{content}".encode())
    generation = digest.hexdigest()[:_HEX]
    files["nginx.conf"] = files["nginx.conf"].replace(GENERATION, generation)
    return Rendered(generation, files)
