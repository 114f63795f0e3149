"""Maintenance windows against the calendar: midnight, weekends, and both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from thorctl.maintenance import parse
from thorctl.rollout.calendar import Calendar, zone


def calendar(*texts: str, margin: int = 0, name: str = "Europe/Berlin") -> Calendar:
    return Calendar(zone(name), parse(", ".join(texts)), margin)


def at(text: str, name: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone(name)).astimezone(UTC)


def test_each_site_has_its_own_clock() -> None:
    now = datetime(2026, 6, 1, 17, 30, tzinfo=UTC)
    assert calendar("02:00-03:00", name="Asia/Tokyo").is_open(now)
    assert not calendar("02:00-03:00").is_open(now)
    assert calendar("02:00-03:00").opens(now) == datetime(2026, 6, 2, 0, 0, tzinfo=UTC)


def test_the_hour_that_spring_leaves_out() -> None:
    """29 March 2026: 02:00 becomes 03:00 in Berlin, at 01:00 UTC."""
    night = calendar("02:30-04:00")
    before = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert night.opens(before) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 03:00 on the wall
    assert not night.is_open(datetime(2026, 3, 29, 2, 0, tzinfo=UTC))  # 04:00
    swallowed = calendar("02:00-03:00")
    assert swallowed.opens(before) == datetime(2026, 3, 30, 0, 0, tzinfo=UTC)  # not on that day


def test_the_hour_that_autumn_gives_twice() -> None:
    """25 October 2026: 03:00 becomes 02:00 in Berlin, at 01:00 UTC."""
    night = calendar("02:00-03:00")
    both = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert all(night.is_open(moment) for moment in both)
    assert not night.is_open(datetime(2026, 10, 25, 2, 0, tzinfo=UTC))


def test_nothing_begins_just_before_the_end() -> None:
    night = calendar("22:00-23:00", margin=15)
    assert night.is_open(at("2026-03-03T22:44"))
    assert not night.is_open(at("2026-03-03T22:45"))
    assert night.opens(at("2026-03-03T22:50")) == at("2026-03-04T22:00")


def test_a_window_on_one_day_of_the_week_is_found() -> None:
    assert calendar("Tue 03:00-04:00").opens(at("2026-03-03T04:00")) == at("2026-03-10T03:00")


@given(
    minutes=st.integers(0, 3 * 366 * 1440),
    start=st.integers(0, 1439),
    length=st.integers(20, 1440),
    name=st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_what_opens_is_open_and_nothing_was_before(minutes: int, start: int, length: int, name: str) -> None:
    end = (start + length) % 1440
    text = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    if start == end:
        text = "00:00-24:00"
    site = calendar(text, margin=5, name=name)
    now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    opens = site.opens(now)
    assert opens is not None
    assert site.is_open(opens)
    if opens > now:
        assert not site.is_open(opens - timedelta(minutes=1))
        wall = opens.astimezone(zone(name))
        midnight = opens - timedelta(minutes=1)
        skipped = (wall - midnight.astimezone(zone(name))) != timedelta(minutes=1) or (
            wall.utcoffset() != midnight.astimezone(zone(name)).utcoffset()
        )
        assert wall.hour * 60 + wall.minute == start or skipped or text == "00:00-24:00"
