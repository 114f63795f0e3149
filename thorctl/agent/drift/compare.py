"""Desired against actual, item by item. Pure: what was read is passed in, and what was not is unknown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.agent.drift.desired import HostWish, PackageWish

RELEASE, HOST = "release", "host"


@dataclass(frozen=True)
class Item:
    """One thing that was compared.

    Attributes:
        scope: who puts it right: staging and activating the release, or the roles that make the host.
        found: None with ``same`` False: it is not there.
        same: None: it could not be read, so nobody knows.
    """

    what: str
    scope: str
    wanted: Any
    found: Any = None
    same: bool | None = None

    def document(self) -> dict[str, Any]:
        """As ``status`` shows it."""
        return asdict(self)


def drifted(items: Iterable[Item]) -> list[Item]:
    """Those that are not known to be as desired."""
    return [item for item in items if item.same is not True]


def release_items(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[Item]:
    """Every thing wanted of the release, by its name; what ``found`` does not name could not be read."""
    return [
        Item(what, RELEASE, value, found[what], found[what] == value)
        if what in found
        else Item(what, RELEASE, value)
        for what, value in wanted.items()
    ]


def host_items(wish: HostWish | None, power_mode: str | None, held: Mapping[str, bool] | None) -> list[Item]:
    """What the roles were told about the host; a wish of None could not be read.

    Args:
        wish: what device.json asks for.
        power_mode: the mode's name; None if it could not be read.
        held: each installed package, and whether apt keeps it at its version; None if it could not be read.
    """
    if wish is None:
        return [Item("wishes for the host", HOST, None)]
    items = [_packages(one, held) for one in wish.packages]
    if wish.power_mode is not None:
        same = None if power_mode is None else power_mode == wish.power_mode
        items.insert(0, Item("power mode", HOST, wish.power_mode, power_mode, same))
    return items


def _packages(wish: PackageWish, held: Mapping[str, bool] | None) -> Item:
    """``wanted``: the installed packages that are meant; ``found``: those of them that are as wanted."""
    what = f"packages {wish.state}"
    if held is None:
        return Item(what, HOST, list(wish.which))
    meant = sorted(name for name in held if any(_matches(name, pattern) for pattern in wish.which))
    found = [name for name in meant if held[name] == (wish.state == "held")]
    return Item(what, HOST, meant, found, found == meant)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name.partition(":")[0], pattern)  # dpkg adds the architecture: libnvidia…:arm64
