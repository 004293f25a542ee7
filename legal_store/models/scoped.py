"""Queries that know their firm: every SELECT, UPDATE, DELETE, INSERT and join on a firm's table is limited to it.

The firm is looked up when the SQL is made, not when the query is written, so that a query may be built anywhere
and never carries one firm into the scope of another.
"""

from __future__ import annotations

from typing import Any

from peewee import (
    SQL,
    Expression,
    ForeignKeyAccessor,
    Model,
    ModelAlias,
    ModelDelete,
    ModelInsert,
    ModelSelect,
    ModelUpdate,
    Node,
)

from legal_store.database.scope import current_firm, required_scope
from legal_store.errors import FirmScopeError
from legal_store.schema.fields import shown


class InFirm(Node):
    """The condition that a row belongs to the firm of the scope; true inside all_firms(), an error outside any."""

    def __init__(self, source: Any, column: str) -> None:
        self.model = getattr(source, "model", source)
        self.field = getattr(source, column)

    def __sql__(self, ctx: Any) -> Any:
        scope = required_scope(self.model.__name__)
        if scope.firm_id is None:
            return ctx.sql(SQL("TRUE"))
        return ctx.sql(Expression(self.field, "=", scope.firm_id))


def in_firm(source: Any) -> InFirm | None:
    """Return the condition for a model or an alias of one; None where rows belong to no firm."""
    column = getattr(getattr(source, "model", source), "firm_column", None)
    return InFirm(source, column) if column else None


class _StaysInFirm:
    """For queries with a WHERE clause: whatever is added to it, the firm's condition stays outermost."""

    model: Any
    _where: Any

    def orwhere(self, *expressions: Any) -> Any:
        query = super().orwhere(*expressions)  # type: ignore[misc]
        condition = in_firm(self.model)
        if condition is not None:
            query._where = Expression(condition, "AND", query._where)
        return query


class ScopedSelect(_StaysInFirm, ModelSelect):
    """A SELECT whose joined tables are limited to the firm too, each in its own ON clause."""

    def _normalize_join(self, src: Any, dest: Any, on: Any, attr: Any) -> Any:
        on, *rest = super()._normalize_join(src, dest, on, attr)  # type: ignore[misc]
        condition = in_firm(dest)
        if condition is not None and isinstance(on, Node):
            on = Expression(on, "AND", condition)
        return on, *rest


class ScopedUpdate(_StaysInFirm, ModelUpdate):
    """An UPDATE of the firm's rows only."""


class ScopedDelete(_StaysInFirm, ModelDelete):
    """A DELETE of the firm's rows only."""


class ScopedInsert(ModelInsert):
    """An INSERT that needs a scope; rows without a firm get the scope's."""

    def __sql__(self, ctx: Any) -> Any:
        if getattr(self.model, "firm_column", None):
            required_scope(self.model.__name__)
        return super().__sql__(ctx)


class ScopedAlias(ModelAlias):
    """An alias whose queries are limited as those of its model."""

    def get_field_aliases(self) -> Any:
        return [self.__getattr__(field.name) for field in shown(self.model._meta.sorted_fields)]

    def select(self, *selection: Any) -> Any:
        return limited(ScopedSelect(self, selection or self.get_field_aliases()), self)


def limited(query: Any, source: Any) -> Any:
    """Return `query` with the condition of the model or alias `source`, if rows of it belong to a firm."""
    condition = in_firm(source)
    return query if condition is None else query.where(condition)


class SameFirmAccessor(ForeignKeyAccessor):
    """Refuses to let a row refer to a row of another firm, at the assignment."""

    def __set__(self, instance: Any, value: Any) -> None:
        if isinstance(value, Model):
            mine = instance.__data__.get("firm") or current_firm()
            theirs = value.__data__.get("firm")
            if mine is not None and theirs is not None and mine != theirs:
                raise FirmScopeError(
                    f"{type(instance).__name__}.{self.field.name} of firm {mine} cannot be a "
                    f"{type(value).__name__} of firm {theirs}.",
                    remedy="Rows of two firms never refer to each other.",
                )
        super().__set__(instance, value)


def refuse_other_firm(row: Any) -> None:
    """Raise FirmScopeError when `row` belongs to another firm than the scope's."""
    scope = required_scope(type(row).__name__)
    owner = row.__data__.get(row.firm_column)
    if scope.firm_id is not None and owner is not None and owner != scope.firm_id:
        raise FirmScopeError(
            f"A {type(row).__name__} of firm {owner} cannot be written in the scope of firm {scope.firm_id}.",
            remedy="Open the scope of its firm.",
        )
