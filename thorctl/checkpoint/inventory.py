"""List all tensors of a checkpoint, from the headers of its shards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint.headers import damaged, header_length, parse
from thorctl.errors import ThorError
from thorctl.protocol.safetensors import LENGTH, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.checkpoint.source import Source

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
FIRST_READ = 1 << 20  # bytes; most headers fit in the first request
MAX_JSON_BYTES = 64 << 20
MAX_TENSORS = 500_000  # of all shards; a checkpoint of 35 billion weights has some 100,000


@dataclass(frozen=True, slots=True)
class Inventory:
    """The content of the headers. ``shard_of`` is the file of each tensor."""

    tensors: dict[str, Tensor]
    shard_of: dict[str, str]
    config: dict[str, Any]
    problems: tuple[str, ...]  # differences of the index and the shards


def read(source: Source, progress: Callable[[str], None] = lambda _: None) -> Inventory:
    """Read config.json, the index and the header of every shard.

    Raises:
        ThorError: ``checkpoint_damaged``, ``checkpoint_incomplete``, or what reading raises.
    """
    config = document(source, "config.json")
    index = document(source, INDEX) if INDEX in source.sizes else None
    shards = _shards(source, index)
    tensors: dict[str, Tensor] = {}
    shard_of: dict[str, str] = {}
    problems = []
    for shard in shards:
        progress(shard)
        for name, tensor in _header(source, shard).items():
            if name in tensors:
                problems.append(f"{name} is in {shard_of[name]} and in {shard}")
            tensors[name], shard_of[name] = tensor, shard
        if len(tensors) > MAX_TENSORS:
            raise damaged(shard, f"and those before it have more than {MAX_TENSORS} tensors")
    if index is not None:
        problems += _against_index(index, shard_of)
    return Inventory(tensors, shard_of, config, tuple(problems))


def document(source: Source, path: str) -> dict[str, Any]:
    """Return a JSON object of the checkpoint.

    Raises:
        ThorError: ``checkpoint_incomplete`` if it is missing, ``checkpoint_damaged`` if it is not one.
    """
    size = source.sizes.get(path)
    if size is None:
        raise incomplete(source, path)
    if size > MAX_JSON_BYTES:
        raise damaged(path, f"has {size} bytes, above the limit for this file")
    try:
        found = json.loads(source.read(path, 0, size))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise damaged(path, "is not a JSON object")
    return found


def incomplete(source: Source, path: str) -> ThorError:
    """Return the error for a missing file."""
    return ThorError(
        "checkpoint_incomplete",
        f"{source.name} has no {path}.",
        "Name a folder or repository in Hugging Face layout, with safetensors weights.",
    )


def _shards(source: Source, index: dict[str, Any] | None) -> list[str]:
    if index is None:
        if SINGLE not in source.sizes:
            raise incomplete(source, f"{SINGLE} or {INDEX}")
        return [SINGLE]
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise damaged(INDEX, "has no weight_map")
    shards = sorted(set(weight_map.values()))
    for shard in shards:
        if shard not in source.sizes:
            raise incomplete(source, shard)
    return shards


def _header(source: Source, shard: str) -> dict[str, Tensor]:
    size = source.sizes[shard]
    first = source.read(shard, 0, min(FIRST_READ, size))
    length = header_length(first, size, shard)
    header = first[LENGTH.size : LENGTH.size + length]
    if len(header) < length:
        header += source.read(shard, LENGTH.size + len(header), length - len(header))
    return parse(header, size, shard)


def _against_index(index: dict[str, Any], shard_of: dict[str, str]) -> list[str]:
    weight_map = index["weight_map"]
    problems = [
        f"the index lists {name}, which no shard has" for name in sorted(set(weight_map) - set(shard_of))
    ]
    problems += [
        f"{name} is in {shard_of[name]}, but not in the index"
        for name in sorted(set(shard_of) - set(weight_map))
    ]
    problems += [
        f"{name} is in {shard_of[name]}, not in {shard} as the index says"
        for name, shard in sorted(weight_map.items())
        if name in shard_of and shard_of[name] != shard
    ]
    return problems
