"""Backup and restore of a database of 350 MB or more: beside `pg_dump | gzip` and `gunzip | psql`, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2

from bench.measure import Result, alternate
from bench.servers import server
from legal_store.backup import generate_key, make_backup, open_store
from legal_store.backup.clients import child_environment
from legal_store.embedded import client_program
from legal_store.migrate import deploy
from legal_store.restore import RestorePlan, find_source, restore

# The schema of legal_store itself: text, trigram indexes on names and titles, HNSW over embeddings of 1536 numbers.
FILL = """
INSERT INTO firms (name, vat_id) VALUES ('Firma', 'RO1');
INSERT INTO clients (firm_id, name) SELECT id, 'Client ' || n FROM firms, generate_series(1, 500) n;
INSERT INTO cases (firm_id, case_number, title, client_id, type, opened_date)
    SELECT firm_id, name || '/2025', 'Dosar ' || md5(name), id, 'Civil', '2025-01-01' FROM clients;
CREATE TEMPORARY TABLE words AS
    SELECT n AS id, substr(translate(md5(n::text), '0123456789', 'aeioulnrst'), 1, 3 + n %% 7) AS word
    FROM generate_series(1, 5000) n;
INSERT INTO documents (firm_id, case_id, title, document_type, content, content_embedding)
    SELECT c.firm_id, c.id, 'Cerere ' || md5(n::text), 'Pleading',
           (SELECT string_agg(word, ' ') FROM words
            WHERE words.id IN (SELECT 1 + (n * 7919 + k * (k + n %% 89) * 31) %% 5000 FROM generate_series(1, 150) k)),
           CASE WHEN n <= %(vectors)s THEN
               (SELECT array_agg((random() * 2 - 1)::real) FROM generate_series(1, 1536) k WHERE n > 0)::vector END
    FROM generate_series(1, %(documents)s) n
    JOIN (SELECT id, firm_id, row_number() OVER () AS place FROM cases) c ON c.place = 1 + n %% 500;
"""
MIGRATIONS = Path(__file__).parent.parent / "migrations"


def run(*, quick: bool) -> list[Result]:
    """Compare on two databases: one of many texts, a fifth of them with a vector, and one with a vector for each.

    The share of vectors decides how long psql builds its index.
    """
    rounds = 1 if quick else 4
    mixed, all_embedded = ((500, 50), (100, 100)) if quick else ((70_000, 14_000), (22_000, 22_000))
    with server() as own, tempfile.TemporaryDirectory() as folder:
        contest = _Contest(_filled(own.parameters, "bench", *mixed), Path(folder, "mixed"))
        results = [*contest.backups(rounds), contest.memory(), *contest.restores(max(1, rounds // 2))]
        contest = _Contest(_filled(own.parameters, "bench_embedded", *all_embedded), Path(folder, "embedded"))
        contest.dump()
        contest.back_up(encrypted=False)
        what = f"backup of {contest.size:.0f} MB, every document with a vector"
        return [*results, contest.sizes(what), contest.restore_embedded()]


def _filled(server: dict[str, Any], name: str, documents: int, vectors: int) -> dict[str, Any]:
    database = {**server, "dbname": name}
    _execute({**server, "dbname": "postgres"}, f"CREATE DATABASE {name}")
    deploy(database, MIGRATIONS)
    with closing(psycopg2.connect(**database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(FILL, {"documents": documents, "vectors": vectors})
    _execute(database, "VACUUM ANALYZE")
    return database


class _Contest:
    def __init__(self, database: dict[str, Any], folder: Path) -> None:
        self.database = database
        self.folder = folder
        folder.mkdir()
        self.environment = child_environment(database)
        self.key = generate_key(folder / "key")
        self.store = open_store(str(folder / "backups"))
        self.sql = folder / "dump.sql.gz"
        self.made: dict[bool, str] = {}
        self.previous: str | None = None
        self.size = _megabytes(database)

    def backups(self, rounds: int) -> list[Result]:
        what = f"backup of a database of {self.size:.0f} MB"
        medians = alternate(
            {
                "pg_dump | gzip": self.dump,
                "backup --compress": lambda: self.back_up(encrypted=False),
                "backup --compress --encrypt": lambda: self.back_up(encrypted=True),
            },
            rounds,
            warm_up=0 if rounds == 1 else 1,
        )
        gzip, plain, encrypted = medians.values()
        return [
            Result(f"{what}, times faster", medians, "ms", gzip / plain, "at least 5"),
            Result(f"{what}, cost of encryption", medians, "ms", encrypted / plain, "at most 1.15"),
            self.sizes(what),
        ]

    def sizes(self, what: str) -> Result:
        ours = self.store.objects()[f"{self.made[False]}.dump.zst"] / 1e6
        gzip = self.sql.stat().st_size / 1e6
        return Result(f"{what}, size", {"pg_dump | gzip": gzip, "ours": ours}, "MB", ours / gzip, "at most 1")

    def memory(self) -> Result:
        """Measure the peak of a process of its own that makes the backup, in what a service would see."""
        script = (
            "import json, resource, sys; from pathlib import Path;"
            "from legal_store.backup import make_backup, master_key, open_store;"
            "make_backup(json.loads(sys.argv[1]), [open_store(sys.argv[2])], environment='bench', codec='zstd',"
            " master=master_key(file=Path(sys.argv[3])));"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,"
            " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
        )
        import json

        given = [json.dumps(self.database), str(self.folder / "memory"), str(self.folder / "key")]
        answer = subprocess.run([sys.executable, "-c", script, *given], check=True, capture_output=True, text=True)
        ours, pg_dump = map(float, answer.stdout.split())
        peaks = {"our process": ours, "its pg_dump": pg_dump}
        return Result("peak memory of an encrypted backup", peaks, "MB", (ours + pg_dump) / 200, "at most 1 (200 MB)")

    def restores(self, rounds: int) -> list[Result]:
        downtimes: list[float] = []
        medians = alternate(
            {
                "gunzip | psql": self.restore_by_psql,
                "restore": lambda: downtimes.append(self.restore(encrypted=False)),
                "restore, encrypted": lambda: downtimes.append(self.restore(encrypted=True)),
            },
            rounds,
            warm_up=0,
        )
        psql, plain, _ = medians.values()
        worst = {"longest time without connection": max(downtimes)}
        return [
            Result("restore, times faster", medians, "ms", psql / plain, "at least 2"),
            Result("swap under connecting clients", worst, "s", max(downtimes) / 2, "at most 1 (2 s)"),
        ]

    def restore_embedded(self) -> Result:
        contestants = {"gunzip | psql": self.restore_by_psql, "restore": lambda: self.restore(encrypted=False)}
        medians = alternate(contestants, 1, warm_up=0)
        psql, ours = medians.values()
        what = f"restore, every document with a vector ({self.size:.0f} MB), times faster"
        return Result(what, medians, "ms", psql / ours, "at least 2")

    def dump(self) -> None:
        self.shell(f"'{client_program('pg_dump')}' | gzip > '{self.sql}'")

    def back_up(self, *, encrypted: bool) -> None:
        master = self.key if encrypted else None
        report = make_backup(self.database, [self.store], environment="bench", codec="zstd", master=master)
        self.made[encrypted] = report.manifest.name

    def restore_by_psql(self) -> None:
        admin, made = {**self.database, "dbname": "postgres"}, f"{self.database['dbname']}_by_psql"
        _execute(admin, f"DROP DATABASE IF EXISTS {made}")
        _execute(admin, f"CREATE DATABASE {made} TEMPLATE template0")
        psql = f"'{client_program('psql')}' -qX -v ON_ERROR_STOP=1 -d {made}"
        self.shell(f"gunzip -c '{self.sql}' | {psql} > /dev/null")

    def restore(self, *, encrypted: bool) -> float:
        """Restore over the live database while a client asks all the time; return its longest wait.

        Drops first what the turn before has put aside, as the turn of psql drops what it made before.
        """
        if self.previous:
            _execute({**self.database, "dbname": "postgres"}, f'DROP DATABASE "{self.previous}" WITH (FORCE)')
        source = find_source(self.made[encrypted], self.store, self.key if encrypted else None)
        plan = RestorePlan(
            source=source,
            parameters=self.database,
            environment="bench",
            typed=self.database["dbname"],
            jobs=os.cpu_count() or 1,
        )
        with _Client(self.database) as client:
            self.previous = restore(plan).previous
        return client.longest

    def shell(self, command: str) -> None:
        script = f"set -o pipefail; {command}"
        subprocess.run(["bash", "-c", script], env=self.environment, check=True)


class _Client:
    """Asks every 20 ms, and connects again when it is disconnected, as a pool does.

    `longest` is the longest time between two answers, in seconds.
    """

    def __init__(self, database: dict[str, Any]) -> None:
        self.database = database
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._last = time.monotonic()

    def __enter__(self) -> _Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg2.OperationalError), closing(psycopg2.connect(**self.database)) as connection:
                connection.autocommit = True
                self._ask(connection)

    def _ask(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            while not self._stop.wait(0.02):
                cursor.execute("SELECT 1")
                now = time.monotonic()
                self.longest = max(self.longest, now - self._last)
                self._last = now


def _execute(database: dict[str, Any], statement: str) -> None:
    with closing(psycopg2.connect(**database)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def _megabytes(database: dict[str, Any]) -> float:
    with closing(psycopg2.connect(**database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()) / 1e6")
        return float(cursor.fetchone()[0])
