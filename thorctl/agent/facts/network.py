"""Connections by which this device is managed, and those that need a login to start."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from thorctl.agent.core import login
from thorctl.agent.core.runner import RC_NOT_FOUND
from thorctl.agent.facts import device
from thorctl.agent.parsers import nmcli
from thorctl.agent.parsers.numbers import integer
from thorctl.protocol.facts import Connection, Network

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed

_ENGLISH = {"LC_ALL": "C"}
_NOT_RUNNING = 8  # nmcli(1)
# ARPHRD_NONE (WireGuard, tun) and ARPHRD_LOOPBACK: their traffic uses another device.
_TUNNEL, _LOOPBACK = 65534, 772
_NOT_A_LINK = {_TUNNEL, _LOOPBACK}


def collect(ctx: Context) -> Network:
    """Return the fact ``network``.

    ``management``: the network devices of the caller's login, else of the default route; None if unknown.
    ``connections``: NetworkManager's active ones, [] if it manages none; None if they cannot be read.
    """
    management, tunnelled = _management(ctx)
    return Network(
        management=None if management is None else tuple(sorted(management)),
        connections=_connections(ctx, management, tunnelled=tunnelled),
    )


def _connections(
    ctx: Context, management: set[str] | None, *, tunnelled: bool
) -> tuple[Connection, ...] | None:
    listed = _nmcli(ctx, "-f", nmcli.ACTIVE_FIELDS, "connection", "show", "--active")
    if listed.rc in (RC_NOT_FOUND, _NOT_RUNNING):
        return ()
    devices = _nmcli(ctx, "-f", nmcli.DEVICE_FIELDS, "device", "status")
    active = nmcli.parse_active(listed.stdout if listed.ok else None)
    external = nmcli.parse_external(devices.stdout if devices.ok else None)
    if active is None or external is None:
        return None
    active = [one for one in active if not external.issuperset(one.devices) or not one.devices]
    shown = _nmcli(ctx, "connection", "show", *(one.uuid for one in active)) if active else None
    profiles = nmcli.parse_profiles(shown.stdout if shown and shown.ok else None)
    if any(one.uuid not in profiles for one in active):
        return None
    secondaries = {
        uuid for one in profiles.values() for uuid in one.get("connection.secondaries", "").split(",")
    }
    return tuple(
        Connection(
            name=one.name,
            uuid=one.uuid,
            type=one.type,
            devices=one.devices,
            management=_carries(one, management, tunnelled=tunnelled),
            needs_login=tuple(
                nmcli.needs_login(profiles[one.uuid], started_by_another=one.uuid in secondaries)
            ),
        )
        for one in active
        if one.type != nmcli.VPN
        or tunnelled
        or one.uuid in secondaries  # otherwise it was started temporarily
    )


def _carries(connection: nmcli.Active, management: set[str] | None, *, tunnelled: bool) -> bool | None:
    if management is None:
        return None
    # A VPN names the device of the connection below it, not its own tunnel.
    return tunnelled if connection.type == nmcli.VPN else not management.isdisjoint(connection.devices)


def _nmcli(ctx: Context, *words: str) -> Completed:
    return ctx.runner.run(["nmcli", "-t", *words], timeout=device.TOOL_SECONDS, env=_ENGLISH)


def _management(ctx: Context) -> tuple[set[str] | None, bool]:
    """Return the network devices of the caller's login, and whether it uses a tunnel."""
    address = login.remote_address(ctx.paths)
    found = _routed(ctx, "route", "get", address.partition("%")[0]) if address else None
    kinds = {_number(ctx, f"{one}/type") for one in found or ()}
    if found is None or kinds & _NOT_A_LINK:
        default = _default(ctx)
        if default is None:
            return None, _TUNNEL in kinds
        found = {*(found or ()), *default}
    return {part for one in found for part in _with_lower(ctx, one)}, _TUNNEL in kinds


def _default(ctx: Context) -> set[str] | None:
    return _routed(ctx, "route", "show", "default") or _routed(ctx, "-6", "route", "show", "default")


def _routed(ctx: Context, *words: str) -> set[str] | None:
    """Return the network device of the preferred route of `ip`."""
    try:
        routes = json.loads(device.output(ctx, "ip", "-j", *words) or "[]")
        return {min(routes, key=lambda one: one.get("metric", 0))["dev"]} if routes else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _with_lower(ctx: Context, name: str) -> set[str]:
    """Return a network device and its lower ones: the ports of a bridge or bond, the link of a VLAN."""
    try:
        below = [
            one.removeprefix("lower_")
            for one in os.listdir(ctx.paths.at(f"/sys/class/net/{name}"))  # noqa: PTH208 - names, not paths
            if one.startswith("lower_")
        ]
    except OSError:
        below = []
    return {name, *(part for one in below for part in _with_lower(ctx, one))}


def _number(ctx: Context, path: str) -> int | None:
    return integer(device.text(ctx, f"/sys/class/net/{path}"))
