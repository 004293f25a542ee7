"""Rows that were asked for in one scope are not read on in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import legal_store
from legal_store import Case, db
from legal_store.errors import FirmScopeError
from tests.isolation.world import ROWS, World

READINGS: dict[str, Callable[[], Iterator[Any]]] = {
    "iterator": lambda: Case.select().iterator(),
    "iter": lambda: iter(Case.select()),
    "tuples": lambda: Case.select(Case.id, Case.title).tuples().iterator(),
    "union": lambda: iter(Case.select(Case.id) | Case.select(Case.id)),
    "raw": lambda: Case.raw("SELECT * FROM cases").iterator(),
    "returning": lambda: iter(Case.update(status="Active").returning(Case.id)),
}


@pytest.mark.parametrize("reading", READINGS)
def test_rows_are_not_read_on_in_another_scope(embedded_world: World, reading: str) -> None:
    first, second = embedded_world.firms[:2]
    with db:
        with legal_store.firm(first.id):
            rows = READINGS[reading]()
            next(rows)
        with legal_store.firm(second.id), pytest.raises(FirmScopeError, match="read on in another"):
            next(rows)
        with legal_store.firm(first.id):
            assert list(rows) == []


def test_the_scopes_of_firms_inside_all_firms_do_not_disturb(embedded_world: World) -> None:
    with db, legal_store.all_firms(reason="test"):
        seen = []
        for case in Case.select().iterator():
            with legal_store.firm(case.firm_id):
                seen.append(Case.select().count())
    assert seen == [ROWS] * ROWS * len(embedded_world.firms)
