"""Reads one fact at a time from the device: files below ctx.paths, programs through ctx.runner."""

from __future__ import annotations

import ctypes
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.outcome import AgentError
from thorctl.agent.parsers import docker, dpkg, nvidia_smi, nvpmodel, tegrastats, thermal

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.context import Context

_TOOL_SECONDS = 4.0
_TEGRASTATS_INTERVAL_MILLISECONDS = "100"
# As systemd-timedated: the kernel counts the error up, and past 16 s nobody disciplines the clock.
_MAXERROR_MICROSECONDS = 16_000_000
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


def power_mode(ctx: Context) -> nvpmodel.PowerMode | None:
    """Return the power mode that is set; asking needs no root."""
    return nvpmodel.parse_query(_output(ctx, "nvpmodel", "-q"))


def gpu(ctx: Context) -> nvidia_smi.Gpu | None:
    """Return what nvidia-smi says of the one GPU."""
    query = f"--query-gpu={nvidia_smi.QUERY}"
    return nvidia_smi.parse_gpu(_output(ctx, "nvidia-smi", query, "--format=csv,noheader,nounits"))


def packages(ctx: Context) -> dict[str, str]:
    """Return the versions of the installed NVIDIA packages; dpkg-query fails if one is missing."""
    argv = ["dpkg-query", "-W", f"-f={dpkg.FORMAT}", "nvidia-l4t-core", "nvidia-jetpack"]
    return dpkg.parse_versions(ctx.runner.run(argv, timeout=_TOOL_SECONDS).stdout)


def sensors(ctx: Context) -> tuple[dict[str, float] | None, dict[str, int] | None]:
    """Return (temperatures in °C, rails in mW): from tegrastats, else temperatures from the thermal zones."""
    line = tegrastats.parse_line(
        _first_line(ctx, ["tegrastats", "--interval", _TEGRASTATS_INTERVAL_MILLISECONDS])
    )
    if line is not None and line.temperature_celsius:
        return line.temperature_celsius, line.power_milliwatts or None
    zones = sorted(ctx.paths.at("/sys/class/thermal").glob("thermal_zone*"))
    return thermal.parse_zones((_zone_file(zone / "type"), _zone_file(zone / "temp")) for zone in zones), None


def docker_info(ctx: Context) -> docker.DockerInfo | None:
    """Return what the Docker engine says of itself; None if none answers."""
    try:
        return docker.parse_info(ctx.docker.info())
    except AgentError:
        return None


def docker_installed(ctx: Context) -> bool:
    """Return whether a Docker engine is installed, answering or not."""
    return any((ctx.paths.root / program).exists() for program in _DOCKER_PROGRAMS)


def filesystem(path: Path) -> tuple[int, int] | None:
    """Return (bytes free for an ordinary user, device number) of where ``path`` is or would be created."""
    for place in (path, *path.parents):
        with suppress(OSError):
            stats, device = os.statvfs(place), place.stat().st_dev
            return stats.f_bavail * stats.f_frsize, device
    return None


def clock_synchronized() -> bool | None:
    """Return whether something keeps the kernel's clock right (adjtimex, as `timedatectl` judges it)."""
    try:
        # struct timex of 64-bit Linux, 26 longs: modes the first (0 = read only), maxerror the fourth.
        timex = (ctypes.c_long * 32)()
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return timex[3] < _MAXERROR_MICROSECONDS


def _output(ctx: Context, *argv: str) -> str | None:
    done = ctx.runner.run(list(argv), timeout=_TOOL_SECONDS)
    return done.stdout if done.ok else None


def _first_line(ctx: Context, argv: list[str]) -> str | None:
    """Return the first line of a program that prints for ever, and end it."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as output:
            process = ctx.runner.spawn(argv, output=output)
        try:
            line = b""
            while b"\n" not in line and select.select([reading], [], [], _TOOL_SECONDS)[0]:
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


def _zone_file(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
