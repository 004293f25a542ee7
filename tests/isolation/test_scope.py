"""What a scope is: who has it, how long, what nests in what, and what an error says. No server is asked."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import uuid
from collections.abc import Iterator

import pytest

import legal_store
from legal_store import Case, Client, Document, Firm, Skill, User
from legal_store.database.scope import current_scope
from legal_store.errors import FirmScopeError

A, B = uuid.uuid4(), uuid.uuid4()


def test_a_query_outside_any_scope_is_refused_with_both_ways_to_open_one() -> None:
    with pytest.raises(FirmScopeError) as refusal:
        Case.select().sql()
    assert "with legal_store.firm(firm_id): ..." in str(refusal.value)
    assert 'with legal_store.all_firms(reason="..."): ...' in str(refusal.value)


@pytest.mark.parametrize(
    "query",
    [
        lambda: Case.select(),
        lambda: Case.update(title="x"),
        lambda: Case.delete(),
        lambda: Case.insert(title="x"),
        lambda: Case.insert_many([{"title": "x"}]),
        lambda: Case.alias().select(),
        lambda: Case.raw("SELECT 1"),
        lambda: Case.get_by_id(A),
        lambda: Skill.select(Skill.id).join(Case, on=(Case.id == Skill.created_by)),
        lambda: Skill.select(Skill.id).where(Skill.created_by.in_(User.select(User.id))),
        lambda: Case.select(Case.id) | Case.select(Case.id),
    ],
)
def test_every_kind_of_query_needs_a_scope(query: object) -> None:
    with pytest.raises(FirmScopeError):
        query().sql()  # type: ignore[operator]


def test_what_belongs_to_no_firm_needs_no_scope() -> None:
    assert "skills" in Skill.select().sql()[0]


@pytest.mark.parametrize("given", [A, str(A), A.hex, Firm(id=A)], ids=["UUID", "text", "digits", "row"])
def test_a_firm_is_named_by_id_text_or_row(given: object) -> None:
    with legal_store.firm(given) as firm_id:
        assert firm_id == A == legal_store.current_firm()


@pytest.mark.parametrize("given", ["", "no id", None, 7])
def test_what_is_no_firm_is_refused(given: object) -> None:
    with pytest.raises(FirmScopeError, match="no firm's id"), legal_store.firm(given):
        pass


def test_scopes_nest_on_the_same_firm_and_inside_all_firms() -> None:
    with legal_store.all_firms(reason="test"), legal_store.firm(A), legal_store.firm(A):
        assert legal_store.current_firm() == A
    assert current_scope() is None


def test_another_firm_inside_a_scope_is_refused_and_changes_nothing() -> None:
    with legal_store.firm(A):
        with pytest.raises(FirmScopeError, match="inside that of firm"), legal_store.firm(B):
            pass
        with pytest.raises(FirmScopeError, match="inside the scope of firm"), legal_store.all_firms(reason="test"):
            pass
        assert legal_store.current_firm() == A


def test_all_firms_needs_a_reason_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FirmScopeError, match="needs a reason"), legal_store.all_firms(reason="  "):
        pass
    with caplog.at_level(logging.INFO, "legal_store.isolation"), legal_store.all_firms(reason="nightly report"):
        pass
    assert caplog.messages == ["all firms: nightly report"]


def test_an_exception_leaves_the_scope() -> None:
    with pytest.raises(ZeroDivisionError), legal_store.firm(A):
        raise ZeroDivisionError
    assert current_scope() is None


def test_a_thread_starts_without_a_scope_and_one_in_the_same_context_with_it() -> None:
    seen: list[object] = []
    with legal_store.firm(A):
        context = contextvars.copy_context()
        for target in (legal_store.current_firm, lambda: context.run(legal_store.current_firm)):
            thread = threading.Thread(target=lambda target=target: seen.append(target()))
            thread.start()
            thread.join()
    assert seen == [None, A]


def test_asyncio_tasks_have_scopes_of_their_own() -> None:
    async def request(firm_id: uuid.UUID) -> bool:
        with legal_store.firm(firm_id):
            await asyncio.sleep(0.01)
            return legal_store.current_firm() == firm_id == await asyncio.to_thread(legal_store.current_firm)

    async def main() -> list[bool]:
        return await asyncio.gather(*(request(firm_id) for firm_id in (A, B, A, B)))

    assert asyncio.run(main()) == [True] * 4


def test_a_task_that_outlives_the_scope_it_was_started_in_has_none() -> None:
    async def late(left: asyncio.Event) -> object:
        await left.wait()
        return current_scope()

    async def main() -> object:
        left = asyncio.Event()
        with legal_store.all_firms(reason="test"):
            task = asyncio.create_task(late(left))
            await asyncio.sleep(0)
        left.set()
        return await task

    assert asyncio.run(main()) is None


def hanging() -> Iterator[uuid.UUID | None]:
    with legal_store.firm(A):
        yield legal_store.current_firm()
        yield legal_store.current_firm()


def test_a_scope_left_in_another_order_never_comes_back() -> None:
    generator = hanging()
    with legal_store.all_firms(reason="test"):
        assert next(generator) == A
    generator.close()
    assert current_scope() is None


def test_a_generator_that_hangs_keeps_every_other_firm_out() -> None:
    generator = hanging()
    next(generator)
    with pytest.raises(FirmScopeError), legal_store.firm(B):
        pass
    generator.close()
    with legal_store.firm(B):
        assert legal_store.current_firm() == B


def test_a_scope_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    generator = hanging()
    contextvars.copy_context().run(next, generator)
    assert current_scope() is None
    generator.close()
    assert current_scope() is None


def test_a_new_row_belongs_to_the_firm_of_the_scope() -> None:
    with legal_store.firm(A):
        assert Case(title="x").firm_id == A


def test_a_row_of_another_firm_cannot_be_assigned() -> None:
    with pytest.raises(FirmScopeError, match=r"Document\.case of firm"):
        Document(firm=A, case=Case(firm=B))
    document = Document(firm=A)
    with pytest.raises(FirmScopeError, match=r"Document\.created_by"):
        document.created_by = User(firm=B)
    document.case = Case(firm=str(A))
    assert document.case.firm_id == str(A)


@pytest.mark.parametrize("how", ["text", "id", "row"])
def test_a_row_of_another_firm_cannot_be_written_or_asked_for(how: str) -> None:
    their = {"text": str(B), "id": B, "row": Firm(id=B)}[how]
    with legal_store.firm(A):
        for query in (
            Client.insert(name="x", firm=their),
            Client.insert_many([{"name": "x"}, {"name": "y", "firm": their}]),
            Client.update(firm=their),
            Client.select().where(Client.firm == their),
        ):
            with pytest.raises(FirmScopeError, match="names firm"):
                query.sql()
        with pytest.raises(FirmScopeError, match="names firm"):
            Client(name="x", firm=their).save()
        with pytest.raises(FirmScopeError, match="names firm"):
            Client(name="x", firm=their).delete_instance()


def test_the_firm_is_looked_up_when_the_query_is_used() -> None:
    query = Case.select().where(Case.title == "x")
    for firm_id in (A, B):
        with legal_store.firm(firm_id):
            assert query.sql()[1] == [str(firm_id), "x"]
    with legal_store.all_firms(reason="test"):
        assert query.sql()[1] == ["x"]


def test_truncating_the_table_of_all_firms_is_refused_in_the_scope_of_one() -> None:
    with legal_store.firm(A), pytest.raises(FirmScopeError, match="would delete the rows of all firms"):
        Case.truncate_table()
