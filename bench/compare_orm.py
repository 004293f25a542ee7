"""Reading and writing through the models, in the scope of one firm, beside plain Peewee, SQLAlchemy's and Django's
object-relational mappers, and SQL by hand over psycopg2. All return objects, or for psycopg2 tuples, of all columns."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

import legal_store
from bench.measure import Result, alternate
from bench.peers import MODELS, django_models, sqlalchemy_engine, sqlalchemy_tables
from bench.servers import SYNTHETIC, server, settings_for
from legal_store.config import Url
from legal_store.generating import generate
from legal_store.models import Case, Client

GOAL_OF_PEEWEE = 1.5
LIST = 100

Contestant = dict[str, Callable[[], object]]
OPERATIONS = {
    "get": "one case by its key",
    "list": f"{LIST} cases with their clients, joined",
    "insert": "one client, one transaction",
    "update": "one column of one client, one transaction",
}


def run(*, quick: bool) -> list[Result]:
    rounds, warm_up = (5, 2) if quick else (400, 40)
    with server() as started, started.database() as url:
        generate(settings_for(url), SYNTHETIC, rows=2_000 if quick else 50_000)
        with ExitStack() as stack:
            made = {
                "legal_store": _ours(url, stack),
                "Peewee": _peewee(url, stack),
                "SQLAlchemy ORM": _sqlalchemy(url, stack),
                "Django ORM": _django(url),
                "psycopg2 by hand": _by_hand(url, stack),
            }
            return [_compare(what, made, operation, rounds, warm_up) for operation, what in OPERATIONS.items()]


def _compare(what: str, made: dict[str, Contestant], operation: str, rounds: int, warm_up: int) -> Result:
    medians = alternate({name: contestant[operation] for name, contestant in made.items()}, rounds, warm_up)
    ratio = medians["legal_store"] / medians["Peewee"]
    return Result(what, medians, "ms", ratio, f"at most {GOAL_OF_PEEWEE} x plain Peewee, with isolation of firms")


def _sample(url: Url) -> dict[str, Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT firm_id::text, id::text FROM cases ORDER BY id LIMIT 1")
        firm_id, case_id = cursor.fetchone()
        cursor.execute("SELECT id::text FROM clients WHERE firm_id = %s ORDER BY id LIMIT 1", (firm_id,))
        return {"firm_id": firm_id, "case_id": case_id, "client_id": cursor.fetchone()[0]}


def _names() -> Iterator[str]:
    while True:
        yield f"Client {uuid.uuid4().hex}"


NAMES = _names()


def _ours(url: Url, stack: ExitStack) -> Contestant:
    sample = _sample(url)
    legal_store.db.configure(settings_for(url))
    stack.callback(legal_store.db.close_all)
    stack.enter_context(legal_store.db.connection_context())
    case_id, client_id = uuid.UUID(sample["case_id"]), uuid.UUID(sample["client_id"])

    def scoped(act: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with legal_store.firm(sample["firm_id"]):
                return act()

        return run

    listing = lambda: list(Case.select(Case, Client).join(Client).order_by(Case.opened_date).limit(LIST))  # noqa: E731
    return {
        "get": scoped(lambda: Case.get(Case.id == case_id)),
        "list": scoped(listing),
        "insert": scoped(lambda: Client.create(name=next(NAMES))),
        "update": scoped(lambda: Client.update(phone=next(NAMES)).where(Client.id == client_id).execute()),
    }


def _peewee(url: Url, stack: ExitStack) -> Contestant:
    """Models of the same columns, on Peewee's own classes, as someone without isolation would have them."""
    import peewee
    from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField, PostgresqlExtDatabase

    parameters = parse_dsn(url)
    database = PostgresqlExtDatabase(parameters.pop("dbname"), **parameters)
    database.connect()
    stack.callback(database.close)
    kinds = {
        "UUID": peewee.UUIDField,
        "TIMESTAMPTZ": DateTimeTZField,
        "DATE": peewee.DateField,
        "JSONB": BinaryJSONField,
    }

    def model(table: str, **references: Any) -> Any:
        meta = MODELS[table]._meta
        fields = {
            field.column_name: peewee.DecimalField(null=True)
            if field.field_type == "DECIMAL"
            else kinds.get(field.field_type, peewee.TextField)(
                null=True, primary_key=field.name == "id", **({"index": False} if field.field_type == "JSONB" else {})
            )
            for field in meta.sorted_fields
        }
        options = type("Meta", (), {"database": database, "table_name": table})
        return type(table, (peewee.Model,), {**fields, **references, "Meta": options})

    clients = model("clients")
    cases = model("cases", client_id=peewee.ForeignKeyField(clients, column_name="client_id", index=False))
    sample = _sample(url)
    firm_id, case_id, client_id = (uuid.UUID(sample[name]) for name in ("firm_id", "case_id", "client_id"))

    def listing() -> object:
        of_firm = cases.select(cases, clients).join(clients).where(cases.firm_id == firm_id)
        return list(of_firm.order_by(cases.opened_date).limit(LIST))

    def insert() -> object:
        with database.atomic():
            return clients.insert(id=uuid.uuid4(), firm_id=firm_id, name=next(NAMES)).execute()

    def update() -> object:
        with database.atomic():
            changed = clients.update(phone=next(NAMES))
            return changed.where((clients.id == client_id) & (clients.firm_id == firm_id)).execute()

    return {
        "get": lambda: cases.get((cases.id == case_id) & (cases.firm_id == firm_id)),
        "list": listing,
        "insert": insert,
        "update": update,
    }


def _sqlalchemy(url: Url, stack: ExitStack) -> Contestant:
    from sqlalchemy import and_, select, update
    from sqlalchemy.orm import Session, contains_eager, registry, relationship

    engine = sqlalchemy_engine(url)
    stack.callback(engine.dispose)
    tables, mapper = sqlalchemy_tables(engine), registry()
    client_class, case_class = type("SaClient", (), {}), type("SaCase", (), {})
    clients, cases = tables["clients"], tables["cases"]
    mapper.map_imperatively(client_class, clients)
    on = and_(cases.c.client_id == clients.c.id, cases.c.firm_id == clients.c.firm_id)
    mapper.map_imperatively(case_class, cases, properties={"client": relationship(client_class, primaryjoin=on)})
    sample = {name: uuid.UUID(value) for name, value in _sample(url).items()}
    firm_id = sample["firm_id"]

    def get() -> object:
        with Session(engine) as session:
            wanted = select(case_class).where(cases.c.id == sample["case_id"], cases.c.firm_id == firm_id)
            return session.scalars(wanted).one()

    def listing() -> object:
        with Session(engine) as session:
            wanted = select(case_class).join(case_class.client).options(contains_eager(case_class.client))
            ordered = wanted.where(cases.c.firm_id == firm_id).order_by(cases.c.opened_date).limit(LIST)
            return session.scalars(ordered).all()

    def insert() -> None:
        with Session(engine) as session:
            made = client_class()
            made.id, made.firm_id, made.name = uuid.uuid4(), firm_id, next(NAMES)
            session.add(made)
            session.commit()

    def change() -> None:
        with Session(engine) as session:
            wanted = update(client_class).where(clients.c.id == sample["client_id"], clients.c.firm_id == firm_id)
            session.execute(wanted.values(phone=next(NAMES)), execution_options={"synchronize_session": False})
            session.commit()

    return {"get": get, "list": listing, "insert": insert, "update": change}


def _django(url: Url) -> Contestant:
    made = django_models(url, references={"cases": {"client_id": "clients"}})
    clients, cases = made["clients"].objects, made["cases"].objects
    sample = {name: uuid.UUID(value) for name, value in _sample(url).items()}
    firm_id = sample["firm_id"]

    def insert() -> None:
        made["clients"](id=uuid.uuid4(), firm_id=firm_id, name=next(NAMES), **_django_times()).save(force_insert=True)

    return {
        "get": lambda: cases.get(id=sample["case_id"], firm_id=firm_id),
        "list": lambda: list(cases.select_related("client").filter(firm_id=firm_id).order_by("opened_date")[:LIST]),
        "insert": insert,
        "update": lambda: clients.filter(id=sample["client_id"], firm_id=firm_id).update(phone=next(NAMES)),
    }


def _django_times() -> dict[str, Any]:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return {"created_at": now, "updated_at": now, "contact_info": {}}


def _by_hand(url: Url, stack: ExitStack) -> Contestant:
    connection = stack.enter_context(closing(psycopg2.connect(url)))
    connection.autocommit = True
    sample = _sample(url)

    def execute(statement: str, *values: Any) -> object:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    key = (sample["client_id"], sample["firm_id"])
    return {
        "get": lambda: execute(
            "SELECT * FROM cases WHERE id = %s AND firm_id = %s", sample["case_id"], sample["firm_id"]
        ),
        "list": lambda: execute(
            "SELECT * FROM cases JOIN clients ON clients.id = client_id AND clients.firm_id = cases.firm_id "
            "WHERE cases.firm_id = %s ORDER BY opened_date LIMIT %s",
            sample["firm_id"],
            LIST,
        ),
        "insert": lambda: execute(
            "INSERT INTO clients (firm_id, name) VALUES (%s, %s)", sample["firm_id"], next(NAMES)
        ),
        "update": lambda: execute("UPDATE clients SET phone = %s WHERE id = %s AND firm_id = %s", next(NAMES), *key),
    }
