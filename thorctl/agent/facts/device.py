"""Read single facts of the device: files below ctx.paths, programs through ctx.runner."""

from __future__ import annotations

import ctypes
import os
import re
import select
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.parsers import docker, dpkg, jetson_clocks, nvidia_smi, nvpmodel, tegrastats, thermal
from thorctl.agent.parsers.numbers import integer
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.protocol.facts import Gpu, GpuProcess, PowerMode

# Tools answer in a fraction of a second, or in several right after boot or under load. Neither should fail a
# preflight, nor should a hanging tool delay it for long.
TOOL_SECONDS = 20.0
STATUS_SECONDS = 4.0  # for display only
_TEGRASTATS_INTERVAL_MILLISECONDS = "100"
# As systemd-timedated: the kernel increases the error, and above 16 s the clock is not synchronised.
_MAXERROR_MICROSECONDS = 16_000_000
_BOUNDING_SET = re.compile(r"^CapBnd:\s*([0-9a-f]+)$", re.MULTILINE)
_CAP_SYS_TIME = 25
_OVER_CURRENT_COUNTERS = "hwmon*/oc*_event_cnt"
_GPU_CLOCKS = "/sys/class/devfreq/gpu-gpc-0"
_PACKAGES = ("nvidia-l4t-core", "nvidia-jetpack", "nvidia-container-toolkit", "unattended-upgrades",
             "docker.io", "docker-ce")  # fmt: skip
_DPKG_ANSWERED = (0, 1)  # 1: some packages are unknown
_DOCKER_PROGRAMS = ("usr/bin/dockerd", "usr/local/bin/dockerd", "usr/sbin/dockerd")


def text(ctx: Context, path: str) -> str | None:
    """Return a file's text, undecodable bytes replaced; None if it cannot be read."""
    raw = content(ctx, path)
    return None if raw is None else raw.decode("utf-8", errors="replace")


def content(ctx: Context, path: str) -> bytes | None:
    """Return a file's bytes; None if it cannot be read."""
    try:
        return ctx.paths.at(path).read_bytes()
    except OSError:
        return None


def power_mode(ctx: Context, seconds: float = TOOL_SECONDS) -> PowerMode | None:
    """Return the present power mode; needs no root."""
    return nvpmodel.parse_query(output(ctx, "nvpmodel", "-q", seconds=seconds))


def clocks(ctx: Context) -> jetson_clocks.Clocks | None:
    """Return the clocks of `jetson_clocks --show`, which needs root; None without an answer."""
    return jetson_clocks.parse_show(output(ctx, "jetson_clocks", "--show"))


def gpu(ctx: Context) -> Gpu | None:
    """Return the GPU that nvidia-smi reports."""
    query = f"--query-gpu={nvidia_smi.QUERY}"
    return nvidia_smi.parse_gpu(output(ctx, "nvidia-smi", query, "--format=csv,noheader,nounits"))


def gpu_processes(ctx: Context) -> list[GpuProcess] | None:
    """Return the programs that use the GPU."""
    query = f"--query-compute-apps={nvidia_smi.PROCESSES_QUERY}"
    return nvidia_smi.parse_processes(output(ctx, "nvidia-smi", query, "--format=csv,noheader,nounits"))


def gpu_table(ctx: Context) -> str | None:
    """Return nvidia-smi's table, the only source of the newest CUDA version that the driver supports."""
    return output(ctx, "nvidia-smi")


def over_current_events(ctx: Context) -> dict[str, int] | None:
    """Return the over-current counters, ``hwmon3/oc1`` → events since boot; None if there are none."""
    found = {}
    for file in sorted(ctx.paths.at("/sys/class/hwmon").glob(_OVER_CURRENT_COUNTERS)):
        count = integer(_small_file(file))
        if count is not None:
            found[f"{file.parent.name}/{file.name.partition('_')[0]}"] = count
    return found or None


def packages(ctx: Context) -> dict[str, str] | None:
    """Return the versions of relevant installed packages; None if dpkg does not answer."""
    done = ctx.runner.run(["dpkg-query", "-W", f"-f={dpkg.FORMAT}", *_PACKAGES], timeout=TOOL_SECONDS)
    return dpkg.parse_versions(done.stdout) if done.rc in _DPKG_ANSWERED else None


def sensors(
    ctx: Context, seconds: float = TOOL_SECONDS
) -> tuple[dict[str, float] | None, dict[str, int] | None]:
    """Return (temperatures in °C, rails in mW): from tegrastats, else temperatures from the thermal zones."""
    words = ["tegrastats", "--interval", _TEGRASTATS_INTERVAL_MILLISECONDS]
    line = tegrastats.parse_line(_first_line(ctx, words, seconds))
    if line is not None and line.temperature_celsius:
        return line.temperature_celsius, line.power_milliwatts or None
    zones = sorted(ctx.paths.at("/sys/class/thermal").glob("thermal_zone*"))
    return thermal.parse_zones(
        (_small_file(zone / "type"), _small_file(zone / "temp")) for zone in zones
    ), None


def docker_info(ctx: Context) -> docker.DockerInfo | None:
    """Return the Docker engine's self-description; None without an answer."""
    try:
        return docker.parse_info(ctx.docker.info())
    except AgentError:
        return None


def docker_installed(ctx: Context) -> bool:
    """Return whether a Docker engine is installed, running or not."""
    return any((ctx.paths.root / program).exists() for program in _DOCKER_PROGRAMS)


def unpigz_installed(ctx: Context) -> bool:
    """Return whether unpigz is installed, with which Docker and containerd unpack layers on all cores."""
    return (ctx.paths.root / "usr/bin/unpigz").exists()


@dataclass(frozen=True)
class Filesystem:
    """``free_bytes`` for an ordinary user; ``device``: its number; ``read_only``: not writable."""

    free_bytes: int
    device: int
    read_only: bool


def filesystem(path: Path) -> Filesystem | None:
    """Return the file system where ``path`` is or would be created; None if it cannot be read."""
    for place in (path, *path.parents):
        with suppress(OSError):
            stats, device = os.statvfs(place), place.stat().st_dev
            read_only = bool(stats.f_flag & os.ST_RDONLY)
            return Filesystem(stats.f_bavail * stats.f_frsize, device, read_only)
    return None


def clock_synchronized() -> bool | None:
    """Return whether the kernel's clock is synchronised (adjtimex, as in `timedatectl`)."""
    try:
        # struct timex of 64-bit Linux, 26 longs: modes the first (0 = read only), maxerror the fourth.
        timex = (ctypes.c_long * 32)()
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return timex[3] < _MAXERROR_MICROSECONDS


def clock_settable(ctx: Context) -> bool | None:
    """Return whether this device can set its clock: not in a container, nor without CAP_SYS_TIME."""
    if ctx.paths.at("/run/systemd/container").exists():
        return False
    bounding = _BOUNDING_SET.search(text(ctx, "/proc/self/status") or "")
    return None if bounding is None else bool(int(bounding[1], 16) >> _CAP_SYS_TIME & 1)


def output(ctx: Context, *argv: str, seconds: float = TOOL_SECONDS) -> str | None:
    """Return a program's output; None if it is missing, fails or times out."""
    done = ctx.runner.run(list(argv), timeout=seconds)
    return done.stdout if done.ok else None


def _first_line(ctx: Context, argv: list[str], seconds: float) -> str | None:
    """Return the first line of a program that never ends, and end it."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as output:
            process = ctx.runner.spawn(argv, output=output)
        try:
            line = b""
            while b"\n" not in line and select.select([reading], [], [], seconds)[0]:
                piece = os.read(reading, 65536)
                if not piece:
                    break
                line += piece
            return line.decode("utf-8", errors="replace") if b"\n" in line else None
        finally:
            process.kill()
            process.wait()
    except OSError:
        return None
    finally:
        os.close(reading)


def _small_file(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
