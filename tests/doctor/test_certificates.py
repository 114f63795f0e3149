"""doctor looks at the edges' certificates: those that end shut a door."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from thorctl.cli.main import run
from thorctl.doctor import certificates
from thorctl.edge import authority
from thorctl.edge.issue import require_usable
from thorctl.edge.pki import Pki
from thorctl.errors import ThorError
from thorctl.inventory.devices import Device

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.doctor.check import Check

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
DEVICES = [Device(name="thor-01", host="192.0.2.1"), Device(name="thor-02", host="192.0.2.2")]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    one = Pki(tmp_path / "pki")
    one.create_authority(authority.new_authority("test", NOW, 3650))
    return one


def issue(pki: Pki, device: Device, *, days: int, issued: dt.datetime = NOW) -> None:
    names = [device.name, device.host]
    pair = authority.new_certificate(pki.authority(), device.name, names, now=issued, days=days)
    pki.keep(device.name, pair)


def the(checks: list[Check]) -> tuple[str, str]:
    (check,) = checks
    assert bool(check.remedy) == (check.status != "pass")
    return check.status, check.found


def test_a_fleet_without_an_authority_is_not_asked(tmp_path: Path) -> None:
    assert certificates.checks(Pki(tmp_path / "none"), DEVICES, NOW) == []


def test_an_authority_alone(pki: Pki) -> None:
    assert the(certificates.checks(pki, DEVICES, NOW)) == ("warn", "an authority, and no certificate yet")


def test_the_first_end_is_told(pki: Pki) -> None:
    issue(pki, DEVICES[0], days=397)
    issue(pki, DEVICES[1], days=100)
    assert the(certificates.checks(pki, DEVICES, NOW)) == ("pass", "2, the first ends on 2027-03-05")


def test_certificate_made_under_a_clock_ahead_fails(pki: Pki) -> None:
    issue(pki, DEVICES[0], days=397, issued=NOW + dt.timedelta(days=365))
    assert the(certificates.checks(pki, DEVICES, NOW)) == ("fail", "thor-01: begins in the future")
    pair = pki.device("thor-01")
    assert pair is not None
    with pytest.raises(ThorError) as caught:
        require_usable(pair.certificate, pair.private_key, NOW)
    assert caught.value.code == "edge_certificate_not_yet_valid"


def test_nothing_is_signed_under_a_clock_behind_the_authority(pki: Pki) -> None:
    with pytest.raises(ThorError) as caught:
        issue(pki, DEVICES[0], days=397, issued=dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    assert caught.value.code == "edge_ca_not_yet_valid"


def test_one_that_ends_soon_warns_and_one_that_has_ended_fails(pki: Pki) -> None:
    issue(pki, DEVICES[0], days=59)
    issue(pki, DEVICES[1], days=397)
    assert the(certificates.checks(pki, DEVICES, NOW)) == ("warn", "thor-01: ends on 2027-01-23")
    later = NOW + dt.timedelta(days=60)
    assert the(certificates.checks(pki, DEVICES, later)) == ("fail", "thor-01: expired")


def test_one_for_another_name_fails(pki: Pki) -> None:
    issue(pki, DEVICES[0], days=397)
    moved = [Device(name="thor-01", host="192.0.2.77")]
    assert the(certificates.checks(pki, moved, NOW)) == ("fail", "thor-01: not valid for 192.0.2.77")


def test_the_verb_finds_them_beside_the_inventory(project: Path, tmp_path: Path) -> None:
    hosts = tmp_path / "inventory" / "hosts.yml"
    hosts.parent.mkdir()
    hosts.write_text("thor: {hosts: {thor-01: {ansible_host: 192.0.2.1}}}\n")
    pki = Pki(tmp_path / "pki")
    pki.create_authority(authority.new_authority("test", dt.datetime.now(dt.UTC), 10))
    issue(pki, DEVICES[0], days=9, issued=dt.datetime.now(dt.UTC))
    result = run(["--project", str(project), "--json", "--quiet", "-i", str(hosts), "doctor"])
    assert result is not None
    (check,) = [check for check in result.data["checks"] if check["name"] == "edge certificates"]
    assert (check["status"], "thorctl edge cert" in check["remedy"]) == ("warn", True)
