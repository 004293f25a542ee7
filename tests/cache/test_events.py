"""Changes are told exactly once they are committed, and the cache forgets what they made old."""

from __future__ import annotations

import datetime as dt
import os
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import legal_store
from legal_store.cache import CacheManager
from legal_store.cache.rules import DEFAULTS, Event, Rules, fill
from legal_store.database import all_firms, changes, firm
from legal_store.database.changes import Change
from legal_store.errors import LegalStoreError, OperationFailedError, WrongUseError
from legal_store.models import (
    Case,
    CaseType,
    Client,
    Document,
    DocumentKind,
    Firm,
    Skill,
    Task,
    TaskType,
    User,
    UserRole,
)
from tests.keyvalue.fixtures import one_server as key_value_server

__all__ = ["key_value_server"]
TREES = 10_000 if os.environ.get("LEGAL_STORE_SWEEP") == "full" else 150

told: list[Change] = []


def remember(found: list[Change]) -> None:
    told.extend(found)


def fail(found: list[Change]) -> None:
    raise RuntimeError("this subscriber is broken")


@pytest.fixture
def subscriber(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    monkeypatch.setattr(changes, "SUBSCRIBERS", [f"{__name__}:remember"])
    told.clear()
    return told


class UndoneError(Exception):
    pass


# a step writes a row, fails to, ends a part of the block early, or is a block of its own and how that ends
step = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["write", "write", "write", "duplicate", "commit", "rollback"]),
        st.tuples(st.sampled_from(["atomic", "savepoint"]), st.booleans(), st.lists(step, max_size=4)),
    )
)
tree = st.lists(st.tuples(st.just("atomic"), st.booleans(), st.lists(step, max_size=5)) | st.just("write"), max_size=3)


def play(database: Any, steps: list[Any], block: Any = None) -> None:
    for action in steps:
        if action == "write":
            Skill.create(skill_id=uuid.uuid4().hex, display_name="x")
        elif action == "duplicate" and block is not None:
            try:
                with database.atomic():
                    Skill.create(skill_id=uuid.uuid4().hex, display_name="x")
                    database.execute_sql("SELECT 1 / 0")
            except peewee.PeeweeException:
                pass
        elif action in ("commit", "rollback") and block is not None:
            getattr(block, action)()
        elif isinstance(action, tuple):
            kind, keeps, inner = action
            try:
                with database.savepoint() if kind == "savepoint" and block is not None else database.atomic() as opened:
                    play(database, inner, opened)
                    if not keeps:
                        raise UndoneError
            except UndoneError:
                pass


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_what_is_told_is_what_postgresql_kept(database: Any, subscriber: list[Change]) -> None:
    """Random trees of transactions and savepoints: commits, rollbacks, failures, explicit ends in the middle."""

    @settings(max_examples=TREES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(tree)
    def check(steps: list[Any]) -> None:
        subscriber.clear()
        Skill.delete().execute()
        subscriber.clear()
        play(database, steps)
        kept = {row.id for row in Skill.select(Skill.id)}
        assert sorted(change.keys["id"] for change in subscriber) == sorted(kept)

    check()


def test_nothing_is_told_before_the_commit(database: Any, subscriber: list[Change]) -> None:
    with database.atomic():
        Skill.create(skill_id="a", display_name="x")
        assert subscriber == []
    assert [change.subject for change in subscriber] == ["skill"]


def test_a_commit_that_postgresql_would_turn_into_a_rollback_fails_and_tells_nothing(
    database: Any, subscriber: list[Change]
) -> None:
    with pytest.raises(OperationFailedError, match="Nothing of this transaction was written"), database.atomic():
        Skill.create(skill_id="a", display_name="x")
        with pytest.raises(peewee.PeeweeException):
            database.execute_sql("SELECT 1 / 0")
    assert Skill.select().count() == 0
    assert subscriber == []


def test_a_lost_connection_tells_nothing_of_what_it_carried(database: Any, subscriber: list[Change]) -> None:
    def work() -> None:
        lost = (peewee.PeeweeException, LegalStoreError)
        with pytest.raises(lost), database.connection_context(), database.atomic():
            Skill.create(skill_id="a", display_name="x")
            database.connection().close()
            Skill.create(skill_id="b", display_name="x")
        with database.connection_context(), database.atomic():
            Skill.create(skill_id="c", display_name="x")

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert [row.skill_id for row in Skill.select()] == ["c"]
    assert len(subscriber) == 1


def test_a_broken_subscriber_does_not_make_a_write_look_failed(
    database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(changes, "SUBSCRIBERS", [f"{__name__}:fail", "no.such.module:f", f"{__name__}:remember"])
    told.clear()
    with database.atomic():
        Skill.create(skill_id="a", display_name="x")
    assert Skill.select().count() == 1
    assert len(told) == 1
    assert "could not be told" in caplog.text


def test_updates_that_change_nothing_tell_nothing(database: Any, subscriber: list[Change]) -> None:
    skill = Skill.create(skill_id="a", display_name="x")
    subscriber.clear()
    skill.save()
    Skill.delete().execute()
    subscriber.clear()
    skill.display_name = "y"
    assert skill.save() == 0
    assert skill.delete_instance() == 0
    Skill.update(display_name="z").execute()
    assert subscriber == []


def test_a_change_names_its_row_its_references_and_its_fields(database: Any, subscriber: list[Change]) -> None:
    world = World()
    subscriber.clear()
    world.document.title = "Altul"
    world.document.save()
    change = subscriber[0]
    assert (change.subject, change.verb, change.firm_id) == ("document", "updated", world.firm.id)
    assert change.keys["id"] == world.document.id
    assert change.keys["case_id"] == world.case.id
    assert change.fields == ("title",)


class World:
    """A firm with one of each."""

    def __init__(self) -> None:
        self.firm = Firm.create(name="F", vat_id=uuid.uuid4().hex)
        with_firm = {"firm": self.firm.id}
        self.user = User.create(
            **with_firm, email=f"{uuid.uuid4().hex}@x.ro", first_name="A", last_name="B", role=UserRole.ASSOCIATE
        )
        self.client = Client.create(**with_firm, name="C")
        self.case = self.new_case()
        self.document = self.new_document()

    def new_case(self) -> Any:
        return Case.create(
            firm=self.firm.id, client=self.client, case_number=uuid.uuid4().hex, title="T", type=CaseType.CIVIL,
            opened_date=dt.date(2025, 1, 1),
        )  # fmt: skip

    def new_document(self) -> Any:
        return Document.create(firm=self.firm.id, case=self.case, title="D", document_type=DocumentKind.BRIEF)


@pytest.fixture
def world(database: Any) -> World:
    return World()


@pytest.fixture
def cache(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CacheManager]:
    manager = CacheManager(redis_url, ttl=300)
    monkeypatch.setattr("legal_store.cache.cache_manager", manager)
    yield manager
    manager.close()


def filled(cache: CacheManager, world: World) -> set[str]:
    """Fill the cache with keys of every kind for this firm and another one; return those of this firm."""
    keys = {
        f"case:{world.case.id}", "case:other", f"billing:case:{world.case.id}", f"document:{world.document.id}",
        "document:other", f"user:{world.user.id}:profile", f"user:{world.user.id}:rights", "user:other:profile",
        f"firm:{world.firm.id}:address", "task:1",
    }  # fmt: skip
    for key in keys:
        cache.set(key, 1, firm=world.firm)
        cache.set(key, 1, firm=OTHER)
    return keys


OTHER = uuid.uuid4()


def gone(cache: CacheManager, world: World, keys: set[str]) -> set[str]:
    """Return the names of the keys that were invalidated; none of another firm ever is."""
    assert set(cache.get_many(keys, firm=OTHER)) == keys
    names = {str(world.case.id): "{case}", str(world.document.id): "{document}", str(world.user.id): "{user}"}
    names[str(world.firm.id)] = "{firm}"
    missing = keys - set(cache.get_many(keys, firm=world.firm))
    for value, name in names.items():
        missing = {key.replace(value, name) for key in missing}
    return missing


CASE = {"case:{case}", "billing:case:{case}"}
DOCUMENTS = {"document:{document}", "document:other"}
EVERYTHING = CASE | DOCUMENTS | {
    "case:other", "user:{user}:profile", "user:{user}:rights", "user:other:profile", "firm:{firm}:address", "task:1"
}  # fmt: skip


def change_case(world: World) -> None:
    world.case.title = "New"
    world.case.save()


def delete_case(world: World) -> None:
    world.case.delete_instance()


def change_role(world: World) -> None:
    world.user.role = UserRole.PARTNER
    world.user.save()


def see_user(world: World) -> None:
    world.user.last_active = dt.datetime.now(dt.UTC)
    world.user.save()


def change_firm(world: World) -> None:
    world.firm.name = "G"
    world.firm.save()


EXPECTED = [
    (change_case, CASE),
    (delete_case, CASE),
    (World.new_document, CASE | DOCUMENTS),
    (change_role, {"user:{user}:profile", "user:{user}:rights"}),
    (see_user, set()),
    (change_firm, EVERYTHING),
    (World.new_case, set()),
]


@pytest.mark.parametrize(("write", "expected"), EXPECTED, ids=[write.__name__ for write, _ in EXPECTED])
def test_the_documented_table_works_by_itself(
    cache: CacheManager, world: World, write: Any, expected: set[str]
) -> None:
    keys = filled(cache, world)
    write(world)
    assert gone(cache, world, keys) == expected


def test_a_query_over_many_rows_invalidates_all_of_the_kind_in_its_firm(cache: CacheManager, world: World) -> None:
    keys = filled(cache, world)
    world_firm = world.firm.id

    def run() -> None:
        with firm(world_firm):
            Case.update(title="Same for all").where(Case.title == "T").execute()

    in_new_context(run)
    assert gone(cache, world, keys) == CASE | {"case:other"}


def in_new_context(run: Any) -> None:
    import contextvars

    contextvars.Context().run(run)


def test_a_rollback_invalidates_nothing(cache: CacheManager, database: Any, world: World) -> None:
    keys = filled(cache, world)
    with pytest.raises(UndoneError), database.atomic():
        change_case(world)
        change_firm(world)
        raise UndoneError
    assert gone(cache, world, keys) == set()


def test_one_commit_costs_one_round_trip_however_many_rows_it_wrote(
    cache: CacheManager, database: Any, world: World, raw: Any
) -> None:
    filled(cache, world)
    raw.config_resetstat()
    with database.atomic():
        for n in range(20):
            world.case.title = f"New {n}"
            world.case.save()
    assert raw.info("commandstats")["cmdstat_unlink"]["calls"] == 1


def test_a_service_adds_a_rule_in_one_line(cache: CacheManager, world: World) -> None:
    keys = filled(cache, world)
    cache.on("task.created", "task:*", "case:{case_id}")
    Task.create(firm=world.firm.id, case=world.case, title="X", task_type=TaskType.RESEARCH)
    assert gone(cache, world, keys) == CASE | {"task:1"}


@pytest.mark.parametrize("pattern", ["case:{id}*", "*:{id}", "a:b:c:*", "c?se:{id}"])
def test_a_rule_that_would_need_a_scan_is_refused(pattern: str) -> None:
    with pytest.raises(WrongUseError, match="needs a scan"):
        Rules().add("case.updated", [pattern])


def test_an_event_has_a_subject_and_a_verb() -> None:
    with pytest.raises(WrongUseError, match="is no event"):
        Rules().add("cases", ["case:*"])


def test_patterns_widen_where_a_value_is_not_known() -> None:
    assert fill("case:{id}", {"id": 1}) == "case:1"
    assert fill("case:{id}", {}) == "case:*"
    assert fill("user:{id}:*", {}) == "user:*"
    assert fill("{service}:case", {}) == "*"


def test_rules_say_each_pattern_once_and_only_the_widest_for_a_firm() -> None:
    one = uuid.uuid4()
    events = [Event("case.updated", one, {"id": 1})] * 3
    assert Rules().patterns(events) == {one: ["case:1"]}
    assert Rules().patterns([*events, Event("firm.updated", one, {})]) == {one: ["*"]}


def test_the_documented_table_is_in_the_defaults() -> None:
    assert DEFAULTS["case.updated"] == DEFAULTS["case.deleted"] == ("case:{id}",)
    assert DEFAULTS["document.created"] == ("case:{case_id}", "document:*")
    assert DEFAULTS["user.role_changed"] == ("user:{id}:*",)
    assert all_firms is legal_store.all_firms
