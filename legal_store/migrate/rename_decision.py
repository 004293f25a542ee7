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
        hinted = [_rename_of(was, now) for was, now in self._hints.items()]
        tables = self._run([rename for rename in hinted if not rename.table])
        ours = {name for kind, name in self._ours if kind == "table"}
        tables += self._run(self._answered(possible_table_renames(self._now(), self._wanted, ours)))

        columns = self._run([rename for rename in hinted if rename.table])
        keys = [renamed_key(key, tables) for key in self._ours if key[0] == "column"]
        owned = {(table, column) for table, _, column in (name.partition(".") for _, name in keys)}
        columns += self._run(self._answered(possible_column_renames(self._now(), self._wanted, owned)))

        self._refuse_undecided()
        return tables + columns

    def _now(self) -> Snapshot:
        return read_snapshot(self._connection)

    def _run(self, renames: Sequence[Rename]) -> list[Rename]:
        """Run those that apply, and return them; of two with the same new name it is the first."""
        current = self._now()
        applying: dict[tuple[str, str], Rename] = {}
        for rename in renames:
            if _applies(rename, current, self._wanted):
                applying.setdefault((rename.table, rename.now), rename)
        with self._connection.cursor() as cursor:
            for rename in applying.values():
                cursor.execute(rename.sql())
        return list(applying.values())

    def _answered(self, possible: Sequence[Rename]) -> list[Rename]:
        """Ask about each pair whose halves are still free; where nobody can answer, note it as undecided."""
        answered: list[Rename] = []
        taken: set[tuple[str, str]] = set()
        for rename in possible:
            halves = {(rename.table, rename.was), (rename.table, rename.now)}
            if halves & taken or _lost(rename) in self._drop:
                continue
            if self._ask is None:
                self._undecided.append(rename)
                taken |= halves
            elif self._ask(rename):
                answered.append(rename)
                taken |= halves
        return answered

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


def _rename_of(was: str, now: str) -> Rename:
    """A hint as a rename; a column's stands under the new name of its table."""
    table, _, column = now.rpartition(".")
    return Rename(was.rpartition(".")[2], column, table)


def _lost(rename: Rename) -> str:
    """What goes when it is not a rename, as --drop wants it."""
    return f"column {rename.table}.{rename.was}" if rename.table else f"table {rename.was}"


def _applies(rename: Rename, current: Snapshot, wanted: Snapshot) -> bool:
    kind = "column" if rename.table else "table"
    was, now = (f"{rename.table}.{name}" if rename.table else name for name in (rename.was, rename.now))
    return (kind, was) in current.catalog and (kind, now) in wanted.catalog and (kind, now) not in current.catalog
