"""Column types: keys that carry the firm, enumerations as text, times with a zone, vectors."""

from __future__ import annotations

import os
import time
import uuid
from copy import deepcopy
from enum import StrEnum
from functools import lru_cache
from typing import Any

from peewee import (
    SQL,
    EnclosedNodeList,
    Entity,
    Expression,
    Field,
    FieldAccessor,
    ForeignKeyAccessor,
    ForeignKeyField,
    Model,
    NodeList,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField

from legal_store.errors import FirmScopeError
from legal_store.schema.objects import Check, Default, Generated

NOW = "now()"


def new_id() -> uuid.UUID:
    """Return a new UUID version 7: ordered by time, so that new rows stay together in an index (RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        milliseconds << 80 | 0x7 << 76 | (random >> 64 & 0xFFF) << 64 | 0b10 << 62 | random & ~(0b11 << 62) & 2**64 - 1
    )
    return uuid.UUID(int=value)


class InheritedField:
    """A field of a base model. Peewee copies it for every model; its parts never change, so they are shared."""

    def __deepcopy__(self, memo: Any) -> Any:
        duplicate = self.__class__.__new__(self.__class__)
        duplicate.__dict__.update(self.__dict__)
        return duplicate


class KeyField(InheritedField, UUIDField):
    """The `id` of a row. Peewee takes it as the primary key; PostgreSQL's key is a table constraint.

    The two differ because a firm's tables have the key (id, firm_id), while code wants a plain `id`.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("default", new_id)
        options.setdefault("constraints", [Default("uuid_generate_v4()")])
        super().__init__(primary_key=True, **options)

    def ddl(self, ctx: Any) -> NodeList:
        return NodeList((Entity(self.column_name), self.ddl_datatype(ctx), SQL("NOT NULL"), *(self.constraints or ())))


class ReferenceField(InheritedField, ForeignKeyField):
    """A foreign key with a constraint of a fixed name and no index of its own."""

    def __init__(self, model: Any, **options: Any) -> None:
        options.setdefault("index", False)
        super().__init__(model, **options)

    def foreign_key_constraint(self, explicit_name: bool = True) -> NodeList:
        columns, referenced = self.constrained_columns()
        parts = [
            SQL("CONSTRAINT"),
            Entity(self.get_constraint_name()),
            SQL("FOREIGN KEY"),
            EnclosedNodeList([Entity(column) for column in columns]),
            SQL("REFERENCES"),
            Entity(self.rel_model._meta.table_name),
            EnclosedNodeList([Entity(column) for column in referenced]),
        ]
        if self.on_delete:
            parts += [SQL("ON DELETE"), self._delete_action()]
        return NodeList(parts)

    def get_constraint_name(self) -> str:
        return f"{self.model._meta.table_name}_{self.column_name}_fkey"

    def constrained_columns(self) -> tuple[list[str], list[str]]:
        """Return the columns of this table and those of the other that the constraint pairs."""
        return [self.column_name], [self.rel_field.column_name]

    def _delete_action(self) -> Any:
        return SQL(self.on_delete)


class SameFirmAccessor(ForeignKeyAccessor):
    """Refuses to let a row refer to a row of another firm, at the assignment."""

    def __set__(self, instance: Any, value: Any) -> None:
        if isinstance(value, Model):
            mine, theirs = instance.__data__.get("firm"), value.__data__.get("firm")
            # every row that is read with a joined one passes here: equal ids first, texts only of those that differ
            if mine != theirs and None not in (mine, theirs) and str(mine) != str(theirs):
                raise FirmScopeError(
                    f"{type(instance).__name__}.{self.field.name} of firm {mine} cannot be a "
                    f"{type(value).__name__} of firm {theirs}.",
                    remedy="Rows of two firms never refer to each other.",
                )
        super().__set__(instance, value)


class FirmReferenceField(ReferenceField):
    """A reference between two tables of a firm: (x_id, firm_id) -> (id, firm_id).

    PostgreSQL itself then refuses a row of one firm that points to a row of another. When the other row is
    deleted with SET NULL, only the reference is cleared, never the firm.
    """

    accessor_class = SameFirmAccessor

    def constrained_columns(self) -> tuple[list[str], list[str]]:
        return [self.column_name, "firm_id"], [self.rel_field.column_name, "firm_id"]

    def _delete_action(self) -> Any:
        if self.on_delete == "SET NULL":
            return NodeList((SQL("SET NULL"), EnclosedNodeList([Entity(self.column_name)])))
        return SQL(self.on_delete)


class EnumField(TextField):
    """Text that is one of the members of a StrEnum. PostgreSQL enforces it by a check, Python by the member.

    Text and not a PostgreSQL enum type: easier to migrate, and its equality is leakproof, so that indexes on
    it work under row-level security.
    """

    def __init__(self, members: type[StrEnum], **options: Any) -> None:
        self.members = members
        default = options.get("default")
        if default is not None:
            options.setdefault("constraints", [Default(f"'{default}'")])
        super().__init__(**options)

    def db_value(self, value: Any) -> str | None:
        return None if value is None else self.members(value).value

    def python_value(self, value: Any) -> StrEnum | None:
        return None if value is None else self.members(value)

    def check(self) -> Check:
        values = ", ".join(f"'{member.value}'" for member in self.members)
        table = self.model._meta.table_name
        return Check(f"{table}_{self.column_name}_check", f"{self.column_name} IN ({values})")


class MutableAccessor(FieldAccessor):
    """Remembers what a dict or list was when it was handed out, so that save() sees a change made inside it."""

    def __get__(self, instance: Any, instance_type: Any = None) -> Any:
        value = super().__get__(instance, instance_type)
        if instance is not None and isinstance(value, dict | list) and self.name not in instance._dirty:
            instance.__dict__.setdefault("_handed_out", {}).setdefault(self.name, deepcopy(value))
        return value


class TimestampField(InheritedField, DateTimeTZField):
    """A moment, with its zone."""


class JsonField(BinaryJSONField):
    """A jsonb document; no index unless one is declared."""

    accessor_class = MutableAccessor

    def __init__(self, **options: Any) -> None:
        super().__init__(index=False, **options)


class SearchField(Field):
    """A column that PostgreSQL computes for searching; no SELECT of the model brings it, and nobody writes it."""

    hidden = True

    def __init__(self, field_type: str, expression: str, **options: Any) -> None:
        self.field_type = field_type  # type: ignore[misc]
        super().__init__(constraints=[Generated(expression)], **options)


def shown(fields: list[Any]) -> list[Any]:
    """Return `fields` without those that are only for searching."""
    return [field for field in fields if not getattr(field, "hidden", False)]


class ListField(ArrayField):
    """A PostgreSQL array of one element type; no index unless one is declared."""

    accessor_class = MutableAccessor

    def __init__(self, element: type[Any], **options: Any) -> None:
        options.setdefault("default", list)
        options.setdefault("constraints", [Default("'{}'")])
        super().__init__(element, index=False, **options)


class EmbeddingField(Field):
    """pgvector's VectorField, which is imported when a vector is first read or written: few services handle one."""

    field_type = "vector"

    def __init__(self, dimensions: int, **options: Any) -> None:
        self.dimensions = dimensions
        super().__init__(**options)

    def get_modifiers(self) -> list[int]:
        return [self.dimensions]

    def db_value(self, value: Any) -> Any:
        return _pgvector_field().db_value(value)

    def python_value(self, value: Any) -> Any:
        return _pgvector_field().python_value(value)

    def l2_distance(self, vector: Any) -> Expression:
        return Expression(self, "<->", self.to_value(vector))

    def max_inner_product(self, vector: Any) -> Expression:
        return Expression(self, "<#>", self.to_value(vector))

    def cosine_distance(self, vector: Any) -> Expression:
        return Expression(self, "<=>", self.to_value(vector))


@lru_cache(maxsize=1)
def _pgvector_field() -> Any:
    from pgvector.peewee import VectorField

    return VectorField()
