"""Root's side of a download: what the fetcher is started with, and what its result is told as."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.hub_stage import Sandboxless, refused, release_of
from thorctl.agent.core.account import Account
from thorctl.agent.staging import fetch, fetch_error, fetcher, partial_file
from thorctl.agent.staging import hub as hub_client

if TYPE_CHECKING:
    from tests.support.cutting_hub import CuttingHub
    from thorctl.agent.core.context import Context

SOURCE = "".join(
    Path(str(module.__file__)).read_text() for module in (fetch, fetch_error, hub_client, partial_file)
)
CODES = {*re.findall(r'"((?:hub|file|disk|download)_[a-z_]+)"', SOURCE)} - {"disk_failed"}


def test_every_cause_has_a_message_and_a_remedy_of_its_own() -> None:
    assert set(fetcher._MEANING) == CODES
    assert len({message for message, _, _ in fetcher._MEANING.values()}) == len(CODES)
    network = [code for code in CODES if code.startswith("hub_")]
    assert len({fetcher._MEANING[code][1] for code in network}) == len(network)


@pytest.mark.parametrize("code", sorted(CODES))
def test_end_of_the_fetcher_is_told(ctx: Context, hub: CuttingHub, runner: Sandboxless, code: str) -> None:
    end = json.dumps({"end": {"code": code, "reason": "hub.test:443: a \u001b[31mreason", "pause": 7.2}})
    runner.program = ["printf", "%s\\n", end]
    error = refused(ctx, release_of(hub))
    assert error.code == code
    assert "hub.test:443: a  [31mreason" in error.message
    assert error.details["retriable"] is fetcher._MEANING[code][2]
    assert error.details["retry_after_seconds"] == 7


@pytest.mark.parametrize(
    "line", ["[" * 20_000, "null", '{"end": 5}', '{"end": {"code": ["x"]}}', "\xff" * 99]
)
def test_garbage_of_the_fetcher_is_a_failure(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, tmp_path: Path, line: str
) -> None:
    (tmp_path / "said").write_text(line + "\n")
    runner.program = ["sh", "-c", f"cat {tmp_path / 'said'}; exit 1"]
    assert refused(ctx, release_of(hub)).code == "fetcher_failed"


def test_arguments_hold_no_secret_and_the_whole_sandbox(ctx: Context) -> None:
    words = fetcher.arguments(ctx, "thorctl--tiny@c", Account("thor-fetch", 990, 989), 1000)
    properties = [after for word, after in itertools.pairwise(words) if word == "--property"]
    assert "User=thor-fetch" in properties
    assert f"ReadWritePaths={ctx.paths.incoming}/thorctl--tiny@c" in properties
    assert {*fetcher.SANDBOX} <= {*properties}
    assert f"LimitFSIZE={1000 + fetcher.SLACK_BYTES}" in properties
