"""At the real model's size, 40 layers of 256 experts: what the audit finds, how big quantizing makes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.checkpoint import full_size, quantizer
from thorctl.checkpoint import quantize
from thorctl.checkpoint.audit import audit
from thorctl.checkpoint.modules import Kind
from thorctl.checkpoint.scales import MOST_LOOKED_AT
from thorctl.checkpoint.source import Folder
from thorctl.checkpoint.split import split

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # seconds of arithmetic

GIB = 1 << 30


@pytest.fixture(scope="module")
def source(bf16: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full-size") / "bf16"
    full_size.bf16(bf16, out)
    return out


def test_a_dry_run_foretells_what_a_gpu_held(source: Path) -> None:
    """64.7 and 21.0 GiB: the weights of both in vLLM on a GPU, without vision tower and MTP head."""
    that = split(Folder(source))
    sizes = quantize.sizes(that)
    assert sum(that.source.sizes[path] for path in sizes) / GIB == pytest.approx(64.7, rel=0.01)
    assert sum(sizes.values()) / GIB == pytest.approx(21.0, rel=0.01)
    assert len(that.matrices) == 40 * (256 + 1) * 3 + 10 * 4


def differing(name: str) -> float:
    """Every fourth expert's up has another scale than its gate; layer 7's is the furthest away."""
    if name.endswith("up_proj") and ".experts." in name and int(name.split(".")[-2]) % 4 == 0:
        return 5000.0 if ".layers.7." in name else 9000.0
    return 10000.0


def test_the_audit_counts_all_of_it(source: Path, tmp_path: Path) -> None:
    quantized = tmp_path / "nvfp4"
    full_size.nvfp4(Folder(source), quantized, differing)
    config = json.loads((quantized / "config.json").read_text())
    (quantized / "config.json").write_text(json.dumps(quantizer.configured(config)))
    found = audit(Folder(quantized))
    assert (found.layers, found.experts) == (40, 256)
    table = {row.kind: (row.format, row.modules) for row in found.rows}
    assert table[Kind.ROUTED] == ("NVFP4", 40 * 256 * 3)
    assert table[Kind.SHARED] == ("NVFP4", 40 * 3)
    assert table[Kind.ATTENTION] == ("NVFP4", 10 * 4)
    assert table[Kind.GDN] == ("BF16", 30 * 9)
    (routed,) = (kind for kind in found.fused if kind.kind == "gate/up of a routed expert")
    # All weights of this sparse checkpoint are zero; the pairs that are looked at are found out.
    dead = MOST_LOOKED_AT // 2
    assert (routed.groups, routed.differ, routed.worst_ratio) == (40 * 256, 40 * 64 - dead, 2.0)
    assert routed.worst is not None
    assert ".layers.7." in routed.worst
    assert len(found.off) == 1
