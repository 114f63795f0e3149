"""The transition table as Markdown; ``python -m`` this module with a page as argument writes it there."""

from __future__ import annotations

import sys
from pathlib import Path

from thorctl.rollout.model.phases import ROWS, Phase

BEGIN, END = "<!-- transitions: made by `make docs` -->\n", "<!-- /transitions -->"
# Phases that many others lead to; only the table shows these edges.
_ANYWHERE = frozenset({Phase.ABSENT, Phase.FAILED, Phase.UNKNOWN, Phase.UNREACHABLE})


def markdown() -> str:
    """Return a diagram of the usual transitions, and the whole table."""
    lines = ["", "```mermaid", "stateDiagram-v2"]
    edges = [
        f"  {row.start.name} --> {to.name}: {row.verb}"
        for row in ROWS
        if row.start not in _ANYWHERE
        for to in Phase
        if to in row.to - _ANYWHERE - {row.start}
    ]
    lines += [*edges, "```", "", "| phase | verb | its end leads to |", "|---|---|---|"]
    for row in ROWS:
        ends = ", ".join(phase.value for phase in Phase if phase in row.to)
        lines.append(f"| {row.start.value} | `{row.verb}` | {ends} |")
    return "\n".join([*lines, "", ""])


def main(page: Path) -> None:
    """Replace the text between the markers of ``page``."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    page.write_text(before + BEGIN + markdown() + rest[rest.index(END) :], encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
