"""State machine: the cache and a plain dict, in two managers as in two processes."""

from __future__ import annotations

import fnmatch
import os
import uuid
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from legal_store.cache import CacheManager

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
FIRMS = (uuid.UUID(int=1), uuid.UUID(int=2))
KEYS = ("settings", "case:1", "case:2", "billing:case:1", "billing:invoice:1", "user:1:profile", "user:2:profile")
PATTERNS = (*KEYS, "*", "case:*", "billing:*", "billing:case:*", "user:1:*", "*:case:*", "c*", "*:1", "?ser:*", "x:*")

firms, keys, managers = st.sampled_from(FIRMS), st.sampled_from(KEYS), st.sampled_from([0, 1])


class Cache(RuleBasedStateMachine):
    """The truth is a version per key. An invalidation is the moment from which no older version may be served."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.managers = [CacheManager(self.url, ttl=300), CacheManager(self.url, ttl=300)]
        self.managers[0].connection.client.flushdb()
        self.truth = dict.fromkeys([(firm, key) for firm in FIRMS for key in KEYS], 0)
        self.oldest = dict(self.truth)  # what may still be served

    def teardown(self) -> None:
        for manager in self.managers:
            manager.close()

    @rule(firm=firms, key=keys)
    def change(self, firm: uuid.UUID, key: str) -> None:
        self.truth[firm, key] += 1

    @rule(manager=managers, firm=firms, key=keys)
    def set(self, manager: int, firm: uuid.UUID, key: str) -> None:
        assert self.managers[manager].set(key, self.truth[firm, key], firm=firm)
        assert self.managers[1 - manager].get(key, firm=firm) == self.truth[firm, key]

    @rule(manager=managers, firm=firms, key=keys)
    def get(self, manager: int, firm: uuid.UUID, key: str) -> None:
        self._allowed(self.managers[manager].get(key, firm=firm), firm, key, missing=True)

    @rule(manager=managers, firm=firms, key=keys)
    def load(self, manager: int, firm: uuid.UUID, key: str) -> None:
        value = self.managers[manager].get_or_load(key, lambda: self.truth[firm, key], firm=firm)
        self._allowed(value, firm, key)

    @rule(manager=managers, firm=firms, key=keys, pattern=st.sampled_from(PATTERNS))
    def load_while_it_is_changed_and_invalidated(self, manager: int, firm: uuid.UUID, key: str, pattern: str) -> None:
        def load() -> int:
            value = self.truth[firm, key]
            self.change(firm, key)
            self.invalidate(1 - manager, firm, pattern)
            return value

        self.managers[manager].get_or_load(key, load, firm=firm)

    @rule(manager=managers, firm=firms, key=keys)
    def fenced_set(self, manager: int, firm: uuid.UUID, key: str) -> None:
        fence = self.managers[manager].fence(key, firm=firm)
        value = self.truth[firm, key]
        self.change(firm, key)
        self.delete(1 - manager, firm, key)
        assert not self.managers[manager].set(key, value, firm=firm, fence=fence)

    @rule(manager=managers, firm=firms, pattern=st.sampled_from(PATTERNS))
    def invalidate(self, manager: int, firm: uuid.UUID, pattern: str) -> None:
        assert self.managers[manager].invalidate(pattern, firm=firm).complete
        for key in KEYS:
            if fnmatch.fnmatchcase(key, pattern):
                self.oldest[firm, key] = self.truth[firm, key]

    @rule(manager=managers, firm=firms, key=keys)
    def delete(self, manager: int, firm: uuid.UUID, key: str) -> None:
        self.managers[manager].delete(key, firm=firm)
        self.oldest[firm, key] = self.truth[firm, key]
        assert not self.managers[1 - manager].exists(key, firm=firm)

    @rule(manager=managers, firm=firms)
    def get_many(self, manager: int, firm: uuid.UUID) -> None:
        for key, value in self.managers[manager].get_many(KEYS, firm=firm).items():
            self._allowed(value, firm, key)

    @invariant()
    def nothing_older_than_the_last_invalidation_is_served(self) -> None:
        for firm, key in self.truth:
            self._allowed(self.managers[0].get(key, firm=firm), firm, key, missing=True)

    def _allowed(self, value: Any, firm: uuid.UUID, key: str, *, missing: bool = False) -> None:
        if value is None:
            assert missing
        else:
            assert self.oldest[firm, key] <= value <= self.truth[firm, key]


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_nothing_is_served_that_was_invalidated(redis_url: str) -> None:
    Cache.url = redis_url
    run_state_machine_as_test(
        Cache,
        settings=settings(
            max_examples=500 if FULL else 30, stateful_step_count=30, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
