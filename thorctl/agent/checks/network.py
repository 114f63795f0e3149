"""Preflight check of the network: whether the device is reachable after a restart without a login."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.checks.situation import Situation
    from thorctl.protocol.facts import Connection

_VPN_DATA = "vpn.data "


def _network(situation: Situation) -> Item:
    """Fail for a connection by which the device may be managed, warn for another one."""
    name, wanted = "network", "connections that start without a login"
    connections = situation.facts.network.connections
    if connections is None:
        remedy = "Run `nmcli connection show --active` and `ip route` on the device: both must answer."
        message = "Whether the device's connections start without a login is unknown."
        return Item(name, FAIL, UNKNOWN, wanted, message, remedy)
    needy = [one for one in connections if one.needs_login]
    found = ", ".join(one.name for one in connections) or "not managed by NetworkManager"
    if not needy:
        return Item(name, PASS, found, wanted, "The device's connections start without a login.")
    carrying = [one for one in needy if one.management is not False]
    told = carrying or needy
    found = "; ".join(f"{one.name}: {', '.join(one.needs_login)}" for one in told)
    remedy = f"Use a wired network, or as root {' and '.join(_command(one) for one in told)}."
    if carrying:
        message = "After a restart the device is unreachable until somebody logs in on its screen."
        return Item(name, FAIL, found, wanted, message, remedy)
    message = (
        "After a restart these connections are down until somebody logs in; the device is reached by another."
    )
    return Item(name, WARN, found, wanted, message, remedy)


def _command(connection: Connection) -> str:
    """Return the command that makes NetworkManager store the secret itself, for all users."""
    words: list[str] = []
    for reason in connection.needs_login:
        what = reason.partition("=")[0]
        if what == "connection.permissions":
            words += [what, "''"]
        elif what == "connection.autoconnect":
            words += [what, "yes"]
        elif what.startswith(_VPN_DATA):
            flag = what.removeprefix(_VPN_DATA)
            secret = flag.removesuffix("-flags")
            words += ["+vpn.data", f"'{flag} = 0'", "+vpn.secrets", f"'{secret}=SECRET'"]
        elif what.endswith("-flags"):
            words += [what, "0", what.removesuffix("-flags"), "SECRET"]
    if not words:
        return f"name {connection.uuid} in connection.secondaries of the connection below it"
    return f"`nmcli connection modify {shlex.quote(connection.name)} {' '.join(words)}`"


CHECKS: dict[str, Callable[[Situation], Item]] = {"network": _network}
