"""Makes checkpoints of tiny-qwable: `python build.py copy|broken|nvfp4a16 [--out DIRECTORY] [--force]`.

copy and broken need nothing but Python; nvfp4a16 needs the environment of `make venv`.
The same bytes come out each time.
Without --out a variant goes where the simulation's hub mirror looks for it: images/tiny-qwable/<variant>.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from recipe import card, damage, header
from recipe.paths import HERE, MODEL

WEIGHTS = "model.safetensors"


def copy(out: Path) -> None:
    """Put the committed checkpoint into `out`."""
    for path in sorted(MODEL.iterdir()):
        shutil.copyfile(path, out / path.name)


def broken(out: Path) -> None:
    """Put the checkpoint with damaged output weights into `out`."""
    copy(out)
    damage.damage(MODEL / WEIGHTS, out / WEIGHTS)


def nvfp4a16(out: Path) -> None:
    """Put the NVFP4A16 checkpoint into `out`, quantized as the model card says."""
    from llmcompressor import model_free_ptq  # noqa: PLC0415 - only this variant needs torch and llm-compressor

    model_free_ptq(MODEL, out, scheme=card.SCHEME, ignore=card.IGNORE, max_workers=1, device="cpu")
    names = [name for path in sorted(out.glob("*.safetensors")) for name in header.read(path)[0]]
    if wrong := card.differences(names):
        sys.exit("the quantizer's split is not the card's:\n" + "\n".join(wrong))


VARIANTS = {"copy": copy, "broken": broken, "nvfp4a16": nvfp4a16}


def main() -> None:
    """Build one variant and print the SHA-256 of each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--out", type=Path, help="made if missing; must be empty")
    parser.add_argument("--force", action="store_true", help="empty the directory first")
    given = parser.parse_args()
    out = given.out or HERE / given.variant
    if given.force and out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        parser.error(f"{out} is not empty; give --force to replace it, or another directory with --out")
    VARIANTS[given.variant](out)
    for path in sorted(out.iterdir()):
        print(f"{header.sha256(path)}  {path.name}")


if __name__ == "__main__":
    main()
