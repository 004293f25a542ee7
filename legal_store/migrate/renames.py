"""Is it a new name, or a loss and a gain? Candidates are found, a person or a hint decides. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from legal_store.schema.snapshot import Snapshot, quoted

_ALIKE = 0.6


class Rename(NamedTuple):
    """A table `was` that is now `now`, or a column "table.was" that is now "table.now"; `table` is its new name."""

    was: str
    now: str
    table: str = ""

    def sql(self) -> str:
        """Return the statement."""
        if not self.table:
            return f"ALTER TABLE {quoted(self.was)} RENAME TO {quoted(self.now)}"
        return f"ALTER TABLE {quoted(self.table)} RENAME COLUMN {quoted(self.was)} TO {quoted(self.now)}"

    def reverse(self) -> str:
        """Return the statement that takes it back."""
        return Rename(self.now, self.was, self.table).sql()

    def __str__(self) -> str:
        dot = f"{self.table}." if self.table else ""
        return f"{dot}{self.was}={dot}{self.now}"


def possible_table_renames(current: Snapshot, target: Snapshot, ours: set[str]) -> list[Rename]:
    """Return pairs of a table that goes and one that comes with mostly the same columns; `ours` may go."""
    gone = sorted((current.names("table") - target.names("table")) & ours)
    new = sorted(target.names("table") - current.names("table"))
    pairs = [(_likeness(current, was, target, now), was, now) for was in gone for now in new]
    return _best(pairs)


def possible_column_renames(current: Snapshot, target: Snapshot, ours: set[tuple[str, str]]) -> list[Rename]:
    """Return pairs of a column that goes and one of the same type that comes in the same table."""
    found: list[Rename] = []
    for table in sorted(current.names("table") & target.names("table")):
        gone = sorted(key for key in current.columns.keys() - target.columns.keys() if key[0] == table and key in ours)
        new = sorted(key for key in target.columns.keys() - current.columns.keys() if key[0] == table)
        pairs = [
            (1.0 + (current.columns[was].not_null == target.columns[now].not_null), was[1], now[1])
            for was in gone
            for now in new
            if current.columns[was].type == target.columns[now].type
            and bool(current.columns[was].generated) == bool(target.columns[now].generated)
        ]
        found += [rename._replace(table=table) for rename in _best(pairs)]
    return found


def parse_hints(hints: Iterable[str]) -> dict[str, str]:
    """Return {"cases.title": "cases.heading", "cases": "matters"} from texts like "cases.title=cases.heading"."""
    from legal_store.errors import WrongUseError

    found: dict[str, str] = {}
    for hint in hints:
        was, separator, now = hint.partition("=")
        if not separator or not was or not now or was.count(".") != now.count("."):
            raise WrongUseError(f"{hint!r} is no rename.", remedy="Write OLD=NEW: cases.title=cases.heading, or a=b.")
        found[was] = now
    return found


def _likeness(current: Snapshot, was: str, target: Snapshot, now: str) -> float:
    old = {(column, c.type) for (table, column), c in current.columns.items() if table == was}
    new = {(column, c.type) for (table, column), c in target.columns.items() if table == now}
    likeness = len(old & new) / max(len(old | new), 1)
    return likeness if likeness >= _ALIKE else 0.0


def _best(pairs: list[tuple[float, str, str]]) -> list[Rename]:
    """The most alike first, each name once."""
    chosen: list[Rename] = []
    for likeness, was, now in sorted(pairs, reverse=True):
        if likeness and not any(was == rename.was or now == rename.now for rename in chosen):
            chosen.append(Rename(was, now))
    return sorted(chosen)
