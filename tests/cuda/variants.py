"""``python -m tests.cuda.variants NVFP4A16-DIR OUT``: the checkpoints that `tests.cuda.marlin` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.checkpoint.variants import dequantize, skew
from thorctl.checkpoint import repair
from thorctl.checkpoint.source import Folder


def main() -> None:
    """Meant weights, as written and repaired; and the same with scales three to five times apart."""
    original, out = Path(sys.argv[1]), Path(sys.argv[2])
    skew(original, out / "skewed")
    for name, folder in (("natural", original), ("skewed", out / "skewed")):
        dequantize(folder, out / f"{name}-meant")
        done = repair.repair(repair.opened(Folder(folder)), out / f"{name}-repaired")
        print(  # noqa: T201 - a program of its own
            f"{name}: {done.mended} of {done.groups} groups, scales up to {done.worst_ratio:.3g} × apart; "
            f"relative error as vLLM reads the weights: {done.before.relative:.2%} before, "
            f"{done.after.relative:.2%} after "
            f"(worst group {done.before.worst:.1%}, {done.after.worst:.1%})"
        )


if __name__ == "__main__":
    main()
