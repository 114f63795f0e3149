"""Report a step with its duration."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.sim.images import Report


@contextmanager
def timed(report: Report, step: str, detail: str) -> Iterator[None]:
    """Report a step's begin, and its seconds at the end."""
    report(step, detail, None)
    began = time.monotonic()
    yield
    report(step, detail, time.monotonic() - began)
