"""Which PostgreSQL and which Redis to talk to, and with which parameters. No connection is made here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legal_store.config import Settings, Url, mask_password
from legal_store.database.scope import SERVICE_ROLE, ScopedConnection, ScopedCursor
from legal_store.errors import ConfigurationError

if TYPE_CHECKING:
    from legal_store.embedded import Server

APPLICATION_NAME = "legal_store"


def database_url(settings: Settings) -> Url:
    """Return DATABASE_URL, or the URL of the running embedded server. Starts nothing.

    Raises ConfigurationError where there is neither.
    """
    if settings.database_url is not None:
        return settings.database_url
    from legal_store.embedded import running_postgres

    return _embedded(settings, "DATABASE_URL", "PostgreSQL", running_postgres)


def redis_url(settings: Settings) -> Url:
    """Return REDIS_URL, or the URL of the running embedded server. Starts nothing.

    Raises ConfigurationError where there is neither.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    from legal_store.embedded import running_redis

    return _embedded(settings, "REDIS_URL", "Redis", running_redis)


def redis_options(*, connect: float, answer: float, attempts: int = 1) -> dict[str, Any]:
    """Return redis-py's options for limits in seconds: by its defaults it would wait for a dead server ten times."""
    from redis.backoff import ExponentialBackoff, NoBackoff
    from redis.retry import Retry

    again = attempts - 1
    return {
        "socket_connect_timeout": connect,
        "socket_timeout": answer,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01) if again else NoBackoff(), again),
        "protocol": 2,  # no handshake: a new connection costs no round trip of its own
        "driver_info": None,
    }


def redis_client(url: str, options: dict[str, Any]) -> Any:
    """Return redis-py's client, which connects at its first command.

    Raises ConfigurationError for an option in the URL that redis-py does not know or cannot read.
    """
    from redis import Redis

    try:
        client = Redis.from_url(url, **options)
        client.connection_pool.make_connection()  # not connected: it only takes the options
    except (TypeError, ValueError) as error:
        named = re.search(r"'(\w+)'", str(error))  # the rest may quote the password
        option = f"the option {named[1]}" if named else "an option"
        raise ConfigurationError(
            f"REDIS_URL has {option} that cannot be used.", remedy="Correct or remove what follows its question mark."
        ) from None
    return client


def connection_parameters(settings: Settings) -> dict[str, Any]:
    """Return what psycopg2.connect() needs: the URL with time limits, TLS mode and a name for pg_stat_activity."""
    from psycopg2.extensions import parse_dsn

    parameters: dict[str, Any] = parse_dsn(database_url(settings))
    parameters.setdefault("application_name", APPLICATION_NAME)
    parameters.setdefault("connect_timeout", max(2, settings.connection_timeout_ms // 1000))
    if "sslmode" not in parameters and not _over_unix_socket(parameters):
        parameters["sslmode"] = settings.ssl_mode
    timeout = f"-c statement_timeout={settings.statement_timeout_ms}"
    parameters["options"] = f"{parameters.get('options', '')} {timeout}".strip()
    return parameters


def service_parameters(settings: Settings) -> dict[str, Any]:
    """Return what a service connects with: as connection_parameters(), in the role that owns nothing from the start.

    The role is a start-up option, so that RESET and DISCARD lead back to it and not to the login.
    """
    parameters = connection_parameters(settings)
    parameters["options"] += f" -c role={SERVICE_ROLE}"
    parameters["connection_factory"] = ScopedConnection
    parameters["cursor_factory"] = ScopedCursor
    return parameters


def startup_settings(options: str) -> dict[str, str]:
    """Return the settings that a libpq parameter `options` makes ("-c name=value"); of a repeated one the last."""
    return dict(re.findall(r"-c\s*([\w.]+)=([\w.]+)", options))


def describe_target(parameters: dict[str, Any]) -> str:
    """Return "database "x" at host:port as user", without secrets, for messages."""
    host = parameters.get("host") or "the local Unix socket"
    port = "" if _over_unix_socket(parameters) else f":{parameters.get('port', 5432)}"
    user = f' as user "{parameters["user"]}"' if "user" in parameters else ""
    return mask_password(f'database "{parameters.get("dbname", "")}" at {host}{port}{user}')


def client_environment(settings: Settings) -> dict[str, str]:
    """Return the PG* variables by which psql, pg_dump and the like reach the database, the password among them."""
    parameters = connection_parameters(settings)
    return {PG_VARIABLES[name]: str(value) for name, value in parameters.items() if name in PG_VARIABLES}


PG_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME",
}


def _embedded(settings: Settings, variable: str, name: str, running: Callable[[Path], Server | None]) -> Url:
    server = None if settings.production else running(settings.home)
    if server is None:
        where = (
            "in production there is no embedded server"
            if settings.production
            else f"no embedded {name} runs in {settings.home}"
        )
        raise ConfigurationError(
            f"{variable} is not set, and {where}.",
            remedy=f"Set {variable}." if settings.production else f"Run `invoke up`, or set {variable}.",
        )
    return Url(server.url)


def _over_unix_socket(parameters: dict[str, Any]) -> bool:
    return str(parameters.get("host", "/")).startswith(("/", "@"))
