"""The servers of development: start, stop, and how to reach them."""

from __future__ import annotations

import os
import shutil
import sys

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task


@task("up", help={"port": "also listen on 127.0.0.1 at this port, with a password", "json": "print JSON"})
def up(context: Context, port: str = "", json: bool = False) -> None:
    """Start the embedded PostgreSQL and Redis; they run until `invoke down`."""
    from legal_store.config import settings
    from legal_store.embedded import up as start

    servers = start(settings().home, port=_port(port) if port else None)
    if json:
        print_json(servers)
        return
    rows = [
        (name, server.program, "started" if server.started else "was running", server.url)
        for name, server in servers._asdict().items()
    ]
    print_table("Embedded servers", ("server", "program", "state", "url"), rows)


@task("down", help={"json": "print JSON"})
def down(context: Context, json: bool = False) -> None:
    """Stop the embedded servers; their data stays."""
    from legal_store.config import settings
    from legal_store.embedded import down as stop

    stopped = stop(settings().home)
    if json:
        print_json(stopped)
    else:
        print(stopped)


@task(
    "url",
    help={
        "redis": "the URL of Redis instead",
        "tcp": "the embedded server's TCP port instead of its socket (after `up --port`)",
        "show-password": "print the password as it is",
    },
)
def url(context: Context, redis: bool = False, tcp: bool = False, show_password: bool = False) -> None:
    """Print the URL of the database, for psql or any other client."""
    from legal_store.config import mask_password, settings
    from legal_store.database.target import database_url, redis_url

    found = _tcp_url() if tcp else redis_url(settings()) if redis else database_url(settings())
    print(found if show_password else mask_password(found))


@task("psql", help={"command": "run this SQL and return"})
def psql(context: Context, command: str = "") -> None:
    """Open psql on the database; the password travels in the environment, never in the arguments."""
    from legal_store.config import settings
    from legal_store.database.target import client_environment
    from legal_store.embedded import client_program

    program = shutil.which("psql") or str(client_program("psql"))
    arguments = [program, *(["--command", command] if command else [])]
    sys.stdout.flush()
    os.execve(program, arguments, {**os.environ, **client_environment(settings())})  # noqa: S606


def _port(text: str) -> int:
    from legal_store.errors import WrongUseError

    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise WrongUseError(f"--port {text} is no TCP port.", remedy="Give a number from 1 to 65535.")
    return int(text)


def _tcp_url() -> str:
    from legal_store.config import settings
    from legal_store.embedded import running_postgres
    from legal_store.errors import WrongUseError

    server = running_postgres(settings().home)
    if server is None or server.port is None:
        raise WrongUseError(
            "No embedded server listens on TCP.", remedy="Run `invoke down`, then `invoke up --port N`."
        )
    return server.tcp_url()
