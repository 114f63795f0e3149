"""One line of a preflight: what was asked, what was found, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from thorctl.protocol.sizes import gibibytes, gigabytes

PASS, WARN, FAIL = "pass", "warn", "fail"
UNKNOWN = "unknown"
NOT_ASKED = "not asked"


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


def memory_size(size: int | None) -> str:
    """Return bytes of memory for people, or that they are unknown."""
    return UNKNOWN if size is None else gibibytes(size)


def disk_size(size: int | None) -> str:
    """Return bytes on a disk for people, or that they are unknown."""
    return UNKNOWN if size is None else gigabytes(size)


def not_asked(name: str, found: str, why: str) -> Item:
    """Return the pass of a check that the device class has no use for."""
    return Item(name, PASS, found, NOT_ASKED, why)
