"""Docker's self-description: GET /info, the same document as `docker info --format '{{json .}}'`."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass


@dataclass(frozen=True)
class DockerInfo:
    """A Docker engine that answered; ``image_store`` is 'containerd' or 'docker' (its own graph driver)."""

    version: str
    storage_driver: str | None
    image_store: str
    default_runtime: str | None
    runtimes: list[str]
    root_directory: str | None


def parse_info(info: object) -> DockerInfo | None:
    """Parse the document; None also for the empty one that the client prints without an engine."""
    if not isinstance(info, dict) or not info.get("ServerVersion"):
        return None
    status = info.get("DriverStatus") or []
    snapshotter = any("io.containerd.snapshotter" in str(value) for pair in status for value in pair)
    return DockerInfo(
        version=str(info["ServerVersion"]),
        storage_driver=info.get("Driver") or None,
        image_store="containerd" if snapshotter else "docker",
        default_runtime=info.get("DefaultRuntime") or None,
        runtimes=sorted(info.get("Runtimes") or {}),
        root_directory=info.get("DockerRootDir") or None,
    )
