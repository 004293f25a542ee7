"""How large each process's pool may be: arithmetic over the server's limits and the number of processes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from legal_store.errors import ConfigurationError

USEFUL_SIZE = 5  # below this a process is better served by a larger server


class ServerLimits(NamedTuple):
    """What the server grants, and what is not ours."""

    max_connections: int
    superuser_reserved: int = 0
    reserved: int = 0  # reserved_connections, PostgreSQL 16 and later
    used_by_others: int = 0
    granted: int | None = None  # DATABASE_MAX_CONNECTIONS: what all our services may have together
    pooler: bool = False

    @property
    def budget(self) -> int:
        """Connections that our processes may hold together."""
        free = max(0, self.max_connections - self.superuser_reserved - self.reserved - self.used_by_others)
        return free if self.granted is None else min(free, self.granted)


class PoolPlan(NamedTuple):
    """The answer: DATABASE_POOL_SIZE for each process, and what to think about."""

    pool_size: int  # 0 when it does not fit at all
    processes: int  # at the peak of a deploy
    total: int  # connections if every pool is full
    budget: int
    limits: ServerLimits
    enough: bool  # whether the server is large enough for pools of a useful size
    warnings: list[str]


def pool_plan(
    limits: ServerLimits,
    *,
    instances: int,
    workers: int = 1,
    threads: int = 1,
    surge: float = 0.0,
    connections_per_thread: int = 1,
) -> PoolPlan:
    """Return the pool size for `instances` of a service with `workers` processes of `threads` threads each.

    `surge` is the share of further instances that run while a deploy replaces the old ones: 1 doubles them.
    The total never exceeds what the server grants. Raises ConfigurationError for numbers that cannot be.
    """
    if min(instances, workers, threads, connections_per_thread) < 1 or not 0 <= surge < math.inf:
        raise ConfigurationError(
            "instances, workers, threads and connections per thread must be 1 or more, surge 0 or more.",
            remedy="For example --instances 3 --workers 2 --threads 8 --surge 1.",
        )
    processes = math.ceil(instances * (1 + surge)) * workers
    size = limits.budget // processes
    lower_bound = threads * (connections_per_thread - 1) + 1  # with fewer, all threads may wait for a last one
    warnings = list(_warnings(limits, size, processes, workers, threads, surge, instances, lower_bound))
    return PoolPlan(size, processes, size * processes, limits.budget, limits, size >= USEFUL_SIZE, warnings)


def _warnings(
    limits: ServerLimits,
    size: int,
    processes: int,
    workers: int,
    threads: int,
    surge: float,
    instances: int,
    lower_bound: int,
) -> Any:
    if size == 0:
        yield f"{processes} processes do not fit on {limits.budget} connections: a larger server, or PgBouncer."
    elif size < USEFUL_SIZE:
        yield f"Pools of {size} are too small to be useful: a larger server (tier), or PgBouncer."
    if 0 < size < lower_bound:
        yield f"Deadlock: threads that hold one connection and wait for another need a pool of {lower_bound} or more."
    if 0 < size < threads:
        yield f"{threads} threads share {size} connections: at full load {threads - size} of them wait."
    if not surge and size:
        doubled = limits.budget // (2 * instances * workers)
        yield f"A rolling deploy may double the instances: with --surge 1 the pool size is {doubled}."
    if workers == 1:
        yield "One process for each instance is assumed: count the workers of gunicorn or uvicorn with --workers."
    if limits.pooler:
        yield (
            "A pooler is in between: these sizes count against its max_client_conn, and its default_pool_size against "
            "the server's max_connections."
        )


LIMITS_SQL = """
SELECT current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int,
       coalesce(current_setting('reserved_connections', true), '0')::int,
       (SELECT count(*)::int FROM pg_stat_activity
        WHERE datid IS NOT NULL AND pid <> pg_backend_pid() AND application_name <> %s)
"""


def read_limits(connection: Any, granted: int | None, pooler: bool = False) -> ServerLimits:
    """Return the limits of the server that a psycopg2 `connection` leads to. Reads only."""
    from legal_store.database.target import APPLICATION_NAME

    with connection.cursor() as cursor:
        cursor.execute(LIMITS_SQL, (APPLICATION_NAME,))
        maximum, superuser, reserved, others = cursor.fetchone()
        return ServerLimits(maximum, superuser, reserved, others, granted, pooler)
