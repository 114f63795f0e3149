from __future__ import annotations

import math

import pytest

from tests.system.cuda.divergence import divergence


def test_the_same_distributions_do_not_diverge() -> None:
    row = {1: math.log(0.25), 2: math.log(0.75)}
    found = divergence([row, row], [row, row])
    assert (found.positions, found.mean_kl, found.same_top) == (2, 0.0, 1.0)


def test_kl_in_nats_against_the_textbook() -> None:
    reference = {1: math.log(0.5), 2: math.log(0.5)}
    model = {1: math.log(0.9), 2: math.log(0.1)}
    found = divergence([reference], [model])
    assert found.mean_kl == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1))


def test_another_favourite_counts() -> None:
    found = divergence([{1: -0.1, 2: -3.0}, {1: -0.1, 2: -3.0}], [{1: -3.0, 2: -0.1}, {1: -0.1, 2: -3.0}])
    assert found.same_top == 0.5


@pytest.mark.parametrize(("reference", "model"), [([], []), ([{1: 0.0}], [])])
def test_different_positions_are_an_error(
    reference: list[dict[int, float]], model: list[dict[int, float]]
) -> None:
    with pytest.raises(ValueError, match="positions"):
        divergence(reference, model)
