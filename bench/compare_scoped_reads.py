"""Reads in the scope of a firm, beside plain Peewee with the firm written out, on a plain connection of the owner."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import peewee
import psycopg2
from psycopg2.extensions import parse_dsn

import legal_store
from bench.measure import Result, alternate
from bench.servers import server, settings_for
from legal_store import Case, Client, Document, Firm, db
from legal_store.schema.fields import shown

GOAL = 1.1


def run(*, quick: bool) -> list[Result]:
    rows = 200 if quick else 10_000
    rounds = 3 if quick else 41
    results = []
    with database(rows) as (firm_id, plain):
        for what, (ours, theirs, calls) in reads(firm_id, plain).items():
            contestants = {"plain Peewee": repeated(theirs, calls), "legal_store": repeated(ours, calls)}
            with db.connection_context(), legal_store.firm(firm_id):
                assert len(ours()) == len(theirs()), what
                medians = alternate(contestants, rounds, warm_up=5)
            ratio = medians["legal_store"] / medians["plain Peewee"]
            results.append(Result(f"{what}, {rows} rows of the firm", medians, "ms", ratio, f"at most {GOAL}"))
    return results


def repeated(read: Callable[[], Any], calls: int) -> Callable[[], None]:
    def run_calls() -> None:
        for _ in range(calls):
            read()

    return run_calls


def reads(firm_id: uuid.UUID, plain: dict[str, Any]) -> dict[str, tuple[Any, Any, int]]:
    """Return pairs of the same read, ours and plain Peewee's with the firm written out, and how often to call them."""
    case, client, document = plain["cases"], plain["clients"], plain["documents"]
    one = Case.select(Case.id)
    with db.connection_context(), legal_store.firm(firm_id):
        case_id = one.limit(1).scalar()
    return {
        "all cases as rows": (
            lambda: list(Case.select().tuples()),
            lambda: list(case.select().where(case.firm == firm_id).tuples()),
            1,
        ),
        "all cases as objects": (
            lambda: list(Case.select()),
            lambda: list(case.select().where(case.firm == firm_id)),
            1,
        ),
        "cases with their clients": (
            lambda: list(Case.select(Case, Client).join(Client).limit(1000)),
            lambda: list(
                case.select(case, client)
                .join(client, on=((case.client == client.id) & (client.firm == firm_id)))
                .where(case.firm == firm_id)
                .limit(1000)
            ),
            1,
        ),
        "100 newest active cases": (
            lambda: list(Case.select().where(Case.status == "Active").order_by(Case.opened_date.desc()).limit(100)),
            lambda: list(
                case.select()
                .where(case.firm == firm_id, case.status == "Active")
                .order_by(case.opened_date.desc())
                .limit(100)
            ),
            5,
        ),
        "documents counted by case": (
            lambda: list(Document.select(Document.case, peewee.fn.COUNT(Document.id)).group_by(Document.case).tuples()),
            lambda: list(
                document.select(document.case, peewee.fn.COUNT(document.id))
                .where(document.firm == firm_id)
                .group_by(document.case)
                .tuples()
            ),
            1,
        ),
        "one case by id": (
            lambda: [Case.get_by_id(case_id)],
            lambda: [case.get(case.id == case_id, case.firm == firm_id)],
            50,
        ),
    }


def plain_models(database: Any) -> dict[str, Any]:
    """Return copies of some models as anyone would write them with Peewee alone: the same columns, the same values."""
    made: dict[str, Any] = {}
    for model in (Firm, Client, Case, Document):
        meta: Any = model._meta
        fields = {field.name: _plain_field(field, made) for field in shown(meta.sorted_fields)}
        options = type("Meta", (), {"database": database, "table_name": meta.table_name, "legacy_table_names": False})
        made[meta.table_name] = type(model.__name__, (peewee.Model,), {**fields, "Meta": options})
    return made


def _plain_field(field: Any, made: dict[str, Any]) -> peewee.Field[Any]:
    if field.name == "id":
        return peewee.UUIDField(primary_key=True)
    if isinstance(field, peewee.ForeignKeyField):
        target = made.get(field.rel_model._meta.table_name)
        if target is None:
            return peewee.UUIDField(column_name=field.column_name)
        return peewee.ForeignKeyField(target, column_name=field.column_name, backref="+")
    return copy.deepcopy(field)


@contextmanager
def database(rows: int) -> Iterator[tuple[uuid.UUID, dict[str, Any]]]:
    """A server with two firms of so many cases and documents each; yields the first and plain Peewee's models."""
    firms = [uuid.uuid4(), uuid.uuid4()]
    with server() as own, own.database() as url:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for firm_id in firms:
                    fill(cursor, str(firm_id), rows)
                cursor.execute("VACUUM ANALYZE")
        db.configure(settings_for(url))
        parameters = parse_dsn(url)
        owner = peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters)
        with owner.connection_context():
            yield firms[0], plain_models(owner)
        db.close_all()


def fill(cursor: Any, firm_id: str, rows: int) -> None:
    cursor.execute("INSERT INTO firms (id, name, vat_id) VALUES (%s, 'F', %s)", (firm_id, firm_id))
    cursor.execute(
        "INSERT INTO clients (firm_id, name) SELECT %s, 'client ' || n FROM generate_series(1, 100) n", (firm_id,)
    )
    cursor.execute(
        "INSERT INTO cases (firm_id, client_id, case_number, title, type, status, opened_date, closed_date)"
        " SELECT c.firm_id, c.id, c.name || ' ' || n, 'Case ' || n, 'Civil',"
        " CASE n %% 4 WHEN 0 THEN 'Closed' ELSE 'Active' END,"
        " date '2024-01-01' + n %% 300, CASE n %% 4 WHEN 0 THEN date '2025-01-01' END"
        " FROM clients c, generate_series(1, %s) n WHERE c.firm_id = %s",
        (max(1, rows // 100), firm_id),
    )
    cursor.execute(
        "INSERT INTO documents (firm_id, case_id, title, document_type)"
        " SELECT firm_id, id, 'Document of ' || title, 'Other' FROM cases WHERE firm_id = %s",
        (firm_id,),
    )
