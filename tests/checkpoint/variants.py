"""Makes checkpoints to test with from an NVFP4A16 one: scales pulled apart, or weights as plain BF16."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from thorctl.checkpoint import inventory, nvfp4, scales
from thorctl.checkpoint.copying import write
from thorctl.checkpoint.modules import GLOBAL, NVFP4, PACKED, SCALE, gather
from thorctl.checkpoint.patch import Patch
from thorctl.checkpoint.source import Folder

if TYPE_CHECKING:
    from pathlib import Path


def skew(original: Path, out: Path, seed: int = 1, low: float = 3.0, high: float = 5.0) -> None:
    """The same weights but for rounding, each expert's gate and up scales ``low`` to ``high`` times apart.

    What the quantizer would write for matrices whose largest weights are that far apart.
    """
    source = Folder(original)
    found = inventory.read(source)
    modules = gather(found.tensors.values())
    values = scales.read(source, found, modules, lambda *_: None)
    chance = random.Random(seed)  # noqa: S311 - a test's own dice
    patches: dict[str, list[Patch]] = {}
    for group in scales.groups(modules.values(), values):
        if group.name.endswith("self_attn"):
            continue
        parts = modules[chance.choice(group.members)].parts
        factor = chance.uniform(low, high)
        block, whole = parts[SCALE], parts[GLOBAL]
        shards = found.shard_of[block.name], found.shard_of[whole.name]
        old = nvfp4.scales(source.read(shards[0], block.start, block.bytes))
        (number,) = scales.NUMBER.unpack(source.read(shards[1], whole.start, whole.bytes))
        for shard, start, content in (
            (shards[0], block.start, nvfp4.to_e4m3(old / factor).tobytes()),
            (shards[1], whole.start, scales.NUMBER.pack(number / factor)),
        ):
            patches.setdefault(shard, []).append(Patch(shard, start, content))
    for path in source.sizes:
        write(original / path, out / path, patches.get(path, ()), lambda _: None)


def dequantize(original: Path, out: Path) -> None:
    """Every quantized weight as the BF16 number that was meant: each matrix with its own global scale."""
    source = Folder(original)
    found = inventory.read(source)
    rows: dict[str, npt.NDArray[Any]] = {}

    def content(name: str) -> bytes:
        tensor = found.tensors[name]
        return source.read(found.shard_of[name], tensor.start, tensor.bytes)

    for module in gather(found.tensors.values()).values():
        if module.format == NVFP4:
            packed, block, whole = (module.parts[part].name for part in (PACKED, SCALE, GLOBAL))
            (number,) = scales.NUMBER.unpack(content(whole))
            weights = nvfp4.weights(content(packed), nvfp4.scales(content(block)), number)
            height, width = found.tensors[packed].shape
            shape = (height, width * 2)
            rows[f"{module.name}.weight"] = (
                weights.astype(np.float32).astype(ml_dtypes.bfloat16).reshape(shape)
            )
            continue
        for tensor in module.parts.values():
            dtype = {"BF16": ml_dtypes.bfloat16, "F32": np.float32}[tensor.dtype]
            rows[tensor.name] = np.frombuffer(content(tensor.name), dtype=dtype).reshape(tensor.shape)
    out.mkdir(parents=True)
    save_file(rows, out / "model.safetensors", {"format": "pt"})
    for path in source.sizes:
        if path.endswith((".safetensors", ".index.json")):
            continue
        if path == "config.json":
            config = {key: value for key, value in found.config.items() if key != "quantization_config"}
            (out / path).write_text(json.dumps(config, indent=2))
        else:
            shutil.copyfile(original / path, out / path)
