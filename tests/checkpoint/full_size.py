"""Checkpoints of the real model's size, as sparse files: true headers and global scales, no weights."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint.headers import build
from thorctl.checkpoint.modules import GLOBAL
from thorctl.checkpoint.scales import NUMBER
from thorctl.checkpoint.split import split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thorctl.checkpoint.source import Folder
    from thorctl.checkpoint.split import Rows

# Qwen3_5MoeTextConfig's defaults; the vocabulary from lm_head's 1.017 GB.
LAYERS, EXPERTS, HIDDEN, VOCABULARY = 40, 256, 2048, 248_320
INTERMEDIATE, HEAD, KEYS, VALUES = 512, 256, 16 * 128, 32 * 128
LAYERS_A_SHARD = 4
INDEX = "model.safetensors.index.json"


def bf16(like: Path, out: Path) -> None:
    """The source, experts fused; configuration and tokenizer from ``like``. No vision tower, no MTP head."""
    shards = [
        {name: row for layer in range(first, first + LAYERS_A_SHARD) for name, row in _layer(layer).items()}
        for first in range(0, LAYERS, LAYERS_A_SHARD)
    ]
    shards.append(
        {
            "model.language_model.embed_tokens.weight": ("BF16", (VOCABULARY, HIDDEN)),
            "model.language_model.norm.weight": ("BF16", (HIDDEN,)),
            "lm_head.weight": ("BF16", (VOCABULARY, HIDDEN)),
        }
    )
    _write(like, out, shards, {})


def nvfp4(source: Folder, out: Path, scale: Callable[[str], float]) -> None:
    """What it becomes; ``scale`` gives the global scale of a matrix by its name."""
    that = split(source)
    shards = [shard.rows for shard in that.shards]
    scales = {f"{matrix.name}.{GLOBAL}": scale(matrix.name) for matrix in that.matrices}
    _write(source.folder, out, shards, scales)


def _layer(number: int) -> Rows:
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (HIDDEN,),
        "post_attention_layernorm.weight": (HIDDEN,),
        "mlp.gate.weight": (EXPERTS, HIDDEN),
        "mlp.shared_expert_gate.weight": (1, HIDDEN),
        "mlp.shared_expert.gate_proj.weight": (INTERMEDIATE, HIDDEN),
        "mlp.shared_expert.up_proj.weight": (INTERMEDIATE, HIDDEN),
        "mlp.shared_expert.down_proj.weight": (HIDDEN, INTERMEDIATE),
        "mlp.experts.gate_up_proj": (EXPERTS, 2 * INTERMEDIATE, HIDDEN),
        "mlp.experts.down_proj": (EXPERTS, HIDDEN, INTERMEDIATE),
    }
    if number % 4 == 3:
        shapes |= {
            "self_attn.q_proj.weight": (16 * HEAD * 2, HIDDEN),
            "self_attn.k_proj.weight": (2 * HEAD, HIDDEN),
            "self_attn.v_proj.weight": (2 * HEAD, HIDDEN),
            "self_attn.o_proj.weight": (HIDDEN, 16 * HEAD),
            "self_attn.q_norm.weight": (HEAD,),
            "self_attn.k_norm.weight": (HEAD,),
        }
    else:
        shapes |= {
            "linear_attn.in_proj_qkv.weight": (2 * KEYS + VALUES, HIDDEN),
            "linear_attn.in_proj_z.weight": (VALUES, HIDDEN),
            "linear_attn.in_proj_a.weight": (32, HIDDEN),
            "linear_attn.in_proj_b.weight": (32, HIDDEN),
            "linear_attn.conv1d.weight": (2 * KEYS + VALUES, 1, 4),
            "linear_attn.out_proj.weight": (HIDDEN, VALUES),
            "linear_attn.norm.weight": (128,),
            "linear_attn.A_log": (32,),
            "linear_attn.dt_bias": (32,),
        }
    return {f"model.language_model.layers.{number}.{name}": ("BF16", shape) for name, shape in shapes.items()}


def _write(like: Path, out: Path, shards: list[Rows], scales: dict[str, float]) -> None:
    out.mkdir(parents=True)
    for path in like.iterdir():
        if not path.name.endswith((".safetensors", INDEX)):
            shutil.copyfile(path, out / path.name)
    config: dict[str, Any] = json.loads((out / "config.json").read_text())
    config["text_config"] |= {"num_hidden_layers": LAYERS, "num_experts": EXPERTS}
    (out / "config.json").write_text(json.dumps(config))
    weight_map: dict[str, str] = {}
    for number, rows in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weight_map |= dict.fromkeys(rows, file)
        beginning, places = build(rows)
        with (out / file).open("wb") as stream:
            stream.write(beginning)
            stream.truncate(max(place.end for place in places.values()))
            for name, place in places.items():
                if name in scales:
                    stream.seek(place.start)
                    stream.write(NUMBER.pack(scales[name]))
    (out / INDEX).write_text(json.dumps({"weight_map": weight_map}))
