"""The fuzz notices when any one part of the isolation is taken away. Each test removes one and expects a leak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase

from legal_store.database import scope
from legal_store.database.pooled import PooledConnection
from legal_store.database.target import connection_parameters
from legal_store.models import scoped
from tests.isolation.conftest import FULL, Host
from tests.isolation.fuzz import fuzz
from tests.isolation.operations import MODELS, OPERATIONS
from tests.isolation.world import TABLES, World

COUNT = 20_000 if FULL else 3_000  # at most: a run stops at the first that it notices
ORM_ONLY = [operation for operation in OPERATIONS if operation.orm]


def notices(world: World, **options: Any) -> list[str]:
    report = fuzz(world, COUNT, seed=7, stop_early=True, **options)
    return report.leaks + report.failures


@pytest.fixture
def plain_owner(embedded_host: Host) -> Iterator[Any]:
    """A plain Peewee database of the owner, with the models bound to it: nothing but they limits anything."""
    parameters = connection_parameters(embedded_host.settings)
    database = PooledPostgresqlDatabase(parameters.pop("dbname"), max_connections=8, timeout=30, **parameters)
    with database.bind_ctx(list(MODELS.values())):
        yield database
    database.close_all()


@pytest.mark.parametrize("table", TABLES)
def test_without_the_policy_of_one_table(embedded_world: World, table: str) -> None:
    with embedded_world.owner() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    assert notices(embedded_world)


@pytest.mark.parametrize("table", ["documents", "users"])
def test_with_a_second_policy_beside_it(embedded_world: World, table: str) -> None:
    with embedded_world.owner() as cursor:
        cursor.execute(f"CREATE POLICY convenient ON {table} USING (true)")
    assert notices(embedded_world)


def test_without_the_check_of_what_is_written(embedded_world: World) -> None:
    with embedded_world.owner() as cursor:
        cursor.execute("ALTER POLICY firm_isolation ON clients WITH CHECK (true)")
    assert notices(embedded_world)


def test_when_the_firm_is_optional(embedded_world: World) -> None:
    with embedded_world.owner() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION current_firm_id() RETURNS uuid LANGUAGE sql STABLE AS"
            " $$ SELECT nullif(current_setting('legal_store.firm_id', true), '')::uuid $$"
        )
    assert notices(embedded_world)  # nothing instead of an error outside a scope


def only_once(self: Any) -> str:
    """Trust what the first statement of the transaction has set."""
    if self.connection.get_transaction_status() == scope.extensions.TRANSACTION_STATUS_INTRANS:
        return ""
    found = scope.current_scope()
    return scope._set(scope.SERVICE_ROLE, str(found.firm_id)) if found and found.firm_id else scope._set("none")


def nothing_outside_a_scope(self: Any) -> str:
    """Trust the connection where no scope is open."""
    found = scope.current_scope()
    if found is None:
        return ""
    return scope._set("none") if found.firm_id is None else scope._set(scope.SERVICE_ROLE, str(found.firm_id))


@pytest.mark.parametrize(
    ("target", "name", "replacement"),
    [
        (scope.ScopedCursor, "_settings", only_once),
        (scope.ScopedCursor, "_settings", nothing_outside_a_scope),
        (scope.ScopedCursor, "copy_expert", scope.extensions.cursor.copy_expert),
        (scope.ScopedConnection, "cursor", scope.extensions.connection.cursor),
        (scope, "_refuse_several", lambda query: query),
        (PooledConnection, "make_as_new", lambda self, within: True),
        (scoped._OfOneScope, "_cursor_wrapper", None),
    ],
)
def test_without_a_part_in_python(
    embedded_world: World, monkeypatch: pytest.MonkeyPatch, target: Any, name: str, replacement: Callable[..., Any]
) -> None:
    monkeypatch.setattr(target, name, replacement)
    assert notices(embedded_world)


def test_models_alone_hold_where_postgresql_enforces_nothing(plain_owner: Any, embedded_world: World) -> None:
    report = fuzz(embedded_world, COUNT // 2, seed=3, operations=ORM_ONLY, database=plain_owner)
    assert (report.failures, report.leaks) == ([], [])


@pytest.mark.parametrize(
    ("target", "name", "replacement"),
    [
        (scoped.ScopedTable, "__sql__", peewee.Table.__sql__),
        (scoped.ScopedAlias, "__sql__", peewee.ModelAlias.__sql__),
        (scoped._LimitedWrite, "__sql__", lambda self, ctx: super(scoped._LimitedWrite, self).__sql__(ctx)),
        (scoped.ScopedInsert, "__sql__", peewee.ModelInsert.__sql__),
    ],
)
def test_models_alone_without_one_of_their_hooks(
    plain_owner: Any,
    embedded_world: World,
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    name: str,
    replacement: Callable[..., Any],
) -> None:
    monkeypatch.setattr(target, name, replacement)
    assert notices(embedded_world, operations=ORM_ONLY, database=plain_owner)
