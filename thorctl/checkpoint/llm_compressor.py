"""Quantize to NVFP4A16 with llm-compressor, one group of matrices at a time; needs the extra ``quantize``.

Its `model_free_ptq` shares a global scale between q, k and v of an attention layer, and between gate and up
of a *dense* MLP, which it identifies by name, but not between an expert's pair. Here each group is passed to
the same converter alone, an expert's pair under the names of a dense one: the same arithmetic, one scale.
"""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint.modules import GLOBAL, PACKED, SCALE
from thorctl.checkpoint.nvfp4 import GROUP
from thorctl.checkpoint.split import IGNORE, SCHEME
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.checkpoint.split import Matrix

DISTRIBUTIONS = ("llmcompressor", "compressed-tensors", "torch")
_QUIET = {"LLM_COMPRESSOR_LOG_DISABLED": "true"}  # stdout is for the result


class LlmCompressor:
    """The quantizer. ``tools``: the versions that its output depends on."""

    def __init__(self, device: str) -> None:
        """Import it, which takes seconds.

        Raises:
            ThorError: ``quantize_missing``, ``device_missing``.
        """
        os.environ.update(_QUIET)
        try:
            import torch  # noqa: PLC0415 - an extra, and seconds to import
            from llmcompressor.entrypoints.model_free import converter, save_utils, validate  # noqa: PLC0415 - too
        except ImportError as error:
            raise ThorError(
                "quantize_missing",
                f"The package llm-compressor cannot be imported ({error}).",
                "Install it in thorctl's checkout: `pip install --editable '.[quantize]'`, or for "
                "CPUs only `scripts/quantize-env`.",
            ) from error
        self._torch = torch
        self._config = validate.validate_config(None, SCHEME, IGNORE)
        self._converter = converter.ModelFreePtqConverter(self._config)
        self._update_config = save_utils.update_config
        self._device = device
        try:
            # The converter completes its configuration (its format) at the first matrix.
            self._converter.process(
                {"first.weight": torch.ones(GROUP, GROUP, dtype=torch.bfloat16, device=device)}
            )
        except (RuntimeError, AssertionError) as error:  # AssertionError: a build without CUDA
            raise ThorError(
                "device_missing",
                f"PyTorch cannot use the device {device!r} ({str(error).splitlines()[0]}).",
                "Name another with --device; `--device cpu` works everywhere.",
            ) from error
        self.tools = {name: metadata.version(name) for name in DISTRIBUTIONS} | {"device": device}

    def quantize(self, group: Sequence[Matrix], content: Sequence[bytes]) -> list[dict[str, bytes]]:
        """Return the parts of each matrix of a group, which share one global scale.

        Args:
            group: matrices that an engine loads as one, or a single one.
            content: their BF16 numbers, row by row.
        """
        torch = self._torch
        names = [_handed(matrix.name) for matrix in group]
        tensors = {
            f"{name}.weight": torch.frombuffer(bytearray(raw), dtype=torch.bfloat16)
            .reshape(matrix.shape)
            .to(self._device)
            for name, matrix, raw in zip(names, group, content, strict=True)
        }
        made = self._converter.process(tensors)
        return [
            {part: _bytes(torch, made[f"{name}.{part}"]) for part in (PACKED, SCALE, GLOBAL)}
            for name in names
        ]

    def configured(self, config: dict[str, Any]) -> str:
        """Return the text of a config.json with the quantizer's own quantization_config."""
        with TemporaryDirectory(prefix="thorctl-quantize-") as folder:
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(config), encoding="utf-8")
            self._update_config(folder, self._config)
            return path.read_text(encoding="utf-8")


def _handed(module: str) -> str:
    """Return the name under which the quantizer fuses a module."""
    last = module.rpartition(".")[2]
    return f"layer.self_attn.{last}" if last[0] in "qkvo" else f"layer.mlp.{last}"


def _bytes(torch: Any, tensor: Any) -> bytes:
    found: bytes = tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return found
