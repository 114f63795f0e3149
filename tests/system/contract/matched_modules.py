"""Runs where vLLM is installed: what its own matcher makes of the modules that its own model classes build.

Imports nothing of ours. Reads one JSON object from standard input: ``config``, a config.json, and
``quantization``, name to a quantization_config. Prints one: ``version``; ``modules``, by vLLM's class of
models the layers that ask for a quantization, name to class; ``verdicts``, for each quantization_config
every module's: quantized, plain or refused.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

# The model, and the draft that speculates with its MTP head: each with a quantization of its own.
ARCHITECTURES = ("Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeMTP")

REFUSALS = (
    "requires all to use the same scheme",  # parts of a fused layer
    "need to have same quantization scheme",  # projections of expert 0
    "Unable to find matching target",
)


def main() -> None:
    """See the module."""
    asked = json.load(sys.stdin)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import vllm

        logging.disable(logging.WARNING)
        built = {name: build(name, asked["config"]) for name in ARCHITECTURES}
        answer = {
            "version": vllm.__version__,
            "modules": {
                name: {module: type(layer).__name__ for module, layer in layers.items()}
                for name, (_, layers) in built.items()
            },
            "verdicts": {
                name: judged(configuration, list(built.values()))
                for name, configuration in asked["quantization"].items()
            },
        }
    json.dump(answer, out)


def build(architecture: str, config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model's class, and its layers by the names under which they ask the quantization for a method."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.distributed import parallel_state
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors import (
        CompressedTensorsConfig,
    )
    from vllm.model_executor.models import ModelRegistry

    found: dict[str, Any] = {}

    class Recorder(CompressedTensorsConfig):  # type: ignore[misc]  # not installed here
        def get_quant_method(self, layer: Any, prefix: str) -> Any:
            found[prefix] = layer
            return super().get_quant_method(layer, prefix)  # without targets: unquantized

    with tempfile.TemporaryDirectory() as folder:
        plain = {key: value for key, value in config.items() if key != "quantization_config"}
        (Path(folder) / "config.json").write_text(json.dumps(plain))
        arguments = EngineArgs(model=folder, skip_tokenizer_init=True, enforce_eager=True, dtype="bfloat16")
        engine = arguments.create_engine_config()
        needed = set(inspect.signature(CompressedTensorsConfig.__init__).parameters)
        sparsity: dict[str, Any] = {"sparsity_scheme_map": {}, "sparsity_ignore_list": []}  # of 0.19
        engine.quant_config = Recorder(
            target_scheme_map={},
            ignore=[],
            quant_format="",
            **{name: value for name, value in sparsity.items() if name in needed},
        )
        with set_current_vllm_config(engine):
            if not torch.distributed.is_initialized():
                parallel_state.init_distributed_environment(1, 0, f"file://{folder}/ranks", 0, "gloo")
                parallel_state.ensure_model_parallel_initialized(1, 1)
            model_class, _ = ModelRegistry.resolve_model_cls([architecture], engine.model_config)
            with torch.device("meta"):
                model_class(vllm_config=engine, prefix="")
    return model_class, found


def judged(configuration: dict[str, Any], built: list[tuple[Any, dict[str, Any]]]) -> dict[str, str]:
    """Every module's verdict, with the quantization as the loader prepares it for a class of models."""
    from vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors import (
        CompressedTensorsConfig,
    )
    from vllm.model_executor.model_loader.utils import configure_quant_config

    found = {}
    for model_class, layers in built:
        for name, layer in layers.items():
            quantization = CompressedTensorsConfig.from_config(json.loads(json.dumps(configuration)))
            configure_quant_config(quantization, model_class)
            found[name] = verdict(quantization, layer, name)
    return found


def verdict(quantization: Any, layer: Any, name: str) -> str:
    """By vLLM's own way to a layer's scheme; what it then does with the scheme needs a GPU."""
    schemes: list[Any] = []
    of_layer = quantization.get_scheme_dict

    def recorded(*words: Any, **more: Any) -> Any:
        schemes.append(of_layer(*words, **more))
        return schemes[-1]

    quantization.get_scheme_dict = recorded
    try:
        if name.endswith(".experts"):
            from vllm.model_executor.layers.quantization.compressed_tensors import compressed_tensors_moe

            compressed_tensors_moe.CompressedTensorsMoEMethod.get_moe_method(quantization, layer, name)
        else:
            quantization.get_quant_method(layer, name)
    except Exception as error:  # a refusal, or what a scheme wants of the machine
        if any(said in str(error) for said in REFUSALS):
            return "refused"
        if not schemes:
            raise
    return "quantized" if any(schemes) else "plain"


if __name__ == "__main__":
    main()
