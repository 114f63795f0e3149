"""Compare a measurement with the device's own baseline, unless their conditions differ.

An absolute threshold would be unsafe: devices of one kind reached 20 to 42 tokens per second with the same
model. So each device is compared with itself, in the same condition.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.protocol.bench import Condition, Measurement

TOLERANCE = 0.15  # repeats differ by a few percent, and heat after hours of load by some more
CELSIUS = 5.0  # smaller differences are due to the room
UNKNOWN = "not known"
SPEEDS = ("single", "identical", "different")


@dataclass(frozen=True, slots=True)
class Change:
    """One speed: ``what`` of SPEEDS, tokens per second with the baseline and now."""

    what: str
    baseline: float
    now: float

    @property
    def relative(self) -> float:
        """The relative change: -0.2 is a fifth slower."""
        return self.now / self.baseline - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two measurements of one device and release.

    Attributes:
        obstacles: why they must not be compared; if any, nothing was compared.
        changes: every speed.
        slower: those beyond the tolerance.
        conditions: other differences, which may be the cause.
        tolerance: as a share.
    """

    obstacles: tuple[str, ...]
    changes: tuple[Change, ...]
    slower: tuple[Change, ...]
    conditions: tuple[str, ...]
    tolerance: float

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "comparable": not self.obstacles,
            "obstacles": list(self.obstacles),
            "tolerance": self.tolerance,
            "changes": [{**asdict(one), "relative": round(one.relative, 4)} for one in self.changes],
            "slower": [one.what for one in self.slower],
            "conditions": list(self.conditions),
        }


def compare(now: Measurement, baseline: Measurement, tolerance: float) -> Comparison:
    """Compare, unless there is an obstacle."""
    hindered = tuple(obstacles(now, baseline))
    changes = (
        () if hindered else tuple(Change(what, _speed(baseline, what), _speed(now, what)) for what in SPEEDS)
    )
    slower = tuple(one for one in changes if one.now < one.baseline * (1 - tolerance))
    return Comparison(hindered, changes, slower, tuple(conditions(now, baseline)), tolerance)


def obstacles(now: Measurement, baseline: Measurement) -> Iterator[str]:
    """Yield why the two must not be compared. Unknown values differ."""
    if now.release != baseline.release:
        yield f"the release is {now.release}, the baseline's {baseline.release}"
    if now.machine is None or baseline.machine is None:
        yield "whether it is the same device or another of its name is unknown"
    elif now.machine != baseline.machine:
        yield "it is another device of that name, or was reinstalled"
    if now.device_class != baseline.device_class:
        yield f"the device class is {now.device_class}, the baseline's {baseline.device_class}"
    yield from _power(now, baseline)
    if now.before.clocks_locked is not baseline.before.clocks_locked:
        words = {True: "locked", False: "not locked", None: UNKNOWN}
        here, there = words[now.before.clocks_locked], words[baseline.before.clocks_locked]
        yield f"the clocks are {here}, the baseline's {there}"
    if now.method.sizes != baseline.method.sizes:
        yield f"it measured {sizes(now)}, the baseline {sizes(baseline)}"


def _power(now: Measurement, baseline: Measurement) -> Iterator[str]:
    here, there = now.before.power_mode, baseline.before.power_mode
    if here is None and there is None and now.power_modes == ():
        return  # a class without power modes
    if here is None or there is None or here != there:
        yield f"the power mode is {here or UNKNOWN}, the baseline's {there or UNKNOWN}"


def sizes(measurement: Measurement) -> str:
    """Format the sizes: ``8 and 4 × 16 answers of 256 tokens``."""
    method = measurement.method
    return f"{method.requests} and {method.rounds} × {method.at_once} answers of {method.tokens} tokens"


def conditions(now: Measurement, baseline: Measurement) -> Iterator[str]:
    """Yield differences that may change the speed, but leave the figures comparable."""
    events = now.over_current_events
    if events:
        yield f"{events} over-current events meanwhile: the power supply is too weak"
    elif events is None and baseline.over_current_events is not None:
        yield "over-current events can no longer be read"
    for when, here, there in (
        ("before", now.before.hottest, baseline.before.hottest),
        ("after", now.after.hottest, baseline.after.hottest),
    ):
        if _apart(here, there):
            yield f"hottest sensor {when} it {_celsius(here)} (baseline: {_celsius(there)})"
    yield from _clocks(now.before, baseline.before)
    if now.before.l4t != baseline.before.l4t:
        yield f"L4T {now.before.l4t or UNKNOWN} (baseline: {baseline.before.l4t or UNKNOWN})"
    here_apps, there_apps = _names(now.before.gpu_processes), _names(baseline.before.gpu_processes)
    if here_apps != there_apps:
        yield f"on the GPU {here_apps} (baseline: {there_apps})"


def _clocks(here: Condition, there: Condition) -> Iterator[str]:
    for what, now, then in (
        ("GPU clock up to", here.gpu_max_hertz, there.gpu_max_hertz),
        ("memory clock", here.memory_hertz, there.memory_hertz),
    ):
        if now != then:
            yield f"{what} {_megahertz(now)} (baseline: {_megahertz(then)})"
    if here.clocks_locked is None and there.clocks_locked is None:
        yield "whether the clocks were locked is unknown for both"


def _speed(measurement: Measurement, what: str) -> float:
    figures = getattr(measurement.measured, what)
    return float(figures.decode_tokens_per_second)


def _apart(here: float | None, there: float | None) -> bool:
    if here is None or there is None:
        return here is not there
    return abs(here - there) >= CELSIUS


def _megahertz(hertz: int | None) -> str:
    return UNKNOWN if hertz is None else f"{hertz / 1e6:.0f} MHz"


def _celsius(degrees: float | None) -> str:
    return UNKNOWN if degrees is None else f"{degrees:.0f} °C"


def _names(processes: tuple[str, ...] | None) -> str:
    return UNKNOWN if processes is None else ", ".join(processes) or "nothing"
