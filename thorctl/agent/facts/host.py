"""Read single facts of the system around the engine: updates, swap, file systems, kernel, systemd."""

from __future__ import annotations

import gzip
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.facts import device
from thorctl.agent.parsers import apt, block, dpkg, kernel_config, mountinfo, swaps, systemd
from thorctl.agent.parsers.numbers import integer
from thorctl.protocol.facts import Disk, Nginx, Swap, Watchdog

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context

_SECTOR_BYTES = 512  # unit of /sys/block/*/size for all disks
_UPGRADE_TIMER = "apt-daily-upgrade.timer"
# apt would rewrite its caches; reading facts writes nothing.
_NO_CACHES = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def packages_held(ctx: Context) -> list[str] | None:
    """Return the packages that apt holds at their version."""
    return apt.parse_holds(device.output(ctx, "apt-mark", "showhold", *_NO_CACHES))


def package_holds(ctx: Context) -> dict[str, bool] | None:
    """Return every installed package, and whether it is held at its version; fast."""
    words = ("dpkg-query", "--show", f"--showformat={dpkg.HOLDS_FORMAT}")
    return dpkg.parse_holds(device.output(ctx, *words, seconds=device.STATUS_SECONDS))


def upgrades_by_itself(ctx: Context) -> tuple[bool | None, bool | None]:
    """Return whether apt's configuration enables unattended upgrades, and whether their timer is active."""
    return upgrades_asked_for(ctx), upgrade_timer(ctx)


def upgrades_asked_for(ctx: Context, seconds: float = device.TOOL_SECONDS) -> bool | None:
    """Return whether apt's configuration enables unattended upgrades."""
    return apt.parse_periodic(device.output(ctx, "apt-config", "dump", "APT::Periodic", seconds=seconds))


def upgrade_timer(ctx: Context, seconds: float = device.TOOL_SECONDS) -> bool | None:
    """Return whether the timer of unattended upgrades is active."""
    done = ctx.runner.run(["systemctl", "is-enabled", _UPGRADE_TIMER], timeout=seconds)
    return systemd.parse_enabled(done.stdout)  # the exit status is irrelevant


def swap(ctx: Context) -> tuple[Swap, ...] | None:
    """Return every swap area, [] if there is none."""
    found = swaps.parse_swaps(device.text(ctx, "/proc/swaps"))
    return None if found is None else tuple(found)


def nginx(ctx: Context) -> Nginx:
    """Return whether nginx is installed with its stream module, and whether the edge is configured."""
    needs = ("/usr/sbin/nginx", "/usr/share/nginx/modules-available/mod-stream.conf")
    edge = ("/etc/thor/edge", "/etc/systemd/system/thor-edge.service")
    stream = all(ctx.paths.at(path).exists() for path in needs)
    return Nginx(stream, edge=any(ctx.paths.at(path).exists() for path in edge))


def default_target(ctx: Context) -> str | None:
    """Return the target that this device boots into."""
    return systemd.parse_default_target(device.output(ctx, "systemctl", "get-default"))


def watchdog(ctx: Context) -> Watchdog:
    """Return whether there is a hardware watchdog, and its time-out in seconds (0 = off)."""
    return Watchdog(any(ctx.paths.at("/dev").glob("watchdog*")), watchdog_seconds(ctx)[0])


def watchdog_seconds(ctx: Context, seconds: float = device.TOOL_SECONDS) -> tuple[int | None, int | None]:
    """Return systemd's time-outs of the hardware watchdog in seconds: running, restarting; 0 is off."""
    names = ("RuntimeWatchdogUSec", "RebootWatchdogUSec")
    said = device.output(ctx, "busctl", "get-property", *_MANAGER, *names, seconds=seconds)
    runtime, reboot = (*map(systemd.parse_watchdog_seconds, (said or "").splitlines()), None, None)[:2]
    return runtime, reboot


def snap_refreshes(ctx: Context) -> str | None:
    """Return whether snapd's refreshes are 'held', until when, or 'not held'; None if it does not answer."""
    done = ctx.runner.run(["snap", "get", "system", "refresh.hold"], timeout=device.STATUS_SECONDS)
    if done.ok:
        until = done.stdout.strip()
        return "held" if until == "forever" else f"held until {until}" if until else "not held"
    return "not held" if "refresh.hold" in done.stderr else None


def mounts(ctx: Context) -> list[mountinfo.Mount]:
    """Return the mounts, [] if unknown."""
    return mountinfo.parse_mountinfo(device.text(ctx, "/proc/self/mountinfo"))


def iptables_raw(ctx: Context) -> bool | None:
    """Return whether the kernel has iptables' table raw, which Docker needs for published ports."""
    if "raw" in (device.text(ctx, "/proc/net/ip_tables_names") or "").split():
        return True
    return kernel_config.built(_kernel_config(ctx), "IP_NF_RAW")


def disks(ctx: Context) -> tuple[Disk, ...] | None:
    """Return the disks: name, kind (nvme, mmc, usb, virtio, ata, null) and size."""
    try:
        names = sorted(os.listdir(ctx.paths.at("/sys/block")))  # noqa: PTH208 - names, not paths
    except OSError:
        return None
    return tuple(
        Disk(
            name,
            block.kind_of(os.path.realpath(ctx.paths.at(f"/sys/block/{name}"))),
            None if sectors is None else sectors * _SECTOR_BYTES,
        )
        for name in names
        if block.is_disk(name)
        for sectors in [integer(device.text(ctx, f"/sys/block/{name}/size"))]
    )


def disk_under(ctx: Context, mount: mountinfo.Mount | None) -> str | None:
    """Return the disk below a mount, through partitions, LVM and encryption; None unless it is one disk."""
    if mount is None:
        return None
    by_number = ctx.paths.at(f"/sys/dev/block/{mount.number}")
    # btrfs reports a number of no block device.
    by_name = ctx.paths.at(f"/sys/class/block/{os.path.basename(mount.source)}")  # noqa: PTH119 - a device's name
    return _disk(by_number if by_number.exists() else by_name)


def _disk(entry: Path) -> str | None:
    place = entry.resolve()
    if not place.exists():
        return None
    if (place / "partition").exists():
        place = place.parent
    below: set[str | None] = set()
    with suppress(OSError):
        below = {_disk(one) for one in (place / "slaves").iterdir()}
    if below:
        return below.pop() if len(below) == 1 else None
    return place.name if block.is_disk(place.name) else None


def _kernel_config(ctx: Context) -> str | None:
    packed = device.content(ctx, "/proc/config.gz")
    if packed is None:
        return device.text(ctx, f"/boot/config-{os.uname().release}")
    with suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(packed).decode("utf-8", errors="replace")
    return None
