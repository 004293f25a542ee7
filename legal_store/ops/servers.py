"""The servers of development: start, stop, and how to reach them."""

from __future__ import annotations

import os
import shutil
import sys

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task


@task("up", help={"port": "also listen on 127.0.0.1 at this port, with a password", "json": "print JSON"})
def up(context: Context, port: int = 0, json: bool = False) -> None:
    """Start the embedded PostgreSQL and Redis; they run until `invoke down`."""
    from legal_store.config import settings
    from legal_store.embedded import up as start

    servers = start(settings().home, port=port or None)
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


@task("url", help={"redis": "the URL of Redis instead", "show-password": "print the password as it is"})
def url(context: Context, redis: bool = False, show_password: bool = False) -> None:
    """Print the URL of the database, for psql or any other client."""
    from legal_store.config import mask_password, settings
    from legal_store.database.target import database_url, redis_url

    found = redis_url(settings()) if redis else database_url(settings())
    print(found if show_password else mask_password(found))


@task("psql", help={"command": "run this SQL and return"})
def psql(context: Context, command: str = "") -> None:
    """Open psql on the database; the password travels in the environment, never in the arguments."""
    from legal_store.config import settings
    from legal_store.database.target import client_environment
    from legal_store.embedded import client_program

    program = shutil.which("psql") or str(client_program("psql"))
    say(f"{program}")
    arguments = [program, *(["--command", command] if command else [])]
    sys.stdout.flush()
    os.execve(program, arguments, {**os.environ, **client_environment(settings())})  # noqa: S606
