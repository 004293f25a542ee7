"""Settings: defaults, every wrong value at once, and no password anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store.config import VECTOR_INDEXES, Settings, Url, mask_password
from legal_store.errors import ConfigurationError
from legal_store.models import documents

SECRET = "s3cr3t-Zq"


def wrong(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environ(environ)
    return str(caught.value)


def test_defaults_are_those_of_the_original() -> None:
    found = Settings.from_environ({})
    assert (found.max_connections, found.pool_size, found.connection_timeout_ms) == (20, 10, 30_000)
    assert (found.statement_timeout_ms, found.idle_timeout_ms, found.ssl_mode) == (60_000, 10_000, "require")
    assert (found.session_ttl_s, found.cache_ttl_s) == (86_400, 300)


def test_all_wrong_settings_are_reported_at_once() -> None:
    message = wrong(DATABASE_POOL_SIZE="ten", REDIS_SESSION_TTL="-1", LEGAL_STORE_ENV="prod", DATABASE_SSL_MODE="on")
    assert "DATABASE_POOL_SIZE='ten': must be a whole number from 1 to 2147483647" in message
    assert "REDIS_SESSION_TTL='-1'" in message
    assert "LEGAL_STORE_ENV='prod': must be one of development, test, staging, production" in message
    assert "DATABASE_SSL_MODE='on': must be one of disable, allow" in message


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("DATABASE_POOL_SIZE", "50", "must not be more than DATABASE_MAX_CONNECTIONS, which is 20"),
        ("DATABASE_STATEMENT_TIMEOUT", "99999999999", "from 0 to 2147483647"),
        ("LEGAL_STORE_HOME", "~no-such-user/x", "a path"),
        ("DATABASE_URL", "postgresql://u@h/db?ssl=true&fox=1", "a URL without the option fox"),
        ("REDIS_URL", "redis://h/abc", "ends with the number of a database"),
    ],
)
def test_a_value_that_cannot_work_is_refused(variable: str, value: str, allowed: str) -> None:
    assert allowed in wrong(**{variable: value})


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environ({"DATABASE_URL": "", "DATABASE_POOL_SIZE": " "}) == Settings()


def test_production_without_a_database_is_an_error() -> None:
    assert "DATABASE_URL is not set: in production" in wrong(LEGAL_STORE_ENV="production")


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql://u:a/{SECRET}@h/db",
        f"postgresql://u:{SECRET}",
        f"postgresql://u:a/b?{SECRET}=1@h/db",
        f"postgresql://h/db?unknown=1&password={SECRET}",
        f"postgresql://u:x@{SECRET}@h:12x/db",
        f"postgresql://u:x@{SECRET}/9@127.0.0.1:5432/db",
        f"host=/tmp dbname=x password={SECRET}",
        f"host=/tmp password = 'a b\\' {SECRET}' dbname=x",
    ],
)
def test_a_malformed_url_is_named_without_its_password(url: str) -> None:
    message = wrong(DATABASE_URL=url)
    assert "DATABASE_URL=" in message
    assert SECRET not in message


def test_a_password_is_in_no_repr() -> None:
    found = Settings.from_environ(
        {"DATABASE_URL": f"postgresql://u:{SECRET}@h/db", "REDIS_URL": f"redis://:{SECRET}@h"}
    )
    assert SECRET not in repr(found)
    assert str(found.database_url) == f"postgresql://u:{SECRET}@h/db"
    assert repr(Url("postgresql://u:p@h/db")) == "Url('postgresql://u:***@h/db')"


def test_several_hosts_are_allowed() -> None:
    url = "postgresql://u:p@one:5432,two:5433/db?target_session_attrs=read-write"
    assert Settings.from_environ({"DATABASE_URL": url}).database_url == url


@given(password=st.text(alphabet="abc:/@?#&=[]%", min_size=1).map(lambda text: text + SECRET))
def test_no_password_survives_masking(password: str) -> None:
    assert SECRET not in mask_password(f"postgresql://user:{password}@host:5432/db")


@pytest.mark.parametrize("url", [f"user:{SECRET}@host/db", f"redis//:{SECRET}@host:5432/0", f"user:a:@{SECRET}@host"])
def test_no_password_survives_masking_without_a_scheme(url: str) -> None:
    assert SECRET not in mask_password(url)


def test_the_vector_indexes_that_may_be_chosen_are_those_that_the_models_know() -> None:
    assert set(VECTOR_INDEXES) == set(documents.VECTOR_INDEXES)
