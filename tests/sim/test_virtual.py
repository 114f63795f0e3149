"""A virtual Thor before it boots: QEMU's command line, its files, whose process is whose."""

from __future__ import annotations

import io
import itertools
import os
import socket
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from thorctl.errors import ThorError
from thorctl.sim import host_command, overview, virtual_image
from thorctl.sim.ports import free_port
from thorctl.sim.state import Device, Simulation
from thorctl.sim.up import planned_virtual
from thorctl.sim.virtual_command import COMPATIBLE, MODEL, Cache, Hardware, patch_device_tree, start
from thorctl.sim.virtual_machine import VirtualThor

CAPTURES = Path(__file__).resolve().parents[1] / "agent" / "captures"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A built image, as far as making a machine looks at it."""
    folder = tmp_path / "image"
    folder.mkdir()
    disk = folder / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "16M"], check=True)
    return folder


@pytest.fixture
def machine(tmp_path: Path, image: Path) -> VirtualThor:
    """A machine that was made and never booted."""
    made = VirtualThor(tmp_path / "virtual" / "thor-vm-01", Hardware("thor-vm-01", free_port()))
    key = tmp_path / "id_ed25519"
    key.write_text("a key")
    hosts = {"hub.thorctl.test": "10.213.64.3"}
    made.create(image, authorized_key="ssh-ed25519 AAAA thorctl-sim\n", private_key=key, hosts=hosts)
    return made


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(words))


def test_the_device_tree_is_the_one_that_was_captured(tmp_path: Path) -> None:
    assert (CAPTURES / "devicetree.model").read_bytes().rstrip(b"\0\n").decode() == MODEL
    captured = (CAPTURES / "devicetree.compatible").read_bytes().rstrip(b"\n")
    assert captured == b"".join(word.encode() + b"\0" for word in COMPATIBLE)
    tree = tmp_path / "a.dtb"
    source = b'/dts-v1/; / { model = "linux,dummy-virt"; compatible = "linux,dummy-virt"; };'
    subprocess.run(["dtc", "-I", "dts", "-O", "dtb", "-o", str(tree)], input=source, check=True)
    for command in patch_device_tree(tree):
        subprocess.run(command, check=True)
    read = ["fdtget", "-t", "s", str(tree), "/", "compatible"]
    said = subprocess.run(read, check=True, capture_output=True, text=True).stdout.split()
    assert said == list(COMPATIBLE)


def test_qemu_is_reached_through_the_loopback_only_and_may_reboot(tmp_path: Path) -> None:
    words = start(Hardware("thor-vm-01", 4022, cpus=3, memory_bytes=1 << 30), tmp_path)
    given = pairs(words)
    assert ("-netdev", "user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:4022-:22") in given
    assert ("-smp", "3") in given
    assert ("-m", "1024M") in given
    assert "-no-reboot" not in words
    assert "-daemonize" in words


@pytest.mark.parametrize("cache", ["writeback", "unsafe"])
def test_the_cache_mode_is_chosen(tmp_path: Path, cache: Cache) -> None:
    words = start(Hardware("thor-vm-01", 4022, cache=cache), tmp_path)
    (disk,) = (value for option, value in pairs(words) if option == "-drive")
    assert f",cache={cache}," in disk


def test_a_comma_in_a_path_ends_no_option() -> None:
    words = start(Hardware("thor-vm-01", 4022), Path("/a,b"))
    (disk,) = (value for option, value in pairs(words) if option == "-drive")
    assert disk.endswith(",file=/a,,b/disk.qcow2")


def test_its_host_key_is_known_before_it_ever_ran(machine: VirtualThor) -> None:
    key = machine.folder / "identity" / "host_key"
    assert key.stat().st_mode & 0o777 == 0o600
    public = machine.host_key.split()[:2]
    assert machine.known_hosts.read_text() == f"[127.0.0.1]:{machine.hardware.port} {' '.join(public)}\n"
    assert (machine.folder / "identity" / "hosts").read_text().splitlines() == [
        "127.0.0.1 localhost",
        "127.0.1.1 thor-vm-01",
        "10.213.64.3 hub.thorctl.test",
    ]
    assert machine.exists
    assert machine.pid is None


def test_its_disk_is_an_overlay_and_a_fork_s_lies_over_it(
    machine: VirtualThor, image: Path, tmp_path: Path
) -> None:
    def backing(disk: Path) -> str:
        words = ["qemu-img", "info", "--output=json", str(disk)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        return said.split('"backing-filename": "')[1].split('"')[0]

    fork = VirtualThor(tmp_path / "fork", Hardware("thor-vm-01", free_port()))
    fork.create(image, authorized_key="ssh-ed25519 AAAA\n", private_key=tmp_path / "key", over=machine.disk)
    assert backing(machine.disk) == str(image / "disk.qcow2")
    assert backing(fork.disk) == str(machine.disk)


def test_another_s_process_is_not_taken_for_its_own(machine: VirtualThor) -> None:
    (machine.folder / "qemu.pid").write_text(f"{os.getpid()}\n")
    assert machine.pid is None
    machine.cut()  # must not kill this very process


def test_a_port_that_is_taken_is_named(machine: VirtualThor) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", machine.hardware.port))
        squatter.listen()
        with pytest.raises(ThorError) as caught:
            machine.power_on()
    assert caught.value.code == "sim_port_taken"
    assert str(machine.hardware.port) in caught.value.remedy


def test_one_that_is_off_is_not_waited_for(machine: VirtualThor) -> None:
    with pytest.raises(ThorError) as caught:
        machine.wait_booted()
    assert caught.value.code == "sim_device_not_booted"


def test_destroyed_twice_is_destroyed_once(machine: VirtualThor) -> None:
    machine.destroy()
    machine.destroy()
    assert not machine.folder.exists()


def test_the_image_carries_the_container_device_s_tools() -> None:
    files = virtual_image.layout()
    assert files["usr/sbin/nvpmodel"].parent.parent.parent.parent.name == "fakes"
    assert all(path.is_file() for path in files.values())
    listed = subprocess.run(
        ["tar", "tv"], input=virtual_image.archive(files), check=True, capture_output=True
    ).stdout.decode()
    modes = {line.split()[5]: line.split()[:2] for line in listed.splitlines()}
    assert modes["usr/sbin/nvpmodel"] == ["-rwxr-xr-x", "0/0"]
    assert modes["etc/nvpmodel.conf"][0].startswith("l")


def test_virtual_machines_are_dealt_to_sites_in_turn() -> None:
    ports = iter((4022, 4023, 4024))
    first = planned_virtual([], 2, sites=("a", "b"), free_port=lambda: next(ports))
    grown = planned_virtual(first, 3, sites=("a",), free_port=lambda: next(ports))
    assert [(d.name, d.port, d.site) for d in grown] == [
        ("thor-vm-01", 4022, "a"),
        ("thor-vm-02", 4023, "b"),
        ("thor-vm-03", 4024, "a"),
    ]
    assert grown[0] is first[0]


def test_what_is_missing_is_named_with_the_package_that_brings_it() -> None:
    with pytest.raises(ThorError) as caught:
        host_command.require({"sh": "dash", "no-such-tool": "a-package"})
    assert caught.value.code == "tool_missing"
    assert "no-such-tool" in caught.value.message
    assert caught.value.remedy == "Install them as root: `apt-get install a-package`."


def test_what_decides_the_image_decides_its_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    first = virtual_image.tag()
    assert virtual_image.tag() == first
    monkeypatch.setattr(virtual_image, "DISK_BYTES", virtual_image.DISK_BYTES + 1)
    assert virtual_image.tag() != first


def test_it_is_listed_with_its_port_and_whether_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path))
    device = Device(
        name="thor-vm-01", kind="virtual", docker="20.10", address="127.0.0.1", port=4022, site="lab"
    )
    simulation = Simulation(name="demo", subnet="10.213.64.0/24", devices=[device])
    client = Mock(spec=[])  # a machine is no container: the engine is not asked
    out = io.StringIO()
    Console(file=out, width=200).print(overview.table([simulation], client))
    assert out.getvalue().splitlines()[1].split() == [
        *("demo", "thor-vm-01", "virtual", "lab", "127.0.0.1:4022", "20.10", "its", "own", "missing"),
    ]


def test_a_monitor_and_a_saved_memory_are_handed_over_where_there_are_any(tmp_path: Path) -> None:
    plain = start(Hardware("thor-vm-01", 4022), tmp_path)
    assert "-qmp" not in plain
    assert "-incoming" not in plain
    words = start(Hardware("thor-vm-01", 4022, monitor=tmp_path / "m"), tmp_path, memory=Path("/a b"))
    given = pairs(words)
    assert ("-qmp", f"unix:{tmp_path}/m,server=on,wait=off") in given
    assert ("-incoming", "exec:cat '/a b'") in given
