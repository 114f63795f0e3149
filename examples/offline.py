"""Generate with vLLM as a library, without a server, as the model card shows (docs/how-to/clients.md).

    python3 offline.py --model /models/checkpoint "What is the capital of France?"
    python3 offline.py --model /models/checkpoint --raw "Hello!"

Without --raw the prompt is formatted with the chat template, as in every client; with it the model continues
the bare text, as on the card. Greedy. Prints the model's text, thinking included; vLLM logs to stderr.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # read when vLLM is imported

from vllm import LLM, SamplingParams

TEMPLATE = Path(__file__).resolve().parents[1] / "deploy" / "engine" / "qwable_chat_template.jinja"


def main() -> None:
    """Generate an answer for each prompt; load the model once."""
    words = arguments()
    llm = LLM(
        model=words.model,
        dtype="bfloat16",
        max_model_len=words.max_model_len,
        # Absent from the card. On a Thor everything shares one memory: 8 GiB of cache hold its batch of 16
        # full contexts, and weights, cache and graphs together are below this share.
        gpu_memory_utilization=0.35,
        kv_cache_memory_bytes=8 * 2**30,
        max_num_seqs=16,
        limit_mm_per_prompt={"image": 0, "video": 0},  # text only: the vision tower is not built
        enforce_eager=words.eager,
    )
    sampling = SamplingParams(temperature=0.0, max_tokens=words.max_tokens)
    if words.raw:
        found = llm.generate(words.prompt, sampling)
    else:
        asked = [[{"role": "user", "content": prompt}] for prompt in words.prompt]
        found = llm.chat(asked, sampling, chat_template=words.template.read_text(encoding="utf-8"))
    for one in found:
        print(one.outputs[0].text)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prompt", nargs="+", help="what to ask")
    parser.add_argument("--model", default="sahilchachra/Qwable-v1-NVFP4A16", help="folder or hub repository")
    parser.add_argument("--raw", action="store_true", help="no chat template")
    parser.add_argument("--template", type=Path, default=TEMPLATE, help="chat template; default: %(default)s")
    parser.add_argument("--max-tokens", type=int, default=128, help="default: %(default)s, as on the card")
    parser.add_argument(
        "--max-model-len", type=int, default=16384, help="default: %(default)s, as on the card"
    )
    parser.add_argument("--eager", action="store_true", help="no compilation: starts sooner, decodes slower")
    return parser.parse_args()


# vLLM starts its engine as a separate process, which imports this file.
if __name__ == "__main__":
    main()
