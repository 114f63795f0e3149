"""The network: built from model/config.json, its loss, its weights on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, Qwen3_5MoeForConditionalGeneration
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import load_balancing_loss_func

from recipe.batches import IGNORED, Batch
from recipe.paths import MODEL

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = "model.safetensors"


def build() -> Qwen3_5MoeForConditionalGeneration:
    """Make the network in float32 with fresh random weights."""
    config = AutoConfig.from_pretrained(MODEL)
    return Qwen3_5MoeForConditionalGeneration._from_config(config, dtype=torch.float32)


def load(
    directory: Path = MODEL, *, dtype: torch.dtype = torch.bfloat16
) -> Qwen3_5MoeForConditionalGeneration:
    """Make the network with the weights of a directory."""
    network = build().to(dtype)
    network.load_state_dict(load_file(directory / WEIGHTS))
    return network.eval()


def save(network: Qwen3_5MoeForConditionalGeneration) -> None:
    """Write the weights in BF16, in the order of their names, under the names of the real checkpoint."""
    weights = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(dict(sorted(weights.items())), MODEL / WEIGHTS, metadata={"format": "pt"})


def logits(
    network: Qwen3_5MoeForConditionalGeneration, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give logits [n, vocabulary] and labels [n] of the n target tokens, and the experts' balance loss."""
    out = network.model(input_ids=batch.ids, use_cache=False, output_router_logits=True)
    wanted = batch.labels != IGNORED
    text = network.config.text_config
    balance = load_balancing_loss_func(out.router_logits, text.num_experts, text.num_experts_per_tok)
    return network.lm_head(out.last_hidden_state[wanted]), batch.labels[wanted], balance


def loss(network: Qwen3_5MoeForConditionalGeneration, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the loss to descend and, for the log, the cross-entropy alone in nats per token."""
    found, labels, balance = logits(network, batch)
    entropy = cross_entropy(found.float(), labels)
    return entropy + network.config.text_config.router_aux_loss_coef * balance, entropy.detach()
