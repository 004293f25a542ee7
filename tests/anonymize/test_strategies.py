"""Strategies: injective ones never collide, follow the key, and agree between tables; others keep what they promise."""

from __future__ import annotations

import os
from typing import Any

import pytest
from psycopg2 import sql

from legal_store.anonymize import Use, new_key, strategies
from legal_store.anonymize.catalog import Column, Table
from legal_store.anonymize.key import COUNT_FROM_ONE, NEXT_ROW_NUMBER, forget_key, hand_over, kept_key
from legal_store.anonymize.masking import new_value
from legal_store.anonymize.planning import Masked
from legal_store.errors import ConfigurationError
from tests.anonymize.conftest import run

VALUES = 10_000_000 if os.environ.get("LEGAL_STORE_SWEEP") == "full" else 20_000
INJECTIVE = {
    "pseudonym": ("text", "'name ' || v"),
    "email": ("text", "'p' || v || '@firma.ro'"),
    "keyed_uuid": ("uuid", "md5(v::text)::uuid"),
    "random_uuid": ("uuid", "md5(v::text)::uuid"),
    "file_name": ("text", "'act' || v || '.pdf'"),
    "storage_url": ("text", "'s3://x/' || v || '.pdf'"),
    "digits": ("text", "'+40' || (700000000 + v)"),
    "permuted_number": ("integer", "v"),
    "numbered": ("text", "v::text"),
}


def prepared(cursor: Any, kind: str, values: str, count: int, key: bytes) -> None:
    rows = f"SELECT v, ({values})::{kind} AS c FROM generate_series(1, {count}) AS v"
    cursor.execute(f"CREATE TEMP TABLE given ON COMMIT DROP AS {rows}")
    hand_over(cursor, key)


def results(cursor: Any, strategy: str, kind: str, **options: Any) -> sql.Composable:
    """Return the query of number, old and new value of each row given."""
    found = strategies()[strategy]
    use = Use(Column("pg_temp.given", "c", kind, kind, None, False, False, False), {**found.options, **options})
    table = Table("pg_temp.given", 0, "r", {"c": use.column}, (), (), frozenset())
    item = Masked(found, use, names=False)
    cursor.execute(COUNT_FROM_ONE)
    return sql.SQL("SELECT t.v, t.c AS old, ({})::text AS new FROM pg_temp.mask_key k, given AS t WHERE {} > 0").format(
        new_value(item, table), NEXT_ROW_NUMBER
    )


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", INJECTIVE)
def test_an_injective_strategy_never_collides(connection: Any, strategy: str) -> None:
    connection.autocommit = False
    kind, values = INJECTIVE[strategy]
    with connection.cursor() as cursor:
        prepared(cursor, kind, values, VALUES, new_key())
        query = results(cursor, strategy, kind, **({"format": "x{n}"} if strategy == "numbered" else {}))
        cursor.execute(sql.SQL("SELECT count(*), count(DISTINCT new) FROM ({}) AS r").format(query))
        assert cursor.fetchone() == (VALUES, VALUES)
    connection.rollback()


def test_every_strategy_that_says_so_is_tested_for_being_injective() -> None:
    assert {name for name, strategy in strategies().items() if strategy.injective} == set(INJECTIVE)


def test_numbers_of_many_digits_do_not_collide(connection: Any) -> None:
    connection.autocommit = False
    with connection.cursor() as cursor:
        prepared(
            cursor,
            "text",
            "(10::numeric ^ 24 + v % 50 * 10::numeric ^ 20 + v / 50)::numeric(30)::text",
            2_000,
            new_key(),
        )
        cursor.execute(sql.SQL("SELECT count(DISTINCT new) FROM ({}) AS r").format(results(cursor, "digits", "text")))
        assert cursor.fetchone() == (2_000,)
    connection.rollback()


@pytest.mark.parametrize("strategy", sorted(set(INJECTIVE) - {"numbered"}))
def test_another_key_gives_other_results(connection: Any, strategy: str) -> None:
    connection.autocommit = False
    kind, values = INJECTIVE[strategy]
    found: list[list[str]] = []
    for key in (new_key(), new_key()):
        with connection.cursor() as cursor:
            prepared(cursor, kind, values, 5_000, key)
            cursor.execute(sql.SQL("SELECT new FROM ({}) AS r ORDER BY v").format(results(cursor, strategy, kind)))
            found.append([new for (new,) in cursor.fetchall()])
        connection.rollback()
    assert sum(one != other for one, other in zip(*found, strict=True)) >= 0.999 * 5_000


def test_the_same_key_maps_equal_values_equally_and_concepts_apart(connection: Any) -> None:
    connection.autocommit = False
    key = new_key()
    with connection.cursor() as cursor:
        prepared(cursor, "text", "'same'", 2, key)
        cursor.execute(results(cursor, "pseudonym", "text"))
        (_, _, one), (_, _, other) = cursor.fetchall()
        cursor.execute(results(cursor, "pseudonym", "text", concept="company"))
        company = cursor.fetchone()[2]
    connection.rollback()
    assert one == other != company


def test_equal_values_of_two_tables_stay_equal(demo: Any, rules: Any) -> None:
    from legal_store.anonymize import anonymize
    from legal_store.anonymize.rules import Rule

    same = "ana.mureșan@firma.ro"
    run(demo, "UPDATE clients SET email = %s WHERE id = (SELECT id FROM clients LIMIT 1)", same)
    run(demo, "UPDATE case_actors SET email = %s", same)
    chosen = {**rules.columns, ("clients", "email"): Rule("clients", "email", "email", {})}
    anonymize(demo, rules._replace(columns=chosen), new_key())
    joined = run(demo, "SELECT DISTINCT email FROM clients JOIN case_actors USING (email)")
    assert len(joined) == 1 and joined[0][0].endswith("@example.com")


def test_the_keyed_hash_is_hmac_sha256(connection: Any) -> None:
    import hashlib
    import hmac

    connection.autocommit = False
    key = new_key()
    with connection.cursor() as cursor:
        prepared(cursor, "text", "'Ștefan'", 1, key)
        cursor.execute(results(cursor, "pseudonym", "text"))
        assert cursor.fetchone()[2] == hmac.digest(key, "pseudonym\x1fȘtefan".encode(), hashlib.sha256).hex()[:24]
    connection.rollback()


@pytest.mark.parametrize(
    ("strategy", "kind", "values", "options", "promise"),
    [
        ("lorem", "text", "repeat('secret ', v)", {}, "length(old) = length(new) AND new !~ 'secret'"),
        ("digits", "text", "'+40 (744) ' || 100000 + v", {}, r"new ~ '^\+\d\d \(\d{3}\) \d{6}$' AND old <> new"),
        ("digits", "text", "'RO ' || v || ' (Serafima Șt, int. 12)'", {},
         r"new ~ '^RO \d+ \([A-Z][a-z]{7} Șt, [a-z]{3}\. \d\d\)$' AND new !~ '[(]Serafima|, int'"),
        ("digits", "text", "'1' || lpad(v::text, 24, '0')", {}, r"new ~ '^\d{25}$' AND right(old, 7) <> right(new, 7)"),
        ("noise", "numeric(15,2)", "v * 100", {"ratio": 0.1}, "abs(new::numeric - old) <= old * 0.1 + 0.01"),
        ("date_shift", "date", "'2024-01-01'::date + v", {"per": "v", "days": 30}, "abs(new::date - old) <= 30"),
        ("first_name", "text", "'n' || v", {}, "new ~ '^[A-Z]'"),
        ("company", "text", "'n' || v", {"locale": "de"}, "length(new) > 2"),
        ("permuted_number", "integer", "-v", {}, "new::int <= 0"),
        ("file_name", "text", "'Popescu.PDF'", {}, r"new ~ '^file-[0-9a-f]{24}\.pdf$'"),
        ("storage_url", "text", "'s3://Popescu/divorce?x=.a'", {}, "new !~ '[Pp]opescu|divorce'"),
    ],
)  # fmt: skip
def test_a_strategy_keeps_its_promise(
    connection: Any, strategy: str, kind: str, values: str, options: dict[str, Any], promise: str
) -> None:
    connection.autocommit = False
    with connection.cursor() as cursor:
        prepared(cursor, kind, values, 300, new_key())
        query = results(cursor, strategy, kind, **options)
        cursor.execute(sql.SQL("SELECT count(*) FROM ({}) AS r WHERE NOT ({})").format(query, sql.SQL(promise)))
        assert cursor.fetchone() == (0,)
    connection.rollback()


def test_shuffle_deals_the_same_values_anew(demo: Any, rules: Any) -> None:
    from legal_store.anonymize import anonymize
    from legal_store.anonymize.rules import Rule

    before = run(demo, "SELECT array_agg(value ORDER BY value), count(value) FROM cases")
    shuffled = {**rules.columns, ("cases", "value"): Rule("cases", "value", "shuffle", {})}
    anonymize(demo, rules._replace(columns=shuffled), new_key())
    assert run(demo, "SELECT array_agg(value ORDER BY value), count(value) FROM cases") == before


def test_a_kept_key_is_private_and_can_be_forgotten(tmp_path: Any) -> None:
    path = tmp_path / "mask.key"
    assert kept_key(path) == kept_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert forget_key(path) and not path.exists() and not forget_key(path)


@pytest.mark.parametrize(("text", "mode"), [("00" * 32, 0o644), ("00" * 31, 0o600), ("nonsense", 0o600)])
def test_a_wrong_key_file_is_refused_without_showing_it(tmp_path: Any, text: str, mode: int) -> None:
    path = tmp_path / "mask.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        kept_key(path)
    assert text not in str(caught.value)
