"""Scopes that meet threads, tasks, generators and queries kept for later."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from peewee import SQL

import legal_store
from legal_store import Case, Client, Document, Task
from legal_store.errors import FirmScopeError
from tests.isolation.operations.worker import MODELS, REFUSALS, Worker, db_of, operation
from tests.isolation.world import LeakError


@operation(orm=True)
def use_a_query_kept_from_another_scope(w: Worker) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "select": lambda: Case.select(),
        "join": lambda: Document.select(Document, Case).join(Case),
        "union": lambda: Case.select(Case.id, Case.title) | Client.select(Client.id, Client.name),
        "nested": lambda: Case.select().alias("c").select_from(SQL("c.title"), SQL("c.firm_id")),
        "cte": lambda: Case.select().cte("c").select_from(SQL("c.title")),
        "returning": lambda: Task.update(priority="High").returning(Task),
    }
    name = w.rng.choice(list(makers))
    query = w.kept.setdefault(name, makers[name]())
    found = [list(query), len(query), query[0] if len(query) else None]
    if name not in ("returning",):
        found += [query.first(), list(query.clone())]
    return found


@operation(orm=True, needs_scope=False)
def let_a_generator_hang(w: Worker) -> Any:
    def rows() -> Any:
        with legal_store.firm(w.firm.id):
            yield from Case.select()

    hanging = rows()
    if w.rng.random() < 0.5:
        first = next(hanging)
        found = list(Case.select())
        hanging.close()
        return [first, found]
    generators = w.kept.setdefault("generators", [])
    generators.append(hanging)
    if len(generators) > 3:
        contextvars.Context().run(generators.pop(0).close)
    return contextvars.copy_context().run(next, hanging)


@operation(orm=True)
def read_in_another_thread(w: Worker) -> Any:
    model, found = MODELS[w.table()], []

    def read() -> None:
        with db_of(model).connection_context():
            try:
                found.extend(model.select())
            except FirmScopeError as error:
                found.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(read,))
    thread.start()
    thread.join()
    if found and isinstance(found[0], FirmScopeError):
        raise found[0]
    return found


@operation(orm=True, needs_scope=False)
def a_thread_has_no_scope_of_its_own(w: Worker) -> Any:
    errors: list[Exception] = []

    def read() -> None:
        try:
            with db_of(Case).connection_context():
                list(Case.select())
        except REFUSALS as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    if not errors:
        raise LeakError("a thread without a scope read cases")


@operation(orm=True)
def read_in_asyncio(w: Worker) -> Any:
    def read() -> Any:
        with db_of(Case).connection_context():
            return list(Case.select())

    async def both() -> Any:
        return await asyncio.gather(asyncio.to_thread(read), asyncio.to_thread(read))

    return asyncio.run(both())


@operation(orm=True, refused=True, needs_scope=False)
def open_their_scope(w: Worker) -> Any:
    scope = legal_store.firm(w.other.id) if w.rng.random() < 0.5 else legal_store.all_firms(reason="curious")
    with scope:
        return list(Case.select())
