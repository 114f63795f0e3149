"""One device behind a real sshd, and thorctl in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.doubles.sshd import running_sshd
from thorctl.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.support.doubles.sshd import Sshd
    from thorctl.result import Result


@dataclass(frozen=True)
class One:
    """One device, and thorctl."""

    sshd: Sshd
    inventory: Path

    def thorctl(self, *words: str) -> Result:
        """Run a verb on the device's inventory."""
        result = run(["-i", str(self.inventory), *words])
        assert result is not None
        return result

    @property
    def asked(self) -> str:
        """The last command that reached the device."""
        return self.sshd.asked.read_text()


def one_device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[One]:
    """Yield a device; the body of a fixture."""
    folder = tmp_path_factory.mktemp("sshd")
    with running_sshd(folder) as sshd:
        yield One(sshd, sshd.inventory(folder / "hosts.yml", "thor-01"))
