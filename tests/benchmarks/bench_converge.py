"""How long site.yml takes on a device: the first run, the run after it, and their ratio.

    python -m tests.benchmarks.bench_converge [-i INVENTORY] [other options of ansible-playbook]

Without ``-i``: the demo. Shows the runs on stderr and prints one JSON object. The first run is a cold one
only if the device was bare: ``changed`` tells. Exits 1 if a run fails or the second changes anything; how
long is long is for the reader.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import playbook

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun


def summary(run: PlaybookRun) -> dict[str, object]:
    """One run as data; the counts are sums over all devices."""
    return {
        "seconds": round(run.seconds, 1),
        "exit_code": run.exit_code,
        "devices": len(run.recap),
        "changed": run.total("changed"),
        "failed": run.total("failed") + run.total("unreachable"),
    }


def main(words: list[str]) -> int:
    """Entry point."""
    options = [
        str(Path(word).resolve()) if before == "-i" else word for before, word in pairwise(["", *words])
    ]
    first = playbook("site.yml", *options, echo=sys.stderr)
    second = playbook("site.yml", *options, echo=sys.stderr)
    report = {
        "first": summary(first),
        "second": summary(second),
        "ratio": round(first.seconds / second.seconds, 1),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    ran = first.recap and first.exit_code == 0 and second.exit_code == 0
    return 0 if ran and second.total("changed") == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
