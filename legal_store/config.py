"""Settings: read from the environment once, checked all together, never changed afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from legal_store.errors import ConfigurationError

ENVIRONMENTS = ("development", "test", "staging", "production")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class Url(str):
    """A connection URL whose repr hides the password. `str()` is the URL as it was given."""

    def __repr__(self) -> str:
        return f"Url({mask_password(self)!r})"


class Secret(str):
    """A text whose repr does not show it."""

    def __repr__(self) -> str:
        return "Secret('***')"


def mask_password(url: str) -> str:
    """Return `url` with its password as `***`, wherever it stands and however malformed the URL is."""
    if "://" not in url:
        return _PASSWORD_WITHOUT_SCHEME.sub(r"\1:***@", _PASSWORD_KEYWORD.sub(r"\1***", url))
    masked = _USER_INFO.sub(r"\1:***@", url)
    if masked == url:
        masked = _PASSWORD_FOR_PORT.sub(r"\1:***", url)
    return _PASSWORD_PARAMETER.sub(r"\1***", masked)


# greedy up to the last @: a password that was not percent-encoded may hold / ? # and @ itself
_USER_INFO = re.compile(r"(://[^:/@?#]*):.*@", re.DOTALL)
_PASSWORD_FOR_PORT = re.compile(r"(://[^:/@?#\[\]]*):(?!\d*(?:[/?#]|$)).*", re.DOTALL)
_PASSWORD_WITHOUT_SCHEME = re.compile(r"^([^:@]*):.*@", re.DOTALL)
_PASSWORD_KEYWORD = re.compile(r"(password\s*=\s*)(?:'(?:[^'\\]|\\.)*'?|\S+)", re.IGNORECASE)
_PASSWORD_PARAMETER = re.compile(r"([?&]\w*password=)[^&]*", re.IGNORECASE)


def _url(*schemes: str, parse: Callable[[str], object]) -> Callable[[str], Url]:
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)

    def read(text: str) -> Url:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"a URL that starts with {allowed}")
        try:
            parse(text)
        except _WrongPartError as error:
            raise ValueError(str(error)) from None
        except ValueError:  # the cause may quote the password: not shown, not chained
            raise ValueError(f"a URL that starts with {allowed}, special characters percent-encoded") from None
        return Url(text)

    return read


class _WrongPartError(ValueError):
    """A URL that is right but for one part; the message says what is allowed there, and quotes no password."""


def _parse_postgresql(text: str) -> None:
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parameters = parse_dsn(text)
    except psycopg2.Error as error:
        for name in _options(text):
            if not _knows_libpq(name):
                raise _WrongPartError(f"a URL without the option {name}, which PostgreSQL does not know") from None
        raise ValueError from error
    if "dbname" not in parameters:  # libpq would take the user's name for it
        raise _WrongPartError("a URL that names a database, such as postgresql://user@host/database")
    if text.partition("?")[0].count("@") > 1:  # libpq would take a part of the password for the host
        raise ValueError
    for port in filter(None, parameters.get("port", "").split(",")):
        int(port)


def _options(url: str) -> list[str]:
    """Return the names behind the question mark; none where a part of the password may stand there."""
    query = url.partition("?")[2]
    return [] if "@" in query else [name for name, _ in parse_qsl(query, keep_blank_values=True)]


def _knows_libpq(option: str) -> bool:
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parse_dsn(f"postgresql:///?{urlencode({option: 'true'})}")
    except psycopg2.Error:
        return False
    return True


def _parse_redis(text: str) -> None:
    parts = urlsplit(text)
    parts.port  # noqa: B018  (raises)
    if parts.scheme != "unix" and not re.fullmatch(r"/?\d*/?", parts.path):
        raise _WrongPartError("a URL that ends with the number of a database, such as redis://host/0")


def _integer(minimum: int, maximum: int = 2**31 - 1) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return int(text)

    return read


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text

    return read


def _secret(text: str) -> Secret:
    if len(text) < 32:
        raise ValueError("at least 32 characters, for instance of `openssl rand -base64 48`")
    return Secret(text)


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("0 or 1")
    return text == "1"


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path; there is no such user") from None


VECTOR_INDEXES = ("vector", "halfvec", "dense")
SHIPPED = Path(__file__).parent / "shipped"


def own_or_shipped(name: str) -> Path:
    """Return `name` in the working directory; where that is missing, the one that came with the installed package."""
    own, shipped = Path(name), SHIPPED / name
    return shipped if shipped.exists() and not own.exists() else own


def _variable(name: str, read: Callable[[str], Any], default: Any, doc: str, **more: Any) -> Any:
    metadata = {"variable": name, "read": read, "doc": doc}
    given = {"default_factory": default} if callable(default) else {"default": default}
    return field(metadata=metadata, **given, **more)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set from outside. Times are in the unit that the description names."""

    database_url: Url | None = _variable(
        "DATABASE_URL", _url("postgresql", "postgres", parse=_parse_postgresql), None,
        "PostgreSQL to use; without it the embedded server (an error in production)")  # fmt: skip
    max_connections: int = _variable(
        "DATABASE_MAX_CONNECTIONS", _integer(1), 20, "connections the server grants to all services together"
    )
    pool_size: int = _variable("DATABASE_POOL_SIZE", _integer(1), 10, "connections that one process may hold")
    pool_min_size: int = _variable(
        "DATABASE_POOL_MIN_SIZE", _integer(0), 0, "connections that a process keeps open even when idle"
    )
    pool_max_waiting: int = _variable(
        "DATABASE_POOL_MAX_WAITING", _integer(0), 0, "threads that may wait for a connection; 0 is no limit"
    )
    connection_timeout_ms: int = _variable(
        "DATABASE_CONNECTION_TIMEOUT", _integer(1), 30_000, "longest wait for a connection, in milliseconds"
    )
    statement_timeout_ms: int = _variable(
        "DATABASE_STATEMENT_TIMEOUT", _integer(0), 60_000, "longest statement, in milliseconds; 0 is no limit"
    )
    idle_timeout_ms: int = _variable(
        "DATABASE_IDLE_TIMEOUT",
        _integer(0),
        10_000,
        "close a pooled connection unused for so many milliseconds",
    )
    max_lifetime_ms: int = _variable(
        "DATABASE_MAX_LIFETIME", _integer(0), 1_800_000, "close a pooled connection older than so many milliseconds"
    )
    ssl_mode: str = _variable(
        "DATABASE_SSL_MODE", _one_of(*SSL_MODES), "require",
        "TLS over TCP; an sslmode in DATABASE_URL wins, and Unix sockets need none")  # fmt: skip
    redis_url: Url | None = _variable(
        "REDIS_URL", _url("redis", "rediss", "unix", parse=_parse_redis), None,
        "Redis or Valkey to use; without it the embedded server (an error in production)")  # fmt: skip
    session_ttl_s: int = _variable("REDIS_SESSION_TTL", _integer(1), 86_400, "life of a session, in seconds")
    session_absolute_ttl_s: int = _variable(
        "REDIS_SESSION_ABSOLUTE_TTL", _integer(1), 604_800, "longest life of a session that is refreshed, in seconds"
    )
    session_secret: Secret | None = _variable(
        "LEGAL_STORE_SESSION_SECRET", _secret, None,
        "keys the hashes of session ids and their encryption; needed in production")  # fmt: skip
    session_encrypted: bool = _variable(
        "REDIS_SESSION_ENCRYPTED", _switch, False, "1: what sessions hold is encrypted in Redis (AES-256-GCM)"
    )
    cache_ttl_s: int = _variable(
        "REDIS_CACHE_DEFAULT_TTL", _integer(1), 300, "default life of a cached value, in seconds"
    )
    environment: str = _variable(
        "LEGAL_STORE_ENV", _one_of(*ENVIRONMENTS), "development", "what kind of environment this is"
    )
    home: Path = _variable("LEGAL_STORE_HOME", _path, Path(".legal_store"), "folder of the embedded servers")
    migrations_dir: Path = _variable(
        "LEGAL_STORE_MIGRATIONS_DIR", _path, partial(own_or_shipped, "migrations"), "folder of the migration files"
    )
    seeds_dir: Path = _variable(
        "LEGAL_STORE_SEEDS_DIR", _path, partial(own_or_shipped, "seeds"), "folder of the seed sets"
    )
    vector_index: str = _variable(
        "LEGAL_STORE_VECTOR_INDEX",
        _one_of(*VECTOR_INDEXES),
        "vector",
        "which index embeddings have: vector, halfvec or dense",
    )
    backup_dir: Path = _variable("LEGAL_STORE_BACKUP_DIR", _path, Path("backups"), "folder of the backups")

    @property
    def import_notes(self) -> Path:
        """The folder of notes by which a killed import is known to the next command."""
        return self.home / "imports"

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read every setting from `environ` (the process's own by default).

        An empty value counts as not set. Raises ConfigurationError that names every wrong variable at once,
        with its value (passwords masked) and what is allowed.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems: list[str] = []
        for setting in fields(cls):
            text = environ.get(setting.metadata["variable"], "").strip()
            if not text:
                continue
            try:
                values[setting.name] = setting.metadata["read"](text)
            except ValueError as error:
                problems.append(f"{setting.metadata['variable']}={_shown(setting.name, text)}: must be {error}")
        problems += [*_missing_in_production(values), *_pool_sizes_at_odds(values)]
        if problems:
            raise ConfigurationError(_listed(problems), remedy="Correct the environment or the .env file.")
        return cls(**values)


def _shown(name: str, text: str) -> str:
    if name.endswith("_secret"):
        return "***"
    return mask_password(text) if name.endswith("_url") else repr(text)


def _missing_in_production(values: Mapping[str, Any]) -> list[str]:
    if values.get("environment") != "production" or "database_url" in values:
        return []
    return ["DATABASE_URL is not set: in production there is no embedded server to fall back on"]


def _pool_sizes_at_odds(values: Mapping[str, Any]) -> list[str]:
    names = ("pool_size", "max_connections", "pool_min_size")
    pool, server, least = (values.get(name, getattr(Settings, name)) for name in names)
    problems = []
    if pool > server:
        problems.append(f"DATABASE_POOL_SIZE={pool}: must not be more than DATABASE_MAX_CONNECTIONS, which is {server}")
    if least > pool:
        problems.append(f"DATABASE_POOL_MIN_SIZE={least}: must not be more than DATABASE_POOL_SIZE, which is {pool}")
    return problems


def _listed(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"Wrong setting: {problems[0]}."
    return "Wrong settings:\n" + "\n".join(f"  - {problem}" for problem in problems) + "\n"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read from the environment at the first call.

    Raises ConfigurationError. Tests that change the environment call `settings.cache_clear()`.
    """
    return Settings.from_environ()
