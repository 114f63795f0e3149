"""The checkpoints that `tests.system.cuda.marlin` compares.

    python -m tests.system.cuda.variants OUT [BF16-DIR]

Runs in the environment that `scripts/quantize-env` makes: real llm-compressor, on the CPU.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.checkpoint import sources
from tests.checkpoint.variants import dequantize
from thorctl.checkpoint import quantize, repair
from thorctl.checkpoint.llm_compressor import LlmCompressor
from thorctl.checkpoint.source import Folder
from thorctl.checkpoint.split import IGNORE, SCHEME, split

MODEL = Path(__file__).resolve().parents[3] / "images" / "tiny-qwable" / "model"


def main() -> None:
    """The model in BF16, quantized in each way; and the same with gate and up three to five times apart."""
    out, model = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else MODEL
    shutil.copytree(model, out / "bf16")
    sources.skewed(model, out / "skewed-bf16")
    quantizer = LlmCompressor("cpu")
    for name in ("", "skewed-"):
        bf16, written = out / f"{name}bf16", out / f"{name}as-written"
        _as_written(bf16, written)
        dequantize(written, out / f"{name}meant")
        mended = repair.repair(repair.opened(Folder(written)), out / f"{name}repaired")
        quantized = quantize.quantize(split(Folder(bf16)), out / f"{name}quantized", quantizer)
        print(  # noqa: T201 - a program of its own
            f"{name}as-written: scales up to {mended.worst_ratio:.3g} × apart; relative error of the weights "
            f"as vLLM reads them: {mended.before.relative:.2%}, repaired {mended.after.relative:.2%}"
            f"\n{name}quantized: relative error against BF16 {quantized.error.relative:.2%}"
        )


def _as_written(source: Path, out: Path) -> None:
    from llmcompressor import model_free_ptq

    model_free_ptq(source, out, scheme=SCHEME, ignore=IGNORE, max_workers=1, device="cpu")


if __name__ == "__main__":
    os.environ.setdefault("LLM_COMPRESSOR_LOG_DISABLED", "true")
    main()
