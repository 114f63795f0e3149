"""Another image of the light engine: one layer more, in which the whole engine lies again.

So the release that brings it needs what its own pull wrote: an engine of the release before would not run it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient

_ENGINE = "./opt/light/tests/"
_LAYER = "second/layer.tar"


def derive(client: DockerClient, first: str, name: str) -> None:
    """Makes the image ``name`` of ``first``, which has one layer."""
    with tempfile.TemporaryDirectory(prefix="thorctl-second-") as folder:
        saved, made = Path(folder) / "first.tar", Path(folder) / "second.tar"
        with saved.open("wb") as file:
            file.writelines(client.images.get(first).save())
        with tarfile.open(saved) as source, tarfile.open(made, "w") as target:
            _write(source, target, name)
        with made.open("rb") as stream:
            client.images.load(stream)


def _write(source: tarfile.TarFile, target: tarfile.TarFile, name: str) -> None:
    (listed,) = json.loads(_read(source, "manifest.json"))
    (below,) = listed["Layers"]
    target.addfile(source.getmember(below), source.extractfile(below))
    content = source.extractfile(below)
    assert content is not None
    layer = engine_again(content.read())
    document = json.loads(_read(source, listed["Config"]))
    document["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
    document["history"].append(copy.deepcopy(document["history"][-1]))
    config = json.dumps(document).encode()
    place = f"{hashlib.sha256(config).hexdigest()}.json"
    listing: list[dict[str, Any]] = [{"Config": place, "RepoTags": [name], "Layers": [below, _LAYER]}]
    _add(target, _LAYER, layer)
    _add(target, place, config)
    _add(target, "manifest.json", json.dumps(listing).encode())


def engine_again(below: bytes) -> bytes:
    """A layer with the engine's own files of the layer ``below``, source and bytecode."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(below)) as source, tarfile.open(fileobj=buffer, mode="w") as target:
        again = [one for one in source.getmembers() if one.isfile() and one.name.startswith(_ENGINE)]
        assert again, f"no engine below {_ENGINE}"
        for entry in again:
            target.addfile(entry, source.extractfile(entry))
    return buffer.getvalue()


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    assert content is not None, name
    return content.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
