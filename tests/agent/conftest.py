"""One simulated device for a test; a hub, and the fetcher without systemd, for those that stage."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.cutting_hub import CuttingHub
from tests.support.device_double import make_context
from tests.support.hub_stage import COMMIT, FILES, NoContainers, Sandboxless
from tests.support.stateful_device import Device
from thorctl.agent.core import account
from thorctl.agent.core.account import Account
from thorctl.agent.core.files import Files
from thorctl.agent.staging import fetcher
from thorctl.agent.verbs import status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.core.context import Context


@pytest.fixture(autouse=True)
def _no_wait_for_other_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rest of this machine writes is none of the agent's tests' business."""
    monkeypatch.setattr(Files, "sync_all", lambda _: None)


@pytest.fixture(autouse=True)
def _a_loaded_machine_is_no_silent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that answers is waited for, however slow this machine is."""
    monkeypatch.setattr(status, "LONGEST_SECONDS", 120.0)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(tmp_path)
    yield one
    one.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingHub]:
    monkeypatch.setattr(fetcher, "LIMITS", {"tries": 2, "pause_seconds": 0.05, "stall_seconds": 30.0})
    monkeypatch.setattr(fetcher, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(account, "find", lambda _: Account("me", os.geteuid(), os.getegid()))
    one = CuttingHub({"thorctl/tiny": FILES}, COMMIT)
    yield one
    one.close()


@pytest.fixture
def runner() -> Sandboxless:
    return Sandboxless()


@pytest.fixture
def ctx(tmp_path: Path, runner: Sandboxless) -> Context:
    ctx = make_context(tmp_path / "device", runner)
    return dataclasses.replace(ctx, docker=NoContainers("/nowhere"))
