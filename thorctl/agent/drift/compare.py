"""Compare desired and actual values item by item; a missing actual value is unknown."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from thorctl.protocol.status import HOST, RELEASE, Comparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.agent.drift.desired import HostWish, PackageWish


def drifted(items: Iterable[Comparison]) -> list[Comparison]:
    """Return the items not known to be as desired."""
    return [item for item in items if item.same is not True]


def release_items(wanted: Mapping[str, object], found: Mapping[str, object]) -> list[Comparison]:
    """Compare the parts of the release; a name missing in ``found`` could not be read."""
    return [
        Comparison(what, RELEASE, value, found[what], found[what] == value)
        if what in found
        else Comparison(what, RELEASE, value)
        for what, value in wanted.items()
    ]


def host_items(
    wish: HostWish | None, power_mode: str | None, held: Mapping[str, bool] | None
) -> list[Comparison]:
    """Compare the host with the settings of the roles; a wish of None could not be read.

    Args:
        wish: the settings of device.json.
        power_mode: the mode's name; None if it could not be read.
        held: each installed package, and whether apt holds it; None if it could not be read.
    """
    if wish is None:
        return [Comparison("wishes for the host", HOST, None)]
    items = [_packages(one, held) for one in wish.packages]
    if wish.power_mode is not None:
        same = None if power_mode is None else power_mode == wish.power_mode
        items.insert(0, Comparison("power mode", HOST, wish.power_mode, power_mode, same))
    return items


def _packages(wish: PackageWish, held: Mapping[str, bool] | None) -> Comparison:
    """Compare packages. ``wanted``: the installed ones concerned; ``found``: those that are as wanted."""
    what = f"packages {wish.state}"
    if held is None:
        return Comparison(what, HOST, list(wish.which))
    meant = sorted(name for name in held if any(_matches(name, pattern) for pattern in wish.which))
    found = [name for name in meant if held[name] == (wish.state == "held")]
    return Comparison(what, HOST, meant, found, found == meant)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name.partition(":")[0], pattern)  # dpkg adds the architecture: libnvidia…:arm64
