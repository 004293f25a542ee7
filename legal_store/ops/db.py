"""What the database is busy with: connections (and ending them), sizes, slow statements, how large pools may be."""

from __future__ import annotations

from typing import Any

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task


@task("db.connections", help={"json": "print JSON"})
def connections(context: Context, json: bool = False) -> None:
    """List the sessions of the database, the longest transactions first, and who blocks whom."""
    from legal_store.config import settings
    from legal_store.monitor.inspection import connections as read
    from legal_store.monitor.inspection import inspecting

    with inspecting(settings()) as inspector:
        _show(read(inspector), "Connections", json)


@task(
    "db.end",
    help={"pid": "the session, as `db.connections` names it", "cancel": "its statement alone", "json": "print JSON"},
)
def end(context: Context, pid: str, cancel: bool = False, json: bool = False) -> None:
    """End a session of the database at once, its transaction is rolled back; with --cancel only its statement."""
    from legal_store.config import settings
    from legal_store.errors import WrongUseError
    from legal_store.monitor.ending import cancel_statement, end_session
    from legal_store.monitor.inspection import inspecting

    if not pid.isdecimal():
        raise WrongUseError(f"{pid!r} is no process id.", remedy="`invoke db.connections` lists them.")
    with inspecting(settings()) as inspector:
        ended = (cancel_statement if cancel else end_session)(inspector, int(pid))
    if json:
        print_json(ended)
        return
    state = f" ({ended.state})" if ended.state else ""
    print(f"{'Cancelled the statement of' if cancel else 'Ended'} {ended}{state}: {ended.statement}")


@task("db.sizes", help={"json": "print JSON"})
def sizes(context: Context, json: bool = False) -> None:
    """Show what takes space: tables with indexes, TOAST and estimated bloat; unused and invalid indexes."""
    from legal_store.config import settings
    from legal_store.monitor.inspection import inspecting
    from legal_store.monitor.inspection import sizes as read
    from legal_store.monitor.overview import human_bytes

    with inspecting(settings()) as inspector:
        found = read(inspector)
    if json:
        print_json(found)
        return
    _show(_readable(found.tables), f"Tables; the database has {human_bytes(found.database_bytes)}", json)
    _show(_readable(found.unused_indexes), "Indexes that no query has used since statistics began", json)
    _show(_readable(found.invalid_indexes), "Invalid indexes: REINDEX INDEX CONCURRENTLY, or drop them", json)


@task("db.slow", help={"limit": "how many statements", "json": "print JSON"})
def slow(context: Context, limit: int = 20, json: bool = False) -> None:
    """Show the statements that took the most time, or, without pg_stat_statements, those that run now."""
    from legal_store.config import settings
    from legal_store.errors import WrongUseError
    from legal_store.monitor.inspection import inspecting
    from legal_store.monitor.inspection import slow as read

    if limit < 1:
        raise WrongUseError(f"--limit {limit} shows nothing.", remedy="1 or more.")
    with inspecting(settings()) as inspector:
        found = read(inspector, limit)
    if json:
        print_json(found)
        return
    _show(found.statements, f"Slow statements, from {found.source}", json)
    if found.source != "pg_stat_statements":
        print(
            "More with pg_stat_statements: shared_preload_libraries = 'pg_stat_statements', a restart, then "
            "CREATE EXTENSION pg_stat_statements."
        )


@task(
    "db.pool-plan",
    help={
        "instances": "instances of the service",
        "workers": "processes in each instance",
        "threads": "threads in each process",
        "surge": "share of further instances during a deploy; 1 doubles them",
        "per-thread": "connections that one thread holds at once",
        "json": "print JSON",
    },
)
def pool_plan(
    context: Context,
    instances: int = 2,
    workers: int = 1,
    threads: int = 1,
    surge: str = "0",
    per_thread: int = 1,
    json: bool = False,
) -> None:
    """Work out DATABASE_POOL_SIZE from the server's limits; exit code 1 when the server is too small."""
    from legal_store.config import settings
    from legal_store.errors import CheckFailedError, WrongUseError
    from legal_store.monitor.inspection import inspecting
    from legal_store.monitor.plan import pool_plan as work_out
    from legal_store.monitor.plan import read_limits

    try:
        share = float(surge)
    except ValueError:
        raise WrongUseError(f"--surge {surge} is no number.", remedy="0 is none, 1 doubles the instances.") from None
    with inspecting(settings()) as inspector:
        limits = read_limits(inspector.connection, settings().max_connections, inspector.behind_pooler)
    plan = work_out(
        limits,
        instances=instances,
        workers=workers,
        threads=threads,
        surge=share,
        connections_per_thread=per_thread,
    )
    if json:
        print_json(plan)
    else:
        rows = [
            ("DATABASE_POOL_SIZE", plan.pool_size),
            ("processes at the peak", plan.processes),
            ("connections, all pools full", plan.total),
            ("of our budget", plan.budget),
            ("max_connections of the server", limits.max_connections),
            ("reserved there", limits.superuser_reserved + limits.reserved),
            ("used by others now", limits.used_by_others),
            ("DATABASE_MAX_CONNECTIONS", limits.granted),
        ]
        print_table("Pool plan", ("what", "connections"), rows)
        for warning in plan.warnings:
            print(f"- {warning}")
    if not plan.enough:
        raise CheckFailedError(
            f"{plan.processes} processes on {plan.budget} connections get pools of {plan.pool_size}.",
            remedy="Take a larger server (tier), fewer processes, or PgBouncer.",
        )


def _show(rows: list[dict[str, Any]], title: str, json: bool) -> None:
    if json:
        print_json(rows)
    elif rows:
        print_table(title, list(rows[0]), [["" if cell is None else cell for cell in row.values()] for row in rows])
    else:
        print(f"{title}: none.")


def _readable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from legal_store.monitor.overview import human_bytes

    return [
        {
            name.removesuffix("_bytes"): human_bytes(value) if name.endswith("bytes") else value
            for name, value in row.items()
        }
        for row in rows
    ]
