"""Statements for tables, their columns and their attributes."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.schema.change.impact import Impact, in_both, is_reference, table_of
from legal_store.schema.change.objects import in_order_of_making
from legal_store.schema.snapshot import quoted


def drop_columns(change: Impact) -> Iterator[str]:
    """Drop columns that go or are made anew; computed ones, which read others, first."""
    for table, column in sorted(
        change.lost_columns | change.replaced, key=lambda key: (not change.current.columns[key].generated, key)
    ):
        yield f"ALTER TABLE {quoted(table)} DROP COLUMN {quoted(column)}"


def drop_tables(change: Impact) -> Iterator[str]:
    """Drop tables that go."""
    yield from (f"DROP TABLE {quoted(name)}" for name in sorted(change.lost_tables))


def create_tables(change: Impact) -> Iterator[str]:
    """Create new tables, those that others refer to first."""
    for table in sorted(change.new_tables, key=lambda table: _depth(change, table)):
        yield _create_table(change, table)


def _create_table(change: Impact, table: str) -> str:
    columns = sorted((c.position, name, c) for (owner, name), c in change.target.columns.items() if owner == table)
    lines = [column.sql(name) for _, name, column in columns]
    for _, name in in_order_of_making(change, (key for key in change.make if table_of(key) == table)):
        if ("constraint", name) in change.make and not is_reference(("constraint", name), change.target.catalog):
            lines.append(f"CONSTRAINT {quoted(name.partition('.')[2])} {change.target.catalog['constraint', name]}")
    unlogged = "UNLOGGED " if change.target.tables[table].unlogged else ""
    return f"CREATE {unlogged}TABLE {quoted(table)} (\n    " + ",\n    ".join(lines) + "\n)"


def _depth(change: Impact, table: str) -> tuple[int, str]:
    """Tables that others refer to come first, as far as references do not go in circles."""
    return len(_referenced(change, table, frozenset())), table


def _referenced(change: Impact, table: str, seen: frozenset[str]) -> set[str]:
    found: set[str] = set()
    for key, columns in change.target.uses_columns.items():
        if key[0] == "constraint" and table_of(key) == table:
            found |= {other for other, _ in columns} - {table} - seen
    for other in list(found):
        found |= _referenced(change, other, seen | {table} | found)
    return found


def alter_columns(change: Impact) -> Iterator[str]:
    """Add columns and change those that stay; computed ones, which read others, last."""
    added = (change.target.columns.keys() - change.current.columns.keys()) | change.replaced
    kept = [key for key in added if key[0] in change.kept_tables]
    for table, column in sorted(kept, key=lambda k: (bool(change.target.columns[k].generated), k)):
        if not change.target.columns[table, column].generated:
            yield f"ALTER TABLE {quoted(table)} ADD COLUMN {change.target.columns[table, column].sql(column)}"
    for key in sorted(in_both(change.current.columns, change.target.columns)):
        if key not in change.replaced and key[0] in change.kept_tables:
            yield from _alter_column(change, *key)
    for table, column in sorted(kept):
        if change.target.columns[table, column].generated:
            yield f"ALTER TABLE {quoted(table)} ADD COLUMN {change.target.columns[table, column].sql(column)}"


def _alter_column(change: Impact, table: str, column: str) -> Iterator[str]:
    old, new = change.current.columns[table, column], change.target.columns[table, column]
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


def own_sequences(change: Impact) -> Iterator[str]:
    """Say which column a new sequence belongs to."""
    for name, owner in sorted(change.target.owned_sequences.items()):
        if name not in change.current.names("sequence"):
            table, _, column = owner.partition(".")
            yield f"ALTER SEQUENCE {quoted(name)} OWNED BY {quoted(table)}.{quoted(column)}"


def set_attributes(change: Impact) -> Iterator[str]:
    """Set row security, storage options and whether a table is logged."""
    for table in sorted(change.kept_tables | change.new_tables):
        old, new = change.current.tables.get(table), change.target.tables[table]
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
