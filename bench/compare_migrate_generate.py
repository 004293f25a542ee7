"""Random changes of models, each through our difference engine and through peewee-migrate's own generator.

Both start from the same schema, made by the models before the change; a change has converged when the catalog equals
that of the models after it. Renames are answered as meant for us; peewee-migrate does not ask.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2

from bench.measure import Result
from bench.servers import server
from legal_store.errors import LegalStoreError
from legal_store.migrate.generate import propose_on
from legal_store.migrate.rename_decision import model_hints
from legal_store.migrate.shadow import empty_schema
from legal_store.schema.catalog import differences, read_catalog
from legal_store.schema.ddl import create_statements
from legal_store.schema.snapshot import Snapshot, read_snapshot
from tests.migrate.random_models import changed, random_spec, schema_of


def run(*, quick: bool) -> list[Result]:
    seeds = range(6 if quick else 300)
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    with server() as own, closing(psycopg2.connect(own.postgres.url)) as connection:
        _prepare(connection)
        for seed in seeds:
            ours[_outcome(connection, seed, _legal_store)] += 1
            theirs[_outcome(connection, seed, _peewee_migrate)] += 1
    total = len(seeds)
    converged = {"peewee-migrate": float(theirs["converged"]), "legal_store": float(ours["converged"])}
    outcomes = f"legal_store {dict(ours)}, peewee-migrate {dict(theirs)}"
    share = ours["converged"] / total
    return [Result(f"converged of {total} random changes ({outcomes})", converged, "changes", share, "at least 1")]


def _prepare(connection: Any) -> None:
    with connection, connection.cursor() as cursor:
        for extension in ("uuid-ossp", "vector", "pg_trgm"):
            cursor.execute(f'CREATE EXTENSION IF NOT EXISTS "{extension}"')


def _outcome(connection: Any, seed: int, step: Callable[[Any, Any, Any, Snapshot], None]) -> str:
    rng = random.Random(seed)
    before = random_spec(rng)
    old, new = schema_of(before), schema_of(changed(rng, before))
    try:
        _create(connection, new)
        wanted = read_snapshot(connection)
        connection.rollback()
        _create(connection, old)
        step(connection, old, new, wanted)
        return "wrong" if differences(wanted.catalog, read_catalog(connection)) else "converged"
    except Exception:  # noqa: BLE001  (whatever a generator or its code raises)
        return "crashed"
    finally:
        connection.rollback()
        _clear(connection)


def _clear(connection: Any) -> None:
    """Take away what a generator committed by itself."""
    if any(kind == "table" for kind, _ in read_catalog(connection)):
        empty_schema(connection)
        connection.commit()
        _prepare(connection)
    connection.rollback()


def _create(connection: Any, schema: Any) -> None:
    with connection.cursor() as cursor:
        for statement in create_statements(schema):
            cursor.execute(statement)


def _legal_store(connection: Any, old: Any, new: Any, wanted: Snapshot) -> None:
    declared = {" ".join(key) for key in read_snapshot(connection).catalog}
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        proposal = propose_on(
            connection, wanted, declared_before=declared, hints=model_hints(new), ask=lambda rename: False
        )
        if proposal.irreversible:
            raise LegalStoreError(proposal.irreversible)
        cursor.execute("ROLLBACK TO SAVEPOINT before")
        for statement in proposal.up:
            cursor.execute(statement)


def _peewee_migrate(connection: Any, old: Any, new: Any, wanted: Snapshot) -> None:
    import peewee
    from peewee_migrate import Migrator
    from peewee_migrate.auto import diff_many
    from playhouse import postgres_ext

    from legal_store.migrate.python_files import over_connection

    migrator = Migrator(over_connection(connection))
    for model in old.models:
        migrator.orm.add(model)
    lines = diff_many(list(new.models), list(old.models), migrator)
    names = {"pw": peewee, "pw_pext": postgres_ext, "migrator": migrator}
    exec("\n".join(lines), names)
    migrator()
