"""Queries that know their firm.

Wherever a firm's table is named as a source (FROM, JOIN, USING, in a subquery, a CTE or under an alias), only the
firm's rows of it are: `(SELECT * FROM cases WHERE firm_id = ...) AS t1`, which PostgreSQL plans like the table with
one more condition. UPDATE and DELETE carry the condition themselves, INSERT checks what it writes.

The firm is looked up when the SQL is made, not when the query is written, so that a query may be built anywhere
and never carries one firm, or its rows, into the scope of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from peewee import (
    SCOPE_SOURCE,
    Entity,
    Expression,
    Metadata,
    ModelAlias,
    ModelCompoundSelectQuery,
    ModelDelete,
    ModelInsert,
    ModelRaw,
    ModelSelect,
    ModelUpdate,
    Select,
    Table,
)

from legal_store.database.scope import as_firm_id, current_firm, current_scope, required_scope
from legal_store.errors import FirmScopeError
from legal_store.models.noted import NotedQuery
from legal_store.schema.fields import shown


class ScopedMetadata(Metadata):
    """What Peewee knows about a model, with a table that stands for the firm's rows."""

    _table: Any

    @property
    def table(self) -> Any:
        if self._table is None:
            columns = [field.column_name for field in self.sorted_fields]
            self._table = ScopedTable(
                self.table_name, columns, schema=self.schema, _model=self.model, _database=self.database
            )
        return self._table

    @table.deleter
    def table(self) -> None:
        self._table = None


class ScopedTable(Table):
    """A table that, as a source of rows, gives those of the scope's firm."""

    _alias: Any
    _model: Any

    def clone(self) -> Any:
        copy: Any = super().clone()
        copy.__class__ = ScopedTable  # Peewee names its own class there
        copy._update_hash()
        return copy

    def __sql__(self, ctx: Any) -> Any:
        if ctx.scope != SCOPE_SOURCE:
            return super().__sql__(ctx)
        if self._alias:
            ctx.alias_manager[self] = self._alias
        return self.apply_alias(_rows_in_scope(ctx, self._model))


class ScopedAlias(ModelAlias):
    """An alias of a model, with the rows that the model itself would give."""

    def get_field_aliases(self) -> Any:
        return [self.__getattr__(field.name) for field in shown(self.model._meta.sorted_fields)]

    def select(self, *selection: Any) -> Any:
        return ScopedSelect(self, selection or self.get_field_aliases())

    def __sql__(self, ctx: Any) -> Any:
        if ctx.scope != SCOPE_SOURCE:
            return super().__sql__(ctx)
        if self.alias:
            ctx.alias_manager[self] = self.alias
        return _rows_in_scope(ctx, self.model).literal(" AS ").sql(Entity(ctx.alias_manager[self]))


def _rows_in_scope(ctx: Any, model: Any) -> Any:
    """Write the source itself: the table, or the firm's rows of it."""
    firm_id = firm_of_query(model)
    if firm_id is None:
        return ctx.sql(model._meta.entity)
    column = model._meta.fields[model.firm_column].column_name
    ctx.literal("(SELECT * FROM ").sql(model._meta.entity).literal(" WHERE ").sql(Entity(column))
    return ctx.literal(" = ").value(str(firm_id), converter=False).literal(")")


def firm_of_query(model: Any) -> Any:
    """Return the firm that a query on `model` is limited to; None where it may see all rows."""
    return required_scope(model.__name__).firm_id if model.firm_column else None


def _belongs_to(model: Any, firm_id: Any) -> Expression:
    return Expression(getattr(model, model.firm_column), "=", str(firm_id))


class _OfOneScope:
    """A query forgets the rows it has read as soon as it is used in another scope, and its iterators end there."""

    _read: tuple[Any, Any] = (None, None)

    def __iter__(self) -> Iterator[Any]:
        return _in_one_scope(super().__iter__())  # type: ignore[misc]

    def iterator(self, database: Any = None) -> Iterator[Any]:
        """Return the rows one after the other, none of them kept. FirmScopeError when the scope changes meanwhile."""
        return _in_one_scope(super().iterator(database))  # type: ignore[misc]

    @property
    def _cursor_wrapper(self) -> Any:
        scope, wrapper = self._read
        return wrapper if scope == _identity() else None

    @_cursor_wrapper.setter
    def _cursor_wrapper(self, wrapper: Any) -> None:
        self._read = (_identity(), wrapper)


def _identity() -> Any:
    scope = current_scope()
    return None if scope is None else scope.firm_id or "all firms"


def _in_one_scope(rows: Iterator[Any]) -> Iterator[Any]:
    return _guarded(rows, current_scope(), _identity())


def _guarded(rows: Iterator[Any], began_in: Any, owner: Any) -> Iterator[Any]:
    for row in rows:
        if current_scope() is not began_in and _identity() != owner:
            raise FirmScopeError(
                "Rows that were asked for in one scope were read on in another.",
                remedy="Read them to the end inside the block, for instance into a list.",
            )
        yield row


class _OfModel:
    """A query whose rows are those of a model."""

    model: Any

    def get(self, *database: Any) -> Any:
        """Return the first row. Raises DoesNotExist, whose message has no value in it: it ends in logs."""
        query: Any = super()
        with suppress(self.model.DoesNotExist):
            return query.get(*database)
        raise self.model.DoesNotExist(f"No {self.model.__name__} was found by: {query.sql()[0]}")


class _Combinable:
    """What SELECT and UNION have in common: they combine into queries that know their firm too."""

    model: Any
    _database: Any

    def _combined(self, operation: str, other: Any) -> Any:
        return ScopedCompound(self.model, self, operation, other)

    def union_all(self, rhs: Any) -> Any:
        return self._combined("UNION ALL", rhs)

    def union(self, rhs: Any) -> Any:
        return self._combined("UNION", rhs)

    def intersect(self, rhs: Any) -> Any:
        return self._combined("INTERSECT", rhs)

    def except_(self, rhs: Any) -> Any:
        return self._combined("EXCEPT", rhs)

    __add__, __or__, __and__, __sub__ = union_all, union, intersect, except_

    def select_from(self, *columns: Any) -> Any:
        outer: Any = _OuterSelect((self,), columns)
        return outer.bind(self._database).objects(self.model)


class ScopedSelect(_OfOneScope, _OfModel, _Combinable, ModelSelect):
    """A SELECT from a model or an alias of one; a model among what is selected stands for its shown fields."""

    def __init__(self, model: Any, selection: Any, is_default: bool = False) -> None:
        super().__init__(model, _shown(selection), is_default)

    def select(self, *selection: Any) -> Any:
        return super().select(*_shown(selection))

    def select_extend(self, *selection: Any) -> Any:
        return super().select_extend(*_shown(selection))


def _shown(selection: Any) -> list[Any]:
    return list(chain.from_iterable(map(_columns, selection)))


def _columns(selected: Any) -> list[Any]:
    model: Any = selected if isinstance(selected, type) else None
    return shown(model._meta.sorted_fields) if model else [selected]


class ScopedCompound(_OfOneScope, _OfModel, _Combinable, ModelCompoundSelectQuery):  # type: ignore[misc]
    """A UNION, INTERSECT or EXCEPT."""


class _OuterSelect(_OfOneScope, Select):
    """A SELECT from a SELECT."""


class ScopedRaw(_OfOneScope, _OfModel, ModelRaw):
    """Rows of SQL that somebody wrote; PostgreSQL alone limits them."""

    def __sql__(self, ctx: Any) -> Any:
        firm_of_query(self.model)
        return super().__sql__(ctx)


class _LimitedWrite(_OfOneScope):
    """Puts the firm outermost in the WHERE clause, whatever the query was given before or after."""

    def __sql__(self, ctx: Any) -> Any:
        query: Any = self
        firm_id = firm_of_query(query.model)
        if firm_id is not None:
            query = query.clone()
            limit = _belongs_to(query.model, firm_id)
            query._where = limit if query._where is None else Expression(limit, "AND", query._where)
        return super(_LimitedWrite, query).__sql__(ctx)  # type: ignore[misc]


class ScopedUpdate(_LimitedWrite, NotedQuery, ModelUpdate):
    """An UPDATE of the firm's rows only."""


class ScopedDelete(_LimitedWrite, NotedQuery, ModelDelete):
    """A DELETE of the firm's rows only."""

    verb = "deleted"


class ScopedInsert(_OfOneScope, NotedQuery, ModelInsert):
    """An INSERT; rows without a firm get the scope's, and ON CONFLICT changes rows of the firm only."""

    verb = "created"

    def __sql__(self, ctx: Any) -> Any:
        query: Any = self
        firm_id = firm_of_query(query.model)
        conflict = query._on_conflict
        if firm_id is not None and conflict is not None and (conflict._update or conflict._preserve):
            query = query.clone()
            query._on_conflict = conflict.where(_belongs_to(query.model, firm_id))
        return super(ScopedInsert, query).__sql__(ctx)


def refuse_other_firm(what: str, owner: Any) -> None:
    """Raise FirmScopeError when `owner`, the firm of a row, is another than the scope's."""
    firm_id = current_firm()
    if firm_id is not None and owner is not None and as_firm_id(owner) != firm_id:
        raise FirmScopeError(
            f"{what} names firm {owner} in the scope of firm {firm_id}.", remedy="Open the scope of its firm."
        )
