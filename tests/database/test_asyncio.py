"""Tasks of one event loop share a thread, and so would share its connection: that is refused at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from legal_store.database import Database
from legal_store.errors import NotConnectedError
from tests.database.conftest import MakeDatabase

USES: dict[str, Callable[[Database], Any]] = {
    "with db": lambda db: db.__enter__(),
    "connection_context": lambda db: db.connection_context().__enter__(),
    "connect": lambda db: db.connect(),
    "connect(reuse_if_open)": lambda db: db.connect(reuse_if_open=True),
    "connection": lambda db: db.connection(),
    "cursor": lambda db: db.cursor(),
    "atomic": lambda db: db.atomic().__enter__(),
    "a statement": lambda db: db.execute_sql("SELECT 1"),
}


async def borrowed(db: Database, meanwhile: Callable[[], Awaitable[object]]) -> int:
    """Write a row, wait inside the transaction, and return how many rows it then sees."""
    with db:
        db.execute_sql("CREATE TEMP TABLE mine AS SELECT 1 AS one")
        await meanwhile()
        return int(db.execute_sql("SELECT count(*) FROM mine").fetchone()[0])


@pytest.mark.parametrize("use", USES)
def test_another_task_is_refused_and_the_first_is_not_harmed(pooled: MakeDatabase, use: str) -> None:
    db = pooled()

    async def other() -> None:
        with pytest.raises(NotConnectedError, match=r"another asyncio task \(first\).*asyncio.to_thread"):
            USES[use](db)

    async def main() -> int:
        return await asyncio.create_task(borrowed(db, lambda: asyncio.create_task(other())), name="first")

    assert asyncio.run(main()) == 1
    assert db.is_closed() and db.pool.stats().used == 0


def test_a_connection_borrowed_outside_is_not_shared_among_tasks(pooled: MakeDatabase) -> None:
    db = pooled()

    async def main() -> None:
        with pytest.raises(NotConnectedError, match="code outside of this asyncio task"):
            db.execute_sql("SELECT 1")

    with db:
        asyncio.run(main())
        assert db.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_callback_of_the_loop_is_not_the_task(pooled: MakeDatabase) -> None:
    db = pooled()

    async def main() -> int:
        seen = asyncio.get_running_loop().create_future()

        def use() -> None:
            with pytest.raises(NotConnectedError):
                db.execute_sql("SELECT 1")
            seen.set_result(None)

        asyncio.get_running_loop().call_soon(use)
        return await borrowed(db, lambda: seen)

    assert asyncio.run(main()) == 1


def test_tasks_that_take_turns_and_threads_work(pooled: MakeDatabase) -> None:
    db = pooled()

    def work(number: int) -> int:
        with db, db.atomic():
            return int(db.execute_sql("SELECT %s", (number,)).fetchone()[0])

    async def task(number: int) -> int:
        here = work(number)  # awaits nothing
        await asyncio.sleep(0)
        return here + await asyncio.to_thread(work, number)

    async def main() -> list[int]:
        return await asyncio.gather(*map(task, range(5)))

    assert asyncio.run(main()) == [0, 2, 4, 6, 8]
    assert db.pool.stats().used == 0


def test_a_block_that_the_loop_closes_at_its_end_gives_the_connection_back(pooled: MakeDatabase) -> None:
    db = pooled()

    async def rows() -> Any:
        with db:
            yield db.execute_sql("SELECT 1").fetchone()

    async def main() -> Any:
        return await anext(rows())  # and forgets it

    assert asyncio.run(main()) == (1,)
    assert db.is_closed() and db.pool.stats().used == 0


def test_asyncio_is_not_imported_for_it(database_url: str) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None  # Peewee imports it where it is installed, and it asyncio\n"
        "from legal_store import db\n"
        "with db: db.execute_sql('SELECT 1')\n"
        "assert 'asyncio' not in sys.modules, 'imported'"
    )
    environment = {**os.environ, "DATABASE_URL": str(database_url)}
    finished = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
