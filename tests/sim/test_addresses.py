"""The private network is taken where nothing else is, and a host's routes count."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from thorctl.errors import ThorError
from thorctl.sim import addresses

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_routes_are_read_and_the_default_route_is_none_of_them() -> None:
    assert addresses.parse_routes(ROUTES) == [IPv4Network("172.17.0.0/16"), IPv4Network("192.0.2.0/24")]


def test_first_free_candidate() -> None:
    first, second = addresses.CANDIDATES[:2]
    assert addresses.choose_subnet([]) == first
    assert addresses.choose_subnet([first]) == second


def test_a_wider_network_takes_every_candidate_in_it() -> None:
    chosen = addresses.choose_subnet([IPv4Network("10.0.0.0/8")])
    assert str(chosen) == "172.29.64.0/24"


def test_no_candidate_left_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ThorError) as caught:
        addresses.choose_subnet(addresses.CANDIDATES)
    assert caught.value.code == "no_free_subnet"
    assert "thorctl sim down" in caught.value.remedy


def test_fixed_addresses() -> None:
    subnet = "10.213.64.0/24"
    assert addresses.registry_address(subnet) == "10.213.64.2"
    assert addresses.hub_address(subnet) == "10.213.64.3"
    assert addresses.device_address(subnet, 1) == "10.213.64.11"
    assert addresses.device_address(subnet, addresses.MAX_DEVICES) == "10.213.64.210"


@pytest.mark.parametrize("number", [0, addresses.MAX_DEVICES + 1])
def test_addresses_end_where_the_network_ends(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        addresses.device_address("10.213.64.0/24", number)
