"""Quantizing by real llm-compressor: its bytes, one scale for what is fused, twice the same."""

from __future__ import annotations

import json
import math
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.checkpoint import sources
from tests.sim.test_hub_tree import served
from tests.support.doubles.command_line import thorctl
from thorctl.checkpoint import hub_tree, inventory, nvfp4, repair
from thorctl.checkpoint.audit import Verdict, audit
from thorctl.checkpoint.manifest import NAME, load
from thorctl.checkpoint.modules import GLOBAL, NVFP4, PACKED, PARTS, SCALE, Kind
from thorctl.checkpoint.source import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.checkpoint.conftest import Made


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def raw(folder: Path) -> dict[str, bytes]:
    """Every tensor's bytes, by name."""
    source = Folder(folder)
    found = inventory.read(source)
    return {n: source.read(found.shard_of[n], t.start, t.bytes) for n, t in found.tensors.items()}


def pairs(rows: dict[str, bytes]) -> set[str]:
    """Names of the parts of all experts' gate and up."""
    return {
        name
        for name in rows
        if name.rpartition(".")[2] in PARTS
        and name.rsplit(".", 2)[1] in {"gate_proj", "up_proj"}
        and "expert" in name
    }


def error(folder: Path, bf16: Path) -> float:
    """Relative, of experts' gate and up against BF16, read with the gate's global scale as vLLM does."""
    rows = raw(folder)
    wanted = gate_up(bf16)
    wrong = total = 0.0
    for module, meant in wanted.items():
        scale = rows[f"{module.replace('up_proj', 'gate_proj')}.{GLOBAL}"]
        whole = float(np.frombuffer(scale, np.float32)[0])
        read = nvfp4.weights(rows[f"{module}.{PACKED}"], nvfp4.scales(rows[f"{module}.{SCALE}"]), whole)
        wrong += float(((read - meant) ** 2).sum())
        total += float((meant**2).sum())
    return math.sqrt(wrong / total)


def gate_up(bf16: Path) -> dict[str, nvfp4.Floats]:
    found = {}
    for name, value in sources.tensors(bf16).items():
        stem, _, last = name.removesuffix(".weight").rpartition(".")
        if last == "gate_up_proj":
            for expert, both in enumerate(value.astype(np.float64)):
                gate, up = np.split(both, 2)
                found[f"{stem}.{expert}.gate_proj"] = gate.ravel()
                found[f"{stem}.{expert}.up_proj"] = up.ravel()
        elif stem.endswith("shared_expert") and last in {"gate_proj", "up_proj"}:
            found[f"{stem}.{last}"] = value.astype(np.float64).ravel()
    return found


@pytest.mark.parametrize("name", ["plain", "skewed", "in_pieces"])
def test_the_result_passes_the_audit(made: Made, name: str) -> None:
    found = audit(Folder(made.quantized(name)))
    assert found.off == ()
    assert found.quantized
    assert {kind.kind: kind.differ for kind in found.fused} == {
        "gate/up of a routed expert": 0,
        "gate/up of a shared expert": 0,
        "q/k/v of an attention layer": 0,
    }
    assert {row.kind for row in found.rows if row.format == NVFP4} == {
        Kind.ROUTED, Kind.SHARED, Kind.ATTENTION,
    }  # fmt: skip


def test_all_but_the_pairs_is_what_llm_compressor_writes(made: Made) -> None:
    ours, theirs = made.quantized("plain"), made.as_written(made.source("plain"))
    left, right = raw(ours), raw(theirs)
    assert set(left) == set(right)
    different = {name for name in left if left[name] != right[name]}
    assert different
    assert different <= pairs(left)
    # The scales of its pairs differ: what all this is for.
    assert audit(Folder(theirs)).verdict in {Verdict.REPAIR_LATER, Verdict.REPAIR_FIRST}
    key = "quantization_config"
    configs = [json.loads((folder / "config.json").read_text())[key] for folder in (ours, theirs)]
    assert configs[0] == configs[1]


def test_the_pairs_are_what_llm_compressor_writes_where_it_knows_them_as_fused(
    made: Made, tmp_path: Path
) -> None:
    names = sources.dense(made.source("skewed"), tmp_path / "dense")
    theirs, ours = raw(made.as_written(tmp_path / "dense")), raw(made.quantized("skewed"))
    assert len(theirs) == len(names) * 2 * 3 == len(pairs(ours))
    for number, name in enumerate(names):
        for half in ("gate_proj", "up_proj"):
            for part in PARTS:
                assert ours[f"{name}.{half}.{part}"] == theirs[f"model.layers.{number}.mlp.{half}.{part}"]


def test_files_and_layout_of_the_source_do_not_change_a_weight(made: Made) -> None:
    """Pairs parted by files, an expert a tensor: the same numbers; the MTP head as llm-compressor does."""
    whole, pieces = raw(made.quantized("plain")), raw(made.quantized("in_pieces"))
    assert {name: pieces[name] for name in whole} == whole
    theirs = raw(made.as_written(made.source("in_pieces")))
    head = {name for name in pieces if name.startswith("mtp.")}
    assert head == set(pieces) - set(whole) == {name for name in theirs if name.startswith("mtp.")}
    assert "mtp.layers.0.mlp.experts.7.up_proj.weight" in head
    assert all(pieces[name] == theirs[name] for name in head)


@pytest.mark.parametrize("name", ["plain", "skewed"])
def test_better_than_repairing_afterwards(made: Made, tmp_path: Path, name: str) -> None:
    source = made.source(name)
    written = made.as_written(source)
    repair.repair(repair.opened(Folder(written)), tmp_path / "repaired")
    errors = {
        which: error(folder, source)
        for which, folder in {
            "written": written, "repaired": tmp_path / "repaired", "quantized": made.quantized(name),
        }.items()
    }  # fmt: skip
    assert errors["quantized"] < errors["repaired"] < errors["written"], errors
    manifest = load(made.quantized(name))
    assert manifest is not None
    assert errors["quantized"] == pytest.approx(
        manifest.figures["error"], rel=0.02
    )  # that is of all matrices


def test_the_manifest_holds_every_file_and_the_tools(made: Made) -> None:
    folder = made.quantized("plain")
    found = load(folder)
    assert found is not None
    assert {file.path for file in found.files} == {path.name for path in folder.iterdir()} - {NAME}
    assert set(found.tools) == {"llmcompressor", "compressed-tensors", "torch", "device"}
    sums = subprocess.run(
        ["sha256sum", *(file.path for file in found.files)],
        cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    assert [line.split()[0] for line in sums.splitlines()] == [file.sha256 for file in found.files]
    assert found.origin.files["config.json"] != {f.path: f.sha256 for f in found.files}["config.json"]


def test_a_dry_run_foretells_the_sizes(made: Made, tmp_path: Path) -> None:
    source = made.source("in_pieces")
    data = made.run("quantize", str(source), "--out", str(tmp_path / "out"), "--dry-run")["data"]
    assert not (tmp_path / "out").exists()
    shards = sum(path.stat().st_size for path in made.quantized("in_pieces").glob("*.safetensors"))
    rest = sum(path.stat().st_size for path in source.iterdir() if path.suffix != ".safetensors")
    assert data["bytes_after"] == shards + rest
    assert {row["kind"] for row in data["rows"] if row["format"] == NVFP4} == {
        "routed",
        "shared",
        "attention",
    }


def test_a_dry_run_reads_a_hub_by_ranges_alone_and_needs_no_extra(bf16: Path, tmp_path: Path) -> None:
    hub_tree.publish(tmp_path / "hub", "thorctl/tiny", bf16)
    with served(tmp_path / "nginx", tmp_path / "hub") as address:
        words = ["thorctl/tiny", "--endpoint", address, "--out", str(tmp_path / "out")]
        data = here("quantize", *words, "--dry-run")["data"]
        refused = here("quantize", *words)["errors"][0]
    assert data["bytes_after"] < data["bytes_before"] * 0.6
    asked = (tmp_path / "nginx" / "access").read_text().splitlines()
    weights = [line for line in asked if line.endswith(".safetensors")]
    assert weights
    assert all(" 206 " in line for line in weights)
    assert refused["code"] == "source_not_local"
    assert "hf download" in refused["remedy"]


def here(*words: str) -> dict[str, Any]:
    """`thorctl --json checkpoint …` in this environment, which has no llm-compressor."""
    answer: dict[str, Any] = json.loads(thorctl("--json", "checkpoint", *words).stdout)
    return answer


def test_without_the_extra_the_remedy_is_named(bf16: Path, tmp_path: Path) -> None:
    found = here("quantize", str(bf16), "--out", str(tmp_path / "out"))["errors"][0]
    assert found["code"] == "quantize_missing"
    assert "pip install --editable '.[quantize]'" in found["remedy"]
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from thorctl.checkpoint import quantize
from thorctl.checkpoint.llm_compressor import LlmCompressor
from thorctl.checkpoint.source import Folder
from thorctl.checkpoint.split import split
def progress(step, done, total):
    if step.startswith("quantizing") and done > float(sys.argv[3]) * total:
        os.kill(os.getpid(), signal.SIGKILL)
quantize.quantize(split(Folder(Path(sys.argv[1]))), Path(sys.argv[2]), LlmCompressor("cpu"), progress)
"""


@pytest.mark.parametrize(("share", "finished"), [pytest.param(0.1, 3, marks=pytest.mark.long), (0.6, 5)])
def test_killed_in_the_middle_of_a_file_and_started_again(
    made: Made, tmp_path: Path, share: float, finished: int
) -> None:
    """Three processes, the same bytes: one never interrupted, one killed, one that continues it."""
    source, out = made.source("in_pieces"), tmp_path / "in_pieces"
    python = made.thorctl.with_name("python")
    killed = subprocess.run([python, "-c", KILLED, source, out, str(share)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    data = made.run("quantize", str(source), "--out", str(out))["data"]
    assert data["resumed_files"] == finished  # three small ones come first; at 60 % two shards are done too
    assert content(out) == content(made.quantized("in_pieces"))


def test_memory_holds_one_group_and_not_one_file(made: Made, tmp_path: Path) -> None:
    """The real model's largest group, beside 2 GiB that are only copied: 67 GB take no more."""
    sources.large(made.source("plain"), tmp_path / "source", 2 << 30)
    data = made.run("quantize", str(tmp_path / "source"), "--out", str(tmp_path / "large"))["data"]
    assert data["bytes_before"] > 2 << 30
    assert data["peak_memory_bytes"] < 2 << 30
