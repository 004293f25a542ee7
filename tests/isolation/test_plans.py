"""Indexes still work: where the owner's plan of a query uses one, the service's does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import legal_store
from bench.compare_scoped_reads import fill
from legal_store import Case, CaseStatus, Client, Document, Task, User, db
from legal_store.models.declared import SCHEMA
from tests.isolation.conftest import Host
from tests.isolation.world import connected

FIRMS, ROWS = 4, 1_000

QUERIES = {
    "a row by its id": lambda row: Case.select().where(Case.id == row),
    "cases by status": lambda row: Case.select().where(Case.status == CaseStatus.CLOSED).order_by(Case.opened_date),
    "cases of a client": lambda row: Case.select().where(Case.client == row),
    "a case by its number": lambda row: Case.select().where(Case.case_number == "client 1 1"),
    "documents of a case": lambda row: Document.select().where(Document.case == row),
    "documents with their cases": lambda row: Document.select(Document, Case).join(Case).where(Document.case == row),
    "open tasks by due date": lambda row: (
        Task.select().where(Task.status != "Completed").order_by(Task.due_date).limit(20)
    ),
    "a client by name": lambda row: Client.select().where(Client.name == "client 7"),
    "a user by address": lambda row: User.select().where(User.email == "x@y.ro"),
}


@pytest.fixture(scope="module")
def filled(shared_database: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    firms = [str(uuid.uuid4()) for _ in range(FIRMS)]
    with connected(shared_database) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for firm_id in firms:
                fill(cursor, firm_id, ROWS)
            cursor.execute(
                "INSERT INTO tasks (firm_id, case_id, title, task_type, due_date, status, completed_at)"
                " SELECT firm_id, id, title, 'Research', opened_date,"
                " CASE WHEN n < 5 THEN 'Pending' ELSE 'Completed' END,"
                " CASE WHEN n < 5 THEN NULL ELSE now() END FROM cases, generate_series(1, 10) n"
            )
            cursor.execute(
                "INSERT INTO users (firm_id, email, first_name, last_name, role)"
                " SELECT id, lower(id::text) || n || '@x.ro', 'A', 'B', 'Partner' FROM firms, generate_series(1, 500) n"
            )
            cursor.execute("VACUUM ANALYZE")
    yield shared_database, firms[0]


def scans(plan: dict[str, Any]) -> set[tuple[str, bool]]:
    """Return the tables of a plan, each with whether an index is used for it."""
    found = (
        {(plan["Relation Name"], "Index" in plan["Node Type"] or "Bitmap" in plan["Node Type"])}
        if ("Relation Name" in plan)
        else set()
    )
    return found.union(*(scans(child) for child in plan.get("Plans", ())))


def explain(parameters: dict[str, Any], role: str, firm_id: str, statement: str, values: list[Any]) -> Any:
    with connected(parameters) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}; SET legal_store.firm_id = '{firm_id}'")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
        return scans(cursor.fetchone()[0][0]["Plan"])


@pytest.mark.parametrize("query", QUERIES)
def test_the_service_uses_an_index_where_the_owner_does(filled: Any, query: str) -> None:
    parameters, firm_id = filled
    with legal_store.firm(firm_id):
        statement, values = QUERIES[query](str(uuid.uuid4())).sql()
    owner = explain(parameters, "none", firm_id, statement, values)
    service = explain(parameters, "legal_store_service", firm_id, statement, values)
    assert service == owner
    assert all(indexed for _, indexed in service)


# Operators of our own indexes that a policy keeps services from using: their access goes through functions.
NOT_LEAKPROOF = {"gin_trgm_ops", "vector_cosine_ops"}


def test_which_operators_are_leakproof_on_this_server(shared_database: dict[str, Any]) -> None:
    tables = [model._meta.table_name for model in SCHEMA.models if model.firm_column]
    with connected(shared_database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.opcname, bool_and(p.proleakproof) FROM pg_index x"
            " CROSS JOIN LATERAL unnest(x.indclass::oid[]) AS k(opclass) JOIN pg_opclass o ON o.oid = k.opclass"
            " JOIN pg_amop a ON a.amopfamily = o.opcfamily AND a.amoplefttype = o.opcintype"
            "   AND a.amoprighttype = o.opcintype"
            " JOIN pg_operator op ON op.oid = a.amopopr JOIN pg_proc p ON p.oid = op.oprcode"
            " WHERE x.indrelid::regclass::text = ANY (%s) GROUP BY 1",
            (tables,),
        )
        found = dict(cursor.fetchall())
    assert {name for name, leakproof in found.items() if not leakproof} == NOT_LEAKPROOF
    assert {"uuid_ops", "text_ops", "date_ops", "timestamptz_ops"} <= set(found)


def test_a_condition_that_could_leak_waits_for_the_policy(filled: Any) -> None:
    """Why search needs functions: the trigram index is the owner's only."""
    parameters, firm_id = filled
    statement = "SELECT * FROM cases WHERE title ILIKE '%%Case 99%%'"
    with connected(parameters) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET enable_seqscan = off; SET ROLE legal_store_service; SET legal_store.firm_id = '{firm_id}'")
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "cases_title_trgm_idx" not in plan


def test_a_wrong_id_in_the_service_is_no_scan(host: Host) -> None:
    with db.connection_context(), legal_store.firm(uuid.uuid4()):
        assert list(Case.select()) == []
