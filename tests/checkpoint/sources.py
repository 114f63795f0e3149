"""BF16 checkpoints to quantize, made from tiny-qwable: other files, other layouts, an MTP head."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    from pathlib import Path

Array = npt.NDArray[Any]
INDEX = "model.safetensors.index.json"


def tensors(folder: Path) -> dict[str, Array]:
    """All of a checkpoint's tensors."""
    found: dict[str, Array] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found


def write(original: Path, out: Path, rows: dict[str, Array], shards: int = 1) -> None:
    """A checkpoint with these tensors and the other files of ``original``; dealt out one by one to shards."""
    out.mkdir(parents=True)
    for path in original.iterdir():
        if not path.name.endswith((".safetensors", INDEX)):
            shutil.copyfile(path, out / path.name)
    if shards == 1:
        save_file(rows, out / "model.safetensors", {"format": "pt"})
        return
    weight_map = {name: number % shards for number, name in enumerate(sorted(rows))}
    names = [f"model-{number + 1:05d}-of-{shards:05d}.safetensors" for number in range(shards)]
    for number, file in enumerate(names):
        save_file({name: rows[name] for name in rows if weight_map[name] == number}, out / file)
    index = {"weight_map": {name: names[number] for name, number in weight_map.items()}}
    (out / INDEX).write_text(json.dumps(index))


def skewed(original: Path, out: Path) -> None:
    """Each expert's gate or up made 3 to 5 times larger, so that their own scales lie apart."""
    dice = np.random.default_rng(1)
    rows = tensors(original)

    def larger(value: Array) -> Array:
        made: Array = (value.astype(np.float32) * dice.uniform(3, 5)).astype(ml_dtypes.bfloat16)
        return made

    for name in sorted(rows):
        if name.endswith("experts.gate_up_proj"):
            value = rows[name].copy()
            half = value.shape[1] // 2
            for expert in range(value.shape[0]):
                which = slice(half) if dice.random() < 0.5 else slice(half, None)
                value[expert, which] = larger(value[expert, which])
            rows[name] = value
        elif name.endswith("shared_expert.gate_proj.weight"):
            rows[name] = larger(rows[name])
    write(original, out, rows)


def in_pieces(original: Path, out: Path) -> None:
    """An expert a tensor, in files that part pairs; and an MTP head whose experts are one tensor."""
    rows: dict[str, Array] = {}
    for name, value in tensors(original).items():
        stem, _, last = name.rpartition(".")
        if last == "gate_up_proj":
            for expert, both in enumerate(value):
                gate, up = np.split(both, 2)
                rows[f"{stem}.{expert}.gate_proj.weight"] = np.ascontiguousarray(gate)
                rows[f"{stem}.{expert}.up_proj.weight"] = np.ascontiguousarray(up)
        elif last == "down_proj":
            for expert, down in enumerate(value):
                rows[f"{stem}.{expert}.down_proj.weight"] = np.ascontiguousarray(down)
        else:
            rows[name] = value
        if ".layers.3." in name and last != "weight":
            rows[f"mtp.layers.0.{name.partition('.layers.3.')[2]}"] = value.copy()
    rows["mtp.layers.0.self_attn.q_proj.weight"] = rows[
        "model.language_model.layers.3.self_attn.q_proj.weight"
    ].copy()
    write(original, out, rows, shards=4)


def dense(original: Path, out: Path) -> list[str]:
    """Each expert's pair as the MLP of a dense layer, which llm-compressor knows as fused; their names."""
    rows: dict[str, Array] = {}
    pairs: list[str] = []
    for name, value in sorted(tensors(original).items()):
        stem, _, last = name.removesuffix(".weight").rpartition(".")
        if last == "gate_up_proj":
            for expert, both in enumerate(value):
                gate, up = np.split(both, 2)
                rows |= _layer(len(pairs), np.ascontiguousarray(gate), np.ascontiguousarray(up))
                pairs.append(f"{stem}.{expert}")
        elif name.endswith("shared_expert.gate_proj.weight"):
            rows |= _layer(len(pairs), value, tensors(original)[name.replace("gate_proj", "up_proj")])
            pairs.append(stem)
    write(original, out, rows)
    return pairs


def with_large_embeddings(original: Path, out: Path, size: int) -> None:
    """Embeddings of ``size`` bytes, all zero."""
    rows = tensors(original)
    name = "model.language_model.embed_tokens.weight"
    width = rows[name].shape[1]
    rows[name] = np.zeros((size // 2 // width, width), ml_dtypes.bfloat16)
    write(original, out, rows)


def _layer(number: int, gate: Array, up: Array) -> dict[str, Array]:
    stem = f"model.layers.{number}.mlp"
    return {f"{stem}.gate_proj.weight": gate, f"{stem}.up_proj.weight": up}
