"""Checks of PostgreSQL's own objects: extensions, indexes, triggers, corruption."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legal_store.schema.objects import Schema
from legal_store.validate.checks import Check, Outcome, failed, no_rows, passed, skipped, statements

_INVALID = (
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE c.relnamespace = 'public'::regnamespace AND NOT (i.indisvalid AND i.indisready)"
)
# what a concurrent rebuild that broke off leaves behind is a double of an index that is there
_REBUILDS = (
    "SELECT i.indexrelid::regclass::text, format(CASE WHEN c.relname ~ '_cc(new|old)[0-9]*$' THEN 'DROP INDEX %s'"
    f" ELSE 'REINDEX INDEX %s' END, i.indexrelid::regclass) {_INVALID} ORDER BY 1"
)
# 'R' fires for replicated changes only, which is as good as off; a foreign key works by triggers of its own
_DISABLED = (
    "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint"
    " WHERE c.relnamespace = 'public'::regnamespace AND t.tgenabled IN ('D', 'R')"
)
_TRIGGER = "c.relname || '.' || t.tgname || coalesce(' of the foreign key ' || k.conname, '')"
_ENABLINGS = (
    f"SELECT {_TRIGGER}, format('ALTER TABLE %s ENABLE TRIGGER %I', t.tgrelid::regclass, t.tgname)"
    f" {_DISABLED} ORDER BY 1"
)


def checks_of_server(schema: Schema) -> Iterator[Check]:
    """Yield the checks of what PostgreSQL keeps besides rows."""
    yield _extensions(schema)
    yield _declared_objects(schema)
    invalid = no_rows(
        "invalid indexes",
        "indexes are invalid: a concurrent build or rebuild broke off",
        f"SELECT i.indexrelid::regclass {_INVALID}",
    )
    yield invalid._replace(remedies=statements(_REBUILDS))
    disabled = no_rows(
        "disabled triggers",
        "triggers are switched off, those of foreign keys too",
        f"SELECT {_TRIGGER} {_DISABLED}",
    )
    yield disabled._replace(remedies=statements(_ENABLINGS))
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
            "SELECT c.relname || '.' || o.name FROM pg_class c JOIN"
            " (SELECT tgrelid, tgname FROM pg_trigger UNION ALL SELECT polrelid, polname FROM pg_policy) o (oid, name)"
            " USING (oid) WHERE c.relnamespace = 'public'::regnamespace"
        )
        missing = sorted(wanted - {name for (name,) in cursor.fetchall()})
        return failed("triggers or policies are missing", missing) if missing else passed()

    return Check("triggers and policies", "Is every declared trigger and policy there?", run)


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
