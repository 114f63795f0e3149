"""A device behind a real sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.inventory.devices import Device

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def device(sshd: Sshd) -> Device:
    return Device("thor-01", "127.0.0.1", sshd.port, sshd.user, sshd.key, sshd.known_hosts)
