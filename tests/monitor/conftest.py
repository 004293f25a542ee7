"""Health checks that start anew in each test, and `db` pointed at the test's servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from legal_store import embedded
from legal_store.config import Settings, Url
from legal_store.database import db, health
from tests.conftest import set_variables
from tests.database.conftest import pooled, proxied_url, proxy  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def no_answer_from_before() -> Iterator[None]:
    health._checkers.clear()
    yield
    health._checkers.clear()


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, servers: embedded.Servers, database_url: Url) -> Iterator[None]:
    """The environment and `db` of a service on the test servers."""
    set_variables(monkeypatch, DATABASE_URL=database_url, REDIS_URL=servers.redis.url)
    db.configure(Settings.from_environ())
    yield
    db.close_all()
