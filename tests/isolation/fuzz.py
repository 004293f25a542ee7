"""Runs random operations by many workers at once, in every situation a service brings them in, and judges them."""

from __future__ import annotations

import contextvars
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from peewee import DatabaseError

import legal_store
from legal_store import db
from tests.isolation.operations import LONG, MODELS, OPERATIONS, REFUSALS, Operation, Worker
from tests.isolation.world import LeakError, World

WORKERS = 3


class Report:
    """How often each operation ran, and what went wrong."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.failures: list[str] = []
        self.leaks: list[str] = []

    @property
    def total(self) -> int:
        return sum(self.ran.values())


def fuzz(
    world: World,
    count: int,
    *,
    seed: int,
    operations: list[Operation] = OPERATIONS,
    database: Any = db,
    workers: int = WORKERS,
    stop_early: bool = False,
) -> Report:
    """Run `count` operations. The last firm of `world` belongs to no worker: nothing about it may change.

    Each worker has two firms and takes turns between them on whatever connection the pool gives it.
    """
    report = Report()
    untouched = world.firms[-1]
    world.remember(untouched)

    def work(number: int) -> None:
        worker = Worker(world, world.firms[2 * number : 2 * number + 2], seed * 100 + number)
        try:
            for _ in range(count // workers):
                with database.connection_context():
                    trim(worker)
                    for _ in range(worker.rng.randrange(1, 6)):
                        operation = worker.rng.choice(operations)
                        contextvars.Context().run(step, worker, operation, report, database)
                noticed = len(report.leaks) + len(report.failures)
                if (noticed and stop_early) or len(report.failures) > 5 or report.total >= count:
                    return
        except Exception:  # noqa: BLE001
            report.failures.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        world.check(untouched)
    except LeakError as leak:
        report.leaks.append(str(leak))
    return report


def trim(worker: Worker) -> None:
    """Delete what the worker has added, now and then, so that the tables stay small."""
    if worker.rng.random() < 0.1:
        for firm in worker.own:
            with legal_store.firm(firm.id):
                for table in LONG:
                    model = MODELS[table]
                    model.delete().where(model.id.not_in(firm.ids[table])).execute()


def step(worker: Worker, operation: Operation, report: Report, database: Any) -> None:
    """Run one operation in a random situation and judge it."""
    worker.firm = worker.rng.choice(worker.own)
    situation = worker.rng.choice(SITUATIONS)
    report.ran[operation.name] += 1
    try:
        situation(worker, operation, database)
    except LeakError as leak:
        report.leaks.append(f"{operation.name} ({situation.__name__}): {leak}")
    except Exception:  # noqa: BLE001
        report.failures.append(f"{operation.name} ({situation.__name__}):\n{traceback.format_exc()}")


def judged(worker: Worker, operation: Operation) -> None:
    """Run the operation in the scope it is called in; raise LeakError when it saw or did what it must not."""
    if operation.refused:
        try:
            result = operation.run(worker)
        except REFUSALS:
            return
        raise LeakError(f"not refused, but gave {str(result)[:200]}")
    worker.world.inspect(operation.run(worker), worker.firm)


# Situations


def alone(w: Worker, operation: Operation, database: Any) -> None:
    with legal_store.firm(w.firm.id):
        judged(w, operation)


def in_a_transaction(w: Worker, operation: Operation, database: Any) -> None:
    with legal_store.firm(w.firm.id), _attempt(database):
        judged(w, operation)


def scope_opened_inside_a_transaction(w: Worker, operation: Operation, database: Any) -> None:
    with _attempt(database):
        for firm in (w.own[0], w.own[1]):
            w.firm = firm
            with legal_store.firm(firm.id), _attempt(database):
                judged(w, operation)


def rolled_back(w: Worker, operation: Operation, database: Any) -> None:
    with legal_store.firm(w.firm.id), database.atomic() as transaction:
        with _attempt(database):
            judged(w, operation)
        transaction.rollback()


def after_an_exception(w: Worker, operation: Operation, database: Any) -> None:
    """An error in the middle, in a savepoint inside a transaction of the other firm."""
    first, second = w.rng.sample(w.own, 2)
    with _attempt(database):
        with legal_store.firm(first.id):
            w.firm = first
            try:
                with database.atomic():
                    database.execute_sql("SELECT * FROM cases")
                    database.execute_sql("SELECT 1 / 0")
            except DatabaseError:
                pass
        with legal_store.firm(second.id), _attempt(database):
            w.firm = second
            judged(w, operation)


def within_all_firms(w: Worker, operation: Operation, database: Any) -> None:
    with legal_store.all_firms(reason="fuzz"):
        database.execute_sql("SELECT count(*) FROM cases")
        with legal_store.firm(w.firm.id):
            judged(w, operation)


def outside_any_scope(w: Worker, operation: Operation, database: Any) -> None:
    """Whatever an operation does, without a scope it is refused."""
    if not operation.needs_scope or operation.name in MANAGE_THEIR_SCOPE:
        return alone(w, operation, database)
    judged(w, operation._replace(refused=True))


MANAGE_THEIR_SCOPE: set[str] = set()


class _attempt:  # noqa: N801  (reads as a function)
    """A transaction or savepoint that ends when PostgreSQL has refused something inside it."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.atomic = database.atomic()

    def __enter__(self) -> None:
        self.transaction = self.atomic.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if error is None and _failed(self.database):
            self.transaction.rollback()
        return self.atomic.__exit__(kind, error, trace)


def _failed(database: Any) -> bool:
    from psycopg2.extensions import TRANSACTION_STATUS_INERROR

    return bool(database.connection().get_transaction_status() == TRANSACTION_STATUS_INERROR)


SITUATIONS: list[Callable[[Worker, Operation, Any], None]] = [
    alone,
    in_a_transaction,
    scope_opened_inside_a_transaction,
    rolled_back,
    after_an_exception,
    within_all_firms,
    outside_any_scope,
]
