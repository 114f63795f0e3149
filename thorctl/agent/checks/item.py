"""The result of one preflight check."""

from __future__ import annotations

from dataclasses import replace

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.sizes import gibibytes, gigabytes

PASS, WARN, FAIL = "pass", "warn", "fail"
UNKNOWN = "unknown"
NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Item:
    """A check's result.

    Attributes:
        name: stable word; the value of ``--skip``.
        status: pass, warn or fail.
        found, wanted: for people; found is 'unknown' if the fact could not be read.
        message: the condition, one sentence.
        remedy: the next step; empty on a pass.
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
        """Return a failure as a warning with a note; anything else unchanged."""
        if self.status != FAIL:
            return self
        return replace(self, status=WARN, message=f"{self.message} (a failure, lowered by {self.switch})")


def memory_size(size: int | None) -> str:
    """Format bytes of memory, or return 'unknown'."""
    return UNKNOWN if size is None else gibibytes(size)


def disk_size(size: int | None) -> str:
    """Format bytes on a disk, or return 'unknown'."""
    return UNKNOWN if size is None else gigabytes(size)


def not_asked(name: str, found: str, why: str) -> Item:
    """Return the pass of a check that the device class does not require."""
    return Item(name, PASS, found, NOT_ASKED, why)
