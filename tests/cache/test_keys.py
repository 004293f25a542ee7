"""Names of keys and patterns, without a server."""

from __future__ import annotations

import fnmatch
import uuid

from hypothesis import given
from hypothesis import strategies as st

from legal_store.cache.keys import Space, dependencies, entity_of, generation_of

word = st.text("abc1", min_size=1, max_size=2)
keys = st.lists(word, min_size=1, max_size=4).map(":".join)
patterns = st.one_of(
    st.just("*"),
    keys,
    keys.map(lambda key: f"{key}:*"),
    keys.map(lambda key: f"*:{key}"),
    keys.map(lambda key: f"*:{key}:*"),
    st.text("ab1:*?", min_size=1, max_size=6),
)


@given(keys, patterns)
def test_a_generation_reaches_every_key_that_its_pattern_matches(key: str, pattern: str) -> None:
    name = generation_of(pattern)
    if name is not None and fnmatch.fnmatchcase(key, pattern):
        assert name in dependencies(key)


@given(keys, patterns)
def test_a_scan_for_generations_reaches_every_key_that_its_pattern_matches(key: str, pattern: str) -> None:
    if fnmatch.fnmatchcase(key, pattern):
        assert any(fnmatch.fnmatchcase(name, pattern) for name in dependencies(key))


def test_the_documented_patterns_need_no_scan() -> None:
    for pattern in (
        "*",
        "case:123",
        "document:*",
        "user:123:*",
        "firm:456:*",
        "billing:case:*",
        "billing:case:9",
        "*:case:*",
    ):
        assert generation_of(pattern) is not None, pattern
    for pattern in ("case:1*", "*:123", "c?se:*", "a:b:c:*", "[ab]:*"):
        assert generation_of(pattern) is None, pattern


def test_two_firms_share_no_name() -> None:
    mine, theirs = Space("cache:", uuid.uuid4()).place("case:1"), Space("cache:", uuid.uuid4()).place("case:1")
    assert not {mine.value, mine.lock, *mine.generations} & {theirs.value, theirs.lock, *theirs.generations}


def test_all_names_of_a_firm_are_one_slot() -> None:
    from redis.cluster import key_slot

    firm = uuid.uuid4()
    place = Space("cache:", firm).place("billing:case:1")
    assert {key_slot(name.encode()) for name in (place.value, place.lock, *place.generations)} == {
        key_slot(str(firm).encode())
    }


def test_the_entity_is_the_one_of_the_documented_layout() -> None:
    assert [entity_of(key) for key in ("settings", "case:1", "billing:case:1", "billing:case:1:x")] == [
        "settings", "case", "case", "case"
    ]  # fmt: skip
