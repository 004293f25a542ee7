"""What another thread does between two steps of a checkout or a return, at each place where it matters.

The pool's deques and sets are replaced by ones that run something once, just before or after one of their methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from legal_store.database.pool import Pool
from legal_store.errors import PoolExhaustedError
from tests.database.conftest import MakeDatabase


@pytest.fixture
def pool(pooled: MakeDatabase) -> Pool:
    return pooled(size=1, timeout=0.5).pool


def meanwhile(pool: Pool, container: str, method: str, action: Callable[[], Any], *, after: bool = False) -> None:
    """Run `action` once, at the next call of `method` of the pool's `container`."""
    original = getattr(pool, container)
    due = [action]

    def step(self: Any, *arguments: Any) -> Any:
        if due and not after:
            due.pop()()
        result = getattr(super(kind, self), method)(*arguments)
        if due and after:
            due.pop()()
        return result

    kind: Any = type("Observed", (type(original),), {method: step})
    setattr(pool, container, kind(original))


def usable(pool: Pool) -> bool:
    """Say whether the pool lends a connection that works, and has that one alone."""
    connection = pool.acquire()
    try:
        return bool(connection.ask("SELECT 1", within=5) == 1 and pool.connections == {connection})
    finally:
        pool.release(connection)


def test_a_connection_that_comes_back_while_somebody_joins_the_queue_is_his(pool: Pool) -> None:
    held = pool.acquire()
    meanwhile(pool, "_waiters", "append", lambda: pool.release(held))
    assert pool.acquire() is held


def test_close_all_while_a_connection_is_being_returned_closes_it(pool: Pool) -> None:
    held = pool.acquire()
    meanwhile(pool, "idle", "append", pool.close_all)
    pool.release(held)
    assert held.closed and not pool.idle and pool.total == 0
    assert usable(pool)


def test_close_all_while_a_connection_is_being_taken_brings_another(pool: Pool) -> None:
    first = pool.acquire()
    pool.release(first)
    meanwhile(pool, "in_use", "add", pool.close_all)
    second = pool.acquire()
    assert first.closed and second.answers(within=5) and pool.connections == {second}


def test_a_connection_that_is_returned_just_before_it_would_be_cut_is_not_cut(pool: Pool) -> None:
    held = pool.acquire()
    meanwhile(pool, "in_use", "copy", lambda: pool.release(held), after=True)
    assert pool.cut_held_since(0) == 0
    assert pool.acquire() is held and held.answers(within=5)


def test_an_idle_connection_that_is_taken_just_before_it_would_be_closed_is_not_closed(pool: Pool) -> None:
    pool.release(pool.acquire())
    taken = []
    meanwhile(pool, "idle", "copy", lambda: taken.append(pool.acquire()), after=True)
    pool.close_idle()
    assert taken[0].answers(within=5) and pool.connections == set(taken)


def test_whoever_asks_while_others_wait_does_not_overtake_them(pool: Pool) -> None:
    held = pool.acquire()
    first = pool._queue()
    meanwhile(pool, "idle", "append", lambda: _gets_nothing(pool), after=True)
    pool.release(held)
    assert first.connection is held


def _gets_nothing(pool: Pool) -> None:
    with pytest.raises(PoolExhaustedError):
        pool.acquire(timeout=0.01)
