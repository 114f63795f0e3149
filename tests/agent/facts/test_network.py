"""Which connections need a login, by what NetworkManager 1.42 says, and which carry the operator's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.read_capture import text
from tests.support.device_double import make_context
from thorctl.agent.checks.network import _command
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.facts import network
from thorctl.agent.parsers import nmcli
from thorctl.protocol.encode import encode
from thorctl.protocol.facts import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SHOWN = text("nmcli-connection-show.1.42")
PROFILES = {one["connection.id"]: one for one in nmcli.parse_profiles(SHOWN).values()}
WIFI, EAP = "802-11-wireless-security", "802-1x"
ALWAYS = "connection.autoconnect yes"
PRIVATE_KEY = f"{EAP}.private-key-password"


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("Home: 5\\GHz", [f"{WIFI}.psk-flags=1"]),
        ("ask", [f"{WIFI}.psk-flags=2"]),
        ("plain", []),
        ("open", []),
        ("corp", [f"{EAP}.password-flags=1"]),
        ("wired", ["connection.permissions=user:thor"]),
        ("wired8021x", ["connection.autoconnect=no", f"{EAP}.private-key-password-flags=1"]),
        ("lte", ["gsm.password-flags=1"]),
        ("wg", ["wireguard.private-key-flags=1"]),
        ("vpn", ["connection.secondaries", "vpn.data password-flags=1"]),
    ],
)
def test_each_kind_of_connection(name: str, needs: list[str]) -> None:
    assert nmcli.needs_login(PROFILES[name]) == needs


@pytest.mark.parametrize(
    ("name", "changes", "needs"),
    [
        # What is left of an earlier kind of login, and what NetworkManager may do without.
        ("Home: 5\\GHz", {f"{WIFI}.key-mgmt": "owe"}, []),
        ("plain", {f"{WIFI}.wep-key-flags": "1"}, []),
        ("plain", {f"{WIFI}.psk-flags": "5"}, []),
        ("corp", {f"{EAP}.eap": "tls"}, []),
        ("corp", {f"{WIFI}.psk-flags": "1"}, [f"{EAP}.password-flags=1"]),
        ("corp", {f"{EAP}.eap": "ttls, tls", f"{EAP}.password-flags": "0"}, []),
        ("plain", {f"{WIFI}.psk-flags": "1 (agent-owned)"}, [f"{WIFI}.psk-flags=1 (agent-owned)"]),
        ("plain", {f"{WIFI}.psk-flags": "agent-owned"}, [f"{WIFI}.psk-flags=agent-owned"]),
        ("plain", {"connection.permissions": "--"}, ["connection.permissions=--"]),
        (
            "corp",
            {f"{EAP}.phase2-auth": "tls", f"{EAP}.phase2-private-key-password-flags": "1"},
            [f"{EAP}.password-flags=1", f"{EAP}.phase2-private-key-password-flags=1"],
        ),
        ("vpn", {"vpn.data": "IPSec secret-flags = 2, a = b"},
         ["connection.secondaries", "vpn.data IPSec secret-flags=2"]),
    ],
)  # fmt: skip
def test_only_secrets_in_use_count(name: str, changes: dict[str, str], needs: list[str]) -> None:
    assert nmcli.needs_login({**PROFILES[name], **changes}) == needs


def test_a_vpn_that_another_connection_starts_comes_up_by_itself() -> None:
    profile = {**PROFILES["vpn"], "vpn.data": ""}
    assert nmcli.needs_login(profile, started_by_another=True) == []
    assert nmcli.parse_profiles("connection.id:x\nconnection.uuid:u\nconnection.permissions:--\n") == {
        "u": {"connection.id": "x", "connection.uuid": "u", "connection.permissions": ""}
    }


def test_terse_tables_escape_colons() -> None:
    (found,) = nmcli.parse_active("u1:802-11-wireless:wlan0:Home\\: 5\\\\GHz\n") or []
    assert found == nmcli.Active("u1", "802-11-wireless", ("wlan0",), "Home: 5\\GHz")
    assert nmcli.parse_active("") == []
    assert nmcli.parse_active(None) is None
    assert nmcli.parse_active("Warning: nmcli and NetworkManager versions do not match\n") is None
    assert nmcli.parse_external("docker0:connected (externally)\nwlan0:connected\n") == {"docker0"}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("ask", f"`nmcli connection modify ask {WIFI}.psk-flags 0 {WIFI}.psk SECRET`"),
        ("wired", "`nmcli connection modify wired connection.permissions ''`"),
        (
            "wired8021x",
            f"`nmcli connection modify wired8021x {ALWAYS} {PRIVATE_KEY}-flags 0 {PRIVATE_KEY} SECRET`",
        ),
        (
            "vpn",
            "`nmcli connection modify vpn +vpn.data 'password-flags = 0' +vpn.secrets 'password=SECRET'`",
        ),
    ],
)
def test_the_remedy_is_a_command_that_networkmanager_takes(name: str, command: str) -> None:
    profile = PROFILES[name]
    assert _command(Connection(name=name, uuid="u", needs_login=tuple(nmcli.needs_login(profile)))) == command


def uuid(name: str) -> str:
    return PROFILES[name]["connection.uuid"]


ACTIVE = "".join(
    f"{uuid(name)}:{kind}:{device}:{name}\n"
    for name, kind, device in [
        ("corp", "802-11-wireless", "wlan0"),
        ("plain", "802-11-wireless", "wlan1"),
        ("wired8021x", "802-3-ethernet", "end0"),
        ("lte", "gsm", "wwan0"),
    ]
)
TO_WLAN0 = [{"dst": "192.0.2.7", "dev": "wlan0", "flags": []}]
BY_END0 = [
    {"dst": "default", "dev": "wlan0", "metric": 600},
    {"dst": "default", "dev": "end0", "metric": 100},
]


class Host(Runner):
    """Answers of `ip` and `nmcli` by their words; what has none is missing."""

    def __init__(self, answers: Mapping[str, str | tuple[int, str]]) -> None:
        self.answers = answers

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        line = " ".join(argv)
        for words, answer in self.answers.items():
            if words in line:
                code, said = answer if isinstance(answer, tuple) else (0, answer)
                return Completed(tuple(argv), code, said, "")
        return Completed(tuple(argv), 127, "", "")


def collect(root: Path, answers: Mapping[str, str | tuple[int, str]], *, address: str | None = None) -> Any:
    if address:
        (root / "proc/self").mkdir(parents=True, exist_ok=True)
        (root / "run/systemd/sessions").mkdir(parents=True, exist_ok=True)
        (root / "proc/self/cgroup").write_text("0::/user.slice/user-1000.slice/session-4.scope\n")
        (root / "run/systemd/sessions/4").write_text(f"REMOTE_HOST={address}\n")
    return encode(network.collect(make_context(root, Host(answers))))


NMCLI = {
    "--active": ACTIVE,
    "device status": "wlan0:connected\nwwan0:connected\nend0:connected (externally)\nlo:unmanaged\n",
    "connection show": SHOWN,
}
ROUTES = {"route get 192.0.2.7": json.dumps(TO_WLAN0), "-j route show default": json.dumps(BY_END0)}


def test_the_connection_that_the_login_came_by_is_told_from_others(tmp_path: Path) -> None:
    found = collect(tmp_path, {**NMCLI, **ROUTES}, address="192.0.2.7")
    assert found["management"] == ["wlan0"]
    assert [(one["name"], one["management"], one["needs_login"]) for one in found["connections"]] == [
        ("corp", True, ["802-1x.password-flags=1"]),
        ("plain", False, []),
        ("lte", False, ["gsm.password-flags=1"]),
    ]


def test_without_a_login_it_is_the_best_default_route(tmp_path: Path) -> None:
    assert collect(tmp_path, {**NMCLI, **ROUTES})["management"] == ["end0"]
    assert collect(tmp_path, {"-6 route show default": json.dumps(BY_END0), "ip -j": "[]"})["management"] == [
        "end0"
    ]


@pytest.mark.parametrize(("kind", "more"), [("65534", {"end0"}), ("772", {"end0"}), ("1", set())])
def test_behind_a_tunnel_another_link_carries(tmp_path: Path, kind: str, more: set[str]) -> None:
    place = tmp_path / "sys/class/net/wg0"
    place.mkdir(parents=True)
    (place / "type").write_text(f"{kind}\n")
    routes = {**ROUTES, "route get 10.8.0.1": '[{"dev": "wg0"}]'}
    found = collect(tmp_path, {**NMCLI, **routes}, address="10.8.0.1")
    assert set(found["management"]) == {"wg0", *more}


VPN_TOO = f"{ACTIVE}{uuid('vpn')}:vpn:wlan0:vpn\n"  # nmcli names the device below a VPN


@pytest.mark.parametrize(("kind", "carries"), [("65534", [True]), ("1", [])])
def test_a_vpn_counts_where_the_login_comes_through_a_tunnel(
    tmp_path: Path, kind: str, carries: list[bool]
) -> None:
    place = tmp_path / "sys/class/net/tun0"
    place.mkdir(parents=True)
    (place / "type").write_text(f"{kind}\n")
    answers = {**NMCLI, **ROUTES, "--active": VPN_TOO, "route get 10.8.0.1": '[{"dev": "tun0"}]'}
    found = collect(tmp_path, answers, address="10.8.0.1")["connections"]
    assert [one["management"] for one in found if one["type"] == "vpn"] == carries


def test_a_vpn_that_comes_up_with_another_connection_is_told(tmp_path: Path) -> None:
    shown = SHOWN.replace("connection.secondaries:\n", f"connection.secondaries:{uuid('vpn')}\n", 1)
    answers = {**NMCLI, **ROUTES, "--active": VPN_TOO, "connection show": shown}
    (vpn,) = [one for one in collect(tmp_path, answers)["connections"] if one["type"] == "vpn"]
    assert (vpn["management"], vpn["needs_login"]) == (False, ["vpn.data password-flags=1"])


def test_the_ports_of_a_bridge_carry_it(tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/br0/lower_bond0").mkdir(parents=True)
    (tmp_path / "sys/class/net/bond0/lower_wlan0").mkdir(parents=True)
    routes = {"-j route show default": '[{"dev": "br0"}]'}
    found = collect(tmp_path, {**NMCLI, **routes})
    assert found["management"] == ["bond0", "br0", "wlan0"]
    assert found["connections"][0]["management"] is True


@pytest.mark.parametrize("said", [(127, ""), (8, "")], ids=["no NetworkManager", "it does not run"])
def test_what_networkmanager_does_not_manage_needs_no_login(tmp_path: Path, said: tuple[int, str]) -> None:
    assert collect(tmp_path, {"nmcli": said, **ROUTES}) == {"management": ["end0"], "connections": []}


@pytest.mark.parametrize(
    "broken",
    [
        {"--active": (10, "")},
        {"--active": "Error\n"},
        {"device status": (124, "")},
        {"connection show": (10, "")},
        {"connection show": SHOWN.replace("connection.uuid", "connection.id2")},
    ],
)
def test_an_answer_that_cannot_be_read_is_unknown(tmp_path: Path, broken: dict[str, Any]) -> None:
    assert collect(tmp_path, {**NMCLI, **ROUTES, **broken})["connections"] is None


def test_an_unknown_route_leaves_each_connection_unknown(tmp_path: Path) -> None:
    for routes in ({}, {"ip -j": "nonsense"}, {"ip -j": "[1]"}, {"ip -j": '[{"metric": 1}]'}):
        found = collect(tmp_path, {**NMCLI, **routes})
        assert found["management"] is None
        assert {one["management"] for one in found["connections"]} == {None}
