"""Quantize BF16 to NVFP4A16 with the card's split; fused matrices share one global scale.

Each file of the source becomes one file of the result (`quantized_shard`). Matrices are read group by group
from the source, so memory holds one group and not one file. `partial` continues a run that was killed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from thorctl.checkpoint import copying, headers, quantized_shard
from thorctl.checkpoint.inventory import INDEX
from thorctl.checkpoint.manifest import NAME, Manifest, Origin
from thorctl.checkpoint.partial import Partial, write
from thorctl.checkpoint.reconcile import WeightError, total
from thorctl.checkpoint.source import Folder
from thorctl.checkpoint.split import SCHEME
from thorctl.errors import ThorError
from thorctl.release.lock import LockedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from thorctl.checkpoint.quantized_shard import Quantizer
    from thorctl.checkpoint.source import Source
    from thorctl.checkpoint.split import Split

MADE_BY = "thorctl checkpoint quantize"
CONFIG = "config.json"
DIGITS = 6  # of a figure in the manifest: machines sum in different orders


@dataclass(frozen=True, slots=True)
class Quantized:
    """The result of a run. ``error``: relative, of all quantized weights against BF16."""

    manifest: Manifest
    error: WeightError
    bytes: int
    resumed: int  # files complete from an earlier run


def sizes(that: Split) -> dict[str, int]:
    """Return the bytes of each file of the result.

    config.json and the index count as in the source; they grow by some kilobytes per layer. An older manifest
    is excluded, and so are safetensors files that are not the model's.
    """
    shards = {shard.path: quantized_shard.length(shard) for shard in that.shards}
    return {
        path: shards.get(path, size)
        for path, size in that.source.sizes.items()
        if path in shards or not (path == NAME or path.endswith(".safetensors"))
    }


def quantize(
    that: Split, out: Path, quantizer: Quantizer, progress: Callable[[str, int, int], None] = lambda *_: None
) -> Quantized:
    """Write the quantized checkpoint to ``out``, which must not exist.

    Args:
        that: the result of `split.split`.
        out: its last part becomes the checkpoint's name.
        quantizer: computes the quantized matrices.
        progress: called with the step, bytes of the source done, bytes in total.

    Raises:
        ThorError: ``source_not_local``; as `Partial` and `quantized_shard.write`.
    """
    source = require_local(that.source)
    wanted = sizes(that)
    everything = sum(source.sizes[path] for path in wanted)
    how = {"made_by": MADE_BY, "scheme": SCHEME, **quantizer.tools}
    with Partial(source, out, sum(wanted.values()), how) as partial:
        done = 0
        for path in wanted:
            if path not in partial.rows:

                def told(what: str, bytes_done: int, path: str = path, at: int = done) -> None:
                    progress(f"{what} {path}", at + bytes_done, everything)

                row = _one(that, source, path, folder=partial.folder, quantizer=quantizer, told=told)
                partial.note(path, row)
            done += source.sizes[path]
        result = _result(that, out.name, partial, quantizer)
        partial.finish(result.manifest)
    return result


def require_local(source: Source) -> Folder:
    """Return the source as a folder.

    Raises:
        ThorError: ``source_not_local``.
    """
    if isinstance(source, Folder):
        return source
    raise ThorError(
        "source_not_local",
        f"{source.name} is on a hub; quantizing needs a local folder.",
        f"Download it (`hf download {source.name} --local-dir DIR`) and name the folder.",
    )


def _one(
    that: Split,
    source: Folder,
    path: str,
    *,
    folder: Path,
    quantizer: Quantizer,
    told: Callable[[str, int], None],
) -> dict[str, Any]:
    """Write one file into ``folder``; return its row of the journal."""
    target = folder / path
    before = copying.sha256(source.folder / path, lambda n: told("reading", n))
    shard = next((shard for shard in that.shards if shard.path == path), None)
    error = WeightError()
    if shard is not None:
        after, error = quantized_shard.write(
            source, shard, target, quantizer, lambda n: told("quantizing", n)
        )
    elif path in {CONFIG, INDEX}:
        write(target, quantizer.configured(that.inventory.config) if path == CONFIG else _index(that))
        after = copying.sha256(target, lambda _: None)
    else:
        copying.write(source.folder / path, target, (), lambda n: told("copying", n))
        _, after = copying.verify(source.folder / path, target, (), lambda n: told("reading back", n))
    return {"source": before, "sha256": after, "size": target.stat().st_size, "error": asdict(error)}


def _index(that: Split) -> str:
    weight_map = {name: shard.path for shard in that.shards for name in shard.rows}
    weights = sum(tensor.bytes for shard in that.shards for tensor in headers.build(shard.rows)[1].values())
    document = {"metadata": {"total_size": weights}, "weight_map": dict(sorted(weight_map.items()))}
    return json.dumps(document, indent=2) + "\n"


def _result(that: Split, name: str, partial: Partial, quantizer: Quantizer) -> Quantized:
    rows = sorted(partial.rows.items())
    error = total(WeightError(**row["error"]) for _, row in rows)
    size = sum(row["size"] for _, row in rows)
    manifest = Manifest(
        name=name,
        made_by=MADE_BY,
        origin=Origin(name=that.source.name, files={path: row["source"] for path, row in rows}),
        figures={
            "matrices": len(that.matrices),
            "bytes_before": sum(that.source.sizes[path] for path, _ in rows),
            "bytes_after": size,
            "error": _figure(error.relative),
            "worst_error": _figure(error.worst),
        },
        tools=quantizer.tools,
        files=tuple(LockedFile(path=path, size=row["size"], sha256=row["sha256"]) for path, row in rows),
    )
    return Quantized(manifest, error, size, partial.resumed)


def _figure(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
