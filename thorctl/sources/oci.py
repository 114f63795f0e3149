"""Images: from a tag to the digest of one platform's manifest, through the OCI distribution API.

Source: github.com/opencontainers/distribution-spec (v1.1) and image-spec; Docker's schema 2 types are the
same documents under older names.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.lock import ImageLock
from thorctl.schema import nearest

if TYPE_CHECKING:
    from thorctl.image_reference import ImageReference
    from thorctl.sources.registry import Registry

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

_NUMBER = r"(\d+\.\d+(?:\.\d+)?(?:[A-Za-z0-9.+-]*[A-Za-z0-9])?)"
_VERSION = re.compile(f"v?{_NUMBER}")
_BUILT = re.compile(rf"(?:\bVLLM_VERSION=[\"']?|\bvllm(?:\[[a-z,-]+\])?==)v?{_NUMBER}")


def resolve(reference: ImageReference, platform: str, registry: Registry) -> ImageLock:
    """What ``reference`` is right now, for ``platform`` (``linux/amd64``).

    Every document is verified against the digest it is asked for by; a tag's digest is that of the bytes
    received.

    Raises:
        ThorError: ``image_not_found``, ``platform_not_found``, ``manifest_unsupported``, ``registry_*``.
    """
    try:
        return _resolved(reference, platform, registry)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _invalid(reference) from error  # JSON, but no image document


def _resolved(reference: ImageReference, platform: str, registry: Registry) -> ImageLock:
    response = registry.manifest(reference.path, reference.tag, accept=(*INDEX_TYPES, *MANIFEST_TYPES))
    if response is None:
        raise absent(reference, registry)
    document, digest = parse(response.body, reference), response.digest
    if kind(document, response.media_type) in INDEX_TYPES:
        digest = choose(document, platform, reference)
        found = registry.manifest(reference.path, digest, accept=MANIFEST_TYPES)
        if found is None:
            raise ThorError(
                "image_not_found",
                f"{reference.repository}: the index of {reference.tag!r} lists {digest}, which is absent.",
                "The registry lost it or a clean-up removed it; push the image again.",
            )
        document = parse(found.body, reference)
        response = found
    if kind(document, response.media_type) not in MANIFEST_TYPES:
        raise ThorError(
            "manifest_unsupported",
            f"{reference.repository}:{reference.tag} is a {kind(document, response.media_type)!r}.",
            "Push it again with a current Docker: OCI or Docker schema 2 manifests are understood.",
        )
    config = parse(registry.blob(reference.path, str(document["config"]["digest"])), reference)
    made_for = f"{config.get('os')}/{config.get('architecture')}"
    if made_for != platform:
        raise no_platform(reference, platform, [made_for])
    sizes = [int(part["size"]) for part in (document["config"], *document["layers"])]
    return ImageLock.model_validate(
        {
            "reference": str(reference),
            "repository": reference.repository,
            "digest": digest,
            "platform": platform,
            "compressed_bytes": sum(sizes),
            "vllm_version": vllm_version(config),
        }
    )


def vllm_version(image: dict[str, Any]) -> str | None:
    """What an image's configuration says of its vLLM; None where it does not, or says two things.

    In this order: our label; the label of an image that says it is built from vLLM's own source; the variable
    that images for Jetson set; the commands it was built with.
    """
    config = image.get("config") or {}
    labels = config.get("Labels") or {}
    variables = dict(line.split("=", 1) for line in config.get("Env") or () if "=" in line)
    source = str(labels.get("org.opencontainers.image.source") or "").lower().rstrip("/").removesuffix(".git")
    upstream = (
        labels.get("org.opencontainers.image.version") if source.endswith("/vllm-project/vllm") else None
    )
    for said in (labels.get("dev.thorctl.vllm_version"), upstream, variables.get("VLLM_VERSION")):
        if said and (found := _VERSION.fullmatch(str(said))):
            return found[1]
    steps = "\n".join(str(step.get("created_by") or "") for step in image.get("history") or ())
    built = set(_BUILT.findall(steps))
    return built.pop() if len(built) == 1 else None


def kind(document: dict[str, Any], media_type: str) -> str:
    """The document's media type: its own word first, the header's where it has none."""
    return str(document.get("mediaType") or media_type)


def choose(index: dict[str, Any], platform: str, reference: ImageReference) -> str:
    """The digest of the manifest for ``platform``; the first, as Docker takes it."""
    offered = []
    for entry in index.get("manifests", []):
        described = entry.get("platform") or {}
        name = f"{described.get('os')}/{described.get('architecture')}"
        if name == platform:
            return str(entry["digest"])
        if name != "unknown/unknown":  # attestations, not images
            offered.append(name)
    raise no_platform(reference, platform, offered)


def no_platform(reference: ImageReference, platform: str, offered: list[str]) -> ThorError:
    """The image exists, but not for these machines."""
    return ThorError(
        "platform_not_found",
        f"{reference.repository}:{reference.tag} is not made for {platform}, but for "
        f"{', '.join(sorted(set(offered))) or 'nothing'}.",
        "Choose a tag made for the devices, or say which platform you mean with --platform.",
    )


def absent(reference: ImageReference, registry: Registry) -> ThorError:
    """The tag or the whole repository is not there."""
    tags = registry.tags(reference.path)
    if not tags:
        return ThorError(
            "image_not_found",
            f"{reference.host} has no image {reference.path!r}.",
            "Check image.reference in the profile, or push the image; a private one needs `docker login`.",
        )
    guess = nearest(reference.tag, tags)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return ThorError(
        "image_not_found",
        f"{reference.repository} has no tag {reference.tag!r}.{hint}",
        f"Correct image.reference; tags there: {', '.join(sorted(tags)[:12])}{' …' if tags[12:] else ''}.",
    )


def parse(body: bytes, reference: ImageReference) -> dict[str, Any]:
    """A JSON object, or ThorError ``registry_invalid``."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _invalid(reference)
    return document


def _invalid(reference: ImageReference) -> ThorError:
    return ThorError(
        "registry_invalid",
        f"{reference.host} answered with something that is no image document.",
        "Check that the address is a container registry and that no login page stands before it.",
    )
