"""When a device may be disturbed: the windows people write, and the minutes at their edges."""

from __future__ import annotations

from datetime import datetime

import pytest

from thorctl.errors import ThorError
from thorctl.inventory.maintenance import is_open, parse

MONDAY = 23  # of November 2026


def at(day: int, clock: str) -> datetime:
    """``day``: 0 is Monday."""
    hour, minute = clock.split(":")
    return datetime(2026, 11, MONDAY + day, int(hour), int(minute))  # noqa: DTZ001 - the device's local time


@pytest.mark.parametrize(
    ("window", "day", "clock", "opened"),
    [
        ("Sat 02:00-04:00", 5, "02:00", True),
        ("Sat 02:00-04:00", 5, "03:59", True),
        ("Sat 02:00-04:00", 5, "04:00", False),
        ("Sat 02:00-04:00", 5, "01:59", False),
        ("Sat 02:00-04:00", 4, "03:00", False),
        ("Sat 02:00-04:00", 6, "03:00", False),
        # Past midnight it belongs to the day on which it opened.
        ("Sun 23:00-05:00", 6, "23:00", True),
        ("Sun 23:00-05:00", 0, "04:59", True),
        ("Sun 23:00-05:00", 0, "05:00", False),
        ("Sun 23:00-05:00", 6, "04:00", False),
        ("Mon-Fri 23:00-05:00", 5, "04:00", True),
        ("Mon-Fri 23:00-05:00", 5, "23:30", False),
        ("Fri-Mon 01:00-02:00", 6, "01:30", True),
        ("Fri-Mon 01:00-02:00", 0, "01:30", True),
        ("Fri-Mon 01:00-02:00", 1, "01:30", False),
        ("daily 00:00-24:00", 2, "12:00", True),
        ("daily 22:00-24:00", 2, "23:59", True),
        ("daily 22:00-24:00", 3, "00:00", False),
        # As policies may have it: every day without a word, days in a list.
        ("22:00-05:00", 1, "21:59", False),
        ("22:00-05:00", 1, "22:00", True),
        ("22:00-05:00", 2, "04:59", True),
        ("22:00-05:00", 2, "05:00", False),
        ("Sat-Mon 00:00-24:00", 0, "23:59", True),
        ("Sat-Mon 00:00-24:00", 1, "00:00", False),
        ("Wed,Fri 01:00-02:00", 2, "01:30", True),
        ("Wed, Fri 01:00-02:00", 3, "01:30", False),
        ("Wed,Fri-Sun 01:00-02:00", 6, "01:30", True),
        ("Mon,Wed 01:00-02:00, Sat,Sun 03:00-04:00", 2, "01:30", True),
        ("Mon,Wed 01:00-02:00, Sat,Sun 03:00-04:00", 6, "03:30", True),
        ("Mon,Wed 01:00-02:00, Sat,Sun 03:00-04:00", 6, "01:30", False),
        ("Sat 02:00-04:00, 12:00-12:30", 3, "12:15", True),
        ("sat 02:00-04:00, SUN 03:00-04:00", 6, "03:30", True),
        ("sat 02:00-04:00,sun 03:00-04:00", 6, "02:30", False),
    ],
)
def test_is_it_open(window: str, day: int, clock: str, opened: bool) -> None:
    assert is_open(window, at(day, clock)) is opened


def test_the_whole_week_is_covered_once_a_day_by_a_daily_window() -> None:
    minutes = [
        (day, f"{hour:02}:{minute:02}") for day in range(7) for hour in range(24) for minute in range(60)
    ]
    assert sum(is_open("daily 23:30-00:30", at(day, clock)) for day, clock in minutes) == 7 * 60


@pytest.mark.parametrize(
    ("window", "why"),
    [
        ("", "not a day with hours"),
        ("Sat", "its last day has no hours"),
        ("Sat 02:00-04:00, Sun", "its last day has no hours"),
        ("Sat, 02:00-04:00", "not a day with hours"),
        ("Sat 02:00-04:00 Sun", "not a day with hours"),
        ("Sat 2:00-4:00", "not a day with hours"),
        ("Sat 02:00-04:00,", "not a day with hours"),
        ("Sut 02:00-04:00", "'Sut' is not a day"),
        ("Mon-Sut 02:00-04:00", "'Sut' is not a day"),
        ("Sat 02:00-24:01", "24:01 is not a time"),
        ("Sat 02:60-04:00", "02:60 is not a time"),
        ("Sat 02:00-02:00", "never open"),
        ("Sat 24:00-02:00", "never open"),
    ],
)
def test_what_is_no_window_is_refused_with_an_example(window: str, why: str) -> None:
    with pytest.raises(ThorError) as caught:
        parse(window)
    assert caught.value.code == "maintenance_window_invalid"
    assert why in caught.value.message
    assert "Mon-Fri 23:00-05:00" in caught.value.remedy
