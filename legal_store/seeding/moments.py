"""Dates and times relative to the day of seeding: "today+7d", "today-2d 09:30", "now-3h"."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

A_DATE = 'a date such as 2024-03-15, or text such as "today", "today-3d" or "today+2w"'
A_MOMENT = (
    'a time with its zone such as 2024-03-15T10:00:00+02:00, or text such as "now-2h", "now-3d" or "today+7d 09:30"'
)

_DAY = r"today(?:(?P<sign>[+-])(?P<amount>\d{1,4})(?P<unit>[dw]))?"
_RELATIVE_DATE = re.compile(_DAY)
_RELATIVE_DAY_AND_CLOCK = re.compile(_DAY + r"(?: (?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d))?")
_RELATIVE_TO_NOW = re.compile(r"now(?:(?P<sign>[+-])(?P<amount>\d{1,4})(?P<unit>[hdw]))?")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def to_date(cell: object, now: datetime) -> date:
    """Return the date that a cell of a seed file means at the time `now`. Raises ValueError: what is allowed."""
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return cell
    match = _RELATIVE_DATE.fullmatch(cell) if isinstance(cell, str) else None
    if match is None:
        raise ValueError(A_DATE)
    return now.date() + _offset(match)


def to_moment(cell: object, now: datetime) -> datetime:
    """Return the moment that a cell means at the time `now`; a `now` without zone is local time of this machine.

    Raises ValueError: what is allowed.
    """
    if isinstance(cell, datetime) and cell.tzinfo is not None:
        return cell
    text = cell if isinstance(cell, str) else ""
    if match := _RELATIVE_TO_NOW.fullmatch(text):
        return _with_zone(now + _offset(match))
    if match := _RELATIVE_DAY_AND_CLOCK.fullmatch(text):
        clock = time(int(match["hour"] or 0), int(match["minute"] or 0), tzinfo=now.tzinfo)
        return _with_zone(datetime.combine(now.date() + _offset(match), clock))
    raise ValueError(A_MOMENT)


def _offset(match: re.Match[str]) -> timedelta:
    if match["amount"] is None:
        return timedelta()
    offset = int(match["amount"]) * _UNITS[match["unit"]]
    return -offset if match["sign"] == "-" else offset


def _with_zone(moment: datetime) -> datetime:
    # naive until here, so that 09:30 stays 09:30 when summer time begins or ends in between
    return moment if moment.tzinfo else moment.astimezone()
