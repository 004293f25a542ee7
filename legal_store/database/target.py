"""Which PostgreSQL to talk to, and with which libpq parameters. No connection is made here."""

from __future__ import annotations

from typing import Any

from legal_store.config import Settings, Url, mask_password
from legal_store.errors import ConfigurationError

APPLICATION_NAME = "legal_store"


def database_url(settings: Settings) -> Url:
    """Return DATABASE_URL, or the URL of the running embedded server. Starts nothing.

    Raises ConfigurationError where there is neither.
    """
    if settings.database_url is not None:
        return settings.database_url
    from legal_store.embedded import running

    servers = running(settings.home)
    if servers is None:
        raise ConfigurationError(
            f"DATABASE_URL is not set, and no embedded server runs in {settings.home}.",
            remedy="Start one with `invoke up`, or set DATABASE_URL.",
        )
    return Url(servers.postgres.url)


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


def describe_target(parameters: dict[str, Any]) -> str:
    """Return "database "x" at host:port as user", without secrets, for messages."""
    host = parameters.get("host") or "the local Unix socket"
    port = "" if _over_unix_socket(parameters) else f":{parameters.get('port', 5432)}"
    user = f' as "{parameters["user"]}"' if "user" in parameters else ""
    return mask_password(f'database "{parameters.get("dbname", "")}" at {host}{port}{user}')


def _over_unix_socket(parameters: dict[str, Any]) -> bool:
    return str(parameters.get("host", "/")).startswith(("/", "@"))
