from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint import sources
from tests.checkpoint.quantizer import quantize
from tests.checkpoint.variants import skew
from thorctl.checkpoint import repair
from thorctl.checkpoint.source import Folder

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
MODEL = CHECKOUT / "images" / "tiny-qwable" / "model"


@pytest.fixture(scope="session")
def bf16() -> Path:
    """tiny-qwable as it is committed."""
    return MODEL


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-qwable in NVFP4A16 as quantizers write it: gate and up with a scale each."""
    out = tmp_path_factory.mktemp("checkpoint") / "written"
    quantize(MODEL, out)
    return out


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In five shards; gate and up of one expert lie in different ones, their scales 3 to 5 × apart."""
    folder = tmp_path_factory.mktemp("checkpoint")
    quantize(MODEL, folder / "even", shards=5)
    skew(folder / "even", folder / "sharded")
    return folder / "sharded"


@pytest.fixture(scope="session")
def repaired(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one scale for gate and up: nothing is off."""
    out = tmp_path_factory.mktemp("checkpoint") / "repaired"
    repair.repair(repair.opened(Folder(written)), out)
    return out


@pytest.fixture(scope="session")
def thorctl_quantize() -> Path:
    """`thorctl` in an environment with the extra ``quantize``: real llm-compressor, on the CPU."""
    made = subprocess.run(
        [CHECKOUT / "scripts" / "quantize-env"], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(made.stdout.strip())


class Made:
    """Sources, and what each quantizer makes of them, by the source's name; made when first asked for."""

    def __init__(self, thorctl: Path, folder: Path) -> None:
        self.thorctl = thorctl
        self._folder = folder

    def source(self, name: str) -> Path:
        """``plain``: the committed model. ``skewed``, ``in_pieces``: see `sources`."""
        if name == "plain":
            return MODEL
        out = self._folder / "source" / name
        if not out.exists():
            make = {"skewed": sources.skewed, "in_pieces": sources.in_pieces}[name]
            make(MODEL, out)
        return out

    def quantized(self, name: str) -> Path:
        """By `thorctl checkpoint quantize`."""
        out = self._folder / "quantized" / name
        if not out.exists():
            self.run("quantize", str(self.source(name)), "--out", str(out))
        return out

    def as_written(self, source: Path) -> Path:
        """By llm-compressor alone."""
        out = self._folder / "as-written" / source.name
        if not out.exists():
            words = [self.thorctl.with_name("python"), HERE / "llm_compressor_run.py", source, out]
            subprocess.run(words, check=True, env={**os.environ, "LLM_COMPRESSOR_LOG_DISABLED": "true"})
        return out

    def run(self, *words: str, good: bool = True) -> dict[str, Any]:
        """`thorctl --json checkpoint …` in that environment; its object."""
        done = subprocess.run(
            [self.thorctl, "--json", "checkpoint", *words], stdout=subprocess.PIPE, text=True, check=False
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == good, answer
        return answer


@pytest.fixture(scope="session")
def made(thorctl_quantize: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Checkpoints that real llm-compressor has made from tiny-qwable and its variants, each once."""
    return Made(thorctl_quantize, tmp_path_factory.mktemp("quantized"))
