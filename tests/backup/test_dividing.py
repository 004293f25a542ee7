"""The rows of one table are loaded by several jobs: each row exactly once, however the archive is cut."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legal_store.backup import MasterKey, make_backup
from legal_store.backup.comparing import differences
from legal_store.backup.progress import SILENT
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import RestoreError
from legal_store.restore import RestorePlan, find_source, restore
from legal_store.restore.archive import ROWS, Head, Reader, chunk, number, read_head
from legal_store.restore.databases import server
from legal_store.restore.dividing import Job, divide
from tests.backup.conftest import contents, execute, restorable
from tests.conftest import Cluster

LARGE_OBJECTS = 3

# More than a few megabytes, so that it is divided; rows longer than a piece; rows that look like the end of others.
LARGE = r"""
CREATE TABLE remarks (id integer PRIMARY KEY, body text, length integer GENERATED ALWAYS AS (length(body)) STORED);
INSERT INTO remarks SELECT n, E'rând\n\\.\n' || n || repeat(' ș', n % 97) FROM generate_series(1, 40000) n;
INSERT INTO remarks VALUES (40001, repeat(E'lung \\', 500000)), (40002, ''), (40003, NULL);
CREATE TABLE single (body text);
INSERT INTO single SELECT CASE n % 3 WHEN 0 THEN '' WHEN 1 THEN E'\\.' ELSE NULL END FROM generate_series(1, 400000) n;
CREATE TABLE nothing (id integer);
CREATE TABLE no_columns ();
INSERT INTO no_columns SELECT FROM generate_series(1, 5);
SELECT lo_from_bytea(4000000001, convert_to(repeat('martor ', 300000), 'UTF8'));
"""


@pytest.fixture(scope="module")
def large_template(cluster: Cluster) -> Iterator[str]:
    with cluster.database() as name:
        execute({**cluster.parameters, "dbname": name}, LARGE)
        yield name


@pytest.fixture
def large(cluster: Cluster, large_template: str) -> Iterator[dict[str, Any]]:
    with restorable(cluster, large_template) as parameters:
        yield parameters


def _plan(parameters: dict[str, Any], store: LocalStore, name: str, key: MasterKey | None, jobs: int) -> RestorePlan:
    source = find_source(name, store, key)
    return RestorePlan(source=source, parameters=parameters, environment="test", typed=parameters["dbname"], jobs=jobs)


@pytest.mark.parametrize(("codec", "encrypted", "jobs"), [("zstd", True, 3), ("pg_dump", False, 2), ("gzip", False, 1)])
def test_a_large_table_is_loaded_by_all_jobs(
    large: dict[str, Any], store: LocalStore, key: MasterKey, codec: str, encrypted: bool, jobs: int
) -> None:
    master = key if encrypted else None
    before = contents(large)
    made = make_backup(large, [store], environment="test", codec=codec, master=master).manifest
    execute(large, "TRUNCATE remarks, single; SELECT lo_unlink(4000000001)")
    restore(_plan(large, store, made.name, master, jobs))
    assert differences(before, contents(large)) == []
    assert execute(large, "SELECT count(DISTINCT xmin::text) FROM remarks") == [(jobs,)]


def test_a_job_that_fails_ends_the_others_and_says_why(large: dict[str, Any], store: LocalStore) -> None:
    """A check that holds for the rows as they are, and not for a server whose function answers otherwise."""
    execute(large, "CREATE FUNCTION fine(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT true $$")
    execute(large, "ALTER TABLE remarks ADD CONSTRAINT tested CHECK (fine(body))")
    execute(
        large,
        "CREATE OR REPLACE FUNCTION fine(text) RETURNS bool IMMUTABLE LANGUAGE sql AS $$ SELECT length($1) < 9999 $$",
    )
    before = contents(large)
    made = make_backup(large, [store], environment="test", codec="zstd").manifest
    with pytest.raises(RestoreError, match="violates check constraint"):
        restore(_plan(large, store, made.name, None, 3))
    assert differences(before, contents(large)) == []
    with server(large) as opened:
        assert [found for found in opened.marked() if found.of == large["dbname"]] == []


def test_the_head_of_a_real_archive_ends_where_its_data_begins(large: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(large, [store], environment="test", codec="pg_dump").manifest
    archive = store.read(made.data_file)
    head = read_head(archive)
    assert head is not None
    assert head.compressed
    assert archive[head.size] == ROWS
    assert read_head(archive[:5] + b"\x01\x63" + archive[7:]) is None, "of a version that is not known"
    assert read_head(b"no archive at all") is None


class _Noting:
    """Takes what a job would write into its pipe."""

    def __init__(self) -> None:
        self.taken = b""
        self.backlog = 0
        self.given = 0

    def write(self, piece: bytes) -> None:
        self.taken += piece
        self.backlog += 1


class _Slow(io.BytesIO):
    """Gives at most so many bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        super().__init__(content)
        self.most = most

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.most)


_rows = st.lists(st.sampled_from([b"", b"\\N", b"\\\\.", b"a\tb", b"x" * 40, b"\xc8\x99"]), max_size=30)
_cuts = st.lists(st.integers(1, 23), min_size=1, max_size=5)


def _cut(content: bytes, lengths: list[int]) -> bytes:
    framed, place = b"", 0
    while place < len(content):
        length = lengths[place % len(lengths)]
        framed += chunk(content[place : place + length])
        place += length
    return framed + number(0)


@settings(deadline=None, max_examples=200)
@given(st.lists(_rows, max_size=4), _cuts, st.integers(1, 60), st.integers(1, 4), st.booleans())
def test_every_row_goes_to_exactly_one_job(
    tables: list[list[bytes]], cuts: list[int], most: int, jobs: int, compressed: bool
) -> None:
    archive = b"head"
    for place, table in enumerate(tables):
        text = b"".join(row + b"\n" for row in table) + b"\\.\n\n\n"
        archive += bytes([ROWS]) + number(place) + _cut(zlib.compress(text) if compressed else text, cuts)
    objects = zlib.compress(b"object") if compressed else b"object"
    archive += bytes([LARGE_OBJECTS]) + number(99) + number(2**31) + _cut(objects, cuts) + number(0)
    notes = [_Noting() for _ in range(jobs)]
    divide(_Slow(archive, most), Head(b"HEAD", compressed), cast("list[Job]", notes), SILENT, len(archive))
    shares = [_read(note.taken) for note in notes]
    for place, table in enumerate(tables):
        loaded = [share[place].splitlines(keepends=True) for share in shares]
        assert sorted(row for rows in loaded for row in rows) == sorted(row + b"\n" for row in table)
    assert [share.get(99) for share in shares] == [b"object", *[None] * (jobs - 1)]


def _read(stream: bytes) -> dict[int, bytes]:
    """What the blocks of an archive hold, by entry."""
    reader = Reader(io.BytesIO(stream).read)
    assert reader.take(4) == b"HEAD"
    found = {}
    while not reader.at_end():
        kind, entry = reader.byte(), reader.number()
        if kind == LARGE_OBJECTS:
            assert reader.number() == 2**31
        found[entry] = b"".join(reader.chunks())
        if kind == LARGE_OBJECTS:
            assert reader.number() == 0
    return found
