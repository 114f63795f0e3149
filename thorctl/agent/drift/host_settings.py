"""Compare the host's effective settings with those of site.yml: another file may override them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.drift.conf import Setting, effective
from thorctl.agent.facts import device
from thorctl.agent.facts import host as device_host
from thorctl.protocol.status import HOST, Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.agent.core.context import Context

OFF, HELD, PERSISTENT = "off", "held", "persistent"
_SLEEP = ("AllowSuspend", "AllowHibernation", "AllowSuspendThenHibernate", "AllowHybridSleep")
_NO = {"no", "n", "false", "f", "off", "0"}
_PACKAGE_KIT = ("packagekit.service", "packagekit-offline-update.service")


def compared(ctx: Context, asked: Mapping[str, Any]) -> list[Comparison]:
    """Compare each desired setting; an unreadable one is unknown.

    Args:
        ctx: the device.
        asked: `settings` of device.json; an absent or null one is unmanaged.
    """
    found: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    if asked.get("watchdog_seconds") is not None:
        wanted["watchdog"], wanted["watchdog at a restart"] = (
            asked["watchdog_seconds"],
            asked.get("reboot_watchdog_seconds"),
        )
        runtime, reboot = device_host.watchdog_seconds(ctx, device.STATUS_SECONDS)
        found |= {"watchdog": runtime, "watchdog at a restart": reboot}
    if asked.get("journal_max") is not None:
        wanted |= {"journal": PERSISTENT, "journal limit": asked["journal_max"]}
        found |= _journal(ctx, asked["journal_max"])
    if asked.get("sleep") is False:
        wanted["sleep"] = OFF
        found["sleep"] = _sleep(ctx)
    if asked.get("automatic_upgrades") is False:
        wanted |= {"automatic upgrades": OFF, "PackageKit": OFF}
        found |= {"automatic upgrades": _upgrades(ctx), "PackageKit": _package_kit(ctx)}
        if ctx.paths.at("/usr/bin/snap").exists():
            wanted["snap refreshes"], found["snap refreshes"] = HELD, device_host.snap_refreshes(ctx)
    if asked.get("ipv6") is False:
        wanted["IPv6"], found["IPv6"] = OFF, _ipv6(ctx)
    return [
        Comparison(
            what, HOST, value, found.get(what), None if found.get(what) is None else found[what] == value
        )
        for what, value in wanted.items()
        if value is not None
    ]


def _journal(ctx: Context, limit: str) -> dict[str, str]:
    """Return the journal's storage and limit, with the file that overrides them."""
    with suppress(OSError):
        settings = effective(ctx.paths.root, "journald.conf")
        storage = settings.get("Storage", Setting("auto", "default"))
        here = (device.text(ctx, "/etc/machine-id") or "").strip()
        kept = bool(here) and ctx.paths.at(f"/var/log/journal/{here}").is_dir()
        maximum = settings.get("SystemMaxUse", Setting("default", "default"))
        place = storage.value if kept or storage.value != PERSISTENT else "not on the disk"
        return {
            "journal": PERSISTENT if place == PERSISTENT else _told(Setting(place, storage.path)),
            "journal limit": limit if maximum.value == limit else _told(maximum),
        }
    return {}


def _sleep(ctx: Context) -> str | None:
    with suppress(OSError):
        settings = effective(ctx.paths.root, "sleep.conf")
        allowed = [
            f"{name}={_told(setting)}"
            for name in _SLEEP
            for setting in [settings.get(name, Setting("yes", "default"))]
            if setting.value.lower() not in _NO
        ]
        return ", ".join(allowed) or OFF
    return None


def _upgrades(ctx: Context) -> str | None:
    """Return 'off' if apt's configuration or the timer disables upgrades."""
    asked = device_host.upgrades_asked_for(ctx, device.STATUS_SECONDS)
    if asked is False:
        return OFF
    timer = device_host.upgrade_timer(ctx, device.STATUS_SECONDS)
    if timer is False:
        return OFF
    return "on" if asked and timer else None


def _package_kit(ctx: Context) -> str | None:
    """Return 'off' if its units are masked or not installed."""
    try:
        loose = [
            name
            for name in _PACKAGE_KIT
            if ctx.paths.at(f"/usr/lib/systemd/system/{name}").exists() and not _masked(ctx, name)
        ]
    except OSError:
        return None
    return ", ".join(loose) or OFF


def _masked(ctx: Context, unit: str) -> bool:
    link = ctx.paths.at(f"/etc/systemd/system/{unit}")
    return link.is_symlink() and str(link.readlink()) == "/dev/null"


def _ipv6(ctx: Context) -> str | None:
    places = [f"/proc/sys/net/ipv6/conf/{one}/disable_ipv6" for one in ("all", "default")]
    said = [(device.text(ctx, place) or "").strip() for place in places]
    if not ctx.paths.at("/proc/sys/net/ipv6").exists():
        return OFF if ctx.paths.at("/proc/sys/net").exists() else None
    return OFF if said == ["1", "1"] else "on" if all(said) else None


def _told(setting: Setting) -> str:
    return f"{setting.value} ({setting.path})"
