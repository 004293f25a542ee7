"""Retention: whatever the history, the clock and the failures, what was promised stays."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from legal_store.backup import list_backups, prune
from legal_store.backup.catalog import change, leftover_of
from legal_store.backup.manifest import Manifest, backup_name, is_safety
from legal_store.backup.progress import Progress
from legal_store.backup.retention import Candidate, Policy, decide
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import WrongUseError
from tests.backup.samples import put, sample_manifest

NOW = datetime(2025, 1, 20, 14, 30, tzinfo=UTC)
EXAMPLES = 1500 if os.environ.get("LEGAL_STORE_SWEEP") == "full" else 40


def _candidate(name: str, age_days: float, **facts: object) -> Candidate:
    known = {"good": True, "proven": False, **facts}
    return Candidate(name, ("test", "db"), NOW - timedelta(days=age_days), **known)  # type: ignore[arg-type]


def _kept(candidates: list[Candidate], policy: Policy) -> set[str]:
    return {decision.name for decision in decide(candidates, policy, NOW) if decision.keep}


def test_thirty_days_are_kept_by_default() -> None:
    history = [_candidate(str(age), age) for age in range(0, 60)]
    assert _kept(history, Policy()) == {str(age) for age in range(0, 31)}


def test_the_last_good_and_the_last_proven_one_stay_however_old() -> None:
    history = [
        _candidate("damaged", 100, good=False),
        _candidate("good", 200),
        _candidate("older", 300),
        _candidate("proven", 400, proven=True),
        _candidate("proven before", 500, proven=True),
    ]
    assert _kept(history, Policy()) == {"good", "proven"}


def test_a_safety_backup_never_stands_in_for_a_good_one() -> None:
    history = [_candidate("spoilt", 1, safety=True, proven=True), _candidate("good", 5), _candidate("older", 9)]
    assert _kept(history, Policy(days=0, daily=1)) == {"spoilt", "good"}, "a safety backup has days of its own"
    assert _kept(history, Policy(days=0, safety_days=0, daily=1)) == {"good"}
    assert _kept(history[:1], Policy(days=0, safety_days=0)) == {"spoilt"}, "there is nothing else"


def test_calendar_rules_keep_the_newest_of_each_period() -> None:
    history = [_candidate(str(age), age) for age in range(0, 120)]
    kept = _kept(history, Policy(days=0, daily=3, weekly=2, monthly=3))
    # 2025-01-20 is a Monday: the week before ends on the 19th; the months before on 12-31 and 11-30
    assert kept == {"0", "1", "2", "20", "51"}


def test_one_environment_never_stands_in_for_another() -> None:
    one = _candidate("one", 100)
    other = _candidate("other", 200)._replace(group=("production", "db"))
    assert _kept([one, other], Policy()) == {"one", "other"}


def test_backups_from_the_future_are_kept() -> None:
    assert _kept([_candidate("future", -400), _candidate("past", 100)], Policy()) == {"future"}


def test_every_decision_has_a_reason() -> None:
    decisions = decide([_candidate(str(age), age) for age in range(0, 60)], Policy(monthly=2), NOW)
    assert all(decision.reasons for decision in decisions)


@pytest.mark.parametrize("policy", [{"daily": -1}, {"days": -1}, {"safety_days": -1}, {"days": 99_999_999_999}])
def test_numbers_that_cannot_be_meant_are_refused(policy: dict[str, int]) -> None:
    with pytest.raises(WrongUseError):
        Policy(**policy)


@given(
    ages=st.lists(st.floats(-40, 4000), max_size=30),
    policy=st.builds(
        Policy, days=st.integers(0, 60), daily=st.integers(0, 9), weekly=st.integers(0, 9), monthly=st.integers(0, 9)
    ),
    data=st.data(),
)
@settings(deadline=None)
def test_more_backups_never_make_the_newest_ones_go(ages: list[float], policy: Policy, data: st.DataObject) -> None:
    history = [
        _candidate(str(number), age, good=data.draw(st.booleans()), proven=data.draw(st.booleans()))
        for number, age in enumerate(ages)
    ]
    kept = _kept(history, policy)
    good = sorted((one for one in history if one.good), key=lambda one: (one.created, one.name))
    assert not good or good[-1].name in kept
    proven = [one for one in good if one.proven]
    assert not proven or proven[-1].name in kept
    # deciding again about what is left changes nothing
    assert _kept([one for one in history if one.name in kept], policy) == kept


class _Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class _KilledAt(Progress):
    def __init__(self, step: int) -> None:
        self.left = step

    def step(self, name: str) -> None:
        if self.left == 0:
            raise _Killed
        self.left -= 1


class Histories(RuleBasedStateMachine):
    """A store over years: backups are made and fail, are proven, pinned, damaged, and prune runs, or is killed."""

    names = Bundle("names")

    @initialize()
    def begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.store = LocalStore(self._folder.name)
        self.clock = NOW
        self.promised: set[str] = set()

    def teardown(self) -> None:
        with suppress(AttributeError):
            self._folder.cleanup()

    @rule(hours=st.integers(1, 24 * 90))
    def time_passes(self, hours: int) -> None:
        self.clock += timedelta(hours=hours)

    @rule(days=st.integers(-5000, 5000))
    def clock_jumps(self, days: int) -> None:
        with suppress(OverflowError):
            self.clock = max(NOW, self.clock + timedelta(days=days))

    @rule(
        target=names,
        proof=st.sampled_from(["made", "verified", "proven"]),
        pinned=st.none() | st.just("audit"),
        safety=st.booleans(),
    )
    def backup_is_made(self, proof: str, pinned: str | None, safety: bool) -> str:
        manifest = sample_manifest(self.clock, proof, pinned, safety=safety)
        self.store.clean_up(leftover_of)
        if manifest.file_name not in self.store.objects():
            put(self.store, manifest)
        return manifest.name

    @rule(name=names)
    def backup_is_killed_before_its_manifest(self, name: str) -> None:
        self.clock += timedelta(seconds=1)
        name = backup_name("test", "db", self.clock)
        if f"{name}.dump" not in self.store.objects():
            self.store.create(f"{name}.dump", b"data")
            (self.store.folder / f".{name}.legal_store-run").touch()

    @rule(name=names, level=st.sampled_from(["verified", "proven"]))
    def damage_is_found(self, name: str, level: str) -> None:
        if f"{name}.manifest.json" in self.store.objects():
            change(self.store, name, None, lambda known: known.with_failure(level, "a byte is not right"))

    @rule(name=names)
    def data_is_cut(self, name: str) -> None:
        if f"{name}.dump" in self.store.objects():
            (self.store.folder / f"{name}.dump").write_bytes(b"da")

    @rule(name=names, level=st.sampled_from(["verified", "proven"]))
    def backup_is_proven(self, name: str, level: str) -> None:
        if f"{name}.manifest.json" in self.store.objects():
            change(self.store, name, None, lambda known: known.with_proof(level))

    @rule(
        days=st.integers(0, 60),
        daily=st.integers(0, 5),
        weekly=st.integers(0, 5),
        monthly=st.integers(0, 5),
        killed_at=st.none() | st.integers(0, 6),
    )
    def prune_runs(self, days: int, daily: int, weekly: int, monthly: int, killed_at: int | None) -> None:
        policy = Policy(days=days, daily=daily, weekly=weekly, monthly=monthly)
        whole = [one.manifest for one in list_backups(self.store) if one.good and one.manifest]
        before = {one.name: one for one in whole if not is_safety(one.name)}
        with suppress(_Killed):
            progress = Progress() if killed_at is None else _KilledAt(killed_at)
            prune(self.store, policy, delete=True, now=self.clock, progress=progress)
        after = {one.name for one in list_backups(self.store)}
        newest = sorted(before.values(), key=lambda one: (one.created, one.name), reverse=True)
        promised = {one.name for one in newest if one.pinned}
        promised |= {one.name for one in newest if self.clock - one.created <= timedelta(days=days)}
        promised |= {one.name for one in newest[:1]}
        promised |= {one.name for one in newest if one.proof.level == "proven"} and {
            next(one.name for one in newest if one.proof.level == "proven")
        }
        promised |= _of_periods(newest, daily, "%Y-%m-%d")
        promised |= _of_periods(newest, weekly, "%G-%V") | _of_periods(newest, monthly, "%Y-%m")
        promised |= {one.name for one in whole if is_safety(one.name) and self.clock - one.created <= timedelta(30)}
        assert promised <= after

    @invariant()
    def what_is_listed_is_whole_unless_it_was_damaged(self) -> None:
        if hasattr(self, "store"):
            for one in list_backups(self.store):
                assert one.good or re.search("instead of 4|found damaged", one.problem or ""), one


def _of_periods(newest: list[Manifest], count: int, form: str) -> set[str]:
    """The newest of each of the last `count` periods, by other means than the code under test."""
    by_period: dict[str, str] = {}
    for one in newest:
        by_period.setdefault(one.created.strftime(form), one.name)
    return {by_period[period] for period in sorted(by_period, reverse=True)[:count]}


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistories.pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk() -> object:
    """fsync is what other tests look at; here it only takes time."""
    with patch("os.fsync"):
        yield


def test_a_dry_run_deletes_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for age in (100, 50):
        put(store, sample_manifest(NOW - timedelta(days=age)))
    there = store.objects()
    report = prune(store, Policy(), now=NOW)
    assert [decision.keep for decision in report.decisions] == [True, False]
    assert store.objects() == there
    assert prune(store, Policy(), delete=True, now=NOW).deleted == [report.decisions[1].name]
    assert len(store.objects()) == len(there) - 2


def test_an_unreadable_manifest_is_never_deleted(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("backup-test-db-20200101-000000.manifest.json", json.dumps({}).encode())
    prune(store, Policy(days=0), delete=True, now=NOW)
    assert len(store.objects()) == 1
