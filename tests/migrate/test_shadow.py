"""Scratch databases: dropped whatever happens, never the wrong one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from legal_store.config import Url
from legal_store.errors import OperationFailedError, RefusedError
from legal_store.migrate.shadow import SHADOW_URL, shadow
from tests.conftest import Cluster
from tests.migrate.support import catalog, parameters, run

_KEEP = """
import sys, time
from psycopg2.extensions import parse_dsn
from legal_store.migrate.shadow import shadow
with shadow(parse_dsn(sys.argv[1])) as target:
    print(target["dbname"], flush=True)
    time.sleep(600)
"""


def shadows(url: str) -> set[str]:
    return {name for (name,) in run(url, "SELECT datname FROM pg_database WHERE datname LIKE 'legal_store_shadow_%'")}


def test_a_shadow_is_empty_and_gone_afterwards_even_after_an_error(empty_database: Url) -> None:
    made = ""
    with pytest.raises(ZeroDivisionError), shadow(parameters(empty_database)) as target:
        made = target["dbname"]
        assert made in shadows(empty_database)
        raise ZeroDivisionError
    assert made not in shadows(empty_database)


def test_leftovers_of_a_killed_run_are_dropped_and_one_in_use_is_not(empty_database: Url) -> None:
    keeper = subprocess.Popen([sys.executable, "-c", _KEEP, empty_database], stdout=subprocess.PIPE, text=True)
    assert keeper.stdout is not None
    name = keeper.stdout.readline().strip()
    try:
        with shadow(parameters(empty_database)):
            assert name in shadows(empty_database)
    finally:
        os.kill(keeper.pid, signal.SIGKILL)
        keeper.communicate()
    gone = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"
    while run(empty_database, gone) != [(0,)]:
        pass
    with shadow(parameters(empty_database)):
        assert name not in shadows(empty_database)


@pytest.fixture
def poor_login(cluster: Cluster, empty_database: Url) -> Iterator[str]:
    """A login that may not create databases."""
    run(empty_database, "CREATE ROLE poor LOGIN")
    yield "poor"
    run(empty_database, "DROP OWNED BY poor; DROP ROLE poor")


def test_a_login_without_the_right_is_told_what_to_set(poor_login: str, empty_database: Url) -> None:
    target = {**parameters(empty_database), "user": poor_login}
    with (
        pytest.raises(OperationFailedError, match=f"may not create the scratch database.*Set {SHADOW_URL}"),
        shadow(target),
    ):
        pass


def test_a_given_database_is_emptied_before_and_after_each_use(cluster: Cluster, empty_database: Url) -> None:
    with cluster.database() as name:
        for _ in range(2):
            with shadow(parameters(empty_database), url=cluster.url(name)) as target:
                assert target["dbname"] == name
                assert catalog(cluster.url(name)) == {}
                run(cluster.url(name), "CREATE TABLE leftover ()")
        assert catalog(cluster.url(name)) == {}


def test_a_given_database_serves_one_run_at_a_time(cluster: Cluster, empty_database: Url) -> None:
    with (
        cluster.database() as name,
        shadow(parameters(empty_database), url=cluster.url(name)),
        pytest.raises(OperationFailedError, match=f"database of {SHADOW_URL} is in use by another run"),
        shadow(parameters(empty_database), url=cluster.url(name), wait_seconds=0.2),
    ):
        pass


def test_a_given_database_with_other_contents_is_refused_and_kept(cluster: Cluster, empty_database: Url) -> None:
    with cluster.database() as name:
        run(cluster.url(name), "CREATE TABLE precious (id int)")
        with (
            pytest.raises(RefusedError, match="holds 1 tables that are not ours"),
            shadow(parameters(empty_database), url=cluster.url(name)),
        ):
            pass
        assert ("table", "precious") in catalog(cluster.url(name))


def test_the_database_itself_is_refused_as_its_shadow(empty_database: Url) -> None:
    with (
        pytest.raises(RefusedError, match="is the database itself"),
        shadow(parameters(empty_database), url=empty_database),
    ):
        pass
    with closing(psycopg2.connect(empty_database)) as connection:
        assert connection.status
