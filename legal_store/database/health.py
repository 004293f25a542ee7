"""Is the database well, is Redis well? Answers within a second, whatever the servers do.

A probe runs in a thread of its own, one at a time, and its answer counts for a second: asking often costs nothing and
does no harm to a server in trouble.
"""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from legal_store.errors import LegalStoreError, PoolClosedError, PoolExhaustedError, ServerUnavailableError

if TYPE_CHECKING:
    from legal_store.config import Settings
    from legal_store.database.connection import Database

DEADLINE_S = 0.9
FRESH_S = 1.0
_POOL_SHARE = 0.55  # of the deadline: then a connection beside the pool is tried, for a pool may be busy and all well


class Health(NamedTuple):
    """An answer. `latency` is in milliseconds, `timestamp` in UTC; nothing in it names a server or a user."""

    healthy: bool
    latency: float
    timestamp: str
    status: str  # "pass", "warn" (works, but look at it) or "fail"
    reason: str  # why it is not "pass"
    checks: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the fields in the order in which people read them."""
        return {**self._asdict(), "latency": round(self.latency, 3)}


_STATE = "SELECT ARRAY[pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean]"
_NO_SERVER = "the settings are wrong, or name no server and the embedded one does not run"


class Finding(NamedTuple):
    """What a probe found out."""

    status: str = "pass"
    reason: str = ""
    checks: dict[str, Any] = {}
    seconds: float | None = None  # what it measured; the time of the whole probe where it could not


def check_database_health(database: Database | None = None) -> Health:
    """Say within a second whether PostgreSQL answers, and how long the pool and the query took. Never raises.

    `checks` has pool_wait_ms apart from query_ms, in_recovery, pooler (whether one is in between) and the pool's
    counts. A pool that is all in use while the server answers is "warn", and so is a standby.
    """
    from legal_store.database import db

    chosen = database or db
    return _checker(("database", chosen), lambda deadline: _probe_database(chosen, deadline)).check()


def check_redis_health(settings: Settings | None = None) -> Health:
    """Say within a second whether Redis answers. Never raises.

    `checks` has connect_ms apart from query_ms. A Redis that is loading its data is "fail", a replica is "warn".
    """
    from legal_store.config import settings as from_environment

    try:
        chosen = settings or from_environment()
    except LegalStoreError:
        return _answer(Finding("fail", _NO_SERVER), 0.0)
    return _checker(("redis", chosen.redis_url, chosen.home), lambda deadline: _probe_redis(chosen, deadline)).check()


class HealthChecker:
    """Runs `probe(deadline)` at most once at a time and once per `fresh` seconds, and never waits beyond `deadline`."""

    def __init__(self, probe: Callable[[float], Finding], deadline: float = DEADLINE_S, fresh: float = FRESH_S) -> None:
        self._probe = probe
        self._deadline = deadline
        self._fresh = fresh
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._done: threading.Event | None = None  # of the probe that runs
        self._latest: tuple[float, Health] | None = None  # when it was found, and what

    def check(self) -> Health:
        """Return a finding that is fresh, or that there is none within the deadline."""
        with self._lock:
            now = monotonic()
            if self._latest is not None and now - self._latest[0] < self._fresh:
                return self._latest[1]
            if self._done is None:
                self._done = threading.Event()
                self._began = now
                threading.Thread(target=self._run, name="legal_store-health", daemon=True).start()
            done, began = self._done, self._began
        done.wait(max(0.0, began + self._deadline - monotonic()))
        with self._lock:
            if done.is_set() and self._latest is not None:
                return self._latest[1]
        return _answer(Finding("fail", "no answer within the deadline"), monotonic() - began)

    def _run(self) -> None:
        try:
            finding = self._probe(self._deadline)
        except Exception:  # noqa: BLE001  (its text may name the server: not for the public)
            finding = Finding("fail", "the check itself failed")
        found = monotonic()
        with self._lock:
            self._latest = (found, _answer(finding, found - self._began))
            if self._done is not None:
                self._done.set()
            self._done = None


_checkers: dict[tuple[Any, ...], HealthChecker] = {}


def _checker(key: tuple[Any, ...], probe: Callable[[float], Finding]) -> HealthChecker:
    """Return the checker for `key` in this process: a child process must not wait for its parent's threads."""
    return _checkers.setdefault((os.getpid(), *key), HealthChecker(probe))


def _answer(finding: Finding, seconds: float) -> Health:
    timestamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    latency = (seconds if finding.seconds is None else finding.seconds) * 1000
    return Health(finding.status != "fail", latency, timestamp, finding.status, finding.reason, finding.checks)


def memory_is_full(memory: Mapping[str, Any]) -> bool:
    """Say whether Redis, which said this under INFO memory, refuses to write. Pure."""
    most = memory.get("maxmemory") or 0
    return memory.get("maxmemory_policy") == "noeviction" and 0 < most <= memory.get("used_memory", 0)


def _probe_database(database: Database, deadline: float) -> Finding:
    checks: dict[str, Any] = {}
    began = monotonic()
    try:
        pool = database.pool
        try:
            connection = pool.acquire(timeout=deadline * _POOL_SHARE)
        except PoolExhaustedError:
            busy, connection = True, database.open_beside_the_pool()
        else:
            busy = False
        asked = monotonic()
        try:
            recovery, read_only = connection.ask(_STATE, within=deadline)
            answered = monotonic()
        finally:
            if busy:
                connection.close()
            else:
                pool.release(connection)
        stats = pool.stats()
    except (ServerUnavailableError, PoolClosedError) as error:
        return Finding("fail", getattr(error, "reason", "the pool is closed"), checks)
    except LegalStoreError:
        return Finding("fail", _NO_SERVER, checks)
    except Exception as error:  # noqa: BLE001  (the driver's)
        return Finding("fail", f"the query failed ({type(error).__name__})", checks)
    checks = {
        "pool_wait_ms": round((asked - began) * 1000, 3),
        "query_ms": round((answered - asked) * 1000, 3),
        "in_recovery": recovery,
        "pooler": database.pooler,
        "pool": stats._asdict(),
    }
    took = answered - began
    if busy:
        return Finding("warn", "all connections of the pool are in use", checks, took)
    if recovery:
        return Finding("warn", "the server is in recovery: it can be read only", checks, took)
    if read_only:
        return Finding("warn", "default_transaction_read_only is on: nothing can be written", checks, took)
    return Finding(checks=checks, seconds=took)


def _probe_redis(settings: Settings, deadline: float) -> Finding:
    from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

    from legal_store.database.target import redis_client, redis_options, redis_url

    began = monotonic()
    try:
        with redis_client(redis_url(settings), redis_options(connect=deadline / 2, answer=deadline / 2)) as client:
            client.ping()
            connected = monotonic()
            replication: Any = client.info("replication")
            answered = monotonic()
            full = memory_is_full(client.info("memory"))
    except LegalStoreError:
        return Finding("fail", _NO_SERVER)
    except BusyLoadingError:
        return Finding("fail", "the server is loading its data")
    except AuthenticationError:
        return Finding("fail", "the password or the user name was not accepted")
    except ResponseError:
        return Finding("fail", "the server refused the number of the database or a command")
    except RedisError as error:
        return Finding("fail", f"the server cannot be reached ({type(error).__name__})")
    checks = {
        "connect_ms": round((connected - began) * 1000, 3),
        "query_ms": round((answered - connected) * 1000, 3),
        "role": replication.get("role"),
    }
    took = answered - began
    if full:
        return Finding("fail", "the memory is full: writes are refused (maxmemory, noeviction)", checks, took)
    if checks["role"] != "master":
        return Finding("warn", "the server is a replica: it can be read only", checks, took)
    return Finding(checks=checks, seconds=took)
