"""Data of the verb ``preflight``: whether a device can take a release, check by check."""

from __future__ import annotations

from dataclasses import field

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.facts import Facts

PASS, WARN, FAIL = "pass", "warn", "fail"


@dataclass(frozen=True)
class CheckItem:
    """One check.

    Attributes:
        name: of the check.
        status: pass, warn or fail.
        found: what is there.
        wanted: what should be there.
        message: what that means, one sentence.
        remedy: what to do; empty if it passed.
        switch: the option that turns a failure into a warning.
    """

    name: str
    status: str
    found: str = ""
    wanted: str = ""
    message: str = ""
    remedy: str = ""
    switch: str = ""


@dataclass(frozen=True)
class PreflightReport:
    """All checks of one device for one release.

    Attributes:
        release: id of the release.
        items: in the order of the checks.
        counts: how many have each status.
        image_present: whether the image is on the device.
        facts: what the device is and how it is.
    """

    release: str
    items: tuple[CheckItem, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    image_present: bool | None = None
    facts: Facts = Facts()
