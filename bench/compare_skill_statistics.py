"""One more usage log, with few and with a million already there: running totals beside a trigger that aggregates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from bench.measure import Result, alternate
from bench.servers import server
from legal_store.migrate import deploy

MIGRATIONS = Path(__file__).parent.parent / "migrations"
GOAL = 1.2
LOG = "INSERT INTO skill_usage_logs (skill_id, execution_time_ms, tokens_used, tokens_saved, success)"

AGGREGATING_TRIGGER = """
CREATE FUNCTION aggregate_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE skills SET (usage_count, successful_count, tokens_saved_total) = (
        SELECT count(*), count(*) FILTER (WHERE success), coalesce(sum(tokens_saved) FILTER (WHERE success), 0)
        FROM skill_usage_logs WHERE skill_id = NEW.skill_id
    ) WHERE id = NEW.skill_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER aggregate_again AFTER INSERT ON skill_usage_logs FOR EACH ROW EXECUTE FUNCTION aggregate_again();
ALTER TABLE skill_usage_logs DISABLE TRIGGER update_skill_stats_on_usage;
"""


def run(*, quick: bool) -> list[Result]:
    few, many = (100, 1_000) if quick else (1_000, 1_000_000)
    rounds = 20 if quick else 400
    with server() as own:
        return [
            _compare(own.parameters, few, many, rounds, "running totals (legal_store)", ""),
            _compare(own.parameters, few, many, min(rounds, 30), "a trigger that aggregates", AGGREGATING_TRIGGER),
        ]


def _compare(server: dict[str, Any], few: int, many: int, rounds: int, what: str, change: str) -> Result:
    with _database(server, few, change) as small, _database(server, many, change) as large:
        insert = f"{LOG} SELECT id, 1, 1, 1, true FROM skills LIMIT 1"
        contestants = {
            f"at {few:,} logs": lambda: _run(small, insert),
            f"at {many:,} logs": lambda: _run(large, insert),
        }
        medians = alternate(contestants, rounds, warm_up=20)
    before, after = medians.values()
    goal = "for comparison" if change else f"at most {GOAL}"
    return Result(f"one insert with {what}", medians, "ms", after / before, goal)


@contextmanager
def _database(server: dict[str, Any], logs: int, change: str) -> Iterator[Any]:
    name = f"bench_{logs}"
    with closing(psycopg2.connect(**server)) as admin:
        admin.autocommit = True
        _run(admin, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        _run(admin, f"CREATE DATABASE {name}")
    deploy({**server, "dbname": name}, MIGRATIONS)
    with closing(psycopg2.connect(**{**server, "dbname": name})) as connection:
        connection.autocommit = True
        _run(connection, "INSERT INTO skills (skill_id, display_name) VALUES ('bench', 'Bench')")
        _run(connection, f"{LOG} SELECT s.id, 1, 1, n % 100, n % 3 <> 0 FROM skills s, generate_series(1, {logs}) n")
        if change:
            _run(connection, change)
        _run(connection, "VACUUM ANALYZE skill_usage_logs")
        _run(connection, "CHECKPOINT")
        yield connection


def _run(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
