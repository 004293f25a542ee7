"""Is it a new name, or a loss and a gain? Candidates are found, a person or a hint decides. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
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
    """Return pairs of a table that goes and one that comes with mostly the same columns, the most alike first.

    `ours` may go. A table can be in several pairs.
    """
    gone = (current.names("table") - target.names("table")) & ours
    new = target.names("table") - current.names("table")
    pairs = [(_same_columns(current, was, target, now), Rename(was, now)) for was in gone for now in new]
    return _most_alike_first([(likeness, rename) for likeness, rename in pairs if likeness >= _ALIKE])


def possible_column_renames(current: Snapshot, target: Snapshot, ours: set[tuple[str, str]]) -> list[Rename]:
    """Return pairs of a column that goes and one of the same type that comes in the same table; else as for tables."""
    gone = [key for key in current.columns.keys() - target.columns.keys() if key in ours and key[0] in target.tables]
    new = [key for key in target.columns.keys() - current.columns.keys() if key[0] in current.tables]
    return _most_alike_first(
        [
            (float(current.columns[was].not_null == target.columns[now].not_null), Rename(was[1], now[1], was[0]))
            for was in gone
            for now in new
            if was[0] == now[0]
            and current.columns[was].type == target.columns[now].type
            and bool(current.columns[was].generated) == bool(target.columns[now].generated)
        ]
    )


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


def _same_columns(current: Snapshot, was: str, target: Snapshot, now: str) -> float:
    old = {(column, c.type) for (table, column), c in current.columns.items() if table == was}
    new = {(column, c.type) for (table, column), c in target.columns.items() if table == now}
    return len(old & new) / max(len(old | new), 1)


def _most_alike_first(pairs: list[tuple[float, Rename]]) -> list[Rename]:
    """In contents, then in names."""

    def rank(pair: tuple[float, Rename]) -> tuple[str, float, Rename]:
        likeness, rename = pair
        return rename.table, -likeness - SequenceMatcher(None, rename.was, rename.now).ratio(), rename

    return [rename for _, rename in sorted(pairs, key=rank)]
