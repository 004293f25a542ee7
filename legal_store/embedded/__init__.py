"""The default servers of development: a real PostgreSQL and a real Redis in one folder, without installation.

Everything they keep lives in the folder `home`; they listen on Unix sockets that only its owner can reach, outlive
the command that started them, and stop with `down`. Importing this module starts nothing and is cheap.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from legal_store.embedded.records import Server, Servers, Stopped

__all__ = [
    "Server",
    "Servers",
    "Stopped",
    "client_program",
    "default_home",
    "down",
    "running",
    "running_postgres",
    "running_redis",
    "up",
]


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the embedded servers: LEGAL_STORE_HOME, else `.legal_store` of the working directory."""
    return Path(environ.get("LEGAL_STORE_HOME") or ".legal_store").absolute()


def up(
    home: Path,
    *,
    port: int | None = None,
    redis_port: int | None = None,
    postgres_settings: Mapping[str, str] | None = None,
) -> Servers:
    """Make both servers run in `home` and return them; a server that runs already is left as it is.

    With `port` PostgreSQL also listens on 127.0.0.1 and asks for the password kept in `home`
    (`Server.tcp_url()`); with `redis_port` Redis also listens there, without a password. `postgres_settings` are
    configuration parameters that count until the server stops.

    Safe when many processes call it at once. Creates `home` if it is missing. Raises EmbeddedServerError when a
    server cannot be started and WrongUseError when one runs already without the wanted port.
    """
    from legal_store.embedded.folder import Home
    from legal_store.embedded.postgres import PostgresServer
    from legal_store.embedded.redis import RedisServer

    found = running(home)
    if found is not None:
        return Servers(found.postgres.listening_on(port), found.redis.listening_on(redis_port))
    folder = Home(home)
    with folder.locked():
        postgres = PostgresServer(folder).start(port=port, settings=postgres_settings or {})
        return Servers(postgres, RedisServer(folder).start(port=redis_port))


def down(home: Path) -> Stopped:
    """Stop both servers of `home` cleanly and say which ones ran; their data stays.

    Ends only processes that are proven to be the servers of this folder. Raises EmbeddedServerError when one of
    them does not stop.
    """
    from legal_store.embedded.folder import Home
    from legal_store.embedded.postgres import PostgresServer
    from legal_store.embedded.redis import RedisServer

    folder = Home(home)
    if not folder.path.is_dir() or folder.is_foreign():
        return Stopped(folder.path, None, None)
    with folder.locked():
        stopped = Stopped(folder.path, PostgresServer(folder).stop(), RedisServer(folder).stop())
        folder.remove_run()
    return stopped


def running(home: Path) -> Servers | None:
    """Return the servers of `home` if both run and accept connections, else None. Starts no process."""
    postgres = running_postgres(home)
    redis = running_redis(home) if postgres else None
    return Servers(postgres, redis) if postgres and redis else None


def running_postgres(home: Path) -> Server | None:
    """Return the PostgreSQL of `home` if it runs and accepts connections, else None. Starts no process."""
    from legal_store.embedded.folder import Home
    from legal_store.embedded.postgres import PostgresServer

    return PostgresServer(Home(home)).look()


def running_redis(home: Path) -> Server | None:
    """Return the Redis of `home` if it runs and accepts connections, else None. Starts no process."""
    from legal_store.embedded.folder import Home
    from legal_store.embedded.redis import RedisServer

    return RedisServer(Home(home)).look()


def client_program(name: str) -> Path:
    """Return the path of `name` (psql, pg_dump, pg_restore, ...) in the embedded PostgreSQL.

    Raises EmbeddedServerError when the package or the program is missing.
    """
    from legal_store.embedded import programs

    return programs.client_program(name)
