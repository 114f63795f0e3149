"""The units of door, edge and bridge: what they may do, by systemd's own measure and line by line."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import jinja2
import pytest
from pydantic import SecretStr

from tests.support.documents import release_of
from thorctl.edge.settings import MIB, DoorSettings, Settings

ROLES = Path(__file__).resolve().parents[2] / "playbooks" / "roles"
DOOR = ROLES / "thor_door" / "files"
CLOCKS = ROLES / "thor_host" / "templates" / "thor-clocks.service.j2"
EDGE = ROLES / "thor_edge" / "templates" / "thor-edge.service.j2"
HEADER_BYTES = 36 * 1024  # large_client_header_buffers, and the connection's own
EDGE_SETTINGS = Settings.model_construct(certificate="", private_key=SecretStr(""))
THRESHOLD = "15"  # tenths of systemd-analyze's exposure; 25 is asked for


def edge(port: int) -> str:
    template = jinja2.Environment(trim_blocks=True, autoescape=False).from_string(EDGE.read_text())  # noqa: S701
    return template.render(thor_edge_port=port)


UNITS = {
    "thor-door.service": (DOOR / "thor-door.service").read_text(),
    "thor-bridge.service": (DOOR / "thor-bridge.service").read_text(),
    "thor-edge.service": edge(8443),
}


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "=" in line and not line.startswith("#")]


@pytest.mark.parametrize("name", UNITS)
def test_exposure_is_low(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(UNITS[name])
    words = ["systemd-analyze", "security", "--offline=yes", f"--threshold={THRESHOLD}", str(tmp_path / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_no_root_and_no_capability(name: str) -> None:
    found = lines(UNITS[name])
    assert "CapabilityBoundingSet=" in found
    assert "DynamicUser=yes" in found or f"User={name.removesuffix('.service')}" in found
    assert not [line for line in found if line.startswith("Ambient")]


def test_an_edge_below_1024_may_bind_and_no_more() -> None:
    found = [line for line in lines(edge(443)) if "apabilit" in line]
    assert found == [
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ]


@pytest.mark.parametrize(
    ("name", "settings"), [("thor-door.service", DoorSettings()), ("thor-edge.service", EDGE_SETTINGS)]
)
def test_memory_is_limited_above_what_the_configuration_allows(
    name: str, settings: DoorSettings | Settings
) -> None:
    """A local program that fills all places gets no worker killed, and nobody gets more than that."""
    (limit,) = re.findall(r"^MemoryMax=(\d+)([MG])$", UNITS[name], re.MULTILINE)
    allowed = int(limit[0]) * {"M": MIB, "G": 1024 * MIB}[limit[1]]
    headers = 2 * settings.worker_connections * HEADER_BYTES
    generations = 2  # old workers finish what they answer
    assert generations * (settings.bodies_bytes + headers) < allowed < 4 * 1024 * MIB
    assert "OOMPolicy=continue" in lines(UNITS[name])


@pytest.mark.parametrize("name", ["thor-door.service", "thor-edge.service"])
def test_its_sockets_in_run_are_its_own_accounts(name: str) -> None:
    """Who could connect to them could state any client address."""
    assert "RuntimeDirectoryMode=0700" in lines(UNITS[name])


@pytest.mark.parametrize(
    ("unit", "starts"),
    [
        ("ExecStart=docker run --network host --read-only", False),
        ("ExecStart=docker run --net=host", False),
        ("ExecStart=docker run --network none --read-only", True),
        ("ExecStart=docker run --network thor-engine", True),
        (None, True),
    ],
)
def test_the_door_starts_unless_the_engine_takes_the_port(
    unit: str | None, starts: bool, tmp_path: Path
) -> None:
    (condition,) = [line for line in lines(UNITS["thor-door.service"]) if line.startswith("ExecCondition=")]
    engine = tmp_path / "thor-engine.service"
    if unit:
        engine.write_text(f"[Service]\n{unit} \\\n  image\n")
    script = condition.partition(" -c ")[2].strip("'")
    script = script.replace("/etc/systemd/system/thor-engine.service", str(engine))
    assert (subprocess.run(["/bin/sh", "-c", script], check=False).returncode == 0) == starts


DECISION = ROLES.parents[1] / "docs" / "decisions" / "0002-units-with-the-docker-socket.md"


@pytest.mark.parametrize("name", ["thor-recover.service", "thor-engine.service"])
def test_each_missing_setting_of_a_root_unit_has_its_reason(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name
    if name == "thor-engine.service":
        unit.write_text(release_of(ROLES.parents[1] / "deploy", "tiny-qwable").files[name].content)
    else:
        unit.write_text((ROLES / "thor_host" / "files" / name).read_text())
    words = ["systemd-analyze", "security", "--offline=yes", "--json=short", str(unit)]
    table = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    missing = {one["json_field"].partition("_")[0] for one in table if one["set"] is False}
    assert missing
    reasons = set(re.findall(r"`(\w+)`", DECISION.read_text()))
    assert missing <= reasons


def clocks(kept: str) -> list[str]:
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)  # noqa: S701
    environment.filters["ternary"] = lambda value, yes, no: yes if value else no
    return lines(environment.from_string(CLOCKS.read_text()).render(thor_host_clocks_while=kept))


def test_clocks_are_up_always_or_while_the_engine_runs() -> None:
    assert "WantedBy=multi-user.target" in clocks("always")
    assert not [line for line in clocks("always") if "thor-engine" in line or "ExecStop" in line]
    serving = clocks("serving")
    assert {"PartOf=thor-engine.service", "WantedBy=thor-engine.service"} <= set(serving)
    steps = [line.split("=")[0] for line in serving if line.startswith("Exec")]
    assert steps == ["ExecStartPre", "ExecStartPre", "ExecStop", "ExecStart"]
