"""Check a measurement: data of ``thor-agent bench``, or what the store kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.protocol.bench import Measurement
from thorctl.protocol.decode import Malformed
from thorctl.remote import earlier

if TYPE_CHECKING:
    from collections.abc import Mapping

_ABOVE_ZERO = ("decode_tokens_per_second", "ttft_median_ms", "requests")


def read(data: Mapping[str, object], device: str) -> Measurement:
    """Return the measurement.

    Raises:
        ThorError: ``measurement_unreadable``, with the first thing that is wrong.
    """
    try:
        found = earlier.read(Measurement, data)
        _check(found)
    except Malformed as fault:
        raise ThorError(
            "measurement_unreadable",
            f"The measurement is not in the form of this thorctl: {fault}.",
            f"Install this thorctl's agent: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
            device=device,
        ) from fault
    return found


def _check(found: Measurement) -> None:
    for part, figures in vars(found.measured).items():
        for name in _ABOVE_ZERO:
            if getattr(figures, name) <= 0:
                raise Malformed(f"measured.{part}.{name}", "is not above 0")
