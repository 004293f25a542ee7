"""Loading a seed set: what is missing is written, what is there is left as it is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from peewee import SQL, PeeweeException, Tuple

from legal_store.database import all_firms
from legal_store.database.explain import statement_failure
from legal_store.errors import SeedError
from legal_store.production import refuse_production
from legal_store.seeding.rows import SeedRow, SeedSet, read_seed_set
from legal_store.seeding.tables import TABLES, SeedTable

if TYPE_CHECKING:
    from legal_store.config import Settings

_LOCK = 7_236_110_942  # any number: taken by every seed, so that two at once do the work once


class TableCounts(NamedTuple):
    """What happened to the rows of one table; created + found + put_back is the number of rows in the files."""

    table: str
    created: int
    found: int
    put_back: int
    relinked: int
    """How many of the found rows refer again to a row that was put back."""


class SeedReport(NamedTuple):
    """What a seed did, by table in the order of loading. Tables without rows in the set are left out."""

    name: str
    tables: tuple[TableCounts, ...]

    @property
    def created(self) -> int:
        return sum(table.created for table in self.tables)

    @property
    def found(self) -> int:
        return sum(table.found for table in self.tables)

    @property
    def put_back(self) -> int:
        return sum(table.put_back for table in self.tables)

    @property
    def changed(self) -> bool:
        """Whether the database is different from before."""
        return any(table.created or table.put_back or table.relinked for table in self.tables)


def seed(
    database: Any,
    folder: Path,
    *,
    name: str = "demo",
    today: date | None = None,
    guarded_by: Settings | None = None,
) -> SeedReport:
    """Write the rows of the seed set `name` of `folder`, or of a plugin, that the database does not have, in one
    transaction.

    A row is found again by the id that seeding gave it, else by its natural key; a found row is never changed,
    so edits of users stay, and a seed on a later day moves no date. Relative dates count from `today`, by
    default the local date. A missing row counts as put back when another row of the set had been seeded
    before, else as created. A reference that PostgreSQL cleared when its row was deleted is set again when that
    row is put back, except in append-only tables. Two seeds at once wait for each other.

    With the settings `guarded_by`, a production database that holds rows of anybody else is left alone.

    Raises WrongUseError for a set that is not there, RefusedError by that guard, and SeedError: all problems of the
    files before anything is written, or what PostgreSQL refused, with nothing kept.
    """
    return write_set(database, read_seed_set(folder, name, _moment(today)), guarded_by=guarded_by)


def write_set(database: Any, seed_set: SeedSet, *, guarded_by: Settings | None = None) -> SeedReport:
    """Write the rows of a set that was read. Else as `seed`."""
    loading = _Loading(database, seed_set, guarded_by)
    try:
        with all_firms(reason=f"seed set {seed_set.name}"), database.atomic():
            return loading.run()
    except PeeweeException as error:
        raise _refused(error, loading.step) from error


def _moment(today: date | None) -> datetime:
    now = datetime.now()
    return now if today is None else datetime.combine(today, now.time())


def _refused(error: PeeweeException, step: str) -> SeedError:
    failure = statement_failure(error, step)
    remedy = failure.remedy or "Correct the seed files, or what in the database stands against them."
    return SeedError(f"{failure.message} Nothing was written.", remedy=remedy)


@dataclass
class _Loading:
    """One run over a set. `ids` maps the id of a row in the set to its id in the database."""

    database: Any
    seed_set: SeedSet
    guarded_by: Settings | None
    ids: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)
    found: set[uuid.UUID] = field(default_factory=set)
    seeded_before: bool = False
    relinked: dict[str, int] = field(default_factory=dict)
    step: str = "Seeding"

    def run(self) -> SeedReport:
        self.database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for table, rows in self._tables("Looking for seeded rows of"):
            self._find(table, rows)
        if self.guarded_by is not None:
            self._refuse_production_of_others(self.guarded_by)
        for table, rows in self._tables("Seeding"):
            self._insert(table, [row for row in rows if row.id not in self.found])
        for table, rows in self._tables("Restoring references of"):
            if not table.append_only:
                self.relinked[table.name] = sum(self._relink(table, column, rows) for column in table.foreign_keys)
        return SeedReport(self.seed_set.name, tuple(self._counts(table, rows) for table, rows in self._tables("")))

    def _tables(self, step: str) -> Iterator[tuple[SeedTable, tuple[SeedRow, ...]]]:
        for table in TABLES:
            if rows := self.seed_set.rows[table.name]:
                self.step = f"{step} {table.name}"
                yield table, rows

    def _refuse_production_of_others(self, settings: Settings) -> None:
        for table in TABLES:
            own = [row.id for row in self.seed_set.rows[table.name]]
            found = self.database.execute_sql(
                f'SELECT EXISTS (SELECT FROM "{table.name}" WHERE id <> ALL (%s::uuid[]))',  # noqa: S608 (our models)
                (own,),
            )
            if found.fetchone() == (True,):
                doing = f'Adding the seed set "{self.seed_set.name}" to a database that holds other rows'
                return refuse_production(f"{doing} (in {table.name})", settings)

    def _find(self, table: SeedTable, rows: tuple[SeedRow, ...]) -> None:
        by_id, by_key = self._present(table, rows)
        for row in rows:
            self.ids[row.id] = row.id
            if row.id in by_id:
                self.seeded_before = True
            elif by_key and (key := self._key(table, row)) in by_key:
                self.ids[row.id] = by_key[key]
            else:
                continue
            self.found.add(row.id)

    def _present(self, table: SeedTable, rows: tuple[SeedRow, ...]) -> tuple[set[Any], dict[Any, Any]]:
        """Return the ids of the set that are in the database, and the ids there by natural key."""
        model = table.model
        columns = [table.fields[column] for column in table.key]
        condition = model.id.in_([row.id for row in rows])
        if table.found_by_key:
            condition |= Tuple(*columns).in_([self._key(table, row) for row in rows])
        query = model.select(model.id, *columns).where(condition).order_by(model.id.desc())
        there = list(query.tuples().execute(self.database))
        # of several rows with the same key, where nothing forbids that, the oldest comes last and is taken
        by_key = {tuple(key): row_id for row_id, *key in there} if table.found_by_key else {}
        return {row_id for row_id, *_ in there}, by_key

    def _key(self, table: SeedTable, row: SeedRow) -> tuple[Any, ...]:
        return tuple(self._stored(table, row, column) for column in table.key)

    def _insert(self, table: SeedTable, rows: list[SeedRow]) -> None:
        if not rows:
            return
        given = {column for row in rows for column in row.values} - self._not_loaded_yet(table)
        entries = [{"id": row.id, **{name: self._stored(table, row, name) for name in given}} for row in rows]
        try:
            with self.database.atomic():
                table.model.insert_many(entries).execute(self.database)
        except PeeweeException:
            self._insert_one_by_one(table, rows, entries)

    def _insert_one_by_one(self, table: SeedTable, rows: list[SeedRow], entries: list[dict[str, Any]]) -> None:
        """Insert again, row by row: PostgreSQL then refuses at the row that is wrong, and `step` names its place."""
        for row, entry in zip(rows, entries, strict=True):
            self.step = f"Seeding {row.place}"
            table.model.insert(entry).execute(self.database)

    def _not_loaded_yet(self, table: SeedTable) -> set[str]:
        """Return the foreign keys to tables further down the list, which are set when all rows are there."""
        later = [other.model for other in TABLES[TABLES.index(table) + 1 :]]
        return {column for column, model in table.foreign_keys.items() if model in later}

    def _stored(self, table: SeedTable, row: SeedRow, column: str) -> Any:
        if column not in row.values:
            return SQL("DEFAULT")
        value = row.values[column]
        if column not in table.references:
            return value
        return [self.ids[target] for target in value] if isinstance(value, list) else self.ids[value]

    def _relink(self, table: SeedTable, column: str, rows: Iterable[SeedRow]) -> int:
        """Set the reference where it is empty and one of its two rows is new. Return how many found rows changed."""
        links = {
            row.id: self.ids[row.values[column]]
            for row in rows
            if column in row.values
            and not {row.id, row.values[column]} <= self.found
            and self.ids[row.id] == row.id  # else somebody else made the row
        }
        if not links:
            return 0
        name = table.fields[column].column_name
        changed = self.database.execute_sql(
            f'UPDATE "{table.name}" AS t SET "{name}" = link.target '  # noqa: S608 (names of our own models)
            f'FROM unnest(%s::uuid[], %s::uuid[]) AS link(id, target) WHERE t.id = link.id AND t."{name}" IS NULL '
            "RETURNING t.id",
            (list(links), list(links.values())),
        ).fetchall()
        return sum(row_id in self.found for (row_id,) in changed)

    def _counts(self, table: SeedTable, rows: tuple[SeedRow, ...]) -> TableCounts:
        found = sum(row.id in self.found for row in rows)
        missing = len(rows) - found
        created, put_back = (0, missing) if self.seeded_before else (missing, 0)
        return TableCounts(table.name, created, found, put_back, self.relinked.get(table.name, 0))
