"""Every order in which two loaders, an invalidator and a reader can meet: nothing old is served after an invalidation.

Each of them is a real thread with a real cache manager; a connection that stops before every command to Redis lets
the explorer decide whose command comes next. LEGAL_STORE_SWEEP=full enumerates all orders (6,238 in one process,
12,702 in two); otherwise a random selection is played.
"""

from __future__ import annotations

import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from legal_store.cache import CacheManager, flights, loading

FIRM = uuid.uuid4()
KEY = "case:1"
FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
RANDOM_SCHEDULES = 250


class Steps:
    """Runs several callables in threads, one at a time: each waits at its marks until it is chosen to go on."""

    def __init__(self, actors: dict[str, Callable[[], None]]) -> None:
        self.condition = threading.Condition()
        self.turn: str | None = None
        self.waiting: set[str] = set()
        self.idle: set[str] = set()
        self.done: set[str] = set()
        self.errors: list[BaseException] = []
        self.actors = actors
        self.threads = [threading.Thread(target=self._run, args=(name,), name=name, daemon=True) for name in actors]

    def mark(self, *, idle: bool = False) -> None:
        """Called by an actor before each step: wait to be chosen. An idle one waits until another made a step."""
        name = threading.current_thread().name
        if name not in self.actors:
            return
        with self.condition:
            self.waiting.add(name)
            if idle:
                self.idle.add(name)
            self.turn = None
            self.condition.notify_all()
            self.condition.wait_for(lambda: self.turn == name)
            self.waiting.discard(name)

    def _run(self, name: str) -> None:
        try:
            self.mark()
            self.actors[name]()
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)
        finally:
            with self.condition:
                self.done.add(name)
                self.turn = None
                self.condition.notify_all()

    def play(self, choices: list[int]) -> list[int]:
        """Play one schedule; return, for each step, how many actors could have been chosen."""
        widths: list[int] = []
        for thread in self.threads:
            thread.start()
        while True:
            with self.condition:
                assert self.condition.wait_for(
                    lambda: self.turn is None and len(self.waiting) + len(self.done) == len(self.actors), 20
                )
                ready = sorted(self.waiting - self.idle) or sorted(self.waiting)
                if not ready:
                    break
                self.idle.clear()
                choice = choices[len(widths)] if len(widths) < len(choices) else 0
                widths.append(len(ready))
                self.turn = ready[choice % len(ready)]
                self.waiting.discard(self.turn)
                self.condition.notify_all()
        for thread in self.threads:
            thread.join(20)
        return widths


def some_schedules(play: Callable[[list[int]], list[int]]) -> Iterator[list[int]]:
    """Random schedules, for runs that have little time."""
    chance = random.Random(8)
    for _ in range(RANDOM_SCHEDULES):
        choices = [chance.randrange(6) for _ in range(60)]
        play(choices)
        yield choices


def all_schedules(play: Callable[[list[int]], list[int]]) -> Iterator[list[int]]:
    """Enumerate all schedules depth first: replay with the last choice that can still grow grown by one."""
    choices: list[int] = []
    while True:
        widths = play(choices)
        choices = choices + [0] * (len(widths) - len(choices))
        yield choices
        while choices and choices[-1] + 1 >= widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Steps]:
    """The explorer in charge; every wait of a loader becomes a step of its own."""
    holder: list[Steps] = []

    def wait(flight: flights.Flight, seconds: float) -> bool:
        while not flight.landed.is_set():
            holder[0].mark(idle=True)
        return True

    monkeypatch.setattr(flights.Flight, "wait", wait)
    monkeypatch.setattr(loading, "_pause", lambda seconds: holder[0].mark(idle=True))
    return holder


def stepwise(manager: CacheManager, steps: list[Steps]) -> CacheManager:
    """Make every command of `manager` a step."""
    ask = manager._store._ask

    def marked(call: Any) -> Any:
        steps[0].mark()
        return ask(call)

    manager._store._ask = marked  # type: ignore[method-assign]
    return manager


@pytest.mark.sweep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pattern", [KEY, "case:*"])
@pytest.mark.parametrize("processes", [1, 2])
def test_no_schedule_serves_an_old_value_after_an_invalidation_has_returned(
    redis_url: str, steps: list[Steps], pattern: str, processes: int
) -> None:
    first = stepwise(CacheManager(redis_url, ttl=300), steps)
    second = first if processes == 1 else stepwise(CacheManager(redis_url, ttl=300), steps)
    stale: list[str] = []
    state: dict[str, Any] = {}

    def load() -> str:
        value = state["row"]
        steps[0].mark()
        return str(value)

    def loader(manager: CacheManager) -> Callable[[], None]:
        def run() -> None:
            began_afterwards = state["returned"]
            if manager.get_or_load(KEY, load, firm=FIRM) == "old" and began_afterwards:
                stale.append("a loader that began afterwards got the old value")

        return run

    def invalidator() -> None:
        state["row"] = "new"  # the commit
        first.invalidate(pattern, firm=FIRM)
        state["returned"] = True

    def play(choices: list[int]) -> list[int]:
        first.connection.client.flushdb()
        state.update(row="old", returned=False)
        steps[:] = [Steps({"a": loader(first), "b": loader(second), "i": invalidator})]
        widths = steps[0].play(choices)
        assert not steps[0].errors
        if any(manager.get(KEY, firm=FIRM) == "old" for manager in (first, second)):
            stale.append("the old value was kept")
        return widths

    count = 0
    for choices in (all_schedules if FULL else some_schedules)(play):
        count += 1
        assert not stale, (choices, stale)
    assert count > 5000 if FULL else count == RANDOM_SCHEDULES
    first.close()
    second.close()
