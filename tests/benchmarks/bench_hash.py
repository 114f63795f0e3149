"""Hash rate of the agent against `sha256sum`, one core each, in turns.

    python -m tests.benchmarks.bench_hash [MB]

Fails below 0.9 of sha256sum. Not a test of `make test`: a busy machine decides what it measures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from thorctl.agent.staging.verified import sha256_of

LEAST = 0.9
ROUNDS = 5


def main() -> int:
    """Print both rates and their ratio."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1_000_000))
            os.fsync(file.fileno())
        for _ in range(ROUNDS):
            path.read_bytes()  # both from the page cache: the agent drops what it has hashed
            theirs.append(_cpu_seconds_of(["sha256sum", str(path)]))
            began = time.process_time()
            sha256_of(path, lambda _: None)
            ours.append(time.process_time() - began)
    ratio = min(theirs) / min(ours)
    rates = f"agent {megabytes / min(ours):.0f} MB/s, sha256sum {megabytes / min(theirs):.0f} MB/s"
    sys.stdout.write(f"{rates}: {ratio:.2f}\n")
    return 0 if ratio >= LEAST else 1


def _cpu_seconds_of(words: list[str]) -> float:
    before = os.times()
    subprocess.run(words, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
