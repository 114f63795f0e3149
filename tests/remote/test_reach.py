"""thorctl gets to a device where ssh and Ansible do, or refuses by name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.remote.rows import ROWS, SHORT
from tests.remote.world import OK, REFUSALS, Row, World, by_ansible, by_ssh, by_thorctl, load, world
from thorctl.doctor.inventory import checks as inventory_checks
from thorctl.errors import ThorError
from thorctl.remote.ssh import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # two servers, and three programs for each row

SEEN_BEFORE = {
    "ssh_options_invalid",
    "ssh_option_not_followed",
    "connection_not_followed",
    "host_key_unknown",
}

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("reach")) as both:
        yield both


def agree(machines: World, rows: list[Row]) -> None:
    inventory = machines.inventory(rows)
    devices = load(machines, inventory)
    ours, ansible = by_thorctl(devices), by_ansible(machines, inventory)
    plain = by_ssh(machines, [row for row in rows if row.plain])
    found = {row.name: (ours[row.name], ansible[row.name], plain.get(row.name, row.gets_in)) for row in rows}
    assert found == {row.name: (row.says, row.gets_in, row.gets_in) for row in rows}
    for row in rows:
        assert (row.says == OK) == row.gets_in or row.says in REFUSALS, row
    # What can be known without asking a device, doctor knows.
    for row, device in zip(rows, devices, strict=True):
        checks = inventory_checks(inventory, [device], DEPLOY)
        failed = {check.name for check in checks if check.status == "fail"} & {"ways", "host keys"}
        if row.says == OK or row.says in SEEN_BEFORE:
            assert bool(failed) == (row.says != OK), (row, checks)


def test_ssh_ansible_and_thorctl_agree(machines: World) -> None:
    agree(machines, [row for row in ROWS if row.name in SHORT])


@pytest.mark.long
def test_ssh_ansible_and_thorctl_agree_on_every_configuration(machines: World) -> None:
    agree(machines, ROWS)


def test_a_key_that_ssh_leaves_out_is_named(machines: World) -> None:
    """Its kind is not in PubkeyAcceptedAlgorithms: the file is fine."""
    row = next(row for row in ROWS if row.name == "key-algorithms")
    (device,) = load(machines, machines.inventory([row]))

    async def refused() -> ThorError:
        with pytest.raises(ThorError) as caught:
            async with connect(device):
                pass
        return caught.value

    error = asyncio.run(refused())
    assert error.code == "auth_failed"
    assert "PubkeyAcceptedAlgorithms leaves out " in error.message
    assert f"{machines.words['key']}." in error.message
    assert "PubkeyAcceptedAlgorithms" in error.remedy
