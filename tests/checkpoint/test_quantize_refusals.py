"""What quantizing refuses, before and after the quantizer was asked; nothing half looks whole."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from tests.checkpoint import quantizer, sources
from thorctl.checkpoint import nvfp4
from thorctl.checkpoint.modules import GLOBAL, PACKED, SCALE
from thorctl.checkpoint.partial import Partial
from thorctl.checkpoint.quantize import quantize
from thorctl.checkpoint.scales import NUMBER
from thorctl.checkpoint.source import Folder
from thorctl.checkpoint.split import split
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thorctl.checkpoint.split import Matrix

EXPERTS = "model.language_model.layers.0.mlp.experts"


class Misbehaving:
    """A quantizer that answers as ``change`` makes it of a right answer's parts."""

    tools = {"misbehaving": "1"}  # noqa: RUF012 - as the protocol says

    def __init__(self, change: Callable[[int, dict[str, bytes]], None] = lambda *_: None) -> None:
        self._change = change

    def quantize(self, group: Sequence[Matrix], content: Sequence[bytes]) -> list[dict[str, bytes]]:
        values = [nvfp4.bf16(raw).reshape(m.shape) for m, raw in zip(group, content, strict=True)]
        scale = nvfp4.E4M3_MAX * 6 / max(float(np.abs(value).max()) for value in values)
        answer = []
        for number, value in enumerate(values):
            parts = {
                name.rpartition(".")[2]: found.tobytes()
                for name, found in quantizer.matrix("m", value, scale).items()
            }
            self._change(number, parts)
            answer.append(parts)
        return answer

    def configured(self, config: dict[str, Any]) -> str:
        return json.dumps(quantizer.configured(config))


def test_the_double_is_right_unless_told_otherwise(bf16: Path, tmp_path: Path) -> None:
    done = quantize(split(Folder(bf16)), tmp_path / "out", Misbehaving())
    assert done.error.relative < 0.1


def other_scale(number: int, parts: dict[str, bytes]) -> None:
    if number == 1:
        parts[GLOBAL] = NUMBER.pack(NUMBER.unpack(parts[GLOBAL])[0] * 2)


def other_nibbles(_: int, parts: dict[str, bytes]) -> None:
    parts[PACKED] = bytes((byte >> 4) | (byte & 15) << 4 for byte in parts[PACKED])


def no_numbers(_: int, parts: dict[str, bytes]) -> None:
    parts[SCALE] = b"\x7f" * len(parts[SCALE])  # NaN


def too_short(_: int, parts: dict[str, bytes]) -> None:
    parts[PACKED], parts[SCALE] = parts[PACKED][:-8], parts[SCALE][:-1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_scale, "have different global scales"),
        (other_nibbles, "differs too much from its source"),
        (no_numbers, "differs too much from its source"),
        (too_short, "bytes, not"),
    ],
)
def test_a_quantizer_that_answers_nonsense(
    bf16: Path, tmp_path: Path, change: Callable[[int, dict[str, bytes]], None], sentence: str
) -> None:
    with pytest.raises(ThorError, match=sentence) as caught:
        quantize(split(Folder(bf16)), tmp_path / "out", Misbehaving(change))
    assert caught.value.code == "result_unverified"
    assert not (tmp_path / "out").exists()


def lost(rows: dict[str, sources.Array]) -> None:
    del rows[f"{EXPERTS}.down_proj"]


def no_key(rows: dict[str, sources.Array]) -> None:
    del rows["model.language_model.layers.3.self_attn.k_proj.weight"]


def odd_width(rows: dict[str, sources.Array]) -> None:
    name = "model.language_model.layers.3.self_attn.o_proj.weight"
    rows[name] = np.ascontiguousarray(rows[name][:, :-8])


def full_precision(rows: dict[str, sources.Array]) -> None:
    name = f"{EXPERTS}.gate_up_proj"
    rows[name] = rows[name].astype(np.float32)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lost, "experts are not whole|fused expert tensors"),
        (no_key, "there is no .*k_proj.weight"),
        (odd_width, "is not a matrix of blocks of 16"),
        (full_precision, "is not BF16"),
    ],
)
def test_a_source_that_is_not_whole(
    bf16: Path, tmp_path: Path, change: Callable[[dict[str, sources.Array]], None], sentence: str
) -> None:
    rows = sources.tensors(bf16)
    change(rows)
    sources.write(bf16, tmp_path / "source", rows)
    with pytest.raises(ThorError, match=sentence) as caught:
        split(Folder(tmp_path / "source"))
    assert caught.value.code == "source_off"


def test_a_source_that_is_quantized(written: Path) -> None:
    with pytest.raises(ThorError) as caught:
        split(Folder(written))
    assert caught.value.code == "source_quantized"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(bf16: Path, tmp_path: Path, value: float) -> None:
    rows = sources.tensors(bf16)
    rows[f"{EXPERTS}.gate_up_proj"] = rows[f"{EXPERTS}.gate_up_proj"].copy()
    rows[f"{EXPERTS}.gate_up_proj"][5, 3, 7] = ml_dtypes.bfloat16(value)
    sources.write(bf16, tmp_path / "source", rows)
    with pytest.raises(ThorError, match=r"experts\.5\.gate_proj that are not finite numbers") as caught:
        quantize(split(Folder(tmp_path / "source")), tmp_path / "out", Misbehaving())
    assert caught.value.code == "checkpoint_damaged"


def test_where_it_may_not_write(bf16: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(bf16, source)
    that = split(Folder(source))
    for out, code in ((source / "out", "out_in_source"), (tmp_path, "out_exists")):
        with pytest.raises(ThorError) as caught:
            quantize(that, out, Misbehaving())
        assert caught.value.code == code
    busy = Partial(Folder(source), tmp_path / "out", 0, {})
    with busy, pytest.raises(ThorError) as caught:
        quantize(that, tmp_path / "out", Misbehaving())
    assert caught.value.code == "out_busy"


def test_an_unfinished_run_of_another_version(bf16: Path, tmp_path: Path) -> None:
    with Partial(Folder(bf16), tmp_path / "out", 0, {"misbehaving": "0"}):
        pass
    with pytest.raises(ThorError) as caught:
        quantize(split(Folder(bf16)), tmp_path / "out", Misbehaving())
    assert caught.value.code == "source_changed"
