"""A container image of one layer as ``docker load`` takes it, of any architecture."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LAYER = "layer.tar"


def write(archive: Path, root: Path, name: str, architecture: str, config: Mapping[str, Any]) -> None:
    """Writes ``archive`` with the files below ``root``, all root's, as the image ``name``."""
    layer = archive.with_name(_LAYER)
    with tarfile.open(layer, "w") as files:
        files.add(root, ".", filter=_of_root)
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "tests/support/doubles"}],
    }
    text = json.dumps(document).encode()
    place = f"{hashlib.sha256(text).hexdigest()}.json"
    listing = [{"Config": place, "RepoTags": [name], "Layers": [_LAYER]}]
    with tarfile.open(archive, "w") as image:
        image.add(layer, _LAYER)
        for path, content in ((place, text), ("manifest.json", json.dumps(listing).encode())):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            image.addfile(entry, io.BytesIO(content))
    layer.unlink()


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
