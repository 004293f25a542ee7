"""Relative dates of seed files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from legal_store.seeding.moments import to_date, to_moment

NOW = datetime(2025, 11, 20, 10, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("today", date(2025, 11, 20)),
        ("today-3d", date(2025, 11, 17)),
        ("today+2w", date(2025, 12, 4)),
        (date(2024, 2, 29), date(2024, 2, 29)),
    ],
)
def test_dates(cell: object, expected: date) -> None:
    assert to_date(cell, NOW) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("now", NOW),
        ("now-2h", NOW - timedelta(hours=2)),
        ("now+1w", NOW + timedelta(weeks=1)),
        ("today", NOW.replace(hour=0, minute=0)),
        ("today+7d 09:30", datetime(2025, 11, 27, 9, 30, tzinfo=NOW.tzinfo)),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), datetime(2024, 1, 2, 3, tzinfo=UTC)),
    ],
)
def test_moments(cell: object, expected: datetime) -> None:
    assert to_moment(cell, NOW) == expected


def test_a_local_time_gets_the_zone_of_this_machine() -> None:
    moment = to_moment("today+200d 09:30", NOW.replace(tzinfo=None))
    assert moment == datetime(2026, 6, 8, 9, 30).astimezone()


@pytest.mark.parametrize("cell", ["tomorrow", "today+3", "today-2h", "now", "2024-03-15", "today 09:30", NOW, 7, None])
def test_what_is_not_a_date(cell: object) -> None:
    with pytest.raises(ValueError, match="a date such as 2024-03-15"):
        to_date(cell, NOW)


@pytest.mark.parametrize("cell", ["now 09:30", "today+1d 24:00", "today+3h", datetime(2024, 1, 2), date(2024, 1, 2), 7])
def test_what_is_not_a_moment(cell: object) -> None:
    with pytest.raises(ValueError, match="a time with its zone"):
        to_moment(cell, NOW)
