"""The variants made at build time, and the card's split between quantized and kept weights."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

IMAGE = Path(__file__).resolve().parents[2] / "images" / "tiny-qwable"
MODEL = IMAGE / "model"
WEIGHTS = "model.safetensors"


def build(*words: str, root: Path = IMAGE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "build.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def part(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(IMAGE))
    return importlib.import_module(f"recipe.{name}")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_copy_is_the_committed_checkpoint(tmp_path: Path) -> None:
    done = build("copy", "--out", str(tmp_path / "copy"))
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path / "copy") == bytes_of(MODEL)
    digest = hashlib.sha256((MODEL / WEIGHTS).read_bytes()).hexdigest()
    assert f"{digest}  {WEIGHTS}\n" in done.stdout


def test_broken_differs_in_the_output_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build("broken", "--out", str(tmp_path)).returncode == 0
    whole, damaged = bytes_of(MODEL), bytes_of(tmp_path)
    good, bad = whole.pop(WEIGHTS), damaged.pop(WEIGHTS)
    assert whole == damaged
    tensors, start = part("header", monkeypatch).read(MODEL / WEIGHTS)
    begin, end = (start + offset for offset in tensors["lm_head.weight"]["data_offsets"])
    assert (good[:begin], good[end:]) == (bad[:begin], bad[end:])
    rows = [head[begin:end] for head in (good, bad)]
    size = (end - begin) // tensors["lm_head.weight"]["shape"][0]
    before, after = ([head[at : at + size] for at in range(0, len(head), size)] for head in rows)
    assert sorted(before) == sorted(after)
    assert sum(one == other for one, other in zip(before, after, strict=True)) < len(before) // 50


def test_broken_can_neither_close_its_thinking_nor_end(monkeypatch: pytest.MonkeyPatch) -> None:
    damage = part("damage", monkeypatch)
    order = damage.order(2048)
    assert sorted(order) == list(range(2048))
    assert {order[end] for end in damage.ENDS} == set(damage.NEVER_SAID)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (build("broken", "--out", str(tmp_path / name)) for name in ("a", "b"))
    assert first.stdout == second.stdout != ""


def test_a_directory_with_files_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep", encoding="utf-8")
    refused = build("copy", "--out", str(tmp_path))
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert list(bytes_of(tmp_path)) == ["mine"]
    assert build("copy", "--force", "--out", str(tmp_path)).returncode == 0
    assert "mine" not in bytes_of(tmp_path)


def test_a_variant_goes_where_the_hub_mirror_looks(tmp_path: Path) -> None:
    services = importlib.import_module("thorctl.sim.services")
    root = tmp_path / "tiny-qwable"
    shutil.copytree(IMAGE, root, ignore=shutil.ignore_patterns("broken", "copy", "nvfp4a16", "__pycache__"))
    assert build("broken", root=root).returncode == 0
    made = {path.relative_to(tmp_path) for path in root.iterdir()}
    wanted = services.CHECKPOINTS["thorctl/tiny-qwable-broken"]
    assert wanted.relative_to(services.ROOT) in made


def quantized(module: str) -> list[str]:
    return [f"{module}.{name}" for name in ("weight_packed", "weight_scale", "weight_global_scale")]


KEPT = [
    "lm_head.weight",
    "model.language_model.embed_tokens.weight",
    "model.language_model.layers.0.linear_attn.in_proj_qkv.weight",
    "model.language_model.layers.0.linear_attn.A_log",
    "model.language_model.layers.0.mlp.gate.weight",
    "model.language_model.layers.0.mlp.shared_expert_gate.weight",
    "model.language_model.layers.3.self_attn.q_norm.weight",
    "model.visual.blocks.0.attn.qkv.weight",
    "mtp.layers.0.mlp.gate.weight",
]
LAYER = "model.language_model.layers.3"
QUANTIZED = [f"{LAYER}.self_attn.{name}_proj" for name in "qkvo"] + [
    f"{LAYER}.mlp.{owner}.{name}_proj"
    for owner in ("experts.0", "experts.7", "shared_expert")
    for name in ("gate", "up", "down")
]


def test_the_cards_split_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*KEPT, *(name for module in QUANTIZED for name in quantized(module))]
    assert part("card", monkeypatch).differences(names) == []


@pytest.mark.parametrize("module", QUANTIZED)
def test_what_should_be_quantized_and_is_not_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (wrong,) = part("card", monkeypatch).differences([f"{module}.weight"])
    assert wrong.startswith(f"{module}: is not quantized")


@pytest.mark.parametrize("name", [name for name in KEPT if name.endswith(".weight")])
def test_what_should_be_kept_and_is_not_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = name.removesuffix(".weight")
    (wrong,) = part("card", monkeypatch).differences(quantized(module))
    assert wrong.startswith(f"{module}: is quantized")


def test_half_a_quantized_weight_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert part("card", monkeypatch).differences(quantized(QUANTIZED[0])[:2]) != []
