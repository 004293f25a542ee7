"""Our uuid-ossp does what the real one does, so schemas and dumps are the same on every server."""

from __future__ import annotations

import subprocess
import time
import uuid
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store import embedded
from tests.embedded.support import query

NAMES = ["", "a", "www.example.com", "știre", "x" * 39, "x" * 40, "x" * 47, "x" * 48, "y" * 103, "y" * 104, "z" * 1000]


@pytest.fixture(scope="module")
def url(running_servers: embedded.Servers) -> str:
    query(running_servers.postgres.url, 'CREATE EXTENSION "uuid-ossp"')
    return running_servers.postgres.url


def generated(url: str, expression: str, *values: object) -> uuid.UUID:
    return uuid.UUID(query(url, f"SELECT ({expression})::text", *values))


@pytest.mark.parametrize("name", NAMES, ids=len)
def test_version_3_and_5_equal_those_of_python(url: str, name: str) -> None:
    assert generated(url, "uuid_generate_v3(uuid_ns_dns(), %s)", name) == uuid.uuid3(uuid.NAMESPACE_DNS, name)
    assert generated(url, "uuid_generate_v5(uuid_ns_url(), %s)", name) == uuid.uuid5(uuid.NAMESPACE_URL, name)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("uuid_nil", uuid.UUID(int=0)),
        ("uuid_ns_dns", uuid.NAMESPACE_DNS),
        ("uuid_ns_url", uuid.NAMESPACE_URL),
        ("uuid_ns_oid", uuid.NAMESPACE_OID),
        ("uuid_ns_x500", uuid.NAMESPACE_X500),
    ],
)
def test_constants_are_those_of_the_standard(url: str, function: str, value: uuid.UUID) -> None:
    assert generated(url, f"{function}()") == value


@pytest.mark.parametrize("function", ["uuid_generate_v1", "uuid_generate_v1mc"])
def test_version_1_holds_the_time_and_an_invented_node(url: str, function: str) -> None:
    found = generated(url, f"{function}()")
    since_1970 = (found.time - 0x01B21DD213814000) / 1e7
    assert (found.version, found.variant) == (1, uuid.RFC_4122)
    assert abs(since_1970 - time.time()) < 60
    assert found.node >> 40 & 1


@pytest.mark.parametrize("version", ["1", "1mc", "4"])
def test_generated_ids_differ(url: str, version: str) -> None:
    assert query(url, f"SELECT count(DISTINCT uuid_generate_v{version}()) FROM generate_series(1, 10000)") == 10000


def test_version_4_is_marked_as_random(url: str) -> None:
    assert generated(url, "uuid_generate_v4()").version == 4


PROPERTIES = """
    SELECT json_object_agg(proname || '(' || pg_get_function_arguments(oid) || ')',
                           format('%%s %%s %%s %%s', provolatile, proisstrict, proparallel, prorettype::regtype))
    FROM pg_proc WHERE proname LIKE 'uuid\\_%%' AND pronamespace = 'public'::regnamespace
"""


def test_functions_have_the_arguments_and_properties_of_uuid_ossp_1_1(url: str) -> None:
    constant: dict[str, Any] = dict.fromkeys(
        ["uuid_nil()", "uuid_ns_dns()", "uuid_ns_oid()", "uuid_ns_url()", "uuid_ns_x500()"], "i t s uuid"
    )
    random = dict.fromkeys(["uuid_generate_v1()", "uuid_generate_v1mc()", "uuid_generate_v4()"], "v t s uuid")
    named = dict.fromkeys([f"uuid_generate_v{n}(namespace uuid, name text)" for n in (3, 5)], "i t s uuid")
    assert query(url, PROPERTIES) == constant | random | named


def test_dump_holds_the_extension_only(url: str) -> None:
    dump = subprocess.run([embedded.client_program("pg_dump"), url], capture_output=True, text=True, check=True).stdout
    assert 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"' in dump
    assert "CREATE FUNCTION" not in dump


def test_extension_can_live_in_a_schema_off_the_search_path(url: str) -> None:
    statement = """
        CREATE SCHEMA tools; ALTER EXTENSION "uuid-ossp" SET SCHEMA tools;
        SELECT (tools.uuid_generate_v5(tools.uuid_ns_dns(), 'a'))::text FROM tools.uuid_generate_v1() AS time_based;
    """
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.fetchone() == (str(uuid.uuid5(uuid.NAMESPACE_DNS, "a")),)
        connection.rollback()
