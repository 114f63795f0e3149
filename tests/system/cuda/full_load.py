"""Serve a release confined as on a device, fill its KV cache, stop it under load, report."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.system.cuda.served import NotServingError, Served, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

VOCABULARY = 200_000  # token ids below it are words of the full-size tokenizer
OUTPUT_TOKENS = 300
STREAMS, STREAM_TOKENS, STREAM_WARM = 4, 1500, 50
LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp
LOG_LINES = (
    r"GPU KV cache size: .*",
    r"Maximum concurrency for .*",
    r"Using '?MARLIN'? NvFp4 MoE backend",
    r"running in text-only mode",
    r"Setting attention block size to .*",
    r"Model loading took .*",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report as JSON; exit code 0 if nothing in it is wrong."""
    options = _options(arguments)
    document = json.loads((options.release / "release.json").read_text())
    serve_options = document["options"]
    options.logs.mkdir(parents=True, exist_ok=True)
    log = options.logs / "vllm.log"
    report: dict[str, Any] = {"release": document["id"], "memory": document["memory"]}
    outside, idle_bytes, began = _listeners("/proc/net"), _gpu_bytes(), time.monotonic()
    try:
        with serve(
            options.checkpoint,
            release=options.release,
            log=log,
            vllm=options.vllm.split(),
            extra=options.extra.split(),
            model=str(serve_options["served-model-name"][0]),
            timeout=options.timeout,
        ) as served:
            report["ready_seconds"] = round(time.monotonic() - began, 1)
            report["listeners_inside"] = _listeners(f"/proc/{served.process.pid}/net")
            report["listeners_outside_more"] = sorted(set(_listeners("/proc/net")) - set(outside))
            report["full_contexts"] = _full_contexts(
                served, int(serve_options["max-num-seqs"]), int(serve_options["max-model-len"])
            )
            report["gpu_bytes"] = _gpu_bytes() - idle_bytes
            report["stop"] = _planned_stop(served)
    except NotServingError as error:
        report["error"] = str(error)
    text = log.read_text(errors="replace")
    report["log"] = [match[0] for line in LOG_LINES if (match := re.search(line, text))]
    report["wrong"] = _wrong(report, int(serve_options["max-num-seqs"]))
    print(json.dumps(report, indent=2))  # noqa: T201 - a program of its own
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if report["wrong"] else 0


def _full_contexts(served: Served, count: int, length: int) -> dict[str, Any]:
    """Send as many requests at once as the release allows, each as long as it allows."""
    chosen = random.Random(0)  # noqa: S311 - prompts, no secret
    prompts = [
        [chosen.randrange(1000, VOCABULARY) for _ in range(length - OUTPUT_TOKENS - 8)] for _ in range(count)
    ]
    began = time.monotonic()

    def one(prompt: list[int]) -> tuple[str, int]:
        got = served.ask(
            "/v1/completions",
            {"prompt": prompt, "max_tokens": OUTPUT_TOKENS, "ignore_eos": True, "temperature": 0},
        )
        return got["choices"][0]["finish_reason"], got["usage"]["completion_tokens"]

    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(one, prompts))
    metrics = served.request("GET", "/metrics").read().decode()
    found = re.search(r"^vllm:num_preemptions_total\{.*\} (\S+)$", metrics, re.MULTILINE)
    return {
        "requests": count,
        "prompt_tokens": len(prompts[0]),
        "whole": sum(one == ("length", OUTPUT_TOKENS) for one in ended),
        "preemptions": float(found[1]) if found else None,
        "seconds": round(time.monotonic() - began, 1),
    }


def _planned_stop(served: Served) -> dict[str, Any]:
    """SIGTERM with streams running: each must end whole."""
    ends: list[tuple[str | None, int]] = []
    warm = threading.Barrier(STREAMS + 1)

    def stream(seed: int) -> None:
        chosen = random.Random(seed)  # noqa: S311 - prompts, no secret
        body = {
            "model": served.model,
            "prompt": [chosen.randrange(1000, VOCABULARY) for _ in range(64)],
            "max_tokens": STREAM_TOKENS,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
        }
        tokens, finish = 0, None
        for line in served.request("POST", "/v1/completions", body):
            if not line.startswith(b"data: {"):
                continue
            choice = json.loads(line[6:])["choices"][0]
            tokens, finish = tokens + 1, choice["finish_reason"] or finish
            if tokens == STREAM_WARM:
                warm.wait(120)
        ends.append((finish, tokens))

    threads = [threading.Thread(target=stream, args=(seed,)) for seed in range(STREAMS)]
    for thread in threads:
        thread.start()
    warm.wait(120)
    began = time.monotonic()
    os.kill(served.process.pid, signal.SIGTERM)
    for thread in threads:
        thread.join(120)
    code = served.process.wait(120)
    return {"streams": ends, "exit_code": code, "seconds": round(time.monotonic() - began, 1)}


def _wrong(report: dict[str, Any], count: int) -> list[str]:
    if "error" in report:
        return [report["error"]]
    full, stop = report["full_contexts"], report["stop"]
    memory = report["memory"]
    rules = (
        (full["whole"] == count, f"only {full['whole']} of {count} full contexts ended whole"),
        (full["preemptions"] == 0, f"preemptions: {full['preemptions']}"),
        (not report["listeners_outside_more"], "the engine listens outside its namespace"),
        (all(finish == "length" for finish, _ in stop["streams"]), f"streams were cut: {stop['streams']}"),
        (len(stop["streams"]) == STREAMS, "a stream did not end"),
        (stop["exit_code"] == 0, f"exit code {stop['exit_code']} after SIGTERM"),
        (
            memory is None or report["gpu_bytes"] <= memory["total_bytes"],
            "the GPU holds more than the release says that it needs",
        ),
    )
    return [text for holds, text in rules if not holds]


def _listeners(net: str) -> list[str]:
    """Return ``address:port`` of each listening TCP socket of a network namespace."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(net, table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                address, _, port = fields[1].partition(":")
                name = ".".join(str(byte) for byte in reversed(bytes.fromhex(address[-8:])))
                found.add(f"{name}:{int(port, 16)}")
    return sorted(found)


def _gpu_bytes() -> int:
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return int(shown.split()[0]) * 2**20


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path, required=True, help="directory that `thorctl render` wrote")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("full-load.json"))
    parser.add_argument("--logs", type=Path, default=Path("full-load-logs"))
    parser.add_argument("--vllm", default="vllm", help="the command in place of `vllm`")
    parser.add_argument("--extra", default="", help="further options of `vllm serve`")
    parser.add_argument("--timeout", type=float, default=400, help="seconds until the engine must be ready")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
