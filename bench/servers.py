"""A PostgreSQL of its own for a comparison, and migrated databases on it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from legal_store import embedded
from legal_store.config import Settings, Url
from legal_store.migrate import deploy

MIGRATIONS = Path(__file__).parent.parent / "migrations"
SYNTHETIC = Path(__file__).parent.parent / "seeds" / "synthetic"


class Server:
    """An embedded PostgreSQL that runs until the comparison ends."""

    def __init__(self, postgres: embedded.Server) -> None:
        self.postgres = postgres
        self.parameters: dict[str, Any] = parse_dsn(postgres.url)
        self._template = ""

    def url(self, name: str) -> Url:
        return Url(f"postgresql://{self.parameters['user']}@/{name}?host={self.parameters['host']}")

    @contextmanager
    def database(self) -> Iterator[Url]:
        """Make a migrated database without rows; it is dropped at the end."""
        self._template = self._template or self._migrated()
        name = f"bench_{uuid.uuid4().hex[:8]}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _migrated(self) -> str:
        """Make the database that all others are copies of: migrating takes longer than copying."""
        name = "bench_template"
        self._execute(f"CREATE DATABASE {name}")
        deploy({**self.parameters, "dbname": name}, MIGRATIONS)
        return name

    def checkpoint(self) -> None:
        """Write everything to disk, so that nobody pays for what another has left."""
        self._execute("CHECKPOINT")

    def _execute(self, statement: str) -> None:
        with closing(psycopg2.connect(**{**self.parameters, "dbname": "postgres"})) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)


@contextmanager
def server(port: int | None = None, **settings: str) -> Iterator[Server]:
    """Start an embedded PostgreSQL in a temporary folder, with its settings as they come except for those given."""
    with tempfile.TemporaryDirectory() as home:
        try:
            yield Server(embedded.up(Path(home), port=port, postgres_settings=settings).postgres)
        finally:
            embedded.down(Path(home))


def settings_for(url: Url) -> Settings:
    return Settings.from_environ({"DATABASE_URL": url})
