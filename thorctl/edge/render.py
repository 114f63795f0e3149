"""From settings to the files of an edge or a door: pure functions, whose output is what nginx reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from thorctl import shipped
from thorctl.edge.routes import METRICS, REFUSALS, ROUTES
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from thorctl.edge.settings import DoorSettings, Settings

GENERATION = "@GENERATION@"
_HEX = 12
EDGE, DOOR = "edge", "door"


@dataclass(frozen=True, slots=True)
class Places:
    """Where an edge or a door lives.

    Attributes:
        run: directory for what dies with the process; its user's alone.
        access_log: nginx's target for it.
        engine: the engine's socket.
    """

    run: str
    access_log: str
    engine: str = ENGINE_SOCKET

    @classmethod
    def on_device(cls, name: str) -> Places:
        """Those of a device."""
        return cls(f"/run/thor-{name}", f"syslog:server=unix:/dev/log,nohostname,tag=thor_{name}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files by name, for root and one account, and their generation (12 hex of their SHA-256)."""

    generation: str
    files: dict[str, str]


def render(settings: Settings, places: Places | None = None) -> Rendered:
    """Render an edge. The same settings give the same bytes on any machine."""
    files = _templates(EDGE, settings, places, keyed=True, metrics_addresses=settings.metrics_addresses)
    files |= {
        "tls.crt": settings.certificate.strip() + "\n",
        "tls.key": settings.private_key.get_secret_value().strip() + "\n",
    }
    return _generation(files)


def render_door(settings: DoorSettings, places: Places | None = None) -> Rendered:
    """Render a door that is not closed. The same settings give the same bytes on any machine."""
    keyed = settings.mode == "keyed"
    return _generation(_templates(DOOR, settings, places, keyed=keyed, metrics_addresses=()))


def _templates(
    name: str,
    settings: Settings | DoorSettings,
    places: Places | None,
    *,
    keyed: bool,
    metrics_addresses: tuple[str, ...],
) -> dict[str, str]:
    environment = Environment(
        loader=FileSystemLoader(shipped.folder("deploy") / "edge"),
        undefined=StrictUndefined,
        # nginx's syntax, not HTML; what comes from people was checked character by character in settings.
        autoescape=False,  # noqa: S701 - as said above
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = {
        "name": name,
        "edge": name == EDGE,
        "keyed": keyed,
        "settings": settings,
        # Where no key is asked for, none is put on the device.
        "keys": settings.keys if keyed else {},
        "metrics_keys": settings.metrics_keys if keyed else {},
        "metrics_addresses": metrics_addresses,
        "places": places or Places.on_device(name),
        "routes": (*ROUTES, METRICS) if settings.metrics else ROUTES,
        "metrics": METRICS if settings.metrics else None,
        "refusals": REFUSALS,
        "generation": GENERATION,
    }
    return {
        file: environment.get_template(f"{file}.j2").render(values) for file in ("nginx.conf", "keys.conf")
    }


def _generation(files: dict[str, str]) -> Rendered:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content.encode())}\n{content}".encode())
    generation = digest.hexdigest()[:_HEX]
    files["nginx.conf"] = files["nginx.conf"].replace(GENERATION, generation)
    return Rendered(generation, files)
