"""llm-compressor's own `model_free_ptq` on a folder: `python llm_compressor_run.py SOURCE OUT`."""

from __future__ import annotations

import sys

from llmcompressor import model_free_ptq

from thorctl.checkpoint.split import IGNORE, SCHEME

if __name__ == "__main__":
    model_free_ptq(sys.argv[1], sys.argv[2], scheme=SCHEME, ignore=IGNORE, max_workers=1, device="cpu")
