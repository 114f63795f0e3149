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
    """The same model but for rounding; each expert's gate and up 3 to 5 times further apart in size.

    Up is made larger or smaller and down the other way: silu(gate x) · (up x) is linear in up.
    """
    dice = np.random.default_rng(1)
    rows = tensors(original)

    def times(value: Array, factors: Array) -> Array:
        made: Array = (value.astype(np.float32) * factors).astype(ml_dtypes.bfloat16)
        return made

    def factors(count: int) -> Array:
        made: Array = dice.uniform(3, 5, (count, 1, 1)) ** dice.choice([-1, 1], (count, 1, 1))
        return made

    for name in sorted(rows):
        if name.endswith("experts.gate_up_proj"):
            down = name.replace("gate_up_proj", "down_proj")
            drawn = factors(len(rows[name]))
            gate, up = np.split(rows[name], 2, axis=1)
            rows[name] = np.concatenate([gate, times(up, drawn)], axis=1)
            rows[down] = times(rows[down], 1 / drawn)
        elif name.endswith("shared_expert.up_proj.weight"):
            down = name.replace("up_proj", "down_proj")
            drawn = factors(1)[0]
            rows[name], rows[down] = times(rows[name], drawn), times(rows[down], 1 / drawn)
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
        if ".layers.3." in name:
            rows[f"mtp.layers.0.{name.partition('.layers.3.')[2]}"] = value.copy()
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


def large(original: Path, out: Path, embeddings: int) -> None:
    """With ``embeddings`` bytes of them, all zero, and the attention of the real model: its largest group."""
    rows = tensors(original)
    name = "model.language_model.embed_tokens.weight"
    width = rows[name].shape[1]
    rows[name] = np.zeros((embeddings // 2 // width, width), ml_dtypes.bfloat16)
    dice = np.random.default_rng(1)
    for letter, shape in {"q": (8192, 2048), "k": (512, 2048), "v": (512, 2048), "o": (2048, 4096)}.items():
        drawn = dice.standard_normal(shape, np.float32) * np.float32(0.02)
        name = f"model.language_model.layers.3.self_attn.{letter}_proj.weight"
        rows[name] = drawn.astype(ml_dtypes.bfloat16)
    write(original, out, rows)


def _layer(number: int, gate: Array, up: Array) -> dict[str, Array]:
    stem = f"model.layers.{number}.mlp"
    return {f"{stem}.gate_proj.weight": gate, f"{stem}.up_proj.weight": up}
