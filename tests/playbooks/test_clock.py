"""A device's clock: wrong, unsynchronised, set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import clock, host

if TYPE_CHECKING:
    from collections.abc import Callable

UNWATCHED = "the clock is plausible, but nothing keeps it right"


NOW = 1_795_600_000.0  # in November 2026


@pytest.mark.parametrize(
    ("seconds", "controller", "wrong"),
    [
        (NOW, NOW, False),
        (NOW + 3000, NOW, False),
        (NOW, None, False),
        (NOW + 4000, NOW, True),
        (NOW - 4000, NOW, True),
        (12.0, NOW, True),
        (12.0, None, True),
        (1_755_000_000.0, 1_755_000_000.0, True),
    ],
)
def test_which_clock_is_wrong(seconds: float, controller: float | None, wrong: bool) -> None:
    assert clock.is_wrong(seconds, controller) is wrong


def clock_of(**more: Any) -> tuple[list[Any], list[str]]:
    notes: list[str] = []
    wanted = {"clock_seconds": 0, "controller_time": NOW, "set_clock": False} | more
    return list(clock.clock(wanted, notes)), notes


class TestClock:
    @pytest.fixture(autouse=True)
    def device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No container, a clock in time that nobody synchronises."""
        monkeypatch.setattr(clock, "Path", lambda _: type("P", (), {"exists": staticmethod(lambda: False)}))
        monkeypatch.setattr(clock, "may_set_clock", lambda: True)
        monkeypatch.setattr(clock, "synchronized", lambda: False)
        monkeypatch.setattr(time, "time", lambda: NOW)

    def test_in_time_is_nothing_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "synchronized", lambda: True)
        assert clock_of() == ([], [])

    def test_clock_that_the_device_may_not_set_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "may_set_clock", lambda: False)
        assert clock_of(set_clock=True) == ([], ["the clock is the host's"])

    def test_off_is_switched_on_and_waited_for(self, answers: Callable[..., list[tuple[str, ...]]]) -> None:
        ran = answers({"timedatectl show": "CanNTP=yes\nNTP=no\n", "timedatectl set-ntp": ""})
        changes, notes = clock_of()
        assert [change.what for change in changes] == ["time synchronisation", "clock"]
        for change in changes:
            change.make()
        assert ("timedatectl", "set-ntp", "true") in ran
        assert notes == [UNWATCHED]

    def test_a_plausible_clock_is_told_not_refused(
        self, answers: Callable[..., list[tuple[str, ...]]]
    ) -> None:
        answers({"timedatectl show": "CanNTP=yes\nNTP=yes\n"})
        assert clock_of()[0] == []
        answers({"timedatectl show": "CanNTP=no\nNTP=no\n"})
        assert clock_of()[1] == [
            "no service for time synchronisation is installed: apt-get install systemd-timesyncd"
        ]
        notes: list[str] = []
        clock.wait({"clock_seconds": 0, "controller_time": NOW}, notes)
        assert notes == [UNWATCHED]

    def test_a_clock_of_1970_is_refused_with_three_ways_out(
        self, answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 12.0)
        answers({"timedatectl show": "CanNTP=yes\nNTP=yes\n"})
        ((change,), _) = clock_of()
        with pytest.raises(host.HostError) as caught:
            change.make()
        for part in (
            "clock_wrong: ",
            "1970-01-01 00:00:12 UTC",
            "thor_time_servers",
            "thor_time_from_controller",
        ):
            assert part in str(caught.value)

    def test_it_is_set_by_the_controller_s_if_allowed(
        self, answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[float] = []
        monkeypatch.setattr(time, "time", lambda: told[-1] if told else 12.0)
        monkeypatch.setattr(time, "clock_settime", lambda _, seconds: told.append(seconds))
        answers({"timedatectl show": "CanNTP=yes\nNTP=yes\n"})
        changes, notes = clock_of(set_clock=True)
        for change in changes:
            change.make()
        assert told == [NOW]
        assert notes == [UNWATCHED]
