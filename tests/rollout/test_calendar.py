"""Maintenance windows against the calendar: midnight, weekends, and both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.sequences import examples
from thorctl.inventory.maintenance import EVERY_DAY, Window, parse
from thorctl.rollout.calendar import Calendar, zone

BERLIN, MINUTE = "Europe/Berlin", timedelta(minutes=1)
SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)  # 02:00 becomes 03:00 in Berlin
AUTUMN = datetime(2026, 10, 25, 1, tzinfo=UTC)  # 03:00 becomes 02:00 there
ZONES = (
    BERLIN,
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
    "Africa/Cairo",
)


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


def test_nothing_begins_before_a_break_that_is_shorter_than_the_margin() -> None:
    night = calendar("01:00-02:00", "02:10-04:00", margin=15)
    assert night.is_open(at("2026-03-03T01:44"))
    assert not night.is_open(at("2026-03-03T01:56"))
    assert night.opens(at("2026-03-03T01:56")) == at("2026-03-03T02:10")
    assert calendar("23:00-24:00", "00:00-01:00", margin=15).is_open(at("2026-03-03T23:50"))  # no break


@pytest.mark.parametrize(
    ("window", "margin", "now", "opens"),
    [
        ("02:00-03:00", 0, SPRING, "2026-03-30T00:00"),  # left out whole: the next day
        ("02:10-03:20", 15, SPRING, "2026-03-29T01:00"),  # 20 minutes are left of it
        ("02:10-03:20", 30, SPRING, "2026-03-30T00:10"),  # they are too few
        ("Sun 02:00-03:00", 0, SPRING, "2026-04-05T00:00"),
        ("01:00-02:00", 0, SPRING, "2026-03-29T23:00"),
        ("02:00-03:00", 50, AUTUMN - 20 * MINUTE, "2026-10-25T00:40"),  # two hours long on that night
        ("02:30-03:00", 0, AUTUMN, "2026-10-25T01:30"),  # its second time
        ("02:30-03:00", 20, AUTUMN - 5 * MINUTE, "2026-10-25T01:30"),
        ("01:30-02:30", 0, AUTUMN - 30 * MINUTE, "2026-10-25T01:00"),  # closed at 02:30, open again at 02:00
    ],
)
def test_opens_across_changes_of_the_clocks(window: str, margin: int, now: datetime, opens: str) -> None:
    found = calendar(window, margin=margin).opens(now)
    assert found == datetime.fromisoformat(opens).replace(tzinfo=UTC)


@settings(max_examples=examples(40))
@given(
    start=st.integers(0, 3 * 366 * 86400).map(lambda one: datetime.fromtimestamp(1735689600 + one, UTC)),
    windows=st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)), min_size=1, max_size=3),
    margin=st.integers(0, 90),
    name=st.sampled_from(ZONES),
)
@example(SPRING - 30 * MINUTE, [(120, 60)], 0, BERLIN)
@example(AUTUMN - 90 * MINUTE, [(150, 60), (125, 10)], 5, BERLIN)
def test_opens_is_the_first_open_minute_of_two_days(
    start: datetime, windows: list[tuple[int, int]], margin: int, name: str
) -> None:
    site = Calendar(zone(name), tuple(Window(EVERY_DAY, *one) for one in windows), margin)
    horizon = 2 * 1440
    first = start.replace(second=0, microsecond=0)
    minutes = [first + number * MINUTE for number in range(horizon + margin + 1)]
    walls = [minute.astimezone(zone(name)) for minute in minutes]
    opened = [any(window.is_open(wall) for window in site.windows) for wall in walls]
    fit = [all(opened[number : number + margin + 1]) for number in range(horizon)]
    found = site.opens(start)
    if fit[0]:  # or it closes within this very minute
        assert found == start
    else:
        expected = next((minutes[number] for number in range(1, horizon) if fit[number]), None)
        assert found == expected or (expected is None and (found is None or found >= minutes[horizon]))


def test_opens_looks_at_the_edges_of_windows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[datetime] = []

    def is_open(self: Calendar, now: datetime) -> bool:
        asked.append(now)
        return bool(real(self, now))

    real = Calendar.is_open
    monkeypatch.setattr(Calendar, "is_open", is_open)
    assert calendar("Tue 03:00-04:00").opens(at("2026-03-03T04:00")) == at("2026-03-10T03:00")
    assert len(asked) <= 2 * 8 + 2  # two edges a day


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
