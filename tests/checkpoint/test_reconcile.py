"""Repair and headers, on made matrices: what is kept bit for bit, what gets better, what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from thorctl.checkpoint import headers, inventory, nvfp4, repair, scales
from thorctl.checkpoint.inventory import INDEX
from thorctl.checkpoint.modules import gather
from thorctl.checkpoint.reconcile import Matrix, reconcile
from thorctl.checkpoint.source import Folder
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from pathlib import Path

EXPERT = "model.language_model.layers.0.mlp.experts.0"
SHAPE = (32, 64)


def _parts(name: str, scale: float, seed: int) -> dict[str, npt.NDArray[Any]]:
    dice = np.random.default_rng(seed)
    blocks = dice.uniform(16, 448, (SHAPE[0], SHAPE[1] // 16)).astype(np.float32)
    return {
        f"{name}.weight_packed": dice.integers(0, 256, (SHAPE[0], SHAPE[1] // 2), dtype=np.uint8),
        f"{name}.weight_scale": blocks.astype(ml_dtypes.float8_e4m3fn),
        f"{name}.weight_global_scale": np.array([scale], dtype=np.float32),
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """One expert; gate's scale is four times up's and a bit, and up lies in another shard."""
    folder = tmp_path / "original"
    folder.mkdir()
    shards = {
        "a.safetensors": _parts(f"{EXPERT}.gate_proj", 4300.0, 1),
        "b.safetensors": _parts(f"{EXPERT}.up_proj", 1000.0, 2) | _parts(f"{EXPERT}.down_proj", 700.0, 3),
    }
    for shard, rows in shards.items():
        save_file(rows, folder / shard)
    weight_map = {name: shard for shard, rows in shards.items() for name in rows}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    config = {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "text_config": {"num_hidden_layers": 1, "num_experts": 1},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pair_in_two_shards_is_mended_and_the_original_is_not_written(
    checkpoint: Path, tmp_path: Path
) -> None:
    original = _contents(checkpoint)
    done = repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "new")

    assert (done.groups, done.repaired) == (1, 1)
    # vLLM reads up with gate's scale, 4.3 times too small: its own error is 1 - 1/4.3.
    assert 0.7 < done.before.relative < 1 - 1 / 4.3
    assert done.after.relative < 0.04
    assert _contents(checkpoint) == original
    (group,) = _groups(tmp_path / "new")
    assert not group.differ
    for shard in ("a.safetensors", "b.safetensors"):
        where = headers.parse(*_header(original[shard]), shard)
        found = (tmp_path / "new" / shard).read_bytes()
        for tensor in where.values():
            if tensor.name.endswith("packed") or "down_proj" in tensor.name:
                span = slice(tensor.start, tensor.end)
                assert found[span] == original[shard][span]
    with pytest.raises(ThorError, match="agree") as raised:
        repair.opened(Folder(tmp_path / "new"))
    assert raised.value.code == "nothing_to_repair"


def test_a_run_cut_off_before_its_second_shard_goes_on_and_ends_the_same(
    checkpoint: Path, tmp_path: Path
) -> None:
    repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "whole" / "new")

    def cut(what: str, _done: int, _total: int) -> None:
        if what == "reading back b.safetensors":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "new", cut)
    assert not (tmp_path / "new").exists()
    done = repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "new")

    assert done.resumed == 1
    assert _contents(tmp_path / "new") == _contents(tmp_path / "whole" / "new")


def test_a_finished_file_that_is_gone_is_made_again(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "LICENSE").write_text("anyone may\n")
    repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "whole" / "new")

    def cut(what: str, _done: int, _total: int) -> None:
        if what == "reading back b.safetensors":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "new", cut)
    (tmp_path / ".new.partial" / "LICENSE").unlink()
    done = repair.repair(repair.opened(Folder(checkpoint)), tmp_path / "new")

    assert done.resumed == 1
    assert _contents(tmp_path / "new") == _contents(tmp_path / "whole" / "new")


def test_a_power_of_two_apart_is_exact() -> None:
    dice = np.random.default_rng(4)
    blocks = dice.uniform(16, 448, 64).astype(ml_dtypes.float8_e4m3fn).astype(np.float64)
    squares = np.full(64, 9.0)
    found = reconcile([Matrix(blocks, squares, 4000.0), Matrix(blocks, squares, 1000.0)])
    assert found.error == 0
    assert found.global_scale == 1000
    assert nvfp4.scales(found.block_scales[0]) == pytest.approx(blocks / 4)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_or_a_damaged_file(content: bytes) -> None:
    try:
        headers.parse(content, 8 + len(content), "x")
    except ThorError as error:
        assert error.code == "checkpoint_damaged"  # noqa: PT017 - a header may be right as well


def _header(content: bytes) -> tuple[bytes, int]:
    length = headers.header_length(content, len(content), "x")
    return content[8 : 8 + length], len(content)


def _groups(folder: Path) -> list[scales.Group]:
    source = Folder(folder)
    found = inventory.read(source)
    modules = gather(found.tensors.values())
    return scales.groups(modules.values(), scales.read(source, found, modules, lambda *_: None))
