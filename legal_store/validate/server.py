"""Checks of PostgreSQL's own objects: extensions, indexes, triggers, settings, sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from legal_store.database.scope import FIRM_SETTING
from legal_store.schema.objects import Schema
from legal_store.validate.checks import Check, Outcome, Remedy, failed, no_rows, passed, statements

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

# a login of its own for one firm is nobody's mistake; triggers that are off for a login are
_SETTINGS = f"""
SELECT concat_ws(' ', 'role ' || nullif(s.setrole, 0)::regrole, c.setting)
FROM pg_db_role_setting s, unnest(s.setconfig) c(setting)
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND (c.setting ~* '^session_replication_role=(?!origin)' OR s.setrole = 0 AND c.setting ~* '^{FIRM_SETTING}=.')
"""  # noqa: S608
_SEQUENCES = """
SELECT s.seqrelid, s.seqrelid::regclass::text, t.oid::regclass::text, quote_ident(a.attname), s.seqincrement > 0
FROM pg_sequence s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
     AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class t ON t.oid = d.refobjid AND t.relnamespace = 'public'::regnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
ORDER BY 2
"""


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
    yield no_rows(
        "settings",
        "settings of the database or of a login switch triggers off, or name a firm for everybody",
        _SETTINGS,
    )
    yield no_rows(
        "collation version",
        "texts were sorted by another version of the system's rules: REINDEX the database, then ALTER DATABASE ..."
        " REFRESH COLLATION VERSION",
        "SELECT datname || ': ' || datcollversion FROM pg_database WHERE datname = current_database()"
        " AND datcollversion <> pg_database_collation_actual_version(oid)",
    )
    yield Check("sequences", "Is every sequence past what its column holds?", _sequences, _set_forward)


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


class _Behind(NamedTuple):
    """A sequence that would hand out again what its column holds already, up to `held`."""

    oid: int
    name: str
    held: int


def _behind(cursor: Any) -> Iterator[_Behind]:
    cursor.execute(_SEQUENCES)
    for oid, name, table, column, rising in cursor.fetchall():
        furthest, short_of = ("max", "<") if rising else ("min", ">")
        cursor.execute(
            f"SELECT held FROM {name}, (SELECT {furthest}({column}) AS held FROM {table}) t"  # noqa: S608
            f" WHERE last_value {short_of} held OR (last_value = held AND NOT is_called)"
        )
        yield from (_Behind(oid, name, held) for (held,) in cursor.fetchall())


def _sequences(cursor: Any) -> Outcome:
    behind = [f"{sequence.name}: {sequence.held} is taken" for sequence in _behind(cursor)]
    return failed("sequences would hand out values that are taken", behind) if behind else passed()


def _set_forward(cursor: Any) -> list[Remedy]:
    return [Remedy(s.name, f"SELECT setval({s.oid}::regclass, {s.held})") for s in _behind(cursor)]
