"""What a change touches: tables that come, go and stay, columns made anew, and what hangs on those. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from legal_store.schema.snapshot import Key, Snapshot

# what can be dropped and made again without losing data
_REBUILDABLE = ("view", "materialized view", "policy", "trigger", "constraint", "index", "statistics")


class Impact:
    """The difference between two schemas, before it is put into statements.

    `drop` and `make` are the rebuildable objects that go and come (one that has to give way to something else is in
    both), `renamed` those that only get another name, `replaced` the columns that are dropped and made anew.
    """

    def __init__(self, current: Snapshot, target: Snapshot, castable: Callable[[str, str], bool]) -> None:
        self.current, self.target = current, target
        old, new = current.catalog, target.catalog
        self.new_tables = target.names("table") - current.names("table")
        self.lost_tables = current.names("table") - target.names("table")
        self.kept_tables = current.names("table") & target.names("table")
        self.replaced = replaced_columns(current, target, castable) | self._generated_anew()
        self.lost_columns = {
            key for key in current.columns.keys() - target.columns.keys() if key[0] in self.kept_tables
        }
        self._add_generated_over_changed()
        self.renamed = self._renames()
        self.drop, self.make = self._objects(old, new)

    def _generated_anew(self) -> set[tuple[str, str]]:
        """Columns that are computed, and differently: made anew, which loses nothing."""
        old, new = self.current.columns, self.target.columns
        return {
            key
            for key in in_both(old, new)
            if (old[key].generated, old[key].virtual) != (new[key].generated, new[key].virtual)
            or (old[key].generated and old[key].type != new[key].type)
        }

    def _add_generated_over_changed(self) -> None:
        """A computed column over one whose type changes has to go and come again, and so on."""
        while True:
            touched = self.touched_columns()
            more = {
                (table, column)
                for (table, column), definition in self.current.columns.items()
                if definition.generated
                and (table, column) in self.target.columns
                and (table, column) not in self.replaced
                and self.current.uses_columns.get(("column", f"{table}.{column}"), set()) & touched
            }
            if not more:
                return
            self.replaced |= more

    def touched_columns(self) -> set[tuple[str, str]]:
        """Columns that nothing may hang on while they change."""
        old, new = self.current.columns, self.target.columns
        retyped = {
            key
            for key in in_both(old, new)
            if (old[key].type, old[key].collation) != (new[key].type, new[key].collation)
        }
        return retyped | self.replaced | self.lost_columns

    def functions_made_anew(self) -> set[str]:
        """Functions that cannot be replaced in place."""
        return {
            name
            for name in self.current.names("function") & self.target.names("function")
            if _heading(self.current.catalog["function", name]) != _heading(self.target.catalog["function", name])
        }

    def survives(self, name: str) -> bool:
        """Whether the object existed before and is not made anew, so that its grants and comments are still there."""
        plain = name.partition(" ")[2] if name.startswith(("function ", "constraint ", "trigger ", "policy ")) else name
        keys = [(kind, plain) for kind in ("table", "view", "materialized view", "sequence", "function")]
        keys += [(kind, plain) for kind in ("constraint", "trigger", "policy", "column")]
        keys += [key for key in self.current.catalog if key[0] == "index" and key[1].endswith(f".{plain}")]
        existed = [key for key in keys if key in self.current.catalog]
        rebuilt = self.drop | {("column", f"{table}.{column}") for table, column in self.replaced}
        rebuilt |= {("function", name) for name in self.functions_made_anew()}
        return bool(existed) and not any(key in rebuilt for key in existed)

    def _objects(self, old: dict[Key, str], new: dict[Key, str]) -> tuple[set[Key], set[Key]]:
        """Return which rebuildable objects to drop and which to make."""
        objects = {key for key in old if key[0] in _REBUILDABLE and not backs_constraint(key, old)}
        wanted = {key for key in new if key[0] in _REBUILDABLE and not backs_constraint(key, new)}
        gone = {key for key in objects if new.get(key) != old[key]} | self._over_changed_functions(objects)
        touched = self.touched_columns()
        gone |= {key for key in objects if self.current.uses_columns.get(key, set()) & touched}
        gone = self._with_users(objects, gone)
        gone -= self.renamed.keys()
        made = {key for key in wanted if key not in old or key in gone} - set(self.renamed.values())
        return {key for key in gone if not self._goes_with_its_table(key)}, made

    def _with_users(self, objects: set[Key], gone: set[Key]) -> set[Key]:
        while True:
            more = {key for key in objects - gone if self.current.uses_objects.get(key, set()) & gone}
            if not more:
                return gone
            gone |= more

    def _goes_with_its_table(self, key: Key) -> bool:
        if table_of(key) not in self.lost_tables or key[0] in ("view", "materialized view"):
            return False
        return not self.current.catalog[key].startswith("FOREIGN KEY")

    def _over_changed_functions(self, objects: set[Key]) -> set[Key]:
        """Triggers and policies that call a function which cannot be replaced in place."""
        names = {name.partition("(")[0] for name in self.functions_made_anew()}
        return {
            key
            for key in objects
            if any(re.search(rf"\b{re.escape(name)}\(", self.current.catalog[key]) for name in names)
        }

    def _renames(self) -> dict[Key, Key]:
        """Objects that are the same under another name."""
        found: dict[Key, Key] = {}
        old, new = self.current.catalog, self.target.catalog
        for key in sorted(old.keys() - new.keys()):
            if key[0] not in ("constraint", "index", "trigger", "policy") or backs_constraint(key, old):
                continue
            if self.current.uses_columns.get(key, set()) & self.touched_columns():
                continue
            for other in sorted(new.keys() - old.keys() - set(found.values())):
                same_place = other[0] == key[0] and table_of(other) == table_of(key)
                if same_place and not backs_constraint(other, new) and _nameless(key, old) == _nameless(other, new):
                    found[key] = other
                    break
        return found


def replaced_columns(current: Snapshot, target: Snapshot, castable: Callable[[str, str], bool]) -> set[tuple[str, str]]:
    """Return the columns that exist in both and lose their values, because their types have no cast."""
    return {
        key
        for key in in_both(current.columns, target.columns)
        if not target.columns[key].generated
        and (
            bool(current.columns[key].generated)
            or (
                current.columns[key].type != target.columns[key].type
                and not castable(current.columns[key].type, target.columns[key].type)
            )
        )
    }


def in_both(old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the columns that both have."""
    return set(old) & set(new)


def table_of(key: Key) -> str:
    """Return the table that an object lies on."""
    return key[1].partition(".")[0]


def is_reference(key: Key, catalog: dict[Key, str]) -> bool:
    """Return whether it is a foreign key."""
    return catalog[key].startswith("FOREIGN KEY")


def backs_constraint(key: Key, catalog: dict[Key, str]) -> bool:
    """Return whether it is the index behind a constraint."""
    return key[0] == "index" and ("constraint", key[1]) in catalog


def _nameless(key: Key, catalog: dict[Key, str]) -> str:
    own = key[1].partition(".")[2]
    return re.sub(rf'(INDEX|TRIGGER) ("?){re.escape(own)}\2 ', r"\1 ", catalog[key], count=1)


def _heading(definition: str) -> str:
    """The part of a function that CREATE OR REPLACE cannot change: arguments and result."""
    return definition.partition("\n LANGUAGE ")[0]
