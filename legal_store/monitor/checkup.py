"""Checks the whole set-up, from settings to backups: one line for each check, with what to do."""

from __future__ import annotations

import importlib.util
import stat
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from legal_store.config import Settings
from legal_store.errors import LegalStoreError
from legal_store.monitor.inspection import Inspector, Row, blockers, has_statement_statistics, reached
from legal_store.monitor.overview import EXTENSIONS, environment_seen, human_time, last_backup
from legal_store.monitor.plan import read_limits

OLDEST_SERVER = 160000
OLDEST_REDIS = (6, 2)


class Check(NamedTuple):
    """The outcome of one check. `state` is "good", "look" or "bad"; `remedy` is empty where all is well."""

    what: str
    state: str
    found: str
    remedy: str


def checkup(settings: Settings) -> list[Check]:
    """Run every check that can be run and return the outcomes. Never raises; changes nothing."""
    with reached(settings) as server:
        return checkup_of(server, settings)


def checkup_of(server: Inspector | LegalStoreError, settings: Settings) -> list[Check]:
    """As `checkup`, over a connection that is there, or the reason why there is none."""
    checks = [*_local(settings)]
    if isinstance(server, LegalStoreError):
        checks.append(Check("PostgreSQL answers", "bad", server.message, server.remedy))
    else:
        checks.append(Check("PostgreSQL answers", "good", "yes", ""))
        for what, check in _SERVER_CHECKS.items():
            checks.append(_guarded(what, lambda check=check: check(server, settings)))  # type: ignore[misc]
    checks.append(_guarded("Redis", lambda: _redis(settings)))
    checks.append(_guarded("backups", lambda: _backups(server, settings)))
    return checks


Outcome = tuple[str, str, str]


def _guarded(what: str, check: Callable[[], Outcome]) -> Check:
    try:
        return Check(what, *check())
    except LegalStoreError as error:
        return Check(what, "bad", error.message, error.remedy)
    except Exception as error:  # noqa: BLE001  (a check that cannot be made is an outcome too)
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        return Check(what, "look", f"cannot be checked: {text}", "Look at the rights of the login in DATABASE_URL.")


def _local(settings: Settings) -> Iterator[Check]:
    yield Check("Python", "good", ".".join(map(str, sys.version_info[:3])), "")
    missing = [name for name in ("invoke", "rich", "peewee_migrate") if importlib.util.find_spec(name) is None]
    if missing:
        yield Check("packages", "bad", f"missing: {', '.join(missing)}", "pip install 'legal-store[ops]'")
    url = settings.database_url or ""
    insecure = settings.production and settings.ssl_mode in ("disable", "allow", "prefer") and "sslmode=" not in url
    if insecure:
        yield Check("TLS", "bad", f"DATABASE_SSL_MODE={settings.ssl_mode} in production", "Set it to verify-full.")
    from pathlib import Path

    env_file = Path(".env")
    if env_file.is_file() and stat.S_IMODE(env_file.stat().st_mode) & 0o077:
        yield Check(".env", "look", "others can read it", "chmod 600 .env")
    if settings.migrations_dir.is_dir():
        yield Check("migrations folder", "good", str(settings.migrations_dir), "")
    else:
        yield Check(
            "migrations folder", "bad", f"{settings.migrations_dir} is not there", "Set LEGAL_STORE_MIGRATIONS_DIR."
        )


def _version(inspector: Inspector, settings: Settings) -> Outcome:
    found = inspector.row(
        "SELECT current_setting('server_version') AS text, current_setting('server_version_num')::int AS number"
    )
    if found["number"] < OLDEST_SERVER:
        return "bad", found["text"], "PostgreSQL 16 or later is needed: upgrade the server."
    return "good", found["text"], ""


def _writable(inspector: Inspector, settings: Settings) -> Outcome:
    found = inspector.row(
        "SELECT pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only') = 'on' AS read_only"
    )
    if found["standby"]:
        return "bad", "the server is a standby", "Point DATABASE_URL at the primary."
    if found["read_only"]:
        return (
            "bad",
            "default_transaction_read_only is on",
            "Find who set it, by `SELECT * FROM pg_db_role_setting`; ALTER DATABASE or ROLE ... RESET takes it back.",
        )
    return "good", "yes", ""


def _environment(inspector: Inspector, settings: Settings) -> Outcome:
    from legal_store.production import ENVIRONMENT_SETTING, read_marker

    with inspector.connection.cursor() as cursor:
        marker = read_marker(cursor)
    if marker in (None, settings.environment):
        return "good", settings.environment, ""
    return (
        "look",
        f"LEGAL_STORE_ENV says {settings.environment}, the database {marker}",
        f"Set LEGAL_STORE_ENV, or take the mark away by ALTER DATABASE ... RESET {ENVIRONMENT_SETTING}.",
    )


def _extensions(inspector: Inspector, settings: Settings) -> Outcome:
    rows = inspector.rows(
        "SELECT a.name, e.extversion AS installed FROM pg_available_extensions a "
        "LEFT JOIN pg_extension e ON e.extname = a.name WHERE a.name = ANY(%s)",
        (list(EXTENSIONS),),
    )
    installed = {row["name"]: row["installed"] for row in rows}
    lacking = [name for name in EXTENSIONS if name not in installed]
    if lacking:
        return "bad", f"not on the server: {', '.join(lacking)}", "Install their packages, or enable them at your host."
    off = [name for name in EXTENSIONS if not installed[name]]
    if off:
        return (
            "bad",
            f"not created: {', '.join(off)}",
            "Run `invoke migrate.deploy`, or 000_enable_extensions.sql as owner.",
        )
    return "good", ", ".join(f"{name} {installed[name]}" for name in EXTENSIONS), ""


def _migrations(inspector: Inspector, settings: Settings) -> Outcome:
    from legal_store.migrate.deploy import standing_of

    with inspector.connection.cursor() as cursor:
        found = standing_of(cursor, settings.migrations_dir)
    return "bad" if found.troubles else "good", str(found), found.remedy


def _load(inspector: Inspector, settings: Settings) -> Outcome:
    from legal_store.generating.ledger import unfinished

    with inspector.connection.cursor() as cursor:
        found = unfinished(cursor)
    return ("good", "none", "") if found is None else ("look" if found.at_work else "bad", str(found), found.remedy)


def _role(inspector: Inspector, settings: Settings) -> Outcome:
    from legal_store.database.scope import SERVICE_ROLE

    found = inspector.row(
        "SELECT r.rolsuper, r.rolbypassrls, pg_has_role(current_user, r.oid, 'MEMBER') AS member FROM pg_roles r "
        "WHERE rolname = %s",
        (SERVICE_ROLE,),
    )
    if not found:
        return "bad", f"{SERVICE_ROLE} does not exist", "Run `invoke migrate.deploy`."
    if found["rolsuper"] or found["rolbypassrls"]:
        return (
            "bad",
            f"{SERVICE_ROLE} may bypass row-level security",
            f"ALTER ROLE {SERVICE_ROLE} NOSUPERUSER NOBYPASSRLS",
        )
    if not found["member"]:
        return "bad", f"the login may not become {SERVICE_ROLE}", f"GRANT {SERVICE_ROLE} TO the login."
    return "good", SERVICE_ROLE, ""


def _timeouts(inspector: Inspector, settings: Settings) -> Outcome:
    if inspector.behind_pooler:
        return (
            "look",
            "a pooler is in between; statements bring their settings along",
            "For other clients: ALTER ROLE ... SET statement_timeout. Of PgBouncer use 1.25.2 or later.",
        )
    if not settings.statement_timeout_ms:
        return "look", "statements may run for ever", "Set DATABASE_STATEMENT_TIMEOUT."
    return "good", f"{settings.statement_timeout_ms} ms", ""


def _room(inspector: Inspector, settings: Settings) -> Outcome:
    limits = read_limits(inspector.connection, settings.max_connections)
    if limits.budget < settings.pool_size:
        return (
            "bad",
            f"a pool of {settings.pool_size} does not fit on {limits.budget} connections",
            "See `invoke db.pool-plan`.",
        )
    return "good", f"{limits.budget} connections for pools of {settings.pool_size}", ""


def _blocked(inspector: Inspector, settings: Settings) -> Outcome:
    found = blockers(inspector)
    if not found:
        return "good", "none", ""
    first = found[0]["pid"]
    remedy = f"Wait, or `invoke db.end {first}` (it takes back that session's transaction)."
    if not first:
        remedy = "Look into pg_prepared_xacts: COMMIT PREPARED or ROLLBACK PREPARED."
    return "bad", "; ".join(map(_blocking, found)), remedy


def _blocking(row: Row) -> str:
    others = ", ".join(map(str, row["blocks"]))
    if not row["pid"]:
        return f"a prepared transaction blocks {others}"
    since = "" if row["transaction_s"] is None else f", in a transaction for {human_time(row['transaction_s'])}"
    waits = f", waits for {row['waits_for']}" if row["waits_for"] else ""
    who = f"{row['user']}, {row['application'] or 'no application name'}, {row['state'] or 'state unknown'}"
    return f"session {row['pid']} ({who}{since}{waits}) blocks {others}"


def _indexes(inspector: Inspector, settings: Settings) -> Outcome:
    rows = inspector.rows("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid")
    if rows:
        return "bad", f"invalid: {', '.join(row['name'] for row in rows)}", "REINDEX INDEX CONCURRENTLY, or drop them."
    return "good", "none", ""


def _statistics(inspector: Inspector, settings: Settings) -> Outcome:
    if has_statement_statistics(inspector):
        return "good", "pg_stat_statements", ""
    return (
        "look",
        "pg_stat_statements is off: `db.slow` sees only what runs now",
        "Preload it and create the extension.",
    )


_SERVER_CHECKS: dict[str, Callable[[Inspector, Settings], Outcome]] = {
    "PostgreSQL's version": _version,
    "PostgreSQL can be written": _writable,
    "environment": _environment,
    "extensions": _extensions,
    "migrations": _migrations,
    "unfinished load": _load,
    "role of services": _role,
    "statement timeout": _timeouts,
    "room for the pool": _room,
    "blocked sessions": _blocked,
    "invalid indexes": _indexes,
    "statement statistics": _statistics,
}


def _redis(settings: Settings) -> Outcome:
    from legal_store.monitor.overview import redis_facts

    found = redis_facts(settings)
    version = tuple(int(part) for part in str(found["redis_version"]).split(".")[:2])
    if version < OLDEST_REDIS:
        return "bad", f"version {found['redis_version']}", "Redis 6.2 or later, or Valkey, is needed."
    if found["full"]:
        return (
            "bad",
            "the memory is full: writes are refused",
            "Raise maxmemory, or run `invoke cache.clear`.",
        )
    if found["maxmemory"] and found["policy"] == "noeviction":
        return "good", f"{found['program']} {found['version']}, writes fail when memory is full (noeviction)", ""
    return "good", f"{found['program']} {found['version']}", ""


def _backups(server: Inspector | LegalStoreError, settings: Settings) -> Outcome:
    state, text, found = last_backup(settings, environment_seen(server, settings))
    if found["damaged"]:
        return state, text, "Run `invoke backup`; `invoke backup.list` says what is damaged."
    return state, text, "" if state == "good" else "Run `invoke backup` daily and `invoke backup.drill` weekly."
