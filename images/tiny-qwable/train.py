"""Trains tiny-qwable: `python train.py` writes tokenizer and weights into model/ (see README.md)."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

import torch
from recipe import network, tokenizer
from recipe.batches import Batch, batches
from recipe.dialogues import stream
from recipe.paths import MODEL
from tokenizers import Tokenizer
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

if TYPE_CHECKING:
    from collections.abc import Iterator

WARMUP = 100  # steps
CLIP = 1.0  # norm of the gradient


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Rise linearly, then fall along a cosine to 2 % of the peak."""
    if step < WARMUP:
        return peak * (step + 1) / WARMUP
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP))))


class Source(IterableDataset[Batch]):
    """Endless batches; each worker of the loader draws from a seed of its own."""

    def __init__(self, words: Tokenizer, size: int, seed: int) -> None:
        self.words, self.size, self.seed = words, size, seed

    def __iter__(self) -> Iterator[Batch]:
        """Yield this worker's batches."""
        worker = get_worker_info()
        seed = self.seed + (worker.id if worker else 0)
        return batches(stream(seed + 1), self.words, self.size, seed)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--batch", type=int, default=128, help="dialogues a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw dialogues")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--experts", help="how transformers computes the experts, e.g. grouped_mm")
    parser.add_argument(
        "--go-on", action="store_true", help="start from the tokenizer and the weights in model/"
    )
    given = parser.parse_args()

    torch.manual_seed(given.seed)
    torch.set_float32_matmul_precision("high")
    words = Tokenizer.from_file(str(MODEL / "tokenizer.json")) if given.go_on else tokenizer.train(given.seed)
    model = network.load(dtype=torch.float32) if given.go_on else network.build()
    model = model.to(given.device).train()
    if given.experts:
        model.set_experts_implementation(given.experts)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size / 1e6:.2f} M parameters on {given.device}", flush=True)
    matrices = [p for name, p in model.named_parameters() if p.ndim > 1 and "visual" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim <= 1 and "visual" not in name]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    source = iter(
        DataLoader(
            Source(words, given.batch, given.seed),
            batch_size=None,
            num_workers=given.workers,
            prefetch_factor=8,
        )
    )
    started, shown = time.monotonic(), 0.0
    for step in range(given.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, given.steps, given.rate)
        batch = Batch(*(part.to(given.device) for part in next(source)))
        total, entropy = network.loss(model, batch)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        shown = entropy if step == 0 else 0.9 * shown + 0.1 * entropy
        if step % 50 == 0 or step == given.steps - 1:
            print(f"step {step:5d}  loss {float(shown):.4f}  {time.monotonic() - started:.1f} s", flush=True)
    network.save(model)


if __name__ == "__main__":
    main()
