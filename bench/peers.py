"""The same tables for the peers: SQLAlchemy reads them from the database, Django is told; and ready rows for all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg2.extensions import parse_dsn

from legal_store.generating.tables import COLUMNS
from legal_store.models.declared import SCHEMA

MODELS = {model._meta.table_name: model for model in SCHEMA.models}


def as_values(table: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows of COPY's text format as Python values by column name, as a program would hold them."""
    meta = MODELS[table]._meta
    read = [_READERS.get(meta.columns[column].field_type, str) for column in COLUMNS[table]]
    return [
        {
            column: None if text == r"\N" else reader(text.replace(r"\n", "\n"))
            for column, reader, text in zip(COLUMNS[table], read, line.split("\t"), strict=True)
        }
        for line in lines
    ]


_READERS: dict[str, Any] = {
    "UUID": UUID,
    "TIMESTAMPTZ": datetime.fromisoformat,
    "DATE": date.fromisoformat,
    "DECIMAL": Decimal,
    "INT": int,
    "BIGINT": int,
    "BOOL": lambda text: text == "t",
    "JSONB": json.loads,
    "vector": json.loads,
}


def sqlalchemy_tables(engine: Any) -> dict[str, Any]:
    """Return the tables as SQLAlchemy reads them from the database."""
    import pgvector.sqlalchemy  # noqa: F401  (teaches it the type vector)
    import sqlalchemy

    metadata = sqlalchemy.MetaData()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about indexes on expressions, which it does not reflect
        metadata.reflect(engine)
    return dict(metadata.tables)


def sqlalchemy_engine(url: str) -> Any:
    import sqlalchemy

    return sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))


def django_models(url: str, references: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
    """Set Django up for the database and return its models of the tables. Once in a process.

    `references` are foreign keys: by table, the column and the table it refers to, which stands before it.
    """
    import django
    from django.conf import settings

    parameters = parse_dsn(url)
    settings.configure(
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parameters["dbname"],
                "USER": parameters["user"],
                "HOST": parameters["host"],
                "CONN_MAX_AGE": None,
            }
        },
    )
    django.setup()
    made: dict[str, Any] = {}
    for table in COLUMNS:
        made[table] = _django_model(table, {c: made[t] for c, t in (references or {}).get(table, {}).items()})
    return made


def _django_model(table: str, references: dict[str, Any]) -> Any:
    from django.db import models

    meta = MODELS[table]._meta
    fields: dict[str, Any] = {
        column: _django_field(meta.columns[column], models)
        for column in COLUMNS[table]
        if column != "id" and column not in references
    }
    for column, target in references.items():
        fields[column.removesuffix("_id")] = models.ForeignKey(target, models.DO_NOTHING, related_name="+")
    options = type("Meta", (), {"managed": False, "db_table": table, "app_label": "bench"})
    identity = {"id": models.UUIDField(primary_key=True)}
    return type(table, (models.Model,), {**identity, **fields, "Meta": options, "__module__": __name__})


def _django_field(field: Any, models: Any) -> Any:
    from pgvector.django import VectorField

    kind = field.field_type
    if kind == "vector":
        return VectorField(dimensions=1536, null=True)
    if kind == "DECIMAL":
        return models.DecimalField(max_digits=field.max_digits, decimal_places=field.decimal_places, null=True)
    made = {
        "UUID": models.UUIDField,
        "TIMESTAMPTZ": models.DateTimeField,
        "DATE": models.DateField,
        "INT": models.IntegerField,
        "BIGINT": models.BigIntegerField,
        "BOOL": models.BooleanField,
        "JSONB": models.JSONField,
    }
    return made.get(kind, models.TextField)(null=True)
