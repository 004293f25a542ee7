"""Loading a generated market: checks, catalogue, rows by several processes, indexes, statistics; resumable."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql

from legal_store.config import Settings
from legal_store.database.explain import connection_failure
from legal_store.database.target import connection_parameters, describe_target
from legal_store.generating import catalogue, checks, indexes, ledger, presence
from legal_store.generating.copying import content_hash
from legal_store.generating.failures import stopped
from legal_store.generating.ledger import Run
from legal_store.generating.locks import Patience
from legal_store.generating.market import Catalogue, Market
from legal_store.generating.plan import Plan, make_plan
from legal_store.generating.recipe import Recipe, read_recipe
from legal_store.generating.side_by_side import builder, side_by_side
from legal_store.generating.tables import CATALOGUE, COLUMNS
from legal_store.generating.workers import Job, load_portions

Progress = Callable[[str, int, int], None]
"""Told the stage ("rows", "indexes", "statistics"), how much of it is done and how much there is."""

REBUILD_FROM_ROWS = 20_000
LOCK_SECONDS = 120.0
_BIG_TABLES = tuple(COLUMNS)
_WITH_TEXTS = ("documents", "tasks", "cases")  # take longest to analyze


class GeneratedTable(NamedTuple):
    table: str
    rows: int


class GenerateReport(NamedTuple):
    """What a load made, or what it found."""

    recipe: str
    seed: int
    firms: int
    rows: int
    content_hash: str | None
    """The same for the same recipe, seed and size, wherever it is made. None where nothing was made: it is of the rows
    as they are written."""
    tables: tuple[GeneratedTable, ...]
    resumed_at: int
    """Rows that an earlier, interrupted run had committed."""
    already_there: bool
    """The database holds all of this market from an earlier run, as was counted; nothing was done."""
    added: int
    """Rows that others have added to its firms since then, which `tables` counts as well."""
    seconds: float
    """How long this run took, indexes and statistics included."""


def generate(
    settings: Settings,
    folder: Path,
    *,
    seed: int = 1,
    firms: int | None = None,
    rows: int | None = None,
    workers: int | None = None,
    lock_seconds: float = LOCK_SECONDS,
    name: str = "",
    progress: Progress = lambda stage, done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> GenerateReport:
    """Fill the database with a market made by the recipe in `folder`: `firms` firms, or `rows` rows, or both.

    Rows already there stay. Where the load is large for the database, indexes and constraints of the tables are
    taken away first and put back at the end, so that nobody else should work there meanwhile. A run that was ended
    in the middle is gone on with by calling this again with the same values; the result is the same, however many
    processes (`workers`) make it. All rows are counted before a load that was gone on with is called complete.

    Locks on tables that others use are waited for in short tries, for `lock_seconds` each time; `say` is told for
    whom. `name` is what the recipe is called where that is not the name of its folder.

    Raises RefusedError for a production database that holds rows, and WrongUseError for a size that cannot be, firms
    of the same seed that are not as they would be made, or an unfinished run of other values. Raises SeedError for a
    recipe with faults, with nothing written, or when the load stops, with all committed portions kept;
    ServerUnavailableError.
    """
    began = time.monotonic()
    recipe = read_recipe(folder, name)
    plan = make_plan(recipe, seed=seed, firms=firms, rows=rows)
    catalogue.read(recipe)  # its faults are told before anything is written
    parameters = connection_parameters(settings)
    with _errors_explained(parameters), closing(psycopg2.connect(**parameters)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            # counting is over before workers or compiled code would pay; workers need memory that containers lack
            cursor.execute("SET statement_timeout = 0; SET jit = off; SET max_parallel_workers_per_gather = 0")
            checks.take_lock(cursor)
            patience = Patience(lock_seconds, say)
            load = _Load(settings, parameters, recipe, plan, workers or default_workers(), progress, patience, cursor)
            return load.run()._replace(seconds=round(time.monotonic() - began, 2))


def is_worth_rebuilding(present: int, planned: int) -> bool:
    """Say whether making all indexes anew costs less than adding `planned` rows to those of `present` rows."""
    return planned >= REBUILD_FROM_ROWS and planned >= present


def default_workers() -> int:
    """Return how many processes generate: as many as there are cores, from 2 to 4, each of which takes some 50 MB."""
    return min(max(os.cpu_count() or 1, 2), 4)


class _Load:
    """One call of generate(). `cursor` is on a connection that commits each statement and holds the lock."""

    def __init__(
        self,
        settings: Settings,
        parameters: dict[str, Any],
        recipe: Recipe,
        plan: Plan,
        workers: int,
        progress: Progress,
        patience: Patience,
        cursor: Any,
    ) -> None:
        self.settings, self.parameters = settings, parameters
        self.recipe, self.plan = recipe, plan
        self.workers, self.progress, self.patience, self.cursor = workers, progress, patience, cursor
        self.market = Market.of(recipe, plan, Catalogue(("",), ("",), ("",)))  # for its firms: who they are
        self.wanted = Run(recipe.name, recipe.digest, plan.seed, len(plan.firms), plan.rows)

    def run(self) -> GenerateReport:
        if ledger.exists(self.cursor):
            checks.refuse_other_run(ledger.read_run(self.cursor), self.wanted)
            presence.refuse_untrue_notes(self.cursor, self.market)
        else:
            checks.refuse_production_with_rows(self.cursor, self.settings)
            if (found := presence.find_market(self.cursor, self.market)) is not None:
                return self._report(found.rows, None, already_there=True, added=found.added)
            self._begin()
        catalogue.load(self.settings, self.recipe)
        resumed_at = self._load_rows()
        self._put_back()
        self._gather_statistics()
        presence.refuse_untrue_notes(self.cursor, self.market)
        counts, digests = self._counted()
        ledger.drop(self.cursor)
        return self._report(counts, content_hash(digests), resumed_at=resumed_at)

    def _begin(self) -> None:
        """Note the run, and take indexes away if that pays."""
        rebuild = is_worth_rebuilding(_row_estimate(self.cursor), self.plan.rows)

        def begin(cursor: Any) -> None:
            ledger.create(cursor, self.wanted)
            if rebuild:
                indexes.take_away(cursor, _BIG_TABLES)

        with closing(builder(self.parameters)) as connection:
            touched = indexes.tables_touched(self.cursor, _BIG_TABLES)
            self.patience.transaction(connection, touched, begin, all_modes=True)

    def _load_rows(self) -> int:
        """Write what is missing. Return how many rows were there."""
        done = ledger.portions_done(self.cursor)
        missing = [portion for portion in self.plan.portions if portion.number not in done]
        written = resumed_at = self.plan.rows - sum(portion.rows for portion in missing)
        self.progress("rows", written, self.plan.rows)

        def count(rows: int) -> None:
            nonlocal written
            written += rows
            self.progress("rows", written, self.plan.rows)

        job = Job(self.recipe.folder, self.plan, catalogue.read_ids(self.cursor, self.recipe), self.parameters)
        # with references in place firms have to come before their cases: one process keeps the order
        parallel = self.workers if ledger.read_removed(self.cursor) else 1
        if missing:
            load_portions(job, missing, min(parallel, len(missing)), count)
        return resumed_at

    def _put_back(self) -> None:
        removed = ledger.read_removed(self.cursor)
        count = self._counter("indexes", len(removed))
        indexes.put_back(self.parameters, removed, self.patience, lambda item: count())

    def _gather_statistics(self) -> None:
        """Write into the catalogue what the rows say about it, and analyze all tables, those with texts first."""
        with closing(builder(self.parameters)) as connection:
            self.patience.transaction(connection, ["document_type_registry"], catalogue.describe_types, all_modes=False)
        tables = sorted((*_BIG_TABLES, *CATALOGUE), key=lambda table: table not in _WITH_TEXTS)
        count = self._counter("statistics", len(tables))

        def analyze(connection: Any, table: str) -> None:
            statement = sql.SQL("ANALYZE {}").format(sql.Identifier(table))
            self.patience.transaction(connection, [table], lambda cursor: cursor.execute(statement), all_modes=False)
            count()

        side_by_side(self.parameters, [[table] for table in tables], analyze)

    def _counter(self, stage: str, total: int) -> Callable[[], None]:
        """Tell that nothing of a stage is done. Return what tells that one more is, whichever thread calls it."""
        made, lock = itertools.count(1), threading.Lock()

        def count() -> None:
            with lock:
                self.progress(stage, next(made), total)

        self.progress(stage, 0, total)
        return count

    def _counted(self) -> tuple[Counter[str], list[str]]:
        counts: Counter[str] = Counter()
        digests = []
        for _, digest, by_table in ledger.portion_notes(self.cursor):
            counts.update(by_table)
            digests.append(digest)
        return counts, digests

    def _report(
        self,
        counts: Counter[str],
        digest: str | None,
        *,
        resumed_at: int = 0,
        already_there: bool = False,
        added: int = 0,
    ) -> GenerateReport:
        run = self.wanted
        tables = tuple(GeneratedTable(table, counts[table]) for table in COLUMNS if counts[table])
        return GenerateReport(
            run.recipe, run.seed, run.firms, run.rows, digest, tables, resumed_at, already_there, added, 0.0
        )


def _row_estimate(cursor: Any) -> int:
    """Return about how many rows the tables hold: PostgreSQL's own estimate, and at least the rows of firms."""
    cursor.execute(
        "SELECT coalesce(sum(n_live_tup), 0) FROM pg_stat_user_tables WHERE relid = ANY (%s::regclass[])",
        (list(COLUMNS),),
    )
    return int(cursor.fetchone()[0])


@contextmanager
def _errors_explained(parameters: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except psycopg2.OperationalError as error:
        if error.pgcode is None:
            raise connection_failure(error, describe_target(parameters)) from None
        raise stopped(error, "Generating") from error
    except psycopg2.Error as error:
        raise stopped(error, "Generating") from error
