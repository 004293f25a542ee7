"""From one schema to another: the statements that lead there, in an order that PostgreSQL accepts. Pure.

Both schemas are snapshots of real databases, so that every definition is in PostgreSQL's own words. The way back is
the same with the two exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from legal_store.schema.snapshot import Key, Snapshot, quoted

# what can be dropped and made again without losing data
_REBUILDABLE = ("view", "materialized view", "policy", "trigger", "constraint", "index", "statistics")


def change_statements(
    current: Snapshot, target: Snapshot, castable: Callable[[str, str], bool] = lambda old, new: True
) -> list[str]:
    """Return the statements that turn `current` into `target`; empty when they are the same.

    `castable(old, new)` says whether PostgreSQL can turn a column of one type into the other; where it cannot, the
    column is dropped and made anew.
    """
    return _Change(current, target, castable).statements()


def replaced_columns(current: Snapshot, target: Snapshot, castable: Callable[[str, str], bool]) -> set[tuple[str, str]]:
    """Return the columns that exist in both and lose their values, because their types have no cast."""
    return {
        key
        for key in _in_both(current.columns, target.columns)
        if not target.columns[key].generated
        and (
            bool(current.columns[key].generated)
            or (
                current.columns[key].type != target.columns[key].type
                and not castable(current.columns[key].type, target.columns[key].type)
            )
        )
    }


class _Change:
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

    def statements(self) -> list[str]:
        return list(
            dict.fromkeys(
                (
                    *self._new_extensions(),
                    *self._drops(),
                    *(self._rename(old, new) for old, new in sorted(self.renamed.items())),
                    *self._functions(),
                    *self._new_types(),
                    *self._drop_columns(),
                    *(f"DROP TABLE {quoted(name)}" for name in sorted(self.lost_tables)),
                    *self._new_tables(),
                    *self._alter_columns(),
                    *self._sequence_owners(),
                    *self._makes(),
                    *self._table_attributes(),
                    *self._views(),
                    *self._grants(),
                    *self._comments(),
                    *self._lost_functions(),
                    *self._lost_types(),
                )
            )
        )

    # what is affected

    def _generated_anew(self) -> set[tuple[str, str]]:
        """Columns that are computed, and differently: made anew, which loses nothing."""
        old, new = self.current.columns, self.target.columns
        return {
            key
            for key in _in_both(old, new)
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
            for key in _in_both(old, new)
            if (old[key].type, old[key].collation) != (new[key].type, new[key].collation)
        }
        return retyped | self.replaced | self.lost_columns

    def _objects(self, old: dict[Key, str], new: dict[Key, str]) -> tuple[set[Key], set[Key]]:
        """Return which rebuildable objects to drop and which to make."""
        objects = {key for key in old if key[0] in _REBUILDABLE and not _backs_constraint(key, old)}
        wanted = {key for key in new if key[0] in _REBUILDABLE and not _backs_constraint(key, new)}
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
        if _table_of(key) not in self.lost_tables or key[0] in ("view", "materialized view"):
            return False
        return not self.current.catalog[key].startswith("FOREIGN KEY")

    def _over_changed_functions(self, objects: set[Key]) -> set[Key]:
        """Triggers and policies that call a function which cannot be replaced in place."""
        names = {name.partition("(")[0] for name in self._functions_to_drop_first()}
        return {
            key
            for key in objects
            if any(re.search(rf"\b{re.escape(name)}\(", self.current.catalog[key]) for name in names)
        }

    def _functions_to_drop_first(self) -> set[str]:
        return {
            name
            for name in self.current.names("function") & self.target.names("function")
            if _heading(self.current.catalog["function", name]) != _heading(self.target.catalog["function", name])
        }

    def _renames(self) -> dict[Key, Key]:
        """Objects that are the same under another name."""
        found: dict[Key, Key] = {}
        old, new = self.current.catalog, self.target.catalog
        for key in sorted(old.keys() - new.keys()):
            if key[0] not in ("constraint", "index", "trigger", "policy") or _backs_constraint(key, old):
                continue
            if self.current.uses_columns.get(key, set()) & self.touched_columns():
                continue
            for other in sorted(new.keys() - old.keys() - set(found.values())):
                same_place = other[0] == key[0] and _table_of(other) == _table_of(key)
                if same_place and not _backs_constraint(other, new) and _nameless(key, old) == _nameless(other, new):
                    found[key] = other
                    break
        return found

    # statements, in their order

    def _new_extensions(self) -> Iterator[str]:
        for name in sorted(self.target.names("extension") - self.current.names("extension")):
            yield f"CREATE EXTENSION IF NOT EXISTS {quoted(name)}"

    def _drops(self) -> Iterator[str]:
        for kind in ("view", "materialized view"):
            yield from (
                f"DROP {kind.upper()} {quoted(name)}" for name in self._views_in_order(self.drop, kind, reverse=True)
            )
        for kind in ("policy", "trigger"):
            for _, name in sorted(key for key in self.drop if key[0] == kind):
                table, _, own = name.partition(".")
                yield f"DROP {kind.upper()} {quoted(own)} ON {quoted(table)}"
        constraints = [key for key in self.drop if key[0] == "constraint"]
        for _, name in sorted(constraints, key=lambda key: (not _is_reference(key, self.current.catalog), key)):
            table, _, own = name.partition(".")
            yield f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(own)}"
        yield from (
            f"DROP INDEX {quoted(name.partition('.')[2])}" for kind, name in sorted(self.drop) if kind == "index"
        )
        yield from (f"DROP STATISTICS {quoted(name)}" for kind, name in sorted(self.drop) if kind == "statistics")

    def _rename(self, old: Key, new: Key) -> str:
        kind = old[0]
        table, _, was = old[1].partition(".")
        becomes = quoted(new[1].partition(".")[2])
        if kind == "index":
            return f"ALTER INDEX {quoted(was)} RENAME TO {becomes}"
        if kind == "constraint":
            return f"ALTER TABLE {quoted(table)} RENAME CONSTRAINT {quoted(was)} TO {becomes}"
        return f"ALTER {kind.upper()} {quoted(was)} ON {quoted(table)} RENAME TO {becomes}"

    def _functions(self) -> Iterator[str]:
        first = self._functions_to_drop_first()
        yield from (f"DROP FUNCTION {name}" for name in sorted(first))
        for key in self.target.catalog:
            if key[0] == "function" and self.current.catalog.get(key) != self.target.catalog[key]:
                yield self.target.catalog[key].strip().replace(" FUNCTION public.", " FUNCTION ", 1)

    def _lost_functions(self) -> Iterator[str]:
        for name in sorted(self.current.names("function") - self.target.names("function")):
            yield f"DROP FUNCTION {name}"

    def _new_types(self) -> Iterator[str]:
        for name in sorted(self.target.names("enum") - self.current.names("enum")):
            yield f"CREATE TYPE {quoted(name)} AS ENUM ({self.target.catalog['enum', name]})"
        for name in sorted(
            self.target.names("sequence") - self.current.names("sequence") - self.target.identity_sequences
        ):
            yield f"CREATE SEQUENCE {quoted(name)} AS {self.target.catalog['sequence', name].partition(' ')[0]}"

    def _lost_types(self) -> Iterator[str]:
        for name in sorted(self.current.names("enum") - self.target.names("enum")):
            yield f"DROP TYPE {quoted(name)}"
        for name in sorted(
            self.current.names("sequence") - self.target.names("sequence") - self.current.identity_sequences
        ):
            owner = tuple(self.current.owned_sequences.get(name, ".").split(".", 1))
            if owner[0] not in self.lost_tables and owner not in self.lost_columns | self.replaced:
                yield f"DROP SEQUENCE {quoted(name)}"

    def _drop_columns(self) -> Iterator[str]:
        for table, column in sorted(self.lost_columns | self.replaced, key=self._computed_first):
            yield f"ALTER TABLE {quoted(table)} DROP COLUMN {quoted(column)}"

    def _computed_first(self, key: tuple[str, str]) -> tuple[bool, tuple[str, str]]:
        return not self.current.columns[key].generated, key

    def _new_tables(self) -> Iterator[str]:
        for table in sorted(self.new_tables, key=self._depth):
            yield self._create_table(table)

    def _depth(self, table: str) -> tuple[int, str]:
        """Tables that others refer to come first, as far as references do not go in circles."""
        return len(self._referenced(table, frozenset())), table

    def _referenced(self, table: str, seen: frozenset[str]) -> set[str]:
        found: set[str] = set()
        for key, columns in self.target.uses_columns.items():
            if key[0] == "constraint" and _table_of(key) == table:
                found |= {other for other, _ in columns} - {table} - seen
        for other in list(found):
            found |= self._referenced(other, seen | {table} | found)
        return found

    def _create_table(self, table: str) -> str:
        columns = sorted((c.position, name, c) for (owner, name), c in self.target.columns.items() if owner == table)
        lines = [column.sql(name) for _, name, column in columns]
        for _, name in self._in_order_of_making(key for key in self.make if _table_of(key) == table):
            if ("constraint", name) in self.make and not _is_reference(("constraint", name), self.target.catalog):
                lines.append(f"CONSTRAINT {quoted(name.partition('.')[2])} {self.target.catalog['constraint', name]}")
        unlogged = "UNLOGGED " if self.target.tables[table].unlogged else ""
        return f"CREATE {unlogged}TABLE {quoted(table)} (\n    " + ",\n    ".join(lines) + "\n)"

    def _alter_columns(self) -> Iterator[str]:
        added = (self.target.columns.keys() - self.current.columns.keys()) | self.replaced
        kept = [key for key in added if key[0] in self.kept_tables]
        for table, column in sorted(kept, key=lambda k: (bool(self.target.columns[k].generated), k)):
            if not self.target.columns[table, column].generated:
                yield f"ALTER TABLE {quoted(table)} ADD COLUMN {self.target.columns[table, column].sql(column)}"
        for key in sorted(_in_both(self.current.columns, self.target.columns)):
            if key not in self.replaced and key[0] in self.kept_tables:
                yield from self._alter_column(*key)
        for table, column in sorted(kept):
            if self.target.columns[table, column].generated:
                yield f"ALTER TABLE {quoted(table)} ADD COLUMN {self.target.columns[table, column].sql(column)}"

    def _alter_column(self, table: str, column: str) -> Iterator[str]:
        old, new = self.current.columns[table, column], self.target.columns[table, column]
        alter = f"ALTER TABLE {quoted(table)} ALTER {quoted(column)}"
        retyped = (old.type, old.collation) != (new.type, new.collation)
        if old.identity and not new.identity:
            yield f"{alter} DROP IDENTITY"
        if old.default and (retyped or not new.default):
            yield f"{alter} DROP DEFAULT"
        if retyped:
            collation = f" COLLATE {quoted(new.collation)}" if new.collation else ""
            using = f" USING {quoted(column)}::{new.type}" if old.type != new.type else ""
            yield f"{alter} TYPE {new.type}{collation}{using}"
        if new.default and (retyped or old.default != new.default):
            yield f"{alter} SET DEFAULT {new.default}"
        if old.not_null != new.not_null:
            yield f"{alter} {'SET' if new.not_null else 'DROP'} NOT NULL"
        if new.identity and old.identity != new.identity:
            yield (
                f"{alter} SET GENERATED {new.identity}"
                if old.identity
                else f"{alter} ADD GENERATED {new.identity} AS IDENTITY"
            )
        if old.storage != new.storage:
            yield f"{alter} SET STORAGE {new.storage or 'DEFAULT'}"
        if old.compression != new.compression:
            yield f"{alter} SET COMPRESSION {new.compression or 'DEFAULT'}"

    def _sequence_owners(self) -> Iterator[str]:
        for name, owner in sorted(self.target.owned_sequences.items()):
            if name not in self.current.names("sequence"):
                table, _, column = owner.partition(".")
                yield f"ALTER SEQUENCE {quoted(name)} OWNED BY {quoted(table)}.{quoted(column)}"

    def _makes(self) -> Iterator[str]:
        for kind, name in self._in_order_of_making(self.make):
            table, _, own = name.partition(".")
            definition = self.target.catalog[kind, name]
            if kind == "constraint":
                if table in self.new_tables and not _is_reference((kind, name), self.target.catalog):
                    continue
                yield f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(own)} {definition}"
            elif kind == "index" or kind == "trigger":
                yield definition.replace(" ON public.", " ON ", 1)
            elif kind == "policy":
                yield self.target.policies[name]
            elif kind == "statistics":
                yield definition.replace("public.", "", 1)

    def _in_order_of_making(self, keys: Iterable[Key]) -> list[Key]:
        catalog = self.target.catalog

        def rank(key: Key) -> tuple[int, str, str]:
            if key[0] == "constraint":
                definition = catalog[key]
                order = 4 if definition.startswith("FOREIGN KEY") else 1 if definition.startswith("CHECK") else 0
            else:
                order = {"index": 5, "statistics": 6, "trigger": 7, "policy": 8}.get(key[0], 9)
            return order, "" if key[1].endswith("_pkey") else key[1], key[1]

        return sorted(keys, key=rank)

    def _table_attributes(self) -> Iterator[str]:
        for table in sorted(self.kept_tables | self.new_tables):
            old, new = self.current.tables.get(table), self.target.tables[table]
            alter = f"ALTER TABLE {quoted(table)}"
            if new.row_security != (old.row_security if old else False):
                yield f"{alter} {'ENABLE' if new.row_security else 'DISABLE'} ROW LEVEL SECURITY"
            if new.forced != (old.forced if old else False):
                yield f"{alter} {'' if new.forced else 'NO '}FORCE ROW LEVEL SECURITY"
            if old and new.unlogged != old.unlogged:
                yield f"{alter} SET {'UNLOGGED' if new.unlogged else 'LOGGED'}"
            before = old.options if old else ()
            gone = {option.partition("=")[0] for option in before} - {o.partition("=")[0] for o in new.options}
            if gone:
                yield f"{alter} RESET ({', '.join(sorted(gone))})"
            if set(new.options) - set(before):
                yield f"{alter} SET ({', '.join(new.options)})"

    def _views(self) -> Iterator[str]:
        for kind in ("view", "materialized view"):
            for name in self._views_in_order(self.make, kind):
                options, query = self.target.views[name]
                storage = f" WITH ({options})" if options else ""
                yield f"CREATE {kind.upper()} {quoted(name)}{storage} AS\n{query}"

    def _views_in_order(self, keys: set[Key], kind: str, *, reverse: bool = False) -> list[str]:
        snapshot = self.current if reverse else self.target

        def depth(name: str) -> int:
            users = snapshot.uses_objects.get((kind, name), set()) - {(kind, name)}
            return 1 + max((depth(other) for other_kind, other in users if other_kind == kind), default=0)

        names = sorted((name for found, name in keys if found == kind), key=lambda name: (depth(name), name))
        return names[::-1] if reverse else names

    def _grants(self) -> Iterator[str]:
        old, new = self.current, self.target
        for name in sorted(old.names("grant") | new.names("grant")):
            if not _grantee_exists(name, new):
                continue
            before = _rights(old.catalog.get(("grant", name), "")) if self._survives(name) else _default_rights(name)
            after = _rights(new.catalog.get(("grant", name), ""))
            on, column = _grant_target(name, new)
            for verb, word, rights in (("REVOKE", "FROM", before - after), ("GRANT", "TO", after - before)):
                for grantee in sorted({grantee for grantee, _ in rights}):
                    privileges = sorted(right for holder, right in rights if holder == grantee)
                    yield _grant(verb, word, privileges, on, column, grantee)

    def _survives(self, name: str) -> bool:
        """Whether the object existed before and is not made anew, so that its grants and comments are still there."""
        plain = name.partition(" ")[2] if name.startswith(("function ", "constraint ", "trigger ", "policy ")) else name
        keys = [(kind, plain) for kind in ("table", "view", "materialized view", "sequence", "function")]
        keys += [(kind, plain) for kind in ("constraint", "trigger", "policy", "column")]
        keys += [key for key in self.current.catalog if key[0] == "index" and key[1].endswith(f".{plain}")]
        existed = [key for key in keys if key in self.current.catalog]
        rebuilt = self.drop | {("column", f"{table}.{column}") for table, column in self.replaced}
        rebuilt |= {("function", name) for name in self._functions_to_drop_first()}
        return bool(existed) and not any(key in rebuilt for key in existed)

    def _comments(self) -> Iterator[str]:
        old, new = self.current, self.target
        for name in sorted(old.names("comment") | new.names("comment")):
            before = old.catalog.get(("comment", name)) if self._survives(name) else None
            after = new.catalog.get(("comment", name))
            on = _comment_target(name, new)
            if before != after and on:
                text = "NULL" if after is None else "'" + after.replace("'", "''") + "'"
                yield f"COMMENT ON {on} IS {text}"


def _in_both(old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return set(old) & set(new)


def _table_of(key: Key) -> str:
    return key[1].partition(".")[0]


def _is_reference(key: Key, catalog: dict[Key, str]) -> bool:
    return catalog[key].startswith("FOREIGN KEY")


def _backs_constraint(key: Key, catalog: dict[Key, str]) -> bool:
    return key[0] == "index" and ("constraint", key[1]) in catalog


def _nameless(key: Key, catalog: dict[Key, str]) -> str:
    own = key[1].partition(".")[2]
    return re.sub(rf'(INDEX|TRIGGER) ("?){re.escape(own)}\2 ', r"\1 ", catalog[key], count=1)


def _heading(definition: str) -> str:
    """The part of a function that CREATE OR REPLACE cannot change: arguments and result."""
    return definition.partition("\n LANGUAGE ")[0]


def _rights(text: str) -> set[tuple[str, str]]:
    return {(grantee, right) for grantee, _, right in (item.rpartition("=") for item in text.split(", ") if item)}


def _default_rights(name: str) -> set[tuple[str, str]]:
    return {("public", "EXECUTE")} if name.startswith("function ") else set()


def _grantee_exists(name: str, target: Snapshot) -> bool:
    if name.startswith("function "):
        return ("function", name.removeprefix("function ")) in target.catalog
    if "." in name:
        return ("column", name) in target.catalog
    return any((kind, name) in target.catalog for kind in ("table", "view", "materialized view", "sequence"))


def _grant_target(name: str, target: Snapshot) -> tuple[str, str]:
    if name.startswith("function "):
        return f"FUNCTION {name.removeprefix('function ')}", ""
    table, _, column = name.partition(".")
    if ("sequence", name) in target.catalog:
        return f"SEQUENCE {quoted(name)}", ""
    return quoted(table), column


def _grant(verb: str, word: str, privileges: list[str], on: str, column: str, grantee: str) -> str:
    suffix = f" ({quoted(column)})" if column else ""
    rights = ", ".join(privilege.rstrip("*") + suffix for privilege in privileges)
    option = " WITH GRANT OPTION" if verb == "GRANT" and all(p.endswith("*") for p in privileges) else ""
    who = "PUBLIC" if grantee == "public" else quoted(grantee)
    return f"{verb} {rights} ON {on} {word} {who}{option}"


def _comment_target(name: str, target: Snapshot) -> str:
    for kind in ("constraint", "trigger", "policy"):
        if name.startswith(f"{kind} "):
            table, _, own = name.removeprefix(f"{kind} ").partition(".")
            return (
                f"{kind.upper()} {quoted(own)} ON {quoted(table)}" if (kind, f"{table}.{own}") in target.catalog else ""
            )
    if name.startswith("function "):
        function = name.removeprefix("function ")
        return f"FUNCTION {function}" if ("function", function) in target.catalog else ""
    if ("column", name) in target.catalog:
        table, _, column = name.partition(".")
        return f"COLUMN {quoted(table)}.{quoted(column)}"
    for kind in ("table", "view", "materialized view", "sequence"):
        if (kind, name) in target.catalog:
            return f"{kind.upper()} {quoted(name)}"
    if any(key[0] == "index" and key[1].endswith(f".{name}") for key in target.catalog):
        return f"INDEX {quoted(name)}"
    return ""
