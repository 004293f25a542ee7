"""Filling the whole schema: generated, loaded, indexed and analyzed by `invoke seed --rows`; beside a bare COPY of the
same ready rows into the same schema (the limit), bulk inserts of ready rows by three object-relational mappers, and a
script of mimesis and insert_many, which is what one would write without this project.

The script fills the same tables and columns with as many rows, documents of the same mean size, as many embeddings. A
million rows would take it a quarter of an hour, so its rate is that of the first 100,000, which flatters it: what it
inserts into only grows. `validate` then looks at the million rows.
"""

from __future__ import annotations

import io
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from bench.measure import Medians, Result, rates
from bench.mimesis_script import fill_with_mimesis
from bench.peers import MODELS, as_values, django_models, sqlalchemy_engine, sqlalchemy_tables
from bench.servers import MIGRATIONS, SYNTHETIC, Server, server, settings_for
from legal_store.config import Url
from legal_store.database import Database, all_firms
from legal_store.generating import catalogue, generate, make_plan, read_recipe
from legal_store.generating.copying import copy_statement
from legal_store.generating.market import Market, rows_of
from legal_store.generating.tables import COLUMNS
from legal_store.validate import all_checks, validate

GOAL_OF_COPY = 0.5
GOAL_OF_SCRIPT = 10
GOAL_MEMORY_MB = 300
GOAL_VALIDATE_SECONDS = 60
BATCH = 1000


def run(*, quick: bool) -> list[Result]:
    many, middle, few, rounds = (2_000, 1_000, 1_000, 1) if quick else (1_000_000, 100_000, 20_000, 3)
    with server() as started, tempfile.TemporaryDirectory() as folder:
        full_size = _FullSize(started, many)
        # they take minutes, over which a noisy moment averages out: one turn each
        limit = rates({"COPY of ready rows": (many, lambda: full_size.copy(Path(folder)))}, rounds=1)
        script, ours_beside = _beside_a_script(started, middle, rounds)
        ours = rates({"legal_store, end to end": (many, full_size.load)}, rounds=1)
        return [
            _result(f"{many:,} rows in all tables", limit.beside(ours), f"at least {GOAL_OF_COPY} of COPY"),
            _result(f"{many:,} rows made and loaded", script.beside(ours), f"at least {GOAL_OF_SCRIPT} x a script"),
            _result(
                f"{middle:,} rows made and loaded", script.beside(ours_beside), "no claim: the goal is for a million"
            ),
            *full_size.findings(),
            _beside_peers(started, few, rounds),
        ]


def _result(what: str, found: dict[str, float], goal: str) -> Result:
    theirs, ours = found.values()
    return Result(what, found, "rows/s", ours / theirs, goal)


class _FullSize:
    """The rows that the goals are about, loaded twice: by COPY, and end to end."""

    def __init__(self, started: Server, rows: int) -> None:
        self.started, self.rows = started, rows
        self.peak, self.validated, self.failures = 0.0, 0.0, 0

    def copy(self, folder: Path) -> float:
        ready = _ready_rows(self.started, folder, self.rows)
        return _in_new_database(self.started, lambda url: _copy(url, ready))

    def load(self) -> float:
        return _in_new_database(self.started, self._load, then=self._validate)

    def findings(self) -> Iterator[Result]:
        goal = f"at most 1 of {GOAL_MEMORY_MB} MB"
        yield Result(
            "peak memory of all its processes", {"legal_store": self.peak}, "MB", self.peak / GOAL_MEMORY_MB, goal
        )
        what = f"validate of {self.rows:,} rows"
        ratio = self.validated / GOAL_VALIDATE_SECONDS
        yield Result(what, {"legal_store": self.validated}, "s", ratio, f"at most 1 of {GOAL_VALIDATE_SECONDS} s")
        yield Result(
            f"{what}: checks that failed", {"legal_store": self.failures}, "checks", self.failures, "at most 0"
        )

    def _load(self, url: Url) -> None:
        self.peak = _peak_of(lambda: _generate(url, self.rows))

    def _validate(self, url: Url) -> None:
        began = time.perf_counter()
        with closing(psycopg2.connect(url)) as connection:
            self.failures = len(validate(connection, all_checks(MIGRATIONS)).failures)
        self.validated = time.perf_counter() - began


def _beside_a_script(started: Server, rows: int, rounds: int) -> tuple[Medians, Medians]:
    with started.database() as url:
        counts = {table: len(lines) for table, lines in _lines(url, rows).items()}

    def script() -> float:
        return _in_new_database(started, lambda url: fill_with_mimesis(url, counts))

    def ours() -> float:
        return _in_new_database(started, lambda url: _generate(url, rows))

    return (
        rates({f"mimesis and insert_many, {rows:,} rows": (rows, script)}, rounds=1),
        rates({f"legal_store, {rows:,} rows": (rows, ours)}, rounds),
    )


def _beside_peers(started: Server, rows: int, rounds: int) -> Result:
    """Loading only, of rows that are ready: what the peers could reach at best, were making them free."""
    loaders = {
        "psycopg2 COPY": _copy_lines,
        "Peewee insert_many": _with_peewee,
        "SQLAlchemy insert": _with_sqlalchemy,
        "Django bulk_create": _Django(),
    }
    with started.database() as url:
        lines = _lines(url, rows)
    values = {table: as_values(table, found) for table, found in lines.items()}

    def load(loader: Callable[..., None]) -> float:
        given = lines if loader is _copy_lines else values
        return _in_new_database(started, lambda url: loader(url, given))

    contestants = {name: (rows, lambda loader=loader: load(loader)) for name, loader in loaders.items()}
    contestants["legal_store, made and loaded"] = (
        rows,
        lambda: _in_new_database(started, lambda url: _generate(url, rows)),
    )
    found = rates(contestants, rounds)
    ours = found["legal_store, made and loaded"]
    best = max(found[name] for name in loaders if name != "psycopg2 COPY")
    what = f"{rows:,} rows: made and loaded by us, ready rows loaded by the others"
    return Result(what, found, "rows/s", ours / best, "at least 1 x the best mapper")


def _in_new_database(
    started: Server, fill: Callable[[Url], Any], then: Callable[[Url], Any] = lambda url: None
) -> float:
    """Return the seconds that `fill` takes in a migrated database that has the catalogue; then do what comes next."""
    with started.database() as url:
        catalogue.load(settings_for(url), read_recipe(SYNTHETIC))
        started.checkpoint()
        began = time.perf_counter()
        fill(url)
        seconds = time.perf_counter() - began
        then(url)
        return seconds


def _generate(url: Url, rows: int) -> None:
    generate(settings_for(url), SYNTHETIC, rows=rows)


def _market(url: Url, rows: int) -> Market:
    recipe = read_recipe(SYNTHETIC)
    catalogue.load(settings_for(url), recipe)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        return Market.of(recipe, make_plan(recipe, seed=1, rows=rows), catalogue.read_ids(cursor, recipe))


def _lines(url: Url, rows: int) -> dict[str, list[str]]:
    market = _market(url, rows)
    found: dict[str, list[str]] = {table: [] for table in COLUMNS}
    for portion in market.plan.portions:
        for table, lines in rows_of(market, portion).items():
            found[table] += lines
    return found


def _ready_rows(started: Server, folder: Path, rows: int) -> dict[str, Path]:
    """Write the rows that legal_store would make into one file for each table."""
    files = {table: folder / table for table in COLUMNS}
    with started.database() as url:
        market = _market(url, rows)
    for portion in market.plan.portions:
        for table, lines in rows_of(market, portion).items():
            with files[table].open("a") as file:
                file.writelines(f"{line}\n" for line in lines)
    return files


def _copy(url: Url, files: dict[str, Path]) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for table, path in files.items():
            with path.open("rb") as file:
                cursor.copy_expert(copy_statement(table), file, size=1 << 17)


def _copy_lines(url: Url, lines: dict[str, list[str]]) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for table, rows in lines.items():
            data = io.BytesIO(("\n".join(rows) + "\n").encode())
            cursor.copy_expert(copy_statement(table), data, size=1 << 17)


def _with_peewee(url: Url, values: dict[str, list[dict[str, Any]]]) -> None:
    database = Database()
    database.configure(settings_for(url))
    with database.connection_context(), all_firms(reason="bench"), database.atomic():
        for table, rows in values.items():
            columns = MODELS[table]._meta.columns
            for start in range(0, len(rows), BATCH):
                batch = [
                    {columns[name].name: value for name, value in row.items()} for row in rows[start : start + BATCH]
                ]
                MODELS[table].insert_many(batch).execute(database)
    database.close_all()


def _with_sqlalchemy(url: Url, values: dict[str, list[dict[str, Any]]]) -> None:
    engine = sqlalchemy_engine(url)
    tables = sqlalchemy_tables(engine)
    with engine.begin() as connection:
        for table, rows in values.items():
            connection.execute(tables[table].insert(), rows)
    engine.dispose()


class _Django:
    """Django's bulk_create. It can be set up once in a process; the database is changed under it."""

    def __init__(self) -> None:
        self.models: dict[str, Any] = {}

    def __call__(self, url: Url, values: dict[str, list[dict[str, Any]]]) -> None:
        self.models = self.models or django_models(url)
        from django.db import connection, transaction

        connection.close()
        connection.settings_dict["NAME"] = psycopg2.extensions.parse_dsn(url)["dbname"]
        with transaction.atomic():
            for table, rows in values.items():
                model = self.models[table]
                model.objects.bulk_create([model(**row) for row in rows], batch_size=BATCH)
        connection.close()


def _peak_of(act: Callable[[], None]) -> float:
    """Return the most memory (MB) that this process has grown by and its children have used while `act` runs.

    Memory that processes share is divided among them (PSS), else shared libraries would count three times.
    """
    me, done, peak = psutil.Process(), threading.Event(), 0.0
    before = _proportional(me) - _BARE_PROCESS_MB

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.2):
            peak = max(peak, _proportional(me) - before + sum(map(_proportional, me.children(recursive=True))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        act()
    finally:
        done.set()
        watcher.join()
    return peak


_BARE_PROCESS_MB = 45  # what the parent of a load starts with; this one holds the peers and their rows besides


def _proportional(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 2**20
    except psutil.Error:
        return 0.0
