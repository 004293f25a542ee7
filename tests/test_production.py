"""What counts as production, and that a refusal shows no secret."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from legal_store.config import Settings, Url
from legal_store.errors import RefusedError, ServerUnavailableError
from legal_store.production import (
    environment_marker,
    environment_of,
    mark_production,
    production_signs,
    refuse_production,
)
from tests.migrate.support import parameters, run


@pytest.mark.parametrize(
    ("url", "environment", "marker", "signs"),
    [
        ("postgresql://u:p@dpg-1.frankfurt-postgres.render.com/legal", "development", None, 1),
        ("postgresql://u@db/legal_Production", "development", None, 1),
        ("postgresql://u@db/legal", "production", None, 1),
        ("postgresql://u@db/legal", "development", "production", 1),
        ("postgresql://u@x.render.com/production", "production", "production", 4),
        ("postgresql://u:production@db/legal", "staging", "staging", 0),
        ("postgresql://u@db/legal?password=render.com", "test", None, 0),
    ],
)
def test_each_sign_counts_and_a_password_does_not(url: str, environment: str, marker: str | None, signs: int) -> None:
    assert len(production_signs(url, environment, marker)) == signs


def test_a_marked_database_refuses_through_an_innocent_url(empty_database: Url) -> None:
    settings = Settings(database_url=empty_database)
    refuse_production("Restoring", settings)
    with closing(psycopg2.connect(empty_database)) as connection:
        connection.autocommit = True
        assert mark_production(connection) is True
        assert mark_production(connection) is None
    assert environment_marker(parameters(empty_database)) == "production"
    with pytest.raises(RefusedError, match=r"Restoring is refused, this is production: the database itself is marked"):
        refuse_production("Restoring", settings)


def test_a_session_option_cannot_hide_the_mark(empty_database: Url) -> None:
    with closing(psycopg2.connect(empty_database)) as connection:
        connection.autocommit = True
        mark_production(connection)
    hidden = {**parameters(empty_database), "options": "-c legal_store.environment=development"}
    assert environment_marker(hidden) == "production"


def test_a_login_that_does_not_own_the_database_cannot_mark_it(empty_database: Url) -> None:
    run(empty_database, "CREATE ROLE visitor LOGIN")
    try:
        with closing(psycopg2.connect(**{**parameters(empty_database), "user": "visitor"})) as connection:
            connection.autocommit = True
            assert mark_production(connection) is False
    finally:
        run(empty_database, "DROP ROLE visitor")


def test_a_missing_database_carries_no_mark_and_an_unreachable_one_is_not_taken_for_harmless(
    empty_database: Url,
) -> None:
    assert environment_marker({**parameters(empty_database), "dbname": "nowhere"}) is None
    with pytest.raises(ServerUnavailableError):
        environment_marker({**parameters(empty_database), "host": "/nowhere"})


def test_a_refusal_shows_no_password() -> None:
    settings = Settings(database_url=Url("postgresql://u:hush@x.render.com/legal"))
    with pytest.raises(RefusedError) as caught:
        refuse_production("Resetting", settings)
    assert "hush" not in str(caught.value)


def test_what_a_database_says_of_itself_counts_for_its_backups(empty_database: Url) -> None:
    target = parameters(empty_database)
    assert environment_of(Settings(environment="staging"), target) == "staging"
    with closing(psycopg2.connect(empty_database)) as connection:
        connection.autocommit = True
        mark_production(connection)
    assert environment_of(Settings(), target) == "production"
