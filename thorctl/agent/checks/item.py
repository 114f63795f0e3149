"""One line of a preflight: what was asked, what was found, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

PASS, WARN, FAIL = "pass", "warn", "fail"
UNKNOWN = "unknown"
NOT_ASKED = "not asked"
_SMALLEST_IN_GIB = 2**30 // 10


@dataclass(frozen=True)
class Item:
    """A judged check.

    Attributes:
        name: stable word; what ``--skip`` takes.
        status: pass, warn or fail.
        found, wanted: for people; found is 'unknown' where the fact could not be read.
        message: what is right or wrong, one sentence.
        remedy: what to do next; empty on a pass.
    """

    name: str
    status: str
    found: str
    wanted: str
    message: str
    remedy: str = ""

    @property
    def switch(self) -> str:
        """The option that turns this check's failure into a warning."""
        return f"--skip {self.name}"

    def skipped(self) -> Item:
        """Return a failure as a warning that says so; anything else as it is."""
        if self.status != FAIL:
            return self
        return replace(self, status=WARN, message=f"{self.message} (a failure, lowered by {self.switch})")


def gibibytes(size: int | None) -> str:
    """Return a size for people: in GiB, small ones in MiB."""
    if size is None:
        return UNKNOWN
    return f"{size / 2**30:.1f} GiB" if size >= _SMALLEST_IN_GIB or not size else f"{size / 2**20:.0f} MiB"


def not_asked(name: str, found: str, why: str) -> Item:
    """Return the pass of a check that the device class has no use for."""
    return Item(name, PASS, found, NOT_ASKED, why)
