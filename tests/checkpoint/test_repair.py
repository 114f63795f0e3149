"""A repair makes scales agree, changes nothing else, and survives being killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checkpoint.variants import dequantize
from tests.support.doubles.command_line import Done, thorctl
from thorctl.checkpoint import inventory, nvfp4, repair
from thorctl.checkpoint.audit import audit
from thorctl.checkpoint.manifest import NAME, load
from thorctl.checkpoint.modules import GLOBAL, SCALE
from thorctl.checkpoint.reconcile import Matrix, reconcile
from thorctl.checkpoint.source import Folder
from thorctl.errors import ThorError


def repaired(original: Path, out: Path) -> repair.Repaired:
    return repair.repair(repair.opened(Folder(original)), out)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def weights(folder: Path) -> dict[str, bytes]:
    """Every tensor's bytes, by name."""
    source = Folder(folder)
    found = inventory.read(source)
    return {n: source.read(found.shard_of[n], t.start, t.bytes) for n, t in found.tensors.items()}


@pytest.mark.parametrize("which", ["written", "sharded"])
def test_the_result_passes_and_only_scales_have_changed(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    original: Path = request.getfixturevalue(which)
    before = content(original)
    done = repaired(original, tmp_path / "out")
    assert audit(Folder(tmp_path / "out")).off == ()
    assert content(original) == before
    old, new = weights(original), weights(tmp_path / "out")
    different = {name for name in old if old[name] != new[name]}
    assert different
    assert all(name.rpartition(".")[2] in {SCALE, GLOBAL} for name in different)
    assert all(".mlp.experts." in name or ".shared_expert." in name for name in different)
    assert done.after.relative < done.before.relative
    assert done.after.worst < 1 / 16  # FP8 has three bits behind the leading one


def test_the_error_is_that_of_the_dequantized_weights(sharded: Path, tmp_path: Path) -> None:
    """The report's figure against every weight written out, meant and as repaired."""
    done = repaired(sharded, tmp_path / "out")
    dequantize(sharded, tmp_path / "meant")
    meant = weights(tmp_path / "meant")
    error = total = 0.0
    made = Folder(tmp_path / "out")
    found = inventory.read(made)
    for name in meant:
        stem = name.removesuffix(".weight")
        if not stem.endswith(("gate_proj", "up_proj")):
            continue

        def part(which: str, stem: str = stem) -> bytes:
            tensor = found.tensors[f"{stem}.{which}"]
            return made.read(found.shard_of[tensor.name], tensor.start, tensor.bytes)

        scale = float(np.frombuffer(part(GLOBAL), np.float32)[0])
        now = nvfp4.weights(part("weight_packed"), nvfp4.scales(part(SCALE)), scale)
        then = np.frombuffer(meant[name], np.uint16).astype(np.uint32) << 16  # BF16 is the upper half of FP32
        wanted = then.view(np.float32).astype(np.float64)
        error += float(((now - wanted) ** 2).sum())
        total += float((wanted**2).sum())
    # Up to the rounding of the meant weights to BF16.
    assert (error / total) ** 0.5 == pytest.approx(done.after.relative, abs=2e-3)


def test_the_manifest_holds_every_file(written: Path, tmp_path: Path) -> None:
    repaired(written, tmp_path / "out")
    found = load(tmp_path / "out")
    assert found is not None
    assert {file.path for file in found.files} == {path.name for path in (tmp_path / "out").iterdir()} - {
        NAME
    }
    assert found.name == "out"
    sums = subprocess.run(
        ["sha256sum", *sorted(file.path for file in found.files)],
        cwd=tmp_path / "out", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert {line.split()[1]: line.split()[0] for line in sums.splitlines()} == {
        f.path: f.sha256 for f in found.files
    }


def test_twice_gives_the_same_bytes(sharded: Path, tmp_path: Path) -> None:
    repaired(sharded, tmp_path / "a" / "out")
    repaired(sharded, tmp_path / "b" / "out")
    assert content(tmp_path / "a" / "out") == content(tmp_path / "b" / "out")


def killed(original: Path, out: Path, steps: int) -> None:
    """Repair in a process that is killed after so many reports of its progress."""
    if not (child := os.fork()):
        left = steps

        def progress(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            repair.repair(repair.opened(Folder(original)), out, progress)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.fixture(scope="module")
def whole(
    sharded: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[repair.Repaired, dict[str, bytes]]:
    """What an uninterrupted repair says and writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return repaired(sharded, out), content(out)


@pytest.mark.parametrize("steps", [0, 1, 5, 9, 14, 17, 20])
def test_killed_at_any_step_and_started_again(
    sharded: Path, whole: tuple[repair.Repaired, dict[str, bytes]], tmp_path: Path, steps: int
) -> None:
    killed(sharded, tmp_path / "out", steps)
    assert not (tmp_path / "out").exists()
    done = repaired(sharded, tmp_path / "out")
    assert (done.resumed > 0) == (steps >= 5)
    assert content(tmp_path / "out") == whole[1]
    assert done.after == whole[0].after


def test_an_original_that_changed_meanwhile(sharded: Path, tmp_path: Path) -> None:
    original = tmp_path / "original"
    shutil.copytree(sharded, original)
    killed(original, tmp_path / "out", 9)
    os.utime(original / "config.json", (1, 1))
    with pytest.raises(ThorError) as caught:
        repaired(original, tmp_path / "out")
    assert caught.value.code == "source_changed"


def test_refusals(written: Path, bf16: Path, tmp_path: Path) -> None:
    with pytest.raises(ThorError, match="agree") as caught:
        repair.opened(Folder(bf16))
    assert caught.value.code == "nothing_to_repair"
    with pytest.raises(ThorError) as caught:
        repaired(written, tmp_path)
    assert caught.value.code == "out_exists"


def test_a_full_disk_is_refused_before_the_first_byte(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ThorError) as caught:
        repaired(written, tmp_path / "out")
    assert caught.value.code == "disk_too_small"
    assert list(tmp_path.iterdir()) == []


def test_the_command(written: Path, tmp_path: Path) -> None:
    def run(*words: str) -> Done:
        return thorctl("--json", "checkpoint", *words)

    assert run("audit", str(written)).returncode == 0  # a repair can wait
    out = str(tmp_path / "out")
    assert (
        json.loads(run("repair", str(written), "--out", out, "--dry-run").stdout)["data"]["written"] is False
    )
    assert not Path(out).exists()
    data = json.loads(run("repair", str(written), "--out", out).stdout)["data"]
    assert data["error_after"] < data["error_before"]
    assert run("audit", out).returncode == 0
    assert (
        json.loads(run("repair", out, "--out", f"{out}2").stdout)["errors"][0]["code"] == "nothing_to_repair"
    )


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e6), st.integers(0, 2**32 - 1)), min_size=2, max_size=3),
)
def test_reconciled_scales_never_overflow_and_powers_of_two_are_exact(drawn: list[tuple[float, int]]) -> None:
    members = []
    for scale, seed in drawn:
        dice = np.random.default_rng(seed)
        raw = nvfp4.scales(dice.integers(0x38, 0x7F, 8, dtype=np.uint8).tobytes())  # 1 to 448
        members.append(Matrix(raw, dice.random(8) + 0.1, float(np.float32(scale))))
    found = reconcile(members)
    assert found.global_scale <= min(member.global_scale for member in members)
    assert all(np.isfinite(nvfp4.scales(made.tobytes())).all() for made in found.block_scales)
    first = members[0]
    exact = reconcile([first, Matrix(first.block_scales, first.block_squares, first.global_scale * 2)])
    assert exact.error == pytest.approx(0, abs=1e-12)
