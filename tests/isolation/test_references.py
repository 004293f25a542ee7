"""PostgreSQL refuses every reference between two firms through any client: generated for all references there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors, sql
from psycopg2.extras import register_uuid

from legal_store.models.declared import SCHEMA
from legal_store.schema.fields import FirmReferenceField
from tests.isolation.world import World, connected

REFERENCES = [
    pytest.param(model._meta.table_name, field, id=f"{model._meta.table_name}.{field.column_name}")
    for model in SCHEMA.models
    for field in model._meta.sorted_fields
    if isinstance(field, FirmReferenceField)
]
FIRM_TABLES = [model._meta.table_name for model in SCHEMA.models if model.firm_column]


@pytest.fixture(scope="module")
def two_firms(shared_database: dict[str, Any]) -> World:
    return World(shared_database, 2)


@pytest.fixture
def client(shared_database: dict[str, Any], two_firms: World) -> Iterator[Any]:
    """Any client: a plain connection of the owner, for whom no policy holds; triggers of our own do not hinder."""
    with connected(shared_database) as connection, connection.cursor() as cursor:
        register_uuid(conn_or_curs=connection)
        for table in ("user_audit_logs", "case_audit_logs"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor


def identifiers(*names: str) -> list[sql.Identifier]:
    return [sql.Identifier(name) for name in names]


@pytest.mark.parametrize(("table", "field"), REFERENCES)
def test_a_row_cannot_be_pointed_at_another_firms(two_firms: World, client: Any, table: str, field: Any) -> None:
    mine, theirs = two_firms.firms
    statement = sql.SQL("UPDATE {} SET {} = %s WHERE id = %s").format(*identifiers(table, field.column_name))
    target = field.rel_model._meta.table_name
    client.execute(statement, (mine.ids[target][0], mine.ids[table][0]))
    assert client.rowcount == 1
    with pytest.raises(errors.ForeignKeyViolation, match=field.get_constraint_name()):
        client.execute(statement, (theirs.ids[target][0], mine.ids[table][0]))


def computed(field: Any) -> bool:
    return any(constraint.sql.startswith("GENERATED") for constraint in field.constraints or ())


@pytest.mark.parametrize(("table", "field"), REFERENCES)
def test_a_row_cannot_be_made_with_a_reference_to_another_firms(
    two_firms: World, client: Any, table: str, field: Any
) -> None:
    mine, theirs = two_firms.firms
    target = field.rel_model._meta.table_name
    columns = [f.column_name for f in field.model._meta.sorted_fields if not computed(f)]
    values = ", ".join(f"(copy).{column}" for column in columns)
    copy = (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values}"
        f" FROM (SELECT jsonb_populate_record(t, %s::jsonb) AS copy FROM {table} t WHERE id = %s) AS made"
    )
    change = {"id": str(mine.ids[table][1])[:-4] + "0000", field.column_name: str(theirs.ids[target][0])}
    change |= {"case_number": "new", "user_id": str(mine.ids["users"][1])} | change
    with pytest.raises(errors.ForeignKeyViolation, match=field.get_constraint_name()):
        client.execute(copy, (psycopg2.extras.Json(change), mine.ids[table][0]))


@pytest.mark.parametrize("table", [table for table in FIRM_TABLES if table != "firms"])
def test_a_row_cannot_be_moved_to_another_firm_with_what_it_refers_to(
    two_firms: World, client: Any, table: str
) -> None:
    mine, theirs = two_firms.firms
    statement = sql.SQL("UPDATE {} SET firm_id = %s WHERE id = %s").format(*identifiers(table))
    with pytest.raises(errors.ForeignKeyViolation):
        client.execute(statement, (theirs.id, mine.ids[table][0]))


@pytest.mark.parametrize("table", [table for table in FIRM_TABLES if table != "firms"])
def test_a_row_needs_a_firm_that_exists(two_firms: World, client: Any, table: str) -> None:
    with pytest.raises(errors.NotNullViolation):
        client.execute(f"UPDATE {table} SET firm_id = NULL")


def test_every_reference_in_the_database_is_covered(two_firms: World, client: Any) -> None:
    """What PostgreSQL has as foreign keys between tables of a firm is what these tests were generated from."""
    client.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text = ANY (%s)"
        " AND confrelid <> 'firms'::regclass",
        (FIRM_TABLES,),
    )
    declared = {parameter.values[1].get_constraint_name() for parameter in REFERENCES}
    assert {name for (name,) in client.fetchall()} == declared
    assert len(declared) == 14
