"""SIGTERM and a closed terminal end a task as Ctrl-C does: what it had begun is taken back, and soon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from tests.conftest import CHECKOUT, Cluster
from tests.proxy import TcpProxy

Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def parameters(cluster: Cluster) -> Iterator[dict[str, Any]]:
    with cluster.database() as name:
        yield {**cluster.parameters, "dbname": name}


@pytest.fixture
def start(cluster: Cluster, parameters: dict[str, Any], tmp_path: Path) -> Iterator[Started]:
    """A function that starts a task on the database."""
    begun: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **more: str) -> subprocess.Popen[str]:
        url = cluster.url(parameters["dbname"])
        variables = {"DATABASE_URL": url, "LEGAL_STORE_BACKUP_DIR": str(tmp_path / "b"), **more}
        command = [sys.executable, "-m", "invoke", *arguments]
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=os.environ | variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def _until_sessions_wait(asking: Any, count: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        asking.execute(
            "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE NOT granted AND datname = current_database()"
        )
        if asking.rowcount >= count:
            return
        time.sleep(0.02)
    raise AssertionError("nothing waits")


def _until_asleep(asking: Any) -> None:
    until = time.monotonic() + 20
    with asking.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute("SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'")
            if cursor.rowcount:
                return
            asking.rollback()  # else the answer stays the same
            time.sleep(0.02)
    raise AssertionError("nothing sleeps")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_backup_that_is_told_to_end_takes_back_what_it_wrote(
    start: Started, parameters: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    with closing(psycopg2.connect(**parameters)) as holding, holding.cursor() as cursor:
        cursor.execute("CREATE TABLE t (n integer)")
        holding.commit()
        cursor.execute("LOCK t IN ACCESS EXCLUSIVE MODE")
        backup = start("backup", "--compress")
        _until_sessions_wait(cursor, 2)  # pg_dump, and what looks at the rows
        backup.send_signal(number)
        _, said = backup.communicate(timeout=10)
    assert backup.returncode == 128 + number
    assert "Interrupted." in said
    assert "Traceback" not in said
    assert [file.name for file in (tmp_path / "b").iterdir() if file.suffix != ".legal_store-run"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_waits_for_a_statement_hears_of_it_soon(parameters: dict[str, Any], number: signal.Signals) -> None:
    """Python itself does not hear of a signal before the statement is done."""
    program = (
        "import json, sys, psycopg2\n"
        "from legal_store.cli.signals import ToldToEndError, ended_in_order\n"
        "connection = psycopg2.connect(**json.loads(sys.argv[1]))\n"
        "try:\n"
        "    with ended_in_order(), connection.cursor() as cursor:\n"
        "        print('begins', flush=True)\n"
        "        cursor.execute('SELECT pg_sleep(60)')\n"
        "except ToldToEndError as error:\n"
        "    connection.rollback()\n"
        "    connection.cursor().execute('SELECT 1')\n"
        "    print(error, flush=True)\n"
    )
    command = [sys.executable, "-c", program, json.dumps(parameters)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == f"{number.name}\n"
    assert process.returncode == 0


def test_a_network_that_swallows_everything_keeps_no_process_alive(
    cluster: Cluster, parameters: dict[str, Any]
) -> None:
    """The request to cancel is swallowed, too: it waits for ever for the server to close its connection."""
    program = (
        "import os, psycopg2\n"
        "from legal_store.cli import signals\n"
        "signals._PATIENCE = 1.0\n"
        "connection = psycopg2.connect(os.environ['DATABASE'])\n"
        "with signals.ended_in_order(), connection.cursor() as cursor:\n"
        "    cursor.execute('SELECT pg_sleep(60)')\n"
    )
    tcp = {**cluster.tcp_parameters, "dbname": parameters["dbname"]}
    with TcpProxy((tcp["host"], int(tcp["port"]))) as proxy:
        variables = {**os.environ, "DATABASE": make_dsn(**{**tcp, "host": proxy.host, "port": proxy.port})}
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, env=variables) as process, closing(cluster.connect("postgres")) as asking:
            _until_asleep(asking)
            proxy.blackhole()
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(20) == -signal.SIGALRM
            finally:
                process.kill()


def test_ctrl_c_is_heard_while_a_server_lets_a_connection_wait(start: Started) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing?sslmode=disable"
        task = start("migrate.status", DATABASE_URL=url)
        with silent.accept()[0]:
            began = time.monotonic()
            task.send_signal(signal.SIGINT)
            assert task.wait(20) == 130
            assert time.monotonic() - began < 10


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    program = (
        "import os, signal\n"
        "from legal_store.cli.signals import ended_in_order\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with ended_in_order():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
