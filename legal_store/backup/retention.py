"""Which backups to keep. Pure decisions over what is known about them; nothing is deleted here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from legal_store.errors import WrongUseError

DEFAULT_DAYS = 30
MOST_DAYS = 36_500


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Keep all of the last `days`, and the newest of each of the last `daily` days, `weekly` weeks, `monthly` months.

    Days, weeks and months are those of the calendar in UTC that have a backup in them. Safety backups of restores
    are kept for `safety_days` and count in none of these.
    """

    days: int = DEFAULT_DAYS
    safety_days: int = DEFAULT_DAYS
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    def __post_init__(self) -> None:
        age_limit(self.days)
        age_limit(self.safety_days)
        if min(self.daily, self.weekly, self.monthly) < 0:
            raise WrongUseError("A policy of retention has no negative numbers.")


def age_limit(days: int) -> timedelta:
    """Return so many days as a time. Raises WrongUseError for what cannot be meant."""
    if not 0 <= days <= MOST_DAYS:
        raise WrongUseError(f"{days} days cannot be meant: from 0 to {MOST_DAYS:,} are possible, no negative number.")
    return timedelta(days=days)


class Candidate(NamedTuple):
    """What the decision needs to know about one backup. `group`: backups of one group stand in for each other."""

    name: str
    group: tuple[str, str]
    created: datetime
    good: bool
    proven: bool
    safety: bool = False
    pinned: str | None = None
    expires: datetime | None = None
    """When an export may no longer be used; None for backups."""


class Decision(NamedTuple):
    """Keep it or not, and every reason."""

    name: str
    keep: bool
    reasons: tuple[str, ...]


def decide(candidates: Sequence[Candidate], policy: Policy, now: datetime) -> list[Decision]:
    """Return a decision for each backup, newest first within each environment and database.

    Whatever the clock says, the last good backup of a group stays, and so does the last proven one. Backups that
    are not good count for nothing in the calendar rules, and age like the others. Safety backups hold what somebody
    wanted to be rid of: one is the last good one only where there is no other. Exports stand in for nothing and stay
    until they expire, no longer.
    """
    exports = [one for one in candidates if one.expires is not None]
    backups = [one for one in candidates if one.expires is None]
    ordered = sorted(backups, key=lambda one: (one.group, one.created, one.name))
    groups = [list(group) for _, group in groupby(ordered, key=lambda one: one.group)]
    decided = [decision for group in groups for decision in _decide_group(group[::-1], policy, now)]
    return decided + [_decide_export(one, now) for one in sorted(exports, key=lambda one: one.name, reverse=True)]


def _decide_export(one: Candidate, now: datetime) -> Decision:
    assert one.expires is not None  # noqa: S101
    if now < one.expires:
        return Decision(one.name, True, (f"an export, until {one.expires:%Y-%m-%d %H:%M}",))
    return Decision(one.name, False, (f"an export that expired at {one.expires:%Y-%m-%d %H:%M}",))


def _decide_group(newest_first: Sequence[Candidate], policy: Policy, now: datetime) -> list[Decision]:
    reasons = {one.name: _own_reasons(one, policy, now) for one in newest_first}
    whole = [one for one in newest_first if one.good]
    good = [one for one in whole if not one.safety]
    _keep_newest(good or whole, reasons, "the last good one")
    _keep_newest([one for one in good if one.proven], reasons, "the last proven one")
    for rule, count, period in _calendar(policy):
        _keep_per_period(good, reasons, rule, count, period)
    return [_decision(one, reasons[one.name], policy) for one in newest_first]


def _own_reasons(one: Candidate, policy: Policy, now: datetime) -> list[str]:
    """Return why it stays whatever else there is."""
    reasons = [] if one.pinned is None else [f"pinned: {one.pinned}"]
    days = _days(one, policy)
    if one.created > now:
        return [*reasons, "dated in the future"]
    return [*reasons, f"not older than {days} days"] if now - one.created <= age_limit(days) else reasons


def _decision(one: Candidate, reasons: list[str], policy: Policy) -> Decision:
    what = "a safety backup " if one.safety else ""
    return Decision(
        one.name,
        bool(reasons),
        tuple(reasons) or (f"{what}older than {_days(one, policy)} days, and no rule keeps it",),
    )


def _days(one: Candidate, policy: Policy) -> int:
    return policy.safety_days if one.safety else policy.days


def _calendar(policy: Policy) -> list[tuple[str, int, Callable[[datetime], object]]]:
    return [
        ("daily", policy.daily, lambda moment: moment.date()),
        ("weekly", policy.weekly, lambda moment: moment.isocalendar()[:2]),
        ("monthly", policy.monthly, lambda moment: (moment.year, moment.month)),
    ]


def _keep_newest(newest_first: Sequence[Candidate], reasons: dict[str, list[str]], why: str) -> None:
    if newest_first:
        reasons[newest_first[0].name].append(why)


def _keep_per_period(
    newest_first: Sequence[Candidate],
    reasons: dict[str, list[str]],
    rule: str,
    count: int,
    period: Callable[[datetime], object],
) -> None:
    kept: set[object] = set()
    for one in newest_first:
        when = period(one.created)
        if when not in kept and len(kept) < count:
            kept.add(when)
            reasons[one.name].append(f"{rule} {len(kept)} of {count}")
