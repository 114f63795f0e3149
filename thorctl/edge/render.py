"""From settings to the files of an edge: one pure function, whose output is what nginx reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from thorctl.edge.routes import METRICS, REFUSALS, ROUTES

if TYPE_CHECKING:
    from thorctl.edge.settings import Settings

TEMPLATES = Path(__file__).resolve().parents[2] / "deploy" / "edge"
GENERATION = "@GENERATION@"
_HEX = 12


@dataclass(frozen=True, slots=True)
class Places:
    """Where an edge lives; the defaults are a device's.

    Attributes:
        run: folder for what dies with the process.
        user: whom the workers run as.
        access_log: nginx's target for it.
    """

    run: str = "/run/thor-edge"
    user: str = "www-data"
    access_log: str = "syslog:server=unix:/dev/log,nohostname,tag=thor_edge"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files by name, for root's eyes only, and the generation they amount to (12 hex of their SHA-256)."""

    generation: str
    files: dict[str, str]


def render(settings: Settings, places: Places | None = None) -> Rendered:
    """The same settings give the same bytes on any machine."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        # nginx's syntax, not HTML; what comes from people was checked character by character in settings.
        autoescape=False,  # noqa: S701 - as said above
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    metrics = bool(settings.metrics_keys or settings.metrics_addresses)
    values = {
        "settings": settings,
        "places": places or Places(),
        "routes": (*ROUTES, METRICS) if metrics else ROUTES,
        "metrics": METRICS if metrics else None,
        "refusals": REFUSALS,
        "generation": GENERATION,
    }
    files = {
        name: environment.get_template(f"{name}.j2").render(values) for name in ("nginx.conf", "keys.conf")
    }
    files |= {
        "tls.crt": settings.certificate.strip() + "\n",
        "tls.key": settings.private_key.get_secret_value().strip() + "\n",
    }
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content.encode())}\n{content}".encode())
    generation = digest.hexdigest()[:_HEX]
    files["nginx.conf"] = files["nginx.conf"].replace(GENERATION, generation)
    return Rendered(generation, files)
