"""kill -9 at every step: the database is wholly old or wholly masked, and the next run removes what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.anonymize import Rules, anonymize, mark_of, new_key
from legal_store.anonymize.run import CLEANING
from tests.anonymize.conftest import run
from tests.conftest import CHECKOUT

STEPS = ["plan", "collect traces", "mask case_actors", "mask documents", "mask users", "prove", "prove cases", "commit"]
STATE = "SELECT count(*) FILTER (WHERE first_name = 'Demo'), count(*) FROM users"

PROGRAM = """
import os, signal, sys
from pathlib import Path
import psycopg2
from legal_store.anonymize import anonymize, new_key, read_rules
def at(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
anonymize(psycopg2.connect(sys.argv[1]), read_rules(Path("anonymize.toml")), new_key(), progress=at)
"""


def killed_at(url: str, step: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, url, step], cwd=CHECKOUT, env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_before_its_commit_leaves_everything_as_it_was(demo_url: str, step: str) -> None:
    with closing(psycopg2.connect(demo_url)) as connection:
        before = content(connection)
        killed_at(demo_url, step)
        assert content(connection) == before
        assert run(connection, STATE) == [(0, 5)] and mark_of(connection) is None


def test_a_run_killed_after_its_commit_is_finished_by_the_next(demo_url: str, rules: Rules) -> None:
    with closing(psycopg2.connect(demo_url)) as connection:
        killed_at(demo_url, "tidy")
        assert run(connection, STATE) == [(5, 5)]
        assert (mark_of(connection) or "").endswith(CLEANING)
        anonymize(connection, rules, new_key())
        assert not (mark_of(connection) or "").endswith(CLEANING)


def test_a_cut_connection_leaves_everything_as_it_was(demo_url: str, demo: Any, rules: Rules) -> None:
    before = content(demo)
    with closing(psycopg2.connect(demo_url)) as connection:
        pid = connection.info.backend_pid

        def cut(step: str) -> None:
            if step == "mask documents":
                run(demo, "SELECT pg_terminate_backend(%s, 5000)", pid)

        with pytest.raises(psycopg2.OperationalError):
            anonymize(connection, rules, new_key(), progress=cut)
    assert content(demo) == before


def content(connection: Any) -> list[Any]:
    tables = ("users", "clients", "cases", "documents", "case_actors", "case_audit_logs")
    return [run(connection, f"SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM {table} t") for table in tables]
