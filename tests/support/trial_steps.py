"""Steps that several tests of the trial take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.stateful_device import Device
    from thorctl.agent.core.outcome import Outcome
    from thorctl.agent.release.document import Release


def code(outcome: Outcome) -> tuple[str, int]:
    """The error's code and the exit code; every error names a remedy."""
    assert outcome.error is not None
    assert outcome.error.remedy
    return outcome.error.code, outcome.exit_code


def commit_one(device: Device, number: int) -> Release:
    """Make release ``number``, stage, activate, smoke and commit it."""
    release = device.release(number)
    device.done("activate", release.id)
    device.smoke_passed(release)
    device.done("commit", release.id)
    return release
