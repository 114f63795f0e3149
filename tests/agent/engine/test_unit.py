"""Whose words an operator reads when an engine died: the engine's own, before systemd's about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import make_context
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.engine import unit as engine_unit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any


class Journal(Runner):
    """journalctl with the lines that each identifier wrote."""

    def __init__(self, **lines: str) -> None:
        self.lines, self.synced = lines, False

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        assert argv[0] == "journalctl"
        if argv[1:] == ["--sync"]:
            self.synced = True
            return Completed(tuple(argv), 0, "", "")
        assert self.synced
        assert argv[argv.index("--since") + 1] == "-13s"
        own = self.lines.get("engine", "").splitlines()
        everybody = own + self.lines.get("systemd", "").splitlines()
        told = own if "--identifier" in argv else everybody
        # As systemd 252: with --since the first lines, unless it is told to read backwards.
        count = int(argv[argv.index("--lines") + 1])
        told = told[::-1][:count] if "--reverse" in argv else told[:count]
        return Completed(tuple(argv), 0, "".join(f"{line}\n" for line in told), "")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            {"engine": "ValueError: no weights\n", "systemd": "Main process exited\n"},
            ["ValueError: no weights"],
        ),
        (
            {"engine": "ValueError: no weights\nError: No such container: thor-engine\n"},
            ["ValueError: no weights"],
        ),
        ({"systemd": "Failed to load environment files\n"}, ["Failed to load environment files"]),
        ({}, []),
        (
            {"engine": "".join(f"{number}\n" for number in range(3000))},
            [str(number) for number in range(2000, 3000)],
        ),
    ],
)
def test_the_engine_s_last_words(tmp_path: Path, lines: dict[str, str], told: list[str]) -> None:
    context = make_context(tmp_path, Journal(**lines))
    assert engine_unit.log_tail(context, 12.3) == told
