"""Parsers of how the device is: GPU, power, clocks, temperatures, memory, Docker, sockets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.read_capture import text
from thorctl.agent.parsers import (
    docker,
    jetson_clocks,
    meminfo,
    numbers,
    nvidia_smi,
    nvpmodel,
    sockets,
    tegrastats,
    thermal,
)
from thorctl.protocol.facts import Gpu, GpuProcess, Memory, PowerMode


@pytest.mark.parametrize("absent", ["[N/A]", "N/A", "", " ", "off", "12 MiB", "1e3", "٣", None])
def test_what_is_no_integer_is_none(absent: str | None) -> None:
    assert numbers.integer(absent) is None


@given(st.integers())
def test_integers(number: int) -> None:
    assert numbers.integer(f" {number}\n") == number


@pytest.mark.parametrize("absent", ["nan", "inf", "1_0", "[N/A]", "", None])
def test_what_is_no_decimal_is_none(absent: str | None) -> None:
    assert numbers.decimal(absent) is None


def test_gpu() -> None:
    found = nvidia_smi.parse_gpu(text("nvidia-smi.gpu.csv"))
    assert found == Gpu("NVIDIA Thor", "580.00", "11.0", 0)
    assert nvidia_smi.parse_gpu("NVIDIA Thor, [N/A], 11.0, [N/A]\n") == Gpu("NVIDIA Thor", None, "11.0", None)


def test_a_partitioned_gpu_may_answer_with_several_lines() -> None:
    lines = "NVIDIA Thor, 595.78, 11.0, [N/A]\nNVIDIA Thor, 595.78, 11.0, 3\n"
    assert nvidia_smi.parse_gpu(lines) == Gpu("NVIDIA Thor", "595.78", "11.0", None)


@pytest.mark.parametrize(
    ("mode", "on"),
    [("Disabled", False), (" Enabled", True), ("Enabled*", True), ("     N/A", False), ("Other   ", None)],
)
def test_mig_stands_in_the_table(mode: str, on: bool | None) -> None:
    table = text("nvidia-smi.r38.2.1")
    assert table.count("Disabled") == 1
    assert nvidia_smi.parse_mig(table.replace("Disabled", mode)) is on


def test_mig_is_unknown_without_a_table() -> None:
    assert nvidia_smi.parse_mig(None) is None
    assert nvidia_smi.parse_mig("NVIDIA-SMI has failed because it couldn't communicate\n") is None


@pytest.mark.parametrize("unread", [None, "", "No devices were found\n", "A, 1, 1.0, 0\nB, 1, 1.0, 0\n"])
def test_not_one_gpu_is_none(unread: str | None) -> None:
    assert nvidia_smi.parse_gpu(unread) is None


def test_gpu_memory_of_processes() -> None:
    found = nvidia_smi.parse_processes(text("nvidia-smi.apps.composed.csv"))
    assert found is not None
    assert found[1] == GpuProcess(2201, "/usr/bin/python3", 37120 * 2**20)
    assert nvidia_smi.used_bytes(found) == (91350 + 37120) * 2**20
    assert nvidia_smi.parse_processes("") == []
    assert nvidia_smi.used_bytes([]) == 0


def test_a_process_without_a_figure_leaves_the_sum_unknown() -> None:
    found = nvidia_smi.parse_processes("12, a, b, [N/A]\n13, Xorg, 48\n")
    assert found is not None
    assert found[0] == GpuProcess(12, "a, b", None)
    assert nvidia_smi.used_bytes(found) is None


@pytest.mark.parametrize("unread", [None, "NVIDIA-SMI has failed\n", "12, python3\n", "[N/A], x, 1\n"])
def test_unreadable_gpu_processes_are_none(unread: str | None) -> None:
    assert nvidia_smi.parse_processes(unread) is None
    assert nvidia_smi.used_bytes(None) is None


def test_cuda_stands_in_the_banner_only() -> None:
    assert nvidia_smi.parse_cuda(text("nvidia-smi.r38.2.1")) == "13.0"
    assert nvidia_smi.parse_cuda("CUDA Version: N/A") is None
    assert nvidia_smi.parse_cuda(None) is None


def test_power_mode() -> None:
    assert nvpmodel.parse_query(text("nvpmodel-q.120w")) == PowerMode("120W", 1)
    assert nvpmodel.parse_query(text("nvpmodel-q.maxn")) == PowerMode("MAXN", 0)
    warned = "NVPM WARN: fan mode is not set!\n" + text("nvpmodel-q.maxn")
    assert nvpmodel.parse_query(warned) == PowerMode("MAXN", 0)


@pytest.mark.parametrize(
    "unread", [None, "", "NV Power Mode: \n1\n", "NV Power Mode: 120W\n", "NVPM ERROR: x\n"]
)
def test_an_unknown_power_mode_is_none(unread: str | None) -> None:
    assert nvpmodel.parse_query(unread) is None
    assert nvpmodel.parse_query(text("nvpmodel-m2.declined")) is None


def test_power_modes_by_name() -> None:
    conf = text("nvpmodel.conf.power_models")
    assert nvpmodel.parse_conf(conf) == {"MAXN": 0, "120W": 1, "90W": 2, "70W": 3}
    assert nvpmodel.parse_conf_default(conf + "< PM_CONFIG DEFAULT=1 >\n") == 1
    assert nvpmodel.parse_conf_default(conf) is None
    assert nvpmodel.parse_conf(None) == {}


def test_tegrastats() -> None:
    found = tegrastats.parse_line(text("tegrastats.r38.4.0"))
    assert found is not None
    assert (found.ram_used_bytes, found.ram_total_bytes) == (105265 * 2**20, 125772 * 2**20)
    assert found.swap_used_bytes is None
    assert found.temperature_celsius == {
        "cpu": 37.343,
        "tj": 38.875,
        "soc012": 37.468,
        "gpu": 38.875,
        "soc345": 37.406,
    }
    assert found.power_milliwatts == {
        "VDD_GPU": 1962,
        "VDD_CPU_SOC_MSS": 5887,
        "VIN_SYS_5V0": 5635,
        "VIN": 19780,
    }


def test_tegrastats_without_an_idle_rail_and_with_swap() -> None:
    line = "RAM 1/2MB (lfb 1x4MB) SWAP 3/4MB (cached 0MB) GR3D_FREQ @[0] tj@-12.5C gpu@-256C VDD_GPU 1mW/2mW"
    found = tegrastats.parse_line(line)
    assert found is not None
    assert (found.swap_used_bytes, found.swap_total_bytes) == (3 * 2**20, 4 * 2**20)
    assert found.temperature_celsius == {"tj": -12.5}
    assert found.power_milliwatts == {"VDD_GPU": 1}


@pytest.mark.parametrize("unread", [None, "", "tegrastats: not found\n"])
def test_no_tegrastats_line_is_none(unread: str | None) -> None:
    assert tegrastats.parse_line(unread) is None


def test_jetson_clocks() -> None:
    found = jetson_clocks.parse_show(text("jetson_clocks-show.maxn-locked"))
    assert found is not None
    assert (found.soc, found.machine) == ("tegra264", "NVIDIA Jetson AGX Thor Developer Kit")
    assert (found.gpu_max_hertz, found.memory_hertz, found.power_mode) == (1575000000, 4266000000, "MAXN")
    assert (found.gpu_hertz, found.gpu_min_hertz) == (1575000000, 1575000000)
    assert found.locked is True


def test_jetson_clocks_free_or_unknown() -> None:
    free = text("jetson_clocks-show.maxn-locked").replace("gpu-gpc-0 MinFreq=1575", "gpu-gpc-0 MinFreq=0315")
    found = jetson_clocks.parse_show(free)
    assert found is not None
    assert found.locked is False
    header = text("jetson_clocks-show.maxn-locked").splitlines()[0]
    bare = jetson_clocks.parse_show(header)
    assert bare is not None
    assert bare.locked is None
    assert jetson_clocks.parse_show("Error: Run with root") is None


def test_meminfo() -> None:
    found = meminfo.parse_meminfo("MemTotal:  131072 kB\nMemFree:  1024 kB\nMemAvailable:  2048 kB\n")
    assert found == Memory(total_bytes=131072 * 1024, available_bytes=2048 * 1024, free_bytes=1024 * 1024)
    assert meminfo.parse_meminfo("nothing here") is None


def test_thermal_zones() -> None:
    zones = [("tj-thermal\n", "38875\n"), ("gpu-thermal", "-256000"), ("cpu-thermal", None), (None, "1")]
    assert thermal.parse_zones(zones) == {"tj": 38.875}
    assert thermal.parse_zones([]) is None


@pytest.mark.parametrize(
    ("capture", "version", "store", "runtimes"),
    [
        ("docker-info.20.10.json", "20.10.24+dfsg1", "docker", "runc"),
        ("docker-info.29.composed.json", "29.1.3", "containerd", "nvidia"),
    ],
)
def test_docker_info(capture: str, version: str, store: str, runtimes: str) -> None:
    found = docker.parse_info(json.loads(text(capture)))
    assert found is not None
    assert (found.version, found.image_store) == (version, store)
    assert runtimes in found.runtimes


def test_a_docker_client_without_an_engine_is_none() -> None:
    assert docker.parse_info(json.loads(text("docker-info.no-engine.json"))) is None
    assert docker.parse_info(None) is None
    assert docker.parse_info([]) is None


def test_listening_sockets() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
        "   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n"
        "   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1\n"
    )
    assert sockets.listening_inodes([table], 8000) == {4711}
    assert sockets.listening_inodes([table], 22) == {4713}
    assert sockets.listening_inodes([table], 9000) == set()
    assert sockets.listening_inodes([None], 22) == set()
