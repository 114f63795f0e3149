"""How fast a device generates, twice in one run: the figures, and the ratios that need no other device.

    python -m tests.benchmarks.bench_serve [DEVICE] [other options of thorctl bench]

Without DEVICE: every device of the demo. Shows the steps on stderr and prints one JSON object: for each
device both measurements in tokens per second, second / first (how well they repeat: the tolerance of
``thorctl bench`` has to be wider), same prompt / different prompts, and several streams / one. Baselines are
kept in a store of its own. Exits 1 if anything could not be measured; how fast is fast is for the reader.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

THORCTL = Path(sys.executable).parent / "thorctl"
SPEEDS = ("single", "identical", "different")
# Nothing is judged here: only what could not be compared is a failure.
ANY_SPEED = ("--tolerance", "0.999")


def measure(words: list[str], store: str) -> dict[str, dict[str, float]] | None:
    """Device → speeds; None if one failed."""
    done = subprocess.run(
        [str(THORCTL), "bench", *words, *ANY_SPEED, "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, "THORCTL_STATE_DIR": store},
        text=True,
        check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["status"] != "success":
        sys.stderr.write(json.dumps(answer["errors"], indent=2) + "\n")
        return None
    return {device["name"]: speeds(device["measurement"]["measured"]) for device in answer["data"]["devices"]}


def speeds(measured: dict[str, Any]) -> dict[str, float]:
    """The three speeds of a measurement, tokens per second."""
    return {name: float(measured[name]["decode_tokens_per_second"]) for name in SPEEDS}


def report(first: dict[str, float], second: dict[str, float]) -> dict[str, Any]:
    """Both measurements of one device, and their ratios."""
    return {
        "first": first,
        "second": second,
        "second_to_first": {name: round(second[name] / first[name], 3) for name in SPEEDS},
        "identical_to_different": round(second["identical"] / second["different"], 3),
        "identical_to_single": round(second["identical"] / second["single"], 3),
        "different_to_single": round(second["different"] / second["single"], 3),
    }


def main(words: list[str]) -> int:
    """Entry point."""
    with tempfile.TemporaryDirectory(prefix="thorctl-bench-") as store:
        first = measure(words, store)
        second = measure(words, store) if first else None
    if first is None or second is None:
        return 1
    found = {device: report(first[device], second[device]) for device in first}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
