from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from thorctl.errors import ThorError
from thorctl.sim import devices

if TYPE_CHECKING:
    from docker.models.containers import Container

KEY = b"ssh-ed25519 AAAA thor-01\n"


@dataclass
class Ran:
    output: bytes


@dataclass
class FakeContainer:
    """Says these outputs one after the other, then the last one for ever."""

    says: list[bytes]
    name: str = "thorctl-demo-thor-01"
    asked: list[str] = field(default_factory=list)

    def exec_run(self, command: str, **_: object) -> Ran:
        self.asked.append(command)
        return Ran(self.says.pop(0) if len(self.says) > 1 else self.says[0])


def host_key(container: FakeContainer) -> str:
    return devices.host_key(cast("Container", container), "thor-01")


def test_a_host_key_that_got_lost_on_its_way_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_POLL_SECONDS", 0.0)
    container = FakeContainer([b"", KEY])
    assert host_key(container) == KEY.decode().strip()
    assert len(container.asked) == 2


def test_a_device_without_a_host_key_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "HOST_KEY_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(ThorError, match=r"thor-01 has no /etc/ssh/ssh_host_ed25519_key\.pub") as told:
        host_key(FakeContainer([b"cat: /etc/ssh/ssh_host_ed25519_key.pub: No such file or directory\n"]))
    assert told.value.code == "sim_host_key_missing"
