"""The desired state of a device: the parts of its release, and the host settings of site.yml."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import TYPE_CHECKING, Any

from thorctl.agent.release.document import UNIT_FILE
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.agent.release.document import Release

INSTALLED_UNIT = "installed unit"
IMAGE_ON_DISK = "image on disk"
CONTAINER_IMAGE = "container image"
ENGINE_NETWORK = "engine network"
CHECKPOINT = "checkpoint"
PACKAGE_STATES = {"held", "released", "alone"}


@dataclass(frozen=True)
class PackageWish:
    """Patterns of package names, and whether matching packages are to be ``held`` or ``released``."""

    state: str
    which: tuple[str, ...]


@dataclass(frozen=True)
class HostWish:
    """The roles' settings; a ``power_mode`` of None and keys missing in ``settings`` are unmanaged."""

    power_mode: str | None
    packages: tuple[PackageWish, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def of_release(release: Release) -> dict[str, object]:
    """Return part → desired value: the hash of files, the name of others."""
    files = {name: hash_of(content) for name, (_, content) in sorted(release.files().items())}
    return {
        **{f"release {name}": value for name, value in files.items()},
        INSTALLED_UNIT: files[UNIT_FILE],
        CHECKPOINT: release.checkpoint_name,
        IMAGE_ON_DISK: release.image,
    }


def of_host(device: Any) -> HostWish | None:
    """Return the settings of device.json; None if it is not in the role's form.

    A file of an older thorctl has none; site.yml updates it together with the agent.
    """
    if not isinstance(device, dict):
        return None
    mode, packages = device.get("power_mode"), device.get("packages", [])
    settings = device.get("settings", {})
    which: dict[str, tuple[str, ...]] = {}  # several roles hold packages of their own
    try:
        for one in packages:
            which[one["state"]] = (*which.get(one["state"], ()), *map(str, one["which"]))
    except (TypeError, KeyError):
        return None
    if not set(which) <= PACKAGE_STATES or not isinstance(settings, dict):
        return None
    which.pop("alone", None)
    return HostWish(
        None if mode is None else str(mode),
        tuple(PackageWish(*one) for one in sorted(which.items())),
        settings,
    )


def hash_of(content: bytes) -> str:
    """Return ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
