"""SQL files: nothing in them reaches the live database before it was checked, and half a file is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
from contextlib import closing
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import pytest
import zstandard

from legal_store.backup.clients import child_environment, clients
from legal_store.backup.comparing import differences
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import BackupError, DamagedBackupError, RefusedError, RestoreError
from legal_store.restore import Finding, RestorePlan, find_source, restore
from legal_store.restore.databases import server
from legal_store.restore.plain_sql import PlainSql
from tests.backup.conftest import contents, execute
from tests.conftest import Cluster

END = b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n"


def _dump(parameters: dict[str, Any], *arguments: str) -> bytes:
    command = [str(clients("pg_dump")[0].path), *arguments]
    return subprocess.run(command, env=child_environment(parameters), check=True, capture_output=True).stdout


def _plan(live: dict[str, Any], store: LocalStore, file: Path, **more: Any) -> RestorePlan:
    source = find_source(str(file), store, None, trust_sql=True)
    return RestorePlan(source=source, parameters=live, environment="test", typed=live["dbname"], **more)


def _judged(text: bytes, step: int) -> bytes:
    file = BytesIO(text)
    return b"".join(PlainSql("file", lambda size: file.read(step)).pieces())


@pytest.mark.parametrize("arguments", [[], ["--clean", "--if-exists"], ["--rows-per-insert=7"], ["--inserts"]])
def test_what_pg_dump_writes_is_handed_on_as_it_is(cluster: Cluster, hard_template: str, arguments: list[str]) -> None:
    text = _dump({**cluster.parameters, "dbname": hard_template}, *arguments)
    for step in (len(text), 4093):
        assert _judged(text, step) == text


@pytest.mark.parametrize("step", [1, 1000])
def test_quotes_comments_and_rows_hide_what_looks_dangerous(step: int) -> None:
    text = rb"""\restrict abc
SET standard_conforming_strings = on;
SET client_encoding = 'UTF8';
/* DROP DATABASE a; /* inside */ ' */
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT '\'; DROP DATABASE b; $__$ $_$;
CREATE FUNCTION g(x integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC
 SELECT CASE WHEN $1 > 1 THEN 2 ELSE 1-1 END; SELECT x; END;
COMMENT ON TABLE t IS '; DROP DATABASE c; \';
SELECT E'\'; DROP DATABASE d;', "; DROP DATABASE e;", u&'\0061', a->>'b' FROM x;
CREATE RULE r AS ON INSERT TO t DO ALSO ( DELETE FROM u; DELETE FROM "to" );
CREATE USER MAPPING FOR a SERVER b; GRANT SELECT(x), UPDATE ON TABLE t TO a;
COPY public."from" (a, "b c") FROM stdin;
\.
COPY t FROM stdin WITH (FORMAT csv);
DROP DATABASE f;
\connect f
 \.
\.
"""
    assert _judged(text + END, step) == text + END


@pytest.mark.parametrize(
    "text",
    [
        "DROP DATABASE IF EXISTS live;",
        "select 1;\ndrop /* */ database -- x\n live;",
        "-- a remark ends here\rDROP DATABASE live;",
        "CREATE DATABASE x;",
        "ALTER DATABASE live RENAME TO x;",
        "ALTER ROLE postgres PASSWORD 'x';",
        "CREATE USER x SUPERUSER;",
        "ALTER SYSTEM SET fsync = off;",
        "DROP TABLESPACE x;",
        "DROP OWNED BY x;",
        "COMMENT ON DATABASE live IS 'x';",
        "SECURITY LABEL FOR x ON DATABASE live IS 'x';",
        "GRANT admin TO public;",
        'GRANT "on" TO public;',
        "REVOKE CONNECT ON DATABASE live FROM PUBLIC;",
        "GRANT SET ON PARAMETER x TO y;",
        "\\connect live",
        "SELECT 1; \\! ls",
        "SELECT 1 \\gexec",
        "SELECT 1 \\restrict abc",
        "COPY t FROM stdin; DROP DATABASE live;\n\\.",
        "SET standard_conforming_strings = off;",
        "SET LOCAL standard_conforming_strings TO 'off';",
        "SET client_encoding = 'SJIS';",
        "SET client_encoding = 'WIN936';",
        "SET NAMES 'BIG5';",
        "SELECT E'a'\n-- and so on\n'\\'; DROP DATABASE live; --';",
        "CREATE FUNCTION begin() RETURNS int AS 'x'; ALTER DATABASE live RENAME TO x; END;",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; COPY t FROM stdin;\n\\.\nEND;",
        "\ufeffSELECT 1;",
    ],
)
def test_what_reaches_beyond_the_database_is_refused(text: str) -> None:
    for step in (1, 1000):
        with pytest.raises(RefusedError) as raised:
            _judged(text.encode() + b"\n" + END, step)
        assert "pg_dump" in raised.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT '",
        b"SELECT E'\\';",
        b"SELECT 1E'\\';",
        b"SELECT $a$ $b$;",
        b"SELECT $;",
        b"/* /* */",
        b"COPY t FROM stdin;\nrow",
        b"SELECT (1;",
        b"SELECT 1",
        b"SELECT 1\0;",
    ],
)
def test_what_has_no_end_or_is_not_understood_is_refused(text: bytes) -> None:
    for step in (1, 1000):
        with pytest.raises((DamagedBackupError, RefusedError)):
            _judged(text + b"\n" + END, step)


TEXTS = 2000 if os.environ.get("LEGAL_STORE_SWEEP") == "full" else 40
# fmt: off
TOKENS = [
    "'", "''", "E'", "e'\\''", "\\'", '"', '""', "'x'", "x'", "U&'", "$$", "$a$", "$1", "$", "$a$b$a$", "--", "/*",
    "*/", "-", "/", "*", "::", ",", "_", "(", ")", ";", ";;", "a", "E", "b$c", "1", "1e", "ț", "begin", "end", "case",
    "or", "function", "select", "create function f", "create or replace procedure", "INSERT INTO t VALUES ('a')",
]
# fmt: on


def _statements(text: bytes) -> list[bytes]:
    """What is handed on: where bytes come one by one, a statement at a time, and then the rest."""
    file = BytesIO(text + END.partition(b"\\")[0])
    *statements, _ = filter(None, PlainSql("file", lambda size: file.read(1)).pieces())
    return statements


def test_statements_end_where_psql_ends_them(cluster: Cluster, tmp_path: Path) -> None:
    """Texts of random tokens: of what is accepted, psql sends as many statements as were judged."""
    environment = child_environment({**cluster.parameters, "dbname": "postgres"})
    command = [str(clients("psql")[0].path), "--no-psqlrc", "--quiet", f"--log-file={tmp_path / 'log'}"]
    random, compared = Random(6), 0
    while compared < TEXTS:
        tokens = random.choices(TOKENS, k=random.randint(4, 14))
        text = b"   " + "".join(token + random.choice(["", " ", "\n", "\r"]) for token in tokens).encode() + b"\n;\n"
        try:
            statements = _statements(text)
        except (RefusedError, DamagedBackupError):
            continue
        (tmp_path / "log").unlink(missing_ok=True)
        subprocess.run(command, input=text, env=environment, capture_output=True, check=False)
        assert (tmp_path / "log").read_bytes().count(b"/******** QUERY") == len(statements), text
        compared += 1


def test_a_dump_that_makes_its_database_anew_leaves_the_live_one_alone(
    live: dict[str, Any], store: LocalStore, tmp_path: Path
) -> None:
    file = tmp_path / "dump.sql"
    file.write_bytes(_dump(live, "--create", "--clean"))
    execute(live, "INSERT INTO events VALUES ('2025-01-01', 'since then')")
    before = contents(live)
    shown: list[Any] = []
    with pytest.raises(RefusedError, match=r"dump\.sql, line \d+: DROP DATABASE reaches beyond"):
        restore(_plan(live, store, file), show=shown.append)
    assert shown[-1].ok is False
    assert differences(before, contents(live)) == []


@pytest.mark.parametrize("cut", ["in the rows", "between statements"])
def test_half_a_dump_is_refused(live: dict[str, Any], store: LocalStore, tmp_path: Path, cut: str) -> None:
    text = _dump(live)
    at = text.index(b"COPY public.events_new") + 400 if cut == "in the rows" else text.index(b"ALTER TABLE ONLY")
    for name, half in (("half.sql", text[:at]), ("half.sql.gz", gzip.compress(text[:at]))):
        (tmp_path / name).write_bytes(half)
        with pytest.raises(DamagedBackupError, match=r"is cut short|ends in the middle"):
            restore(_plan(live, store, tmp_path / name))


def test_a_broken_gzip_file_is_damaged_and_no_traceback(tmp_path: Path, store: LocalStore) -> None:
    packed = bytearray(gzip.compress(b"SELECT 1;\n" * 10_000))
    packed[20:30] = b"\xff" * 10
    (tmp_path / "dump.sql.gz").write_bytes(packed)
    with pytest.raises(DamagedBackupError, match="cannot be read to its end"):
        find_source(str(tmp_path / "dump.sql.gz"), store, None, trust_sql=True).check()


def test_what_is_no_sql_is_called_by_its_name(
    cluster: Cluster, hard_template: str, store: LocalStore, tmp_path: Path
) -> None:
    source = {**cluster.parameters, "dbname": hard_template}
    custom = _dump(source, "--format=custom")
    kinds = {
        "c.dump.gz": (gzip.compress(custom), "packed by gzip", "c.manifest.json beside it; else unpack it"),
        "c.dump.xz": (lzma.compress(custom), "packed by xz", "unpack it"),
        "c.sql.bz2": (bz2.compress(b"SELECT 1;"), "packed by bzip2", "unpack it"),
        "c.dump.zst": (zstandard.compress(custom), "packed by zstd", "c.manifest.json"),
        "c.dump.enc": (b"anything", "is encrypted", "c.manifest.json"),
        "c.tgz": (gzip.compress(_dump(source, "--format=tar")), "packed by gzip", "else unpack it"),
        "c.png": (b"\x89PNG\r\n\x1a\n\0\0", "neither an archive of pg_dump nor SQL", "pg_dump -Fc"),
    }
    for name, (content, what, remedy) in kinds.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BackupError, match=what) as raised:
            find_source(str(tmp_path / name), store, None)
        assert remedy in raised.value.remedy


def test_an_sql_file_is_not_restored_in_place(live: dict[str, Any], store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "dump.sql").write_bytes(END)
    with pytest.raises(RefusedError, match="cannot be restored in place"):
        restore(_plan(live, store, tmp_path / "dump.sql", in_place=True))


def test_the_live_database_can_be_used_and_not_dropped_while_sql_runs(live: dict[str, Any]) -> None:
    outside = {**live, "dbname": "postgres"}
    with server(live) as opened, opened.held(live["dbname"]):
        assert execute(live, "SELECT count(*) FROM notes") == [(50,)]
        for statement in ("DROP DATABASE {} WITH (FORCE)", "ALTER DATABASE {} RENAME TO other"):
            with closing(psycopg2.connect(**outside, options="-c lock_timeout=50")) as other:
                other.autocommit = True
                with other.cursor() as cursor, pytest.raises(psycopg2.errors.LockNotAvailable):
                    cursor.execute(statement.format(live["dbname"]))
    assert execute(live, "SELECT count(*) FROM notes") == [(50,)]


def test_what_code_in_the_file_tries_meets_the_lock(live: dict[str, Any], store: LocalStore, tmp_path: Path) -> None:
    rename = f"DO $$ BEGIN EXECUTE 'ALTER DATABASE {live['dbname']} RENAME TO other'; END $$;\n"
    (tmp_path / "dump.sql").write_bytes(f"SET lock_timeout = 50;\n{rename}".encode() + END)
    with pytest.raises(RestoreError, match="lock timeout") as raised:
        restore(_plan(live, store, tmp_path / "dump.sql"))
    assert "is what it was before" in raised.value.remedy
    assert execute(live, "SELECT count(*) FROM notes") == [(50,)]


@pytest.mark.parametrize(("ruin", "told"), [("DROP DATABASE {} WITH (FORCE)", "is gone"), ("SELECT", "is what it was")])
def test_what_is_said_of_the_live_database_was_looked_up(
    live: dict[str, Any], store: LocalStore, tmp_path: Path, ruin: str, told: str
) -> None:
    (tmp_path / "dump.sql").write_bytes(_dump(live))

    def check(restored: Any) -> Finding:
        execute({**live, "dbname": "postgres"}, ruin.format(live["dbname"]))
        return Finding("contents", "", ["something"])

    with pytest.raises(RestoreError) as raised:
        restore(_plan(live, store, tmp_path / "dump.sql", checks=[check]))
    assert told in raised.value.remedy
