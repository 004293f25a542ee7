"""Backfills write each row once, whatever kills them, and the safe forms do what the plain ones do."""

from __future__ import annotations

import random
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from legal_store.config import Url
from legal_store.migrate import deploy
from legal_store.migrate.backfill import next_size
from tests.migrate.support import catalog, parameters, run, start_deploy, write

MIGRATION = """
from legal_store.migrate import safe
from legal_store.schema.objects import Check, Index

transaction = False


def migrate(migrator, database, *, fake=False):
    migrator.step(safe.backfill("t", set="n = n + 1, x = 'a%'", where="coalesce(x, '') NOT LIKE '%b'", key=("a", "b"),
                                first_batch=100, batch_seconds=0.02))
    migrator.sql(safe.set_not_null("t", "x"))
    migrator.sql(safe.create_index("t", Index("t_x_idx", ("x",))))
    migrator.sql(safe.add_check("t", Check("t_n_check", "n >= 0")))
    migrator.sql(safe.add_unique("t", "t_c_key", ("c",)))
    migrator.sql(safe.add_foreign_key("t", "t_a_fkey", ("a",), "o", ("a",), "CASCADE"))
"""
TABLES = (
    "CREATE TABLE o (a int PRIMARY KEY); INSERT INTO o SELECT generate_series(0, 9);"
    "CREATE TABLE t (a int, b uuid DEFAULT gen_random_uuid(), c int, n int DEFAULT 0, x text, PRIMARY KEY (a, b));"
    "INSERT INTO t (a, c) SELECT c % 10, c FROM generate_series(1, 20000) c; ANALYZE t;"
)


def folder_of(tmp_path: Path) -> Path:
    return write(tmp_path / "migrations", a001_tables=TABLES, a20250101000000_safe_py=MIGRATION)


def test_every_row_is_written_once_and_the_safe_forms_are_complete(empty_database: Url, tmp_path: Path) -> None:
    said: list[str] = []
    deploy(parameters(empty_database), folder_of(tmp_path), say=said.append)
    assert run(empty_database, "SELECT n, x, count(*) FROM t GROUP BY 1, 2") == [(1, "a%", 20000)]
    found = catalog(empty_database)
    assert found["column", "t.x"] == "text not null"
    assert found["constraint", "t.t_c_key"] == "UNIQUE (c)"
    assert found["constraint", "t.t_n_check"] == "CHECK ((n >= 0))"
    assert found["constraint", "t.t_a_fkey"] == "FOREIGN KEY (a) REFERENCES o(a) ON DELETE CASCADE"
    assert ("index", "t.t_x_idx") in found
    assert ("constraint", "t.t_x_given") not in found
    assert "t: 20,000 rows written" in said


def test_a_backfill_killed_again_and_again_writes_each_row_exactly_once(empty_database: Url, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    rng = random.Random(5)
    kills = 0
    for _ in range(4):
        process = start_deploy(empty_database, folder)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 20250101000000_safe 1"):
                time.sleep(rng.uniform(0.02, 0.25))
                process.kill()
                kills += 1
                break
        process.communicate()
    deploy(parameters(empty_database), folder)
    assert kills >= 1
    assert run(empty_database, "SELECT n, count(*) FROM t GROUP BY 1") == [(1, 20000)]


def test_in_a_migration_that_is_one_transaction_it_is_one_update(empty_database: Url, tmp_path: Path) -> None:
    text = (
        "from legal_store.migrate import safe\n\n\ndef migrate(migrator, database, *, fake=False):\n"
        '    migrator.step(safe.backfill("t", set="n = 7", where="a = 3"))\n'
    )
    deploy(parameters(empty_database), write(tmp_path / "m", a001_tables=TABLES, a20250101000000_one_py=text))
    assert run(empty_database, "SELECT count(*) FROM t WHERE n = 7") == [(2000,)]


@given(st.integers(50, 50_000), st.floats(0.0001, 60), st.floats(0.01, 2))
def test_the_next_batch_never_jumps_and_never_leaves_its_limits(size: int, took: float, target: float) -> None:
    following = next_size(size, took, target)
    assert 50 <= following <= 50_000
    assert following <= size * 2
    if took > target:
        assert following <= size
