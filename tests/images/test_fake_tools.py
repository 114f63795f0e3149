"""The simulated Thor's tools answer as the captures do, and the agent's parsers understand every answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.read_capture import CAPTURES, text
from thorctl.agent.parsers import jetson_clocks, l4t, nvidia_smi, nvpmodel, tegrastats

ROOTFS = Path(__file__).parents[2] / "images/sim-device/fakes/rootfs"
NEEDS_ROOT_AND_SYSTEMD = {"id": "echo 0", "systemctl": 'echo "$@" >>"$CALLED"'}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """The tools with every absolute path of theirs moved below a temporary root; returns their directory."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in [*(ROOTFS / "usr/bin").iterdir(), *(ROOTFS / "usr/sbin").iterdir()]:
        script = tool.read_text()
        for place in ("/etc/", "/var/lib/", "/run/", "/usr/share/"):
            script = script.replace(place, f"{tmp_path}{place}")
        (programs / tool.name).write_text(script.replace("#!/usr/bin/python3", f"#!{sys.executable}"))
    for name, script in NEEDS_ROOT_AND_SYSTEMD.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    (tmp_path / "run").mkdir()
    for directory in ("etc", "usr/share"):
        (tmp_path / directory).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", ROOTFS / directory, tmp_path / directory], check=True)
    return programs


def ask(tools: Path, *argv: str, answer: str = "") -> tuple[int, str]:
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CALLED": str(tools / "called")}
    done = subprocess.run(
        [tools / argv[0], *argv[1:]],
        input=answer,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout


def mode(tools: Path) -> str | None:
    found = nvpmodel.parse_query(ask(tools, "nvpmodel", "-q")[1])
    return found.name if found else None


def test_captures_in_the_image_are_those_of_the_tests() -> None:
    for shipped in (ROOTFS / "usr/share/thor-sim/captures").iterdir():
        assert shipped.read_bytes() == (CAPTURES / shipped.name).read_bytes(), shipped.name
    release = l4t.parse_nv_tegra_release((ROOTFS / "etc/nv_tegra_release").read_text())
    assert release == l4t.parse_nv_tegra_release(text("nv_tegra_release.r38.4.0"))


def test_the_modes_are_those_of_the_capture(tools: Path) -> None:
    conf = (ROOTFS / "etc/nvpmodel.conf").read_text()
    assert nvpmodel.parse_conf(conf) == nvpmodel.parse_conf(text("nvpmodel.conf.power_models"))
    assert nvpmodel.parse_conf_default(conf) == 1
    assert ask(tools, "nvpmodel", "-q") == (0, text("nvpmodel-q.120w"))


def test_a_live_switch_is_kept(tools: Path) -> None:
    assert ask(tools, "nvpmodel", "-m", "0") == (0, "")
    assert ask(tools, "nvpmodel", "-q") == (0, text("nvpmodel-q.maxn"))
    assert (tools.parent / "var/lib/nvpmodel/status").read_text() == "pmode:0000\n"


@pytest.mark.parametrize("answer", ["", "no\n"])
def test_a_switch_that_needs_a_reboot_asks_and_changes_nothing(tools: Path, answer: str) -> None:
    code, said = ask(tools, "nvpmodel", "-m", "2", answer=answer)
    assert code != 0
    assert said == text("nvpmodel-m2.declined")
    assert mode(tools) == "120W"


def test_a_confirmed_reboot_keeps_the_mode_and_reboots(tools: Path) -> None:
    ask(tools, "nvpmodel", "-m", "3", answer="YES\n")
    assert mode(tools) == "70W"
    assert (tools / "called").read_text() == "reboot\n"


def test_an_unknown_mode_is_refused(tools: Path) -> None:
    assert ask(tools, "nvpmodel", "-m", "9")[0] == 1
    assert mode(tools) == "120W"


def test_clocks_are_locked_shown_and_restored(tools: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    assert ask(tools, "jetson_clocks", "--restore", kept)[0] == 1
    assert ask(tools, "jetson_clocks", "--store", kept)[0] == 0
    assert ask(tools, "jetson_clocks", "--store", kept)[0] == 1  # it asks whether to overwrite
    before = jetson_clocks.parse_show(ask(tools, "jetson_clocks", "--show")[1])
    assert before is not None
    assert (before.locked, before.gpu_max_hertz, before.power_mode) == (False, 1386000000, "120W")
    ask(tools, "nvpmodel", "-m", "0")
    assert ask(tools, "jetson_clocks") == (0, text("jetson_clocks"))
    assert ask(tools, "jetson_clocks", "--show") == (0, text("jetson_clocks-show.maxn-locked"))
    assert ask(tools, "jetson_clocks", "--restore", kept)[0] == 0
    after = jetson_clocks.parse_show(ask(tools, "jetson_clocks", "--show")[1])
    assert after is not None
    assert after.locked is False


def test_tegrastats_prints_the_captured_line(tools: Path) -> None:
    with subprocess.Popen(
        [tools / "tegrastats", "--interval", "10"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        running.kill()
    assert tegrastats.parse_line(line) == tegrastats.parse_line(text("tegrastats.r38.4.0"))


def test_nvidia_smi_answers_the_agents_question(tools: Path) -> None:
    query = f"--query-gpu={nvidia_smi.QUERY}"
    code, csv = ask(tools, "nvidia-smi", query, "--format=csv,noheader,nounits")
    assert (code, nvidia_smi.parse_gpu(csv)) == (0, nvidia_smi.parse_gpu(text("nvidia-smi.gpu.csv")))
    assert ask(tools, "nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader") == (0, "[N/A]\n")
    assert ask(tools, "nvidia-smi", "--query-gpu=colour", "--format=csv")[0] == 2
    assert text("nvidia-smi.r38.2.1") in ask(tools, "nvidia-smi")[1]
