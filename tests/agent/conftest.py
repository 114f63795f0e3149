"""One simulated device for a test; a hub, and a docker that runs hf, for those that stage."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.agent.cutting_hub import CuttingHub
from tests.agent.device_double import make_context
from tests.agent.hub_stage import COMMIT, FAKE_DOCKER, FILES, FakeDocker, NoContainers
from tests.agent.stateful_device import Device
from thorctl.agent import hub_download, status
from thorctl.agent.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.context import Context


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
    monkeypatch.setattr(hub_download, "FRUITLESS_TRIES", 1)  # hf itself insists for 23 s each time
    one = CuttingHub({"thorctl/tiny": FILES}, COMMIT)
    yield one
    one.close()


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    program = tmp_path / "docker"
    program.write_text(FAKE_DOCKER)
    program.chmod(0o755)
    return FakeDocker(program)


@pytest.fixture
def ctx(tmp_path: Path, docker: FakeDocker) -> Context:
    ctx = make_context(tmp_path / "device", docker)
    return dataclasses.replace(ctx, docker=NoContainers("/nowhere"))
