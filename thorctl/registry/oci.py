"""Resolve an image's tag to the digest of one platform's manifest, through the OCI distribution API.

Source: github.com/opencontainers/distribution-spec (v1.1) and image-spec; Docker's schema 2 types are the
same documents under older names.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.release.lock import ImageLock
from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from thorctl.registry.client import Document, Registry
    from thorctl.release.image_reference import ImageReference

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

_NUMBER = r"(\d+\.\d+(?:\.\d+)?(?:[A-Za-z0-9.+-]*[A-Za-z0-9])?)"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(f"v?{_NUMBER}")
_BUILT = re.compile(rf"(?:\bVLLM_VERSION=[\"']?|\bvllm(?:\[[a-z,-]+\])?==)v?{_NUMBER}")


MAX_DEPTH = 4  # nested indexes
MAX_ENTRIES = 64  # entries of an index that are fetched because they have no platform
# Normalized as in Docker and containerd (github.com/containerd/platforms, database.go).
_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64", "x86-64": "amd64"}
_USUAL_VARIANT = {"arm64": "v8", "amd64": "v1"}


def resolve(reference: ImageReference, platform: str, registry: Registry) -> ImageLock:
    """Return the present state of ``reference`` for ``platform`` (``linux/amd64``).

    Every document is verified against its requested digest; a tag's digest is that of the bytes received.

    Raises:
        ThorError: ``image_not_found``, ``platform_not_found``, ``manifest_unsupported``, ``registry_*``.
    """
    try:
        found = registry.manifest(reference.path, reference.tag, accept=(*INDEX_TYPES, *MANIFEST_TYPES))
        if found is None:
            raise absent(reference, registry)
        search = _Search(reference, platform, registry)
        locked = search.image(found, depth=0)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise invalid(reference, f"it has {type(error).__name__}: {str(error)[:100]}") from error
    if locked is None:
        raise no_platform(reference, platform, search.offered)
    return locked


class _Search:
    """The search from a tag to one platform's manifest, through indexes."""

    def __init__(self, reference: ImageReference, platform: str, registry: Registry) -> None:
        self.reference, self.platform, self.registry = reference, platform, registry
        self.offered: list[str] = []

    def image(self, found: Document, depth: int) -> ImageLock | None:
        """Return the image in a document or below it; None if it is for other platforms."""
        document = parse(found.body, self.reference)
        type_ = kind(document, found.media_type, self.reference)
        if type_ in MANIFEST_TYPES:
            return self._manifest(document, found.digest)
        if type_ not in INDEX_TYPES:
            raise ThorError(
                "manifest_unsupported",
                f"{self.reference.repository}:{self.reference.tag} is a {type_!r}.",
                "Push it again with a current Docker, as an OCI or Docker schema 2 manifest.",
            )
        if depth == MAX_DEPTH:
            raise invalid(self.reference, f"it has more than {MAX_DEPTH} nested indexes")
        return self._index(document, depth)

    def _index(self, document: dict[str, Any], depth: int) -> ImageLock | None:
        """Return the first entry for the platform, else the first without one whose image is for it.

        Attestations and other entries that are not images are skipped.
        """
        entries = objects(document.get("manifests"), "manifests", self.reference)
        named = [
            entry for entry in entries if (described := entry.get("platform")) and self._is_ours(described)
        ]
        nameless = [entry for entry in entries if not entry.get("platform") and _may_be_image(entry)]
        if len(nameless) > MAX_ENTRIES:
            raise invalid(self.reference, f"more than {MAX_ENTRIES} entries of an index have no platform")
        for entry in (*named, *nameless):
            digest = digest_of(entry, self.reference)
            found = self.registry.manifest(self.reference.path, digest, (*INDEX_TYPES, *MANIFEST_TYPES))
            if found is None:
                raise ThorError(
                    "image_not_found",
                    f"{self.reference.repository}: the index of {self.reference.tag!r} lists {digest}, "
                    "which is missing.",
                    "Push the image again: it was removed from the registry.",
                )
            if image := self.image(found, depth + 1):
                return image
        return None

    def _is_ours(self, described: Any) -> bool:
        if not isinstance(described, dict):
            raise invalid(self.reference, "an index has a platform that is not an object")
        name = platform_name(described)
        if name == self.platform:
            return True
        if name != "unknown/unknown":  # attestations, not images
            self.offered.append(name)
        return False

    def _manifest(self, document: dict[str, Any], digest: str) -> ImageLock | None:
        (part,) = objects([document.get("config")], "config", self.reference)
        layers = objects(document.get("layers"), "layers", self.reference)
        blob = self.registry.blob(self.reference.path, digest_of(part, self.reference))
        config = parse(blob, self.reference)
        made_for = platform_name(config)
        if made_for != self.platform:
            self.offered.append(made_for)
            return None
        sizes = [one.get("size") for one in (part, *layers)]
        if any(type(size) is not int or size < 0 for size in sizes):
            raise invalid(self.reference, "a part of the image has no size")
        return ImageLock.model_validate(
            {
                "reference": str(self.reference),
                "repository": self.reference.repository,
                "digest": digest,
                "platform": self.platform,
                "compressed_bytes": sum(sizes),
                "vllm_version": vllm_version(config),
            }
        )


def _may_be_image(entry: dict[str, Any]) -> bool:
    """Return whether an entry without a platform can be an image, and no attestation or signature."""
    notes = entry.get("annotations") or {}
    return not (entry.get("artifactType") or notes.get("vnd.docker.reference.type"))


def platform_name(described: dict[str, Any]) -> str:
    """Return ``os/architecture``, with a variant that is not the default; normalized as in Docker."""
    system, machine, variant = (described.get(key) for key in ("os", "architecture", "variant"))
    if not (isinstance(system, str) and isinstance(machine, str) and system and machine):
        return "an unnamed platform"
    machine = _ARCHITECTURES.get(machine.lower(), machine.lower())
    usual = not variant or variant == _USUAL_VARIANT.get(machine)
    return f"{system.lower()}/{machine}" + ("" if usual else f"/{variant}")


def objects(value: Any, key: str, reference: ImageReference) -> list[dict[str, Any]]:
    """Return a list of JSON objects.

    Raises:
        ThorError: ``registry_invalid``.
    """
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(reference, f"its `{key}` is missing or of another kind")
    return value


def digest_of(entry: dict[str, Any], reference: ImageReference) -> str:
    """Return the digest of a part.

    Raises:
        ThorError: ``registry_invalid`` for one that is not a SHA-256.
    """
    digest = entry.get("digest")
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise invalid(reference, f"the digest {str(digest)[:100]!r} is not a SHA-256")
    return digest


def vllm_version(image: dict[str, Any]) -> str | None:
    """Return the vLLM version in an image's configuration; None if it is missing or ambiguous.

    In this order: our label; the label of an image built from vLLM's own source; the variable that images for
    Jetson set; the commands of the build.
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


def kind(document: dict[str, Any], header: str, reference: ImageReference) -> str:
    """Return the document's media type: its own, or the header's if it has none.

    Raises:
        ThorError: ``registry_invalid`` if the two differ, or the document is an index and a manifest at once,
            which Docker rejects (CVE-2021-41190).
    """
    said = document.get("mediaType")
    if said is not None and not isinstance(said, str):
        raise invalid(reference, "its `mediaType` is not text")
    if said and header in {*INDEX_TYPES, *MANIFEST_TYPES} and said != header:
        raise invalid(reference, f"its type is {said!r}, but it is served as {header!r}")
    if "manifests" in document and ("config" in document or "layers" in document):
        raise invalid(reference, "it is an index and a manifest at once")
    return said or header


def no_platform(reference: ImageReference, platform: str, offered: list[str]) -> ThorError:
    """Return the error for an image without this platform."""
    return ThorError(
        "platform_not_found",
        f"{reference.repository}:{reference.tag} is not built for {platform}; it is built for "
        f"{', '.join(sorted(set(offered))) or 'nothing'}.",
        "Choose a tag built for the devices, or another platform with --platform.",
    )


def absent(reference: ImageReference, registry: Registry) -> ThorError:
    """Return the error for a missing tag or repository."""
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
    """Parse a JSON object, or raise ThorError ``registry_invalid``."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid(reference, "it is not JSON") from None
    if not isinstance(document, dict):
        raise invalid(reference, "it is not a JSON object")
    return document


def invalid(reference: ImageReference, why: str) -> ThorError:
    """Return the error for an answer that is not an image document."""
    return ThorError(
        "registry_invalid",
        f"The answer of {reference.host} for {reference.path} is not an image document: {why}.",
        "Check that the address is a container registry and that no login page precedes it; push an image "
        "that is damaged there again.",
    )
