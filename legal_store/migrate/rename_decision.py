"""Is it a new name, or a loss and a gain? Hints decide, then what is said to go, then a person; never a guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from legal_store.errors import WrongUseError
from legal_store.migrate.renames import Rename, possible_column_renames, possible_table_renames
from legal_store.schema.objects import Renamed, Schema
from legal_store.schema.snapshot import Key, Snapshot, read_snapshot

Ask = Callable[[Rename], bool]


def model_hints(schema: Schema) -> dict[str, str]:
    """Return the renames that the models declare, as {old: new}."""
    found: dict[str, str] = {}
    for model in schema.models:
        table = model._meta.table_name
        for item in getattr(model._meta, "declared", ()):
            if isinstance(item, Renamed):
                found[f"{table}.{item.was}" if item.now else item.was] = f"{table}.{item.now}" if item.now else table
    return found


class RenameDecision:
    """Decides about tables, renames them in the scratch database of `connection`, then does the same for columns.

    `ours` are the objects that may go, `hints` the renames that somebody declared, `drop` the objects that somebody
    said are to go, `ask` a person (None where there is none).
    """

    def __init__(
        self,
        connection: Any,
        wanted: Snapshot,
        ours: set[Key],
        *,
        hints: dict[str, str],
        drop: set[str],
        ask: Ask | None,
    ) -> None:
        self._connection, self._wanted, self._ours = connection, wanted, ours
        self._hints, self._drop, self._ask = hints, drop, ask
        self._undecided: list[Rename] = []

    def decide(self) -> list[Rename]:
        """Return the renames, tables first. Raises WrongUseError that shows what nobody decided, and how to."""
        tables = self._tables()
        self._run(tables)
        columns = self._columns(tables)
        self._run(columns)
        self._refuse_undecided()
        return tables + columns

    def _tables(self) -> list[Rename]:
        current = read_snapshot(self._connection)
        hinted = [
            Rename(was, now)
            for was, now in self._hints.items()
            if "." not in was and _applies("table", was, now, current, self._wanted)
        ]
        ours = {name for kind, name in self._ours if kind == "table"}
        return hinted + self._answered(possible_table_renames(current, self._wanted, ours), hinted)

    def _columns(self, tables: list[Rename]) -> list[Rename]:
        current = read_snapshot(self._connection)
        hinted = [
            rename
            for rename in map(_column_rename, self._hints.items())
            if rename.table and _applies("column", *_names(rename), current, self._wanted)
        ]
        keys = [renamed_key(key, tables) for key in self._ours if key[0] == "column"]
        ours = {(table, column) for table, _, column in (name.partition(".") for _, name in keys)}
        return hinted + self._answered(possible_column_renames(current, self._wanted, ours), hinted)

    def _answered(self, possible: Sequence[Rename], hinted: Sequence[Rename]) -> list[Rename]:
        taken = {(rename.table, name) for rename in hinted for name in (rename.was, rename.now)}
        return [
            rename
            for rename in possible
            if not {(rename.table, rename.was), (rename.table, rename.now)} & taken
            and _lost(rename) not in self._drop
            and self._answer(rename)
        ]

    def _answer(self, rename: Rename) -> bool:
        if self._ask is None:
            self._undecided.append(rename)
            return False
        return self._ask(rename)

    def _run(self, renames: Sequence[Rename]) -> None:
        with self._connection.cursor() as cursor:
            for rename in renames:
                cursor.execute(rename.sql())

    def _refuse_undecided(self) -> None:
        if self._undecided:
            ways = "; ".join(f"--rename {rename} or --drop '{_lost(rename)}'" for rename in self._undecided)
            raise WrongUseError(
                f"{len(self._undecided)} changes may be renames, or a loss and a gain: "
                f"{', '.join(map(str, self._undecided))}.",
                remedy=f"Say which: {ways}.",
            )


def renamed_key(key: Key, renames: Sequence[Rename]) -> Key:
    """Return what an object is called after `renames`."""
    kind, name = key
    for rename in renames:
        table, dot, rest = name.partition(".")
        if not rename.table and table == rename.was:
            name = f"{rename.now}{dot}{rest}"
        elif kind == "column" and name == f"{rename.table}.{rename.was}":
            name = f"{rename.table}.{rename.now}"
    return kind, name


def _column_rename(hint: tuple[str, str]) -> Rename:
    """A hint about a column, under the table's new name; without a table where it is about a table."""
    was, now = hint
    table, _, column = now.partition(".")
    return Rename(was.partition(".")[2], column, table if column else "")


def _names(rename: Rename) -> tuple[str, str]:
    return f"{rename.table}.{rename.was}", f"{rename.table}.{rename.now}"


def _lost(rename: Rename) -> str:
    """What goes when it is not a rename, as --drop wants it."""
    return f"column {rename.table}.{rename.was}" if rename.table else f"table {rename.was}"


def _applies(kind: str, was: str, now: str, current: Snapshot, wanted: Snapshot) -> bool:
    return (kind, was) in current.catalog and (kind, now) in wanted.catalog and (kind, now) not in current.catalog
