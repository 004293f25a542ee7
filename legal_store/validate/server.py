"""Checks of PostgreSQL's own objects: extensions, indexes, triggers, corruption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legal_store.schema.objects import Schema
from legal_store.validate.checks import Check, Outcome, failed, no_rows, passed, skipped

_INVALID = (
    "SELECT format('%s', i.indexrelid::regclass) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE c.relnamespace = 'public'::regnamespace AND NOT (i.indisvalid AND i.indisready)"
)


def checks_of_server(schema: Schema) -> Iterator[Check]:
    """Yield the checks of what PostgreSQL keeps besides rows."""
    yield _extensions(schema)
    yield _declared_objects(schema)
    invalid = no_rows("invalid indexes", "indexes are invalid: a concurrent build or rebuild broke off", _INVALID)
    yield invalid._replace(fix=_rebuild_invalid)
    disabled = no_rows(
        "disabled triggers",
        "triggers of ours are switched off",
        "SELECT tgrelid::regclass || '.' || tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = 'public'::regnamespace AND t.tgenabled = 'D'",
    )
    yield disabled._replace(fix=_enable_triggers)
    yield Check("index corruption", "Does every index agree with its table (amcheck)?", _amcheck)


def _extensions(schema: Schema) -> Check:
    def run(cursor: Any) -> Outcome:
        cursor.execute("SELECT extname FROM pg_extension")
        missing = sorted(set(schema.extensions) - {name for (name,) in cursor.fetchall()})
        return failed("extensions are missing; run `invoke migrate.deploy`", missing) if missing else passed()

    return Check("extensions", "Is every extension there?", run)


def _declared_objects(schema: Schema) -> Check:
    wanted = {
        f"{model._meta.table_name}.{item.name}"
        for model in schema.models
        for item in (*model._meta.triggers, *model._meta.policies)
    }

    def run(cursor: Any) -> Outcome:
        cursor.execute(
            "SELECT r.relname || '.' || t.tgname FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid"
            " UNION ALL SELECT r.relname || '.' || p.polname FROM pg_policy p JOIN pg_class r ON r.oid = p.polrelid"
        )
        missing = sorted(wanted - {name for (name,) in cursor.fetchall()})
        return failed("triggers or policies are missing", missing) if missing else passed()

    return Check("triggers and policies", "Is every declared trigger and policy there?", run)


def _rebuild_invalid(cursor: Any) -> str:
    cursor.execute(_INVALID)
    names = [name for (name,) in cursor.fetchall()]
    for name in names:
        cursor.execute(f"REINDEX INDEX {name}")
    return f"{len(names)} indexes rebuilt"


def _enable_triggers(cursor: Any) -> str:
    cursor.execute(
        "SELECT format('ALTER TABLE %s ENABLE TRIGGER %I', tgrelid::regclass, tgname) FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'public'::regnamespace AND tgenabled = 'D'"
        " AND NOT tgisinternal"
    )
    statements = [statement for (statement,) in cursor.fetchall()]
    for statement in statements:
        cursor.execute(statement)
    return f"{len(statements)} triggers switched on"


def _amcheck(cursor: Any) -> Outcome:
    cursor.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')")
    if not cursor.fetchone()[0]:
        return skipped("the extension amcheck is not installed: CREATE EXTENSION amcheck")
    cursor.execute("SELECT has_function_privilege('bt_index_check(regclass, boolean)', 'EXECUTE')")
    if not cursor.fetchone()[0]:
        return skipped("this login may not run amcheck: GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean)")
    cursor.execute(
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relnamespace = 'public'::regnamespace"
        " AND i.indisvalid AND c.relkind = 'i' ORDER BY 1"
    )
    names = [name for (name,) in cursor.fetchall()]
    broken = [problem for name in names for problem in _corruption(cursor, name)]
    return failed("indexes are corrupt; REINDEX them, and check the disk", broken) if broken else passed()


def _corruption(cursor: Any, index: str) -> Iterator[str]:
    import psycopg2

    cursor.execute("SAVEPOINT amcheck")
    try:
        cursor.execute("SELECT bt_index_check(%s::regclass, true)", (index,))
    except psycopg2.Error as error:
        cursor.execute("ROLLBACK TO amcheck")
        yield f"{index}: {str(error).splitlines()[0]}"
    cursor.execute("RELEASE amcheck")
