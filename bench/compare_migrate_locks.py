"""How long one write waits while the schema of a table of a million rows changes: plain forms, and ours.

A writer updates single rows without pause; its longest wait is the figure. Ours run through a deploy with a
lock_timeout of 200 ms, while another session holds a read lock for a while.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from bench.measure import Result
from bench.servers import server
from legal_store.migrate import deploy, safe
from legal_store.migrate.budget import LockBudget
from legal_store.schema.objects import Check, Index

LOCK_TIMEOUT = 0.2
GOAL_MS = LOCK_TIMEOUT * 1000 + 100

FORMS = {
    "index": (
        "CREATE INDEX t_a_idx ON t (a)",
        f"migrator.sql({safe.create_index('t', Index('t_a_idx', ('a',)))!r})",
    ),
    "foreign key": (
        "ALTER TABLE t ADD CONSTRAINT t_o_fkey FOREIGN KEY (o) REFERENCES o (id)",
        f"migrator.sql({safe.add_foreign_key('t', 't_o_fkey', ('o',), 'o', ('id',))!r})",
    ),
    "check": (
        "ALTER TABLE t ADD CONSTRAINT t_a_check CHECK (a >= 0)",
        f"migrator.sql({safe.add_check('t', Check('t_a_check', 'a >= 0'))!r})",
    ),
    "NOT NULL": ("ALTER TABLE t ALTER b SET NOT NULL", f"migrator.sql({safe.set_not_null('t', 'b')!r})"),
    "backfill": (
        "UPDATE t SET c = b || '!'",
        "migrator.step(safe.backfill('t', set=\"c = b || '!'\", batch_seconds=0.1))",
    ),
}


def run(*, quick: bool) -> list[Result]:
    rows = 10_000 if quick else 1_000_000
    with server() as own, tempfile.TemporaryDirectory() as folder:
        return [
            _compare(own.postgres.url, Path(folder), what, plain, ours, rows) for what, (plain, ours) in FORMS.items()
        ]


def _compare(url: str, home: Path, what: str, plain: str, ours: str, rows: int) -> Result:
    waits = {}
    for contestant in ("plain", "legal_store"):
        _fill(url, rows)
        folder = home / f"{what} {contestant}"
        folder.mkdir()
        (folder / "001_here.sql").write_text("SELECT 1;")
        (folder / "20250101000000_change.py").write_text(
            "from legal_store.migrate import safe\ntransaction = False\n\n\n"
            f"def migrate(migrator, database, *, fake=False):\n    {ours}\n"
        )
        with _Writer(url, rows) as writer, _Reader(url):
            if contestant == "plain":
                _run(url, plain)
            else:
                from legal_store.migrate.corrections import baseline

                baseline(parse_dsn(url), folder, "001_here", allow_drift=True)
                deploy(parse_dsn(url), folder, budget=LockBudget(lock_timeout=LOCK_TIMEOUT))
        waits[contestant] = writer.longest * 1000
    share = waits["legal_store"] / GOAL_MS
    return Result(f"longest blocked write, {what}, {rows:,} rows", waits, "ms", share, f"at most 1 of {GOAL_MS:.0f} ms")


def _fill(url: str, rows: int) -> None:
    _run(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    _run(url, "CREATE TABLE o (id int PRIMARY KEY); INSERT INTO o SELECT generate_series(1, 1000)")
    _run(url, "CREATE TABLE t (id int PRIMARY KEY, o int, a int, b text, c text, n int DEFAULT 0)")
    _run(url, f"INSERT INTO t SELECT i, i % 1000 + 1, i, md5(i::text), '' FROM generate_series(1, {rows}) i")
    _run(url, "VACUUM ANALYZE t")
    _run(url, "CHECKPOINT")


def _run(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


class _Writer:
    """Updates one row after the other from a thread, and remembers the longest that one took."""

    def __init__(self, url: str, rows: int) -> None:
        self._url, self._rows, self.longest = url, rows, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> _Writer:
        self._thread.start()
        time.sleep(0.3)
        self.longest = 0.0
        return self

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        with closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self._done.is_set():
                    number = (number * 48271 + 11) % self._rows
                    began = time.monotonic()
                    cursor.execute("UPDATE t SET n = n + 1 WHERE id = %s", (number + 1,))
                    self.longest = max(self.longest, time.monotonic() - began)


class _Reader:
    """A report that reads the table and keeps its transaction open for a second: what makes a lock wait."""

    def __init__(self, url: str) -> None:
        self._thread = threading.Thread(target=self._read, args=(url,))

    def __enter__(self) -> None:
        self._thread.start()
        time.sleep(0.1)

    def __exit__(self, *_: Any) -> None:
        self._thread.join()

    def _read(self, url: str) -> None:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM t WHERE id < 10")
            time.sleep(1.0)
