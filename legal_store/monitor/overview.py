"""One look at everything, for `invoke status`. Each part is read on its own: one failure hides no other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from legal_store.config import Settings
from legal_store.database.scope import STATEMENT_SQL
from legal_store.database.target import connection_parameters
from legal_store.errors import ConfigurationError, LegalStoreError, ServerUnavailableError
from legal_store.monitor.inspection import Inspector, blockers, reached
from legal_store.production import environment_by, read_marker

HISTORY = "sizes.json"  # in the folder of the embedded servers: what `growth` compares with
_REMEMBERED_DAYS = 30
_DAY_S = 86_400
_UNTOLD_S = 600  # a worker that runs tells the cache of a change within seconds

EXTENSIONS = ("vector", "uuid-ossp", "pg_trgm")


class Line(NamedTuple):
    """One fact. `state` is "good", "look" (needs attention) or "bad"."""

    topic: str
    state: str
    text: str
    values: dict[str, Any]


def overview(settings: Settings) -> list[Line]:
    """Return how the servers stand, in the order in which a tired person wants to know. Never raises.

    Remembers the database's size in the settings' home folder if that exists, to tell growth the next time.
    """
    with reached(settings) as server:
        return overview_of(server, settings)


def overview_of(server: Inspector | LegalStoreError, settings: Settings) -> list[Line]:
    """As `overview`, over a connection that is there, or the reason why there is none."""
    lines: list[Line] = []
    if isinstance(server, LegalStoreError):
        lines.append(Line("PostgreSQL", "bad", str(server), {}))
    else:
        for topic, read in _DATABASE_PARTS.items():
            lines.append(_line(topic, lambda read=read: read(server, settings)))  # type: ignore[misc]
    lines.append(_line("Redis", lambda: _redis(settings)))
    lines.append(_line("backup", lambda: last_backup(settings, environment_seen(server, settings))))
    return lines


def environment_seen(server: Inspector | LegalStoreError, settings: Settings) -> str:
    """Return which environment the database belongs to, as its backups are named; LEGAL_STORE_ENV if it is away."""
    if isinstance(server, LegalStoreError):
        return settings.environment
    with server.connection.cursor() as cursor:
        return environment_by(settings, read_marker(cursor))


def _line(topic: str, read: Callable[[], tuple[str, str, dict[str, Any]]]) -> Line:
    try:
        return Line(topic, *read())
    except Exception as error:  # noqa: BLE001  (a part that cannot be read is a line too)
        return unread(topic, error)


def unread(topic: str, error: Exception) -> Line:
    """Return the line of what could not be read because of `error`."""
    if isinstance(error, ServerUnavailableError):
        return Line(topic, "bad", str(error), {})
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return Line(topic, "look", f"cannot be read: {text}", {})


Part = tuple[str, str, dict[str, Any]]


def _server(inspector: Inspector, settings: Settings) -> Part:
    found = inspector.row(
        "SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS in_recovery, "
        "extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::bigint AS up_s, "
        "coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls"
    )
    found["pooler"] = inspector.behind_pooler
    role = "standby, read only" if found["in_recovery"] else "primary"
    text = f"{found['version']}, {role}, up {human_time(found['up_s'])}"
    text += (", through a pooler" if found["pooler"] else "") + (", TLS" if found["tls"] else "")
    return "look" if found["in_recovery"] else "good", text, found


def _migrations(inspector: Inspector, settings: Settings) -> Part:
    from legal_store.migrate.deploy import standing_of

    with inspector.connection.cursor() as cursor:
        found = standing_of(cursor, settings.migrations_dir)
    return "bad" if found.troubles else "good", f"{found}. {found.remedy}".removesuffix(". "), found._asdict()


def _load(inspector: Inspector, settings: Settings) -> Part:
    """Whether generated data is loaded completely: until then constraints can be missing."""
    from legal_store.generating.ledger import unfinished

    with inspector.connection.cursor() as cursor:
        found = unfinished(cursor)
    if found is None:
        return "good", "none", {}
    return "look" if found.at_work else "bad", f"{found}. {found.remedy}", found._asdict()


def _extensions(inspector: Inspector, settings: Settings) -> Part:
    rows = inspector.rows(
        "SELECT extname AS name, extversion AS version FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
    )
    versions = {row["name"]: row["version"] for row in rows}
    missing = [name for name in EXTENSIONS if name not in versions]
    text = ", ".join(f"{name} {version}" for name, version in versions.items()) or "none"
    return "bad" if missing else "good", text + (f"; missing: {', '.join(missing)}" if missing else ""), versions


def _connections(inspector: Inspector, settings: Settings) -> Part:
    found = inspector.row(
        """
        SELECT count(*) AS open, count(*) FILTER (WHERE application_name = 'legal_store') AS ours,
               count(*) FILTER (WHERE state = 'active') AS active,
               count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
               current_setting('max_connections')::int AS maximum
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
        """
    )
    found["pool_size"] = settings.pool_size
    text = (
        f"{found['open']} of {found['maximum']} open, {found['ours']} from services "
        f"(pools of {settings.pool_size}), {found['active']} active, {found['idle_in_transaction']} idle in transaction"
    )
    return "look" if found["open"] > 0.8 * found["maximum"] else "good", text, found


def _longest(inspector: Inspector, settings: Settings) -> Part:
    found = inspector.row(
        f"""
        SELECT pid, extract(epoch FROM clock_timestamp() - query_start)::float8 AS seconds,
               left({STATEMENT_SQL}, 60) AS statement
        FROM pg_stat_activity
        WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        ORDER BY query_start LIMIT 1
        """
    )
    if not found:
        return "good", "none runs", {}
    state = "look" if found["seconds"] > 30 else "good"
    return state, f"{found['seconds']:.1f} s (process {found['pid']}): {found['statement']}", found


def _blocked(inspector: Inspector, settings: Settings) -> Part:
    found = blockers(inspector)
    text = "; ".join(f"{row['pid']} blocks {', '.join(map(str, row['blocks']))}" for row in found)
    return "bad" if found else "good", text or "none", {"blockers": found}


def _size(inspector: Inspector, settings: Settings) -> Part:
    size = inspector.row("SELECT pg_database_size(current_database()) AS bytes, current_database() AS name")
    growth = remember_size(settings.home, size["name"], size["bytes"], time.time())
    text = human_bytes(size["bytes"])
    if growth is not None:
        text += f", {'+' if growth >= 0 else '-'}{human_bytes(abs(growth))} a day"
    return "good", text, {"bytes": size["bytes"], "growth_per_day": growth}


def remember_size(home: Path, database: str, size: int, now: float) -> float | None:
    """Return the growth in bytes per day since the oldest size remembered in `home`, None when there is none yet.

    Keeps the new size, one for each hour of the last 30 days. Does nothing when `home` does not exist.
    """
    file = home / HISTORY
    if not home.is_dir():
        return None
    try:
        history: dict[str, list[list[float]]] = json.loads(file.read_text())
    except (OSError, ValueError):
        history = {}
    kept = [[at, was] for at, was in history.get(database, []) if now - at < _REMEMBERED_DAYS * _DAY_S]
    growth = (size - kept[0][1]) / (now - kept[0][0]) * _DAY_S if kept and now - kept[0][0] > 60 else None
    if not kept or now - kept[-1][0] > 3600:
        history[database] = [*kept, [now, size]]
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(history))
        draft.chmod(0o600)
        draft.replace(file)
    return growth


def _hit_rate(inspector: Inspector, settings: Settings) -> Part:
    found = inspector.row(
        "SELECT blks_hit AS hits, blks_read AS reads, deadlocks, temp_bytes FROM pg_stat_database "
        "WHERE datname = current_database()"
    )
    asked = found["hits"] + found["reads"]
    rate = found["hits"] / asked if asked else 1.0
    found["rate"] = rate
    text = f"{rate:.1%} of blocks from memory, {found['deadlocks']} deadlocks"
    return "look" if asked > 100_000 and rate < 0.9 else "good", text, found


def _cache_events(inspector: Inspector, settings: Settings) -> Part:
    found = inspector.row(
        "SELECT count(*) AS waiting, pg_total_relation_size('cache_outbox') AS bytes, "
        "coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_s FROM cache_outbox"
    )
    if not found["waiting"]:
        return "good", "none waits", found
    text = f"{found['waiting']:,} wait, the first for {human_time(found['oldest_s'])}, {human_bytes(found['bytes'])}"
    if found["oldest_s"] < _UNTOLD_S:
        return "good", text, found
    return "look", f"{text}: does `invoke cache.drain --follow` run?", found


_DATABASE_PARTS: dict[str, Callable[[Inspector, Settings], Part]] = {
    "PostgreSQL": _server,
    "migrations": _migrations,
    "unfinished load": _load,
    "extensions": _extensions,
    "connections": _connections,
    "longest statement": _longest,
    "blocked sessions": _blocked,
    "size": _size,
    "cache of PostgreSQL": _hit_rate,
    "events for the cache": _cache_events,
}


def _redis(settings: Settings) -> Part:
    found = redis_facts(settings)
    limit = human_bytes(found["maxmemory"]) if found["maxmemory"] else "no limit"
    asked = found["hits"] + found["misses"]
    text = f"{found['program']} {found['version']}, {human_bytes(found['used_memory'])} of {limit}"
    text += f", {found['hits'] / asked:.1%} hits" if asked else ""
    text += f", {found['evicted_keys']} keys evicted" if found["evicted_keys"] else ""
    if found["full"]:
        return "bad", f"{text}; writes are refused", found
    nearly = found["maxmemory"] and found["used_memory"] > 0.9 * found["maxmemory"]
    return "look" if nearly or found["evicted_keys"] else "good", text, found


def redis_facts(settings: Settings) -> dict[str, Any]:
    """Return version, memory and hit counts of Redis. Raises ServerUnavailableError when it does not answer."""
    from redis.exceptions import RedisError

    from legal_store.database.health import memory_is_full
    from legal_store.database.target import redis_client, redis_options, redis_url

    with redis_client(redis_url(settings), redis_options(connect=2, answer=2)) as client:
        try:
            info: Any = client.info()
        except RedisError as error:
            raise ServerUnavailableError(
                f"Redis does not answer ({type(error).__name__}).", remedy="Check REDIS_URL; `invoke up` starts one."
            ) from None
    return {
        "program": "valkey" if "valkey_version" in info else "redis",
        "version": info.get("valkey_version") or info["redis_version"],
        "redis_version": info["redis_version"],
        "used_memory": info["used_memory"],
        "maxmemory": info.get("maxmemory", 0),
        "policy": info.get("maxmemory_policy", ""),
        "full": memory_is_full(info),
        "evicted_keys": info.get("evicted_keys", 0),
        "hits": info.get("keyspace_hits", 0),
        "misses": info.get("keyspace_misses", 0),
    }


def last_backup(settings: Settings, environment: str | None = None) -> Part:
    """Say how old the newest whole backup of this database in the folder is, and whether it was proven to restore.

    Where it is not known which database that is, of any in the environment (LEGAL_STORE_ENV by default).
    """
    from legal_store.backup import backups_of, damaged_among, open_store
    from legal_store.backup.manifest import PROVEN

    database, environment = _database_name(settings), environment or settings.environment
    found = backups_of(open_store(str(settings.backup_dir)), database, environment)
    damaged = [listed.name for listed in found if not listed.good]
    newest = next((listed.manifest for listed in found if listed.good and listed.manifest), None)
    if newest is None:
        wanted = " ".join(filter(None, (environment, database)))
        text = f"none of {wanted} in {settings.backup_dir}{damaged_among(found)}: `invoke backup`"
        return "look", text, {"damaged": damaged}
    age = time.time() - newest.created.timestamp()
    level = newest.proof.level
    proof = (
        "proven to restore" if level == PROVEN else f"{level}, not proven: `invoke backup.drill --name {newest.name}`"
    )
    text = f"{human_time(age)} ago, {proof}" + (f"; {len(damaged)} damaged: `invoke backup.list`" if damaged else "")
    good = level == PROVEN and age < 1.5 * _DAY_S and not damaged
    values = {"name": newest.name, "age_s": age, "proof": level, "damaged": damaged}
    return "good" if good else "look", text, values


def _database_name(settings: Settings) -> str | None:
    try:
        return connection_parameters(settings).get("dbname")
    except ConfigurationError:  # nothing is configured, and no embedded server runs
        return None


def human_time(seconds: float) -> str:
    """Return 93784 as "1 d 2 h"."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // _DAY_S)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def human_bytes(count: float) -> str:
    """Return 1536 as "1.5 kB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
