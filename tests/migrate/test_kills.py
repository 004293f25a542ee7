"""A deploy that is cut off at any statement boundary: the next one ends where a clean run ends, without a human."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from legal_store import embedded
from legal_store.config import Url
from legal_store.errors import LegalStoreError, MigrationError
from legal_store.migrate import deploy, status
from legal_store.migrate.probe import refuse_unfinished_index
from legal_store.migrate.shadow import empty_schema
from tests.migrate.corpus import write_corpus
from tests.migrate.support import catalog, parameters, run

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
DATA = (
    "SELECT 'firm', md5(string_agg(f::text, ',' ORDER BY f::text)) FROM firm f"
    " UNION ALL SELECT 'matter', md5(string_agg(m::text, ',' ORDER BY m::text)) FROM matter m"
    " UNION ALL SELECT 'per_firm', md5(string_agg(p::text, ',' ORDER BY p::text)) FROM per_firm p"
    " UNION ALL SELECT 'note', md5(string_agg(n.text, ',' ORDER BY n.text)) FROM note n"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "migrations")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a server that may be stopped at once."""
    home = tmp_path_factory.mktemp("own")
    embedded.up(home, postgres_settings={"fsync": "off"})
    yield home
    embedded.down(home)


@pytest.fixture
def own_database(server: Path) -> Url:
    return Url(embedded.up(server).postgres.url)


def outcome(url: str) -> tuple[Any, Any]:
    return catalog(url), run(url, DATA)


def empty(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        empty_schema(connection)


class Cut:
    """Observes a deploy and runs `how` at event number `at`."""

    def __init__(self, at: int, how: Any) -> None:
        self.seen, self.at, self.how = 0, at, how

    def __call__(self, event: Any) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.how()


def clean_run(url: str, folder: Path) -> tuple[tuple[Any, Any], int]:
    count = Cut(0, None)
    empty(url)
    deploy(parameters(url), folder, observe=count)
    return outcome(url), count.seen


def exit_in_a_child(url: str, folder: Path, at: int) -> None:
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            deploy(parameters(url), folder, observe=Cut(at, lambda: os._exit(9)))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def terminate_backend(url: str, folder: Path, at: int) -> None:
    ended = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    with suppress(psycopg2.Error, LegalStoreError):
        deploy(parameters(url), folder, observe=Cut(at, lambda: run(url, ended)))


def points(events: int, few: int) -> list[int]:
    stride = 1 if FULL else max(1, events // few)
    return list(range(1, events + 1, stride))


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cut", [exit_in_a_child, terminate_backend])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_cut_deploy_is_continued_to_the_same_end(cut: Any, empty_database: Url, corpus: Path) -> None:
    expected, events = clean_run(empty_database, corpus)
    assert events > 150
    for at in points(events, 8):
        empty(empty_database)
        cut(empty_database, corpus, at)
        deploy(parameters(empty_database), corpus)
        assert outcome(empty_database) == expected, f"cut at event {at} of {events}"
        assert status(parameters(empty_database), corpus).clean


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_a_deploy_whose_server_stopped_at_once_is_continued(own_database: Url, server: Path, corpus: Path) -> None:
    expected, events = clean_run(own_database, corpus)
    for at in points(events, 2):
        empty(own_database)
        pid = embedded.up(server).postgres.pid
        with suppress(psycopg2.Error, LegalStoreError):
            deploy(parameters(own_database), corpus, observe=Cut(at, lambda pid=pid: stop_at_once(pid)))
        own_database = Url(embedded.up(server).postgres.url)
        deploy(dict(parse_dsn(own_database)), corpus)
        assert outcome(own_database) == expected, f"stopped at event {at} of {events}"


def stop_at_once(pid: int) -> None:
    import psutil

    os.kill(pid, signal.SIGQUIT)
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(pid).wait(20)


def test_an_invalid_index_of_an_earlier_try_is_built_again(empty_database: Url, tmp_path: Path) -> None:
    run(empty_database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)")
    with closing(psycopg2.connect(empty_database)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY t_id_idx ON t (id)")
        cursor.execute("DELETE FROM t")
        with pytest.raises(MigrationError, match=r"index t_id_idx was built and is not valid\. Run the command again"):
            refuse_unfinished_index(connection, "CREATE UNIQUE INDEX CONCURRENTLY t_id_idx ON t (id)")
    assert catalog(empty_database)["index", "t.t_id_idx"].endswith("INVALID")
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "001_t.sql").write_text("SELECT 1;")
    (folder / "002_index.sql").write_text(
        "-- transaction: off\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_id_idx ON t (id);"
    )
    from legal_store.migrate.corrections import baseline

    baseline(parameters(empty_database), folder, "001_t", allow_drift=True)
    deploy(parameters(empty_database), folder)
    assert not catalog(empty_database)["index", "t.t_id_idx"].endswith("INVALID")
