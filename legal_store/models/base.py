"""What all rows have in common: a key, two times kept by PostgreSQL, and, where it applies, a firm."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from peewee import SQL, Field, Model, classmethod_only

from legal_store.database import db
from legal_store.database.scope import FIRM_SETTING, required_scope
from legal_store.errors import FirmScopeError
from legal_store.models.noted import note_row
from legal_store.models.scoped import (
    ScopedAlias,
    ScopedDelete,
    ScopedInsert,
    ScopedMetadata,
    ScopedRaw,
    ScopedSelect,
    ScopedUpdate,
    firm_of_query,
    refuse_other_firm,
)
from legal_store.schema.fields import NOW, EnumField, KeyField, TimestampField, shown
from legal_store.schema.objects import Check, Default, Function, Index, Policy, PrimaryKey, Trigger, Unique

TOUCH_UPDATED_AT = Function(
    signature="update_updated_at_column()",
    returns="trigger",
    body="""
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := now();
    RETURN NEW;
END
""",
)


CURRENT_FIRM = Function(
    signature="current_firm_id()",
    returns="uuid",
    attributes="STABLE PARALLEL SAFE",
    body=f"""
DECLARE
    firm_id text := current_setting('{FIRM_SETTING}', true);
BEGIN
    IF coalesce(firm_id, '') = '' THEN
        RAISE EXCEPTION 'no firm is named for this statement'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Use `with legal_store.firm(firm_id): ...` and the connection of legal_store.';
    END IF;
    RETURN firm_id::uuid;
END
""",
)


class Record(Model):
    """A row with an `id`. `class Meta` may declare checks, unique keys, indexes and triggers in `declared`.

    Columns that PostgreSQL fills (`created_at`, `updated_at`, statistics) are read back by `save()`.
    """

    if TYPE_CHECKING:  # the keys beside references (firm_id) and the rows that refer here (cases) are Peewee's making

        def __getattr__(self, name: str) -> Any: ...

    abstract: ClassVar[bool] = True
    key_columns: ClassVar[tuple[str, ...]] = ("id",)
    firm_column: ClassVar[str | None] = None
    shared: ClassVar[str] = ""  # why rows belong to no firm
    operations_only: ClassVar[str] = ""  # why services have no right on the table
    service_rights: ClassVar[str] = "SELECT, INSERT, UPDATE, DELETE"

    id = KeyField()

    class Meta:
        database = db
        model_metadata_class = ScopedMetadata
        legacy_table_names = False
        only_save_dirty = True
        declared: tuple[Any, ...] = ()

    def __init__(self, *args: Any, **values: Any) -> None:
        self._stored = values.pop("__no_default__", None) is not None
        if self._stored and values.keys() <= self._meta.fields.keys():  # a row as it was read
            row: Any = self
            row.__data__, row.__rel__, row._dirty = values, {}, set()
        else:
            super().__init__(*args, **({"__no_default__": True} if self._stored else {}), **values)

    @classmethod
    def validate_model(cls) -> None:
        """Hand what `Meta.declared` and the fields say to Peewee. Peewee calls this once for each class."""
        if not cls.__dict__.get("abstract", False):
            _apply_declarations(cls)

    @classmethod
    def select(cls, *fields: Any) -> Any:
        return ScopedSelect(cls, fields or shown(cls._meta.sorted_fields), is_default=not fields)

    @classmethod
    def get_by_id(cls, pk: Any) -> Any:
        """Return the row with this key. Raises DoesNotExist, and FirmScopeError outside any scope.

        The statement is written once for each model: to build it takes longer than to run it.
        """
        firm_id = firm_of_query(cls)
        firm = () if firm_id is None else (str(firm_id),)
        return cls.raw(_select_by_key(cls, in_one_firm=bool(firm)), *firm, cls.id.db_value(pk)).get()

    @classmethod
    def update(cls, __data: Any = None, **values: Any) -> Any:
        return ScopedUpdate(cls, _normalized(cls, __data, values))

    @classmethod_only
    def delete(cls: Any) -> Any:  # noqa: N805
        return ScopedDelete(cls)

    @classmethod
    def insert(cls, __data: Any = None, **values: Any) -> Any:
        return ScopedInsert(cls, _normalized(cls, __data, values))

    @classmethod
    def insert_many(cls, rows: Any, fields: Any = None) -> Any:
        return ScopedInsert(cls, insert=rows, columns=fields)

    @classmethod
    def insert_from(cls, query: Any, fields: Any) -> Any:
        columns = [getattr(cls, field) if isinstance(field, str) else field for field in fields]
        return ScopedInsert(cls, insert=query, columns=columns)

    @classmethod
    def raw(cls, sql: str, *params: Any) -> Any:
        return ScopedRaw(cls, sql, params)

    @classmethod
    def truncate_table(cls, **options: Any) -> None:
        """Delete every row, of all firms. Raises FirmScopeError outside all_firms()."""
        if cls.firm_column and required_scope(cls.__name__).firm_id is not None:
            raise FirmScopeError(
                f"Truncating {cls.__name__} would delete the rows of all firms.",
                remedy=f"Use `{cls.__name__}.delete()`, or all_firms(reason=...).",
            )
        super().truncate_table(**options)

    @classmethod
    def alias(cls, alias: str | None = None) -> Any:
        return ScopedAlias(cls, alias)

    @classmethod
    def bulk_create(cls, model_list: Any, batch_size: int | None = None) -> None:
        """Insert all objects with one statement for each `batch_size` of them, and fill in what PostgreSQL filled."""
        rows = list(model_list)
        size = batch_size or max(1, len(rows))
        for start in range(0, len(rows), size):
            _insert_together(cls, rows[start : start + size])

    def delete_instance(self, recursive: bool = False, delete_nullable: bool = False) -> int:
        """Delete the row; returns 1, or 0 when it was gone. Its dependents go or are cleared by their foreign keys.

        Raises FirmScopeError for a row of another firm.
        """
        _refuse_outside_scope(self)
        row: Any = self
        query: Any = type(self).delete().where(row._pk_expr())
        query.row = self
        deleted = int(query.execute())
        if deleted:
            note_row(self, "deleted")
        return deleted

    def save(self, force_insert: bool = False, only: Any = None) -> int:
        """Write the row, a new one by INSERT and a known one by UPDATE of its changed fields.

        Returns the number of rows written: 0 when nothing was changed or the row is no longer there. An object
        made in Python is new until it was saved, although its `id` is set from the start.
        """
        _refuse_outside_scope(self)
        if self._stored and not force_insert:
            return self._update_changed(only)
        self._insert()
        return 1

    def _insert(self) -> None:
        row: Any = self
        row._populate_unsaved_relations(row.__data__)
        given = dict(row.__data__)
        self._read_back(type(self).insert(given), [f for f in _kept_by_server(type(self)) if f.name not in given])

    def _update_changed(self, only: Any) -> int:
        row: Any = self
        row._dirty.update(_changed_inside(row))
        changed = row._prune_fields(row.__data__.copy(), row.dirty_fields if only is None else only)
        row._populate_unsaved_relations(changed)
        changed.pop("id", None)
        if not changed:
            return 0
        update = type(self).update(**changed).where(row._pk_expr())
        return self._read_back(update, [f for f in _kept_by_server(type(self)) if f.name not in changed])

    def _read_back(self, query: Any, columns: list[Field[Any]]) -> int:
        query.row = self
        written = list(query.returning(*(columns or [type(self).id])).tuples().execute())
        for values in written:
            self._take_stored(columns, values)
        if written:
            note_row(self, query.verb, query._changed_fields())
        return len(written)

    def _take_stored(self, columns: list[Field[Any]], values: Any) -> None:
        row: Any = self
        row.__data__.update(zip((column.name for column in columns), values, strict=False))
        row._dirty.clear()
        row.__dict__.pop("_handed_out", None)
        self._stored = True


class TimedRecord(Record):
    """A row that knows when it was made and last changed. Both are PostgreSQL's, not the caller's."""

    abstract: ClassVar[bool] = True

    created_at = TimestampField(constraints=[Default(NOW)])
    updated_at = TimestampField(constraints=[Default(NOW)])


def _apply_declarations(model: type[Record]) -> None:
    meta: Any = model._meta
    table = meta.table_name
    checks = [field.check() for field in meta.sorted_fields if isinstance(field, EnumField)]
    key = PrimaryKey(f"{table}_pkey", model.key_columns)
    declared = [key, *checks, *meta.declared]
    meta.constraints = [SQL(item.sql()) for item in declared if isinstance(item, PrimaryKey | Unique | Check)]
    meta.indexes = [SQL(item.create(table)) for item in declared if isinstance(item, Index)]
    meta.policies = firm_policies(model)
    meta.triggers = tuple(item for item in declared if isinstance(item, Trigger))
    if "updated_at" in meta.fields:
        touch = Trigger(f"update_{table}_updated_at", "BEFORE UPDATE", "update_updated_at_column()")
        meta.triggers = (touch, *meta.triggers)


def _changed_inside(row: Any) -> list[str]:
    """Return the names of dicts and lists that were changed in place since they were read."""
    handed_out = row.__dict__.get("_handed_out", {})
    return [name for name, before in handed_out.items() if row.__data__.get(name) != before]


def _refuse_outside_scope(row: Any) -> None:
    if row.firm_column:
        required_scope(type(row).__name__)
        refuse_other_firm(type(row).__name__, row.__data__.get(row.firm_column))


def _insert_together(model: type[Record], rows: list[Any]) -> None:
    for row in rows:
        _refuse_outside_scope(row)
        row._populate_unsaved_relations(row.__data__)
    names = {name for row in rows for name in row.__data__}
    entries = [{name: row.__data__.get(name, SQL("DEFAULT")) for name in names} for row in rows]
    kept = [field for field in _kept_by_server(model) if any(field.name not in row.__data__ for row in rows)]
    written = model.insert_many(entries).returning(*(kept or [model.id])).tuples().execute()
    for row, values in zip(rows, written, strict=True):
        row._take_stored(kept, values)


def _normalized(model: Any, data: Any, values: dict[str, Any]) -> Any:
    return model._normalize_data(data, values)


def firm_policies(model: type[Record]) -> tuple[Policy, ...]:
    """Return the policy that shows and accepts rows of the current firm only; none where rows belong to no firm."""
    if model.firm_column is None:
        return ()
    column = model._meta.fields[model.firm_column].column_name
    # in a subselect, so that PostgreSQL asks for the firm once for the statement and not once for each row
    condition = f"{column} = (SELECT {CURRENT_FIRM.signature})"
    return (Policy("firm_isolation", using=condition, check=condition),)


@lru_cache(maxsize=256)
def _select_by_key(model: type[Record], *, in_one_firm: bool) -> str:
    """Return the SELECT of one row by its key, which takes the firm as first parameter in the scope of one."""
    text, parameters = model.select().where(model.id == uuid.UUID(int=0)).sql()
    assert len(parameters) == 1 + in_one_firm, text  # noqa: S101  (else the callers' would go to the wrong places)
    return str(text)


@lru_cache(maxsize=256)
def _kept_by_server(model: type[Record]) -> tuple[Field[Any], ...]:
    return tuple(field for field in shown(model._meta.sorted_fields) if _has_default(field))


def _has_default(field: Field[Any]) -> bool:
    return any(constraint.sql.startswith(("DEFAULT", "GENERATED")) for constraint in field.constraints or ())
