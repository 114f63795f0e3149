from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoint.quantizer import quantize
from tests.checkpoint.variants import skew

MODEL = Path(__file__).resolve().parents[2] / "images" / "tiny-qwable" / "model"


@pytest.fixture(scope="session")
def bf16() -> Path:
    """tiny-qwable as it is committed."""
    return MODEL


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-qwable in NVFP4A16 as quantizers write it: gate and up with a scale each."""
    out = tmp_path_factory.mktemp("checkpoint") / "written"
    quantize(MODEL, out)
    return out


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In five shards; gate and up of one expert lie in different ones, their scales 3 to 5 × apart."""
    folder = tmp_path_factory.mktemp("checkpoint")
    quantize(MODEL, folder / "even", shards=5)
    skew(folder / "even", folder / "sharded")
    return folder / "sharded"
