"""Small OCI images, pushed to a real registry through its API."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
AUTHORIZED = {"Authorization": "Bearer anything"}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Pushed:
    """An image in the registry: its digest and the sum of its parts' sizes."""

    digest: str
    compressed_bytes: int
    manifest: bytes


@dataclass(frozen=True)
class RegistryProcess:
    """A running registry and the folder its blobs lie in."""

    url: str
    data: Path

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def blob(self, path: str, content: bytes) -> dict[str, object]:
        """Uploads a blob; returns its descriptor's digest and size."""
        with httpx.Client(base_url=self.url, headers=AUTHORIZED, trust_env=False) as client:
            where = client.post(f"/v2/{path}/blobs/uploads/").raise_for_status().headers["Location"]
            url = httpx.URL(where).copy_add_param("digest", digest_of(content))
            client.put(url, content=content).raise_for_status()
        return {"digest": digest_of(content), "size": len(content)}

    def manifest(self, path: str, name: str, content: bytes, media_type: str) -> None:
        """Uploads a manifest or index under a tag or digest."""
        url = f"{self.url}/v2/{path}/manifests/{name}"
        headers = {"Content-Type": media_type, **AUTHORIZED}
        httpx.put(url, content=content, headers=headers, trust_env=False).raise_for_status()

    def image(
        self, path: str, name: str | None, architecture: str, layer: bytes = b"layer", kind: str = MANIFEST
    ) -> Pushed:
        """Pushes an image under the tag ``name``, or under its digest alone."""
        config = json.dumps({"os": "linux", "architecture": architecture, "rootfs": {}}).encode()
        oci = kind == MANIFEST
        types = ("vnd.oci.image.config.v1+json", "vnd.oci.image.layer.v1.tar+gzip")
        docker = ("vnd.docker.container.image.v1+json", "vnd.docker.image.rootfs.diff.tar.gzip")
        config_type, layer_type = types if oci else docker
        document = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {"mediaType": f"application/{config_type}", **self.blob(path, config)},
            "layers": [{"mediaType": f"application/{layer_type}", **self.blob(path, layer)}],
        }
        content = json.dumps(document).encode()
        self.manifest(path, name or digest_of(content), content, kind)
        return Pushed(digest_of(content), len(config) + len(layer), content)

    def index(self, path: str, name: str, images: dict[str, Pushed]) -> None:
        """Pushes an index of images by platform, among them an attestation, as BuildKit does."""
        entries = [
            {
                "mediaType": MANIFEST,
                "digest": pushed.digest,
                "size": len(pushed.manifest),
                "platform": {"os": platform.split("/")[0], "architecture": platform.split("/")[1]},
            }
            for platform, pushed in images.items()
        ]
        content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        self.manifest(path, name, content, INDEX)

    def damage(self, digest: str) -> None:
        """Changes one byte of a stored blob behind the registry's back."""
        hexadecimal = digest.removeprefix("sha256:")
        path = self.data / "docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"
        content = path.read_bytes()
        path.write_bytes(content[:-2] + b" " + content[-1:])
