"""A device behind a real sshd, and a project with its desired release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.documents import lock_document
from tests.support.doubles.one_device import One, one_device
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.release import find, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thorctl.result import Result


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def release(project: Path) -> str:
    """Id of the device's desired release."""
    deploy = project / "deploy"
    (deploy / "locks").mkdir()
    lock = lock_document(profile.load(deploy, "tiny-qwable"))
    (deploy / "locks" / "tiny-qwable.lock.json").write_text(json.dumps(lock))
    return find.build(deploy, "tiny-qwable", "simulated-container").id


@pytest.fixture
def call(project: Path, sshd: Sshd, tmp_path: Path, release: str) -> Callable[..., Result]:
    """``thorctl WORDS`` in the project, with ``thor-01`` in its inventory."""
    assert release
    variables = {"thor_profile": "tiny-qwable", "thor_device_class": "simulated-container"}
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01", **variables)

    def words(*words: str) -> Result:
        result = run(["--project", str(project), "-i", str(inventory), *words])
        assert result is not None
        return result

    return words


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[One]:
    """A device behind a real sshd, for the module."""
    yield from one_device(tmp_path_factory)
