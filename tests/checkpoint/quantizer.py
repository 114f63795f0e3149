"""NVFP4A16 from BF16 in numpy, to have checkpoints to test with: the card's split, a global scale per matrix.

Not what devices run: that is llm-compressor's, whose names, dtypes and shapes it writes.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from thorctl.checkpoint import inventory, nvfp4
from thorctl.checkpoint.expected import WEIGHTS
from thorctl.checkpoint.source import Folder

if TYPE_CHECKING:
    from pathlib import Path

Array = npt.NDArray[Any]
IGNORE = [
    "linear_attn.*",
    "mlp.gate$",
    "shared_expert_gate$",
    "embed_tokens$",
    "lm_head",
    "visual.*",
    "mtp.*",
    "norm.*",
]
QUANTIZED = re.compile(r"\.(mlp\.shared_expert\.(gate|up|down)_proj|self_attn\.[qkvo]_proj)\.weight$")
POSITIVE = nvfp4.E2M1[:8]


def quantize(original: Path, out: Path, shards: int = 1) -> None:
    """Writes ``out``; with several ``shards`` tensors are dealt out one by one, so that pairs lie apart."""
    source = Folder(original)
    found = inventory.read(source)
    tensors: dict[str, Array] = {}
    for name, tensor in found.tensors.items():
        dtype = {"BF16": ml_dtypes.bfloat16, "F32": np.float32}[tensor.dtype]
        value = np.frombuffer(source.read(found.shard_of[name], tensor.start, tensor.bytes), dtype)
        value = value.reshape(tensor.shape)
        if name.endswith("experts.gate_up_proj"):
            for expert, both in enumerate(value):
                gate, up = np.split(both, 2)
                stem = name.replace("gate_up_proj", f"{expert}.")
                tensors |= matrix(f"{stem}gate_proj", gate) | matrix(f"{stem}up_proj", up)
        elif name.endswith("experts.down_proj"):
            for expert, down in enumerate(value):
                tensors |= matrix(name.replace("down_proj", f"{expert}.down_proj"), down)
        elif QUANTIZED.search(name):
            tensors |= matrix(name.removesuffix(".weight"), value)
        else:
            tensors[name] = value
    out.mkdir(parents=True)
    _save(tensors, out, shards)
    _share_qkv(out, tensors, shards)
    for path in source.sizes:
        if path == "config.json":
            (out / path).write_text(json.dumps(configured(found.config)))
        elif not path.endswith((".safetensors", ".index.json")):
            shutil.copyfile(original / path, out / path)


def configured(config: dict[str, Any]) -> dict[str, Any]:
    """config.json with a quantization_config."""
    return config | {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "nvfp4-pack-quantized",
            "ignore": [f"re:.*{pattern}" for pattern in IGNORE],
            "config_groups": {
                "NVFP4A16": {
                    "targets": ["Linear"],
                    "weights": WEIGHTS,
                    "input_activations": None,
                    "output_activations": None,
                }
            },
        }
    }


def matrix(module: str, value: Array, scale: float | None = None) -> dict[str, Array]:
    """The three tensors of one matrix; ``scale``: the global one, by default its own."""
    weights = value.astype(np.float64)
    whole = np.float32(scale or nvfp4.E4M3_MAX * 6 / np.abs(weights).max())
    blocks = weights.reshape(-1, nvfp4.GROUP)
    block_scales = nvfp4.to_e4m3(np.minimum(np.abs(blocks).max(axis=1) / 6 * float(whole), nvfp4.E4M3_MAX))
    steps = nvfp4.scales(block_scales.tobytes())[:, None] / float(whole)
    scaled = np.divide(blocks, steps, out=np.zeros_like(blocks), where=steps > 0)
    codes = np.abs(np.abs(scaled)[..., None] - POSITIVE).argmin(axis=-1).astype(np.uint8)
    codes |= (scaled < 0).astype(np.uint8) << 3
    flat = codes.reshape(weights.shape[0], -1)
    return {
        f"{module}.weight_packed": flat[:, 0::2] | flat[:, 1::2] << 4,
        f"{module}.weight_scale": block_scales.view(ml_dtypes.float8_e4m3fn).reshape(weights.shape[0], -1),
        f"{module}.weight_global_scale": np.array([whole], np.float32),
    }


def _share_qkv(out: Path, tensors: dict[str, Array], shards: int) -> None:
    """As the quantizer does: q, k and v get the smallest scale of the three."""
    stems = sorted({name[: name.index("q_proj")] for name in tensors if ".self_attn.q_proj." in name})
    for stem in stems:
        names = [f"{stem}{letter}_proj" for letter in "qkv"]
        least = min(float(tensors[f"{name}.weight_global_scale"][0]) for name in names)
        for name in names:
            old = float(tensors[f"{name}.weight_global_scale"][0])
            raw = nvfp4.scales(tensors[f"{name}.weight_scale"].tobytes()) * (least / old)
            made = nvfp4.to_e4m3(raw).view(ml_dtypes.float8_e4m3fn)
            tensors[f"{name}.weight_scale"] = made.reshape(tensors[f"{name}.weight_scale"].shape)
            tensors[f"{name}.weight_global_scale"] = np.array([least], np.float32)
    _save(tensors, out, shards)


def _save(tensors: dict[str, Array], out: Path, shards: int) -> None:
    if shards == 1:
        save_file(tensors, out / "model.safetensors", {"format": "pt"})
        return
    dealt: list[dict[str, Array]] = [{} for _ in range(shards)]
    for number, name in enumerate(sorted(tensors)):
        dealt[number % shards][name] = tensors[name]
    weight_map: dict[str, str] = {}
    for number, part in enumerate(dealt, 1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        save_file(part, out / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (out / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
