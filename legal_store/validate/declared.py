"""Checks that follow from the models: tables, columns, references, enumerations, rules, keys, values, times.

A constraint that PostgreSQL holds valid could be trusted; rows are looked at all the same, because a constraint may
be missing here, not valid, or have been bypassed by a load that switched triggers off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peewee import DateField, ForeignKeyField

from legal_store.schema.fields import EnumField, ReferenceField, TimestampField
from legal_store.schema.objects import Check as Rule
from legal_store.schema.objects import Index, Schema, Unique
from legal_store.validate.checks import Check, Outcome, failed, no_rows, passed, statements

# clocks differ by minutes, calendars by a zone
_AHEAD = {TimestampField: "now() + interval '5 minutes'", DateField: "current_date + 1"}
# what may lie ahead of us: a date in court, a term, the announced end of a version
_PLANNED = {"next_hearing_date", "due_date", "deprecated_at"}
# what the drivers of most languages can read, Python's among them
_READABLE = "BETWEEN '0001-01-01' AND '9999-12-31'"


def checks_of_models(schema: Schema) -> Iterator[Check]:
    """Yield every check that the models' declarations imply, table by table."""
    yield _tables_and_columns(schema)
    yield _constraints(schema)
    for model in schema.models:
        yield from _references(model)
        yield from _enumerations(model)
        yield from _rules(model)
        yield from _unique_keys(model)
        yield _required_values(model)
        yield from _times(model)


def _tables_and_columns(schema: Schema) -> Check:
    wanted = {
        f"{model._meta.table_name}.{field.column_name}"
        for model in schema.models
        for field in model._meta.sorted_fields
    }

    def run(cursor: Any) -> Outcome:
        cursor.execute(
            "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND a.attnum > 0 AND NOT a.attisdropped"
        )
        missing = sorted(wanted - {name for (name,) in cursor.fetchall()})
        return failed("columns that the models need are missing", missing) if missing else passed()

    return Check("required tables and columns", "Is every table and column of the models there?", run)


def _constraints(schema: Schema) -> Check:
    wanted = {name for model in schema.models for name in _constraint_names(model)}

    def run(cursor: Any) -> Outcome:
        cursor.execute(
            "SELECT r.relname || '.' || k.conname FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid"
            " WHERE k.convalidated AND k.connamespace = 'public'::regnamespace"
        )
        missing = sorted(wanted - {name for (name,) in cursor.fetchall()})
        return failed("constraints are missing or not valid", missing) if missing else passed()

    return Check("constraints", "Is every declared constraint there and valid?", run, statements(_NOT_VALID))


_NOT_VALID = (
    "SELECT r.relname || '.' || k.conname,"
    " format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname)"
    " FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid"
    " WHERE NOT k.convalidated AND k.connamespace = 'public'::regnamespace ORDER BY 1"
)


def _constraint_names(model: Any) -> Iterator[str]:
    table = model._meta.table_name
    yield f"{table}.{table}_pkey"
    for field in model._meta.sorted_fields:
        if isinstance(field, ReferenceField):
            yield f"{table}.{field.get_constraint_name()}"
        if isinstance(field, EnumField):
            yield f"{table}.{field.check().name}"
    for item in model._meta.declared:
        if isinstance(item, Rule | Unique):
            yield f"{table}.{item.name}"


def _references(model: Any) -> Iterator[Check]:
    table = model._meta.table_name
    for field in model._meta.sorted_fields:
        if isinstance(field, ForeignKeyField):
            columns, referenced = field.constrained_columns()
            target = field.rel_model._meta.table_name
            pairs = " AND ".join(f'o."{r}" = t."{c}"' for c, r in zip(columns, referenced, strict=True))
            yield no_rows(
                f"references: {table}.{field.column_name}",
                f"rows of {table} refer to a row of {target} that is not there (or is another firm's)",
                f'SELECT t.id FROM "{table}" t WHERE t."{columns[0]}" IS NOT NULL'  # noqa: S608
                f' AND NOT EXISTS (SELECT FROM "{target}" o WHERE {pairs})',
            )


def _enumerations(model: Any) -> Iterator[Check]:
    table = model._meta.table_name
    for field in model._meta.sorted_fields:
        if isinstance(field, EnumField):
            yield no_rows(
                f"enumerations: {table}.{field.column_name}",
                f"rows of {table} have a {field.column_name} that is not in the enumeration",
                f'SELECT id FROM "{table}" WHERE NOT ({field.check().condition})',  # noqa: S608
            )


def _rules(model: Any) -> Iterator[Check]:
    table = model._meta.table_name
    for item in model._meta.declared:
        if isinstance(item, Rule):
            rule = item.name.removeprefix(f"{table}_").removesuffix("_check")
            yield no_rows(
                f"rules: {table}.{rule}",
                f"rows of {table} break the rule: {item.condition}",
                f'SELECT id FROM "{table}" WHERE NOT ({item.condition})',  # noqa: S608
            )


def _unique_keys(model: Any) -> Iterator[Check]:
    table = model._meta.table_name
    keys = [(item.name, ", ".join(item.columns), "") for item in model._meta.declared if isinstance(item, Unique)]
    keys += [
        (item.name, ", ".join(item.columns), f" WHERE {item.where}" if item.where else "")
        for item in model._meta.declared
        if isinstance(item, Index) and item.unique
    ]
    keys.append((f"{table}_pkey", ", ".join(model.key_columns), ""))
    for name, columns, where in keys:
        nulls = " AND ".join(f"{column} IS NOT NULL" for column in columns.split(", "))
        yield no_rows(
            f"duplicates: {name}",
            f"rows of {table} have the same {columns}",
            f'SELECT min(id::text) FROM "{table}"{where} GROUP BY {columns} HAVING count(*) > 1 AND {nulls}',  # noqa: S608
        )


def _required_values(model: Any) -> Check:
    table = model._meta.table_name
    columns = [field.column_name for field in model._meta.sorted_fields if not field.null]
    empty = " OR ".join(f'"{column}" IS NULL' for column in columns)
    return no_rows(
        f"required values: {table}",
        f"rows of {table} lack a value that the model requires",
        f'SELECT id FROM "{table}" WHERE {empty}',  # noqa: S608
    )


def _times(model: Any) -> Iterator[Check]:
    table = model._meta.table_name
    kinds = {field.column_name: type(field) for field in model._meta.sorted_fields if type(field) in _AHEAD}
    if past := {column: kind for column, kind in kinds.items() if column not in _PLANNED}:
        ahead = " OR ".join(f'"{column}" > {_AHEAD[kind]}' for column, kind in past.items())
        yield no_rows(
            f"future timestamps: {table}",
            f"rows of {table} have a time that lies ahead of us ({', '.join(past)})",
            f'SELECT id FROM "{table}" WHERE {ahead}',  # noqa: S608
        )
    if kinds:
        unreadable = " OR ".join(f'"{column}" NOT {_READABLE}' for column in kinds)
        yield no_rows(
            f"readable times: {table}",
            f"rows of {table} have a time before year 1 or after 9999, which programs cannot read",
            f'SELECT id FROM "{table}" WHERE {unreadable}',  # noqa: S608
        )
    if {"created_at", "updated_at"} <= kinds.keys():
        yield no_rows(
            f"times in order: {table}",
            f"rows of {table} were changed before they were made",
            f'SELECT id FROM "{table}" WHERE updated_at < created_at',  # noqa: S608
        )
