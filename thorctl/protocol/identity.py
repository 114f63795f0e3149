"""Which machine answered: one machine under two names, or another one under a device's name.

A status has the name that ``site.yml`` gave the device, a hash of its machine id and its serial number.
The machine id is the installation's: a reflashed device has another one, a cloned disk the same one. The
serial number is the hardware's. Each may be unknown, and what is unknown neither equals nor differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Identity:
    """The identity that a device reports; None = unknown."""

    name: str | None = None
    machine: str | None = None
    serial: str | None = None

    def differs(self, other: Identity) -> bool:
        """Whether machine id or serial number are known to differ."""
        pairs = ((self.machine, other.machine), (self.serial, other.serial))
        return any(one is not None and two is not None and one != two for one, two in pairs)

    def same(self, other: Identity) -> bool:
        """Whether one of the two is known to be equal, and neither to differ."""
        known = (self.machine or self.serial) is not None
        equal = (self.machine is not None and self.machine == other.machine) or (
            self.serial is not None and self.serial == other.serial
        )
        return known and equal and not self.differs(other)

    @property
    def words(self) -> str:
        """``machine 1f0c…, serial 1421…``, as far as they are known."""
        parts = (("machine", self.machine), ("serial", self.serial))
        return ", ".join(f"{word} {value}" for word, value in parts if value) or "no machine id"


UNKNOWN = Identity()
_RENAME = "give it its name with `cd playbooks && ansible-playbook site.yml"


def goes_by(name: str, found: Identity) -> str | None:
    """Return the other name of a device that was reached as ``name``; None if it has none."""
    return found.name if found.name not in {None, name} else None


def rename_remedy(name: str) -> str:
    """Return the remedy for a device that was reached as ``name`` and reports another one."""
    return f"Correct ansible_host of {name} in the inventory; if it was renamed, {_RENAME} --limit {name}`."


def stranger(name: str, found: Identity, expected: Identity | None = None) -> str | None:
    """Why the device that answered is not the one called ``name``; None if nothing says so.

    ``expected``: what answered under that name before.
    """
    if goes_by(name, found):
        return (
            f"it answers as {found.name}: its address or its disk is another device's; correct ansible_host "
            f"in the inventory, or, if {found.name} was renamed, {_RENAME} --limit {name}`"
        )
    if expected is not None and found.differs(expected):
        return f"another machine answers ({found.words}; it was {expected.words}): reflashed or swapped"
    return None


def twins(found: Mapping[str, Identity]) -> dict[str, str]:
    """Each further name of a machine, and the name that counts: the device's own, else the first."""
    groups: dict[str, list[str]] = {}
    for name, identity in found.items():
        for key in filter(None, (identity.machine, identity.serial)):
            groups.setdefault(key, []).append(name)
    further: dict[str, str] = {}
    for names in groups.values():
        left = [name for name in names if name not in further]
        left.sort(key=lambda name: found[name].name != name)  # its own name first; sorting keeps the order
        for position, name in enumerate(left):
            for other in left[position + 1 :]:
                if name not in further and other not in further and found[name].same(found[other]):
                    further[other] = name
    return further
