"""Push the engine's image to a simulation's registry, once per content.

The push uses 127.0.0.1, for which every Docker engine allows HTTP, so the host engine's settings are not
changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from docker import DockerClient

ENGINE_REPOSITORY = "thorctl/cpu-vllm"
ENGINE_TAG = "0.32.0"  # the tag in deploy/profiles/tiny-qwable.yml
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
_TIMEOUT_SECONDS = 30


def holds(url: str, repository: str, tag: str, image_id: str) -> bool:
    """Return whether the tag is that image: by the digest of its configuration or (containerd) manifest."""
    answer = httpx.get(
        f"{url}/v2/{repository}/manifests/{tag}",
        headers={"Accept": _MANIFEST},
        timeout=_TIMEOUT_SECONDS,
        trust_env=False,
    )
    if answer.status_code == httpx.codes.NOT_FOUND:
        return False
    answer.raise_for_status()
    config = answer.json().get("config", {}).get("digest")
    return image_id in {config, answer.headers.get("Docker-Content-Digest")}


def push(
    client: DockerClient,
    image_id: str,
    repository: str,
    tag: str,
    *,
    port: int,
    on_progress: Callable[[str], None],
) -> None:
    """Push an image to the registry on this loopback port; leave no extra tag.

    Raises:
        ThorError: ``image_push_failed``.
    """
    name = f"127.0.0.1:{port}/{repository}"
    client.images.get(image_id).tag(name, tag)
    try:
        follow(client.api.push(name, tag, stream=True, decode=True), on_progress)
    finally:
        client.images.remove(f"{name}:{tag}", noprune=True)


def follow(events: Iterable[Mapping[str, Any]], on_progress: Callable[[str], None]) -> None:
    """Read the engine's push events to their end.

    Raises:
        ThorError: ``image_push_failed``; the engine reports a failure inside a stream with status 200.
    """
    layers: dict[str, tuple[int, int]] = {}
    for event in events:
        if "error" in event:
            raise ThorError(
                "image_push_failed",
                f"The image could not be pushed to the simulation's registry: {event['error']}.",
                "Check that the disk is not full, then repeat `thorctl sim up`: finished pushes are kept.",
            )
        detail = event.get("progressDetail") or {}
        if "id" in event and detail.get("total"):
            layers[event["id"]] = (detail.get("current", 0), detail["total"])
            done, total = (sum(column) for column in zip(*layers.values(), strict=True))
            on_progress(f"{done / 1e6:.0f} of {max(done, total) / 1e6:.0f} MB")
