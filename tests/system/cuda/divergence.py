"""How far two sets of next-token distributions are from each other. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

Distribution = dict[int, float]
"""Token id to log-probability, the whole vocabulary."""

MISSING = -60.0  # nats; a token that the server left out for its probability of zero


@dataclass(frozen=True, slots=True)
class Divergence:
    """Of one model from a reference, over all scored positions."""

    positions: int
    mean_kl: float  # nats, KL(reference || model)
    same_top: float  # share of positions with the same most likely token


def divergence(reference: list[Distribution], model: list[Distribution]) -> Divergence:
    """Compares position by position.

    Raises:
        ValueError: the two do not have the same positions, or there are none.
    """
    if len(reference) != len(model) or not reference:
        raise ValueError(f"{len(reference)} positions of the reference, {len(model)} of the model")
    kls = [_kl(p, q) for p, q in zip(reference, model, strict=True)]
    same = sum(
        max(p, key=p.__getitem__) == max(q, key=q.__getitem__) for p, q in zip(reference, model, strict=True)
    )
    return Divergence(len(kls), sum(kls) / len(kls), same / len(kls))


def _kl(reference: Distribution, model: Distribution) -> float:
    return sum(math.exp(logp) * (logp - model.get(token, MISSING)) for token, logp in reference.items())
