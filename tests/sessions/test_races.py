"""Deletions and revocations against writes that race with them: nothing comes back."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis

from legal_store.errors import SessionConflictError, SessionGoneError
from legal_store.sessions import SessionManager
from tests.keyvalue.fixtures import one_server as key_value_server

__all__ = ["key_value_server"]

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
PAIRS = 100_000 if FULL else 1_500
SECRET = "a secret of at least thirty-two characters"


@pytest.fixture
def sessions(redis_url: str) -> Iterator[SessionManager]:
    manager = SessionManager(redis_url, secret=SECRET)
    yield manager
    manager.close()


class Rivals:
    """Two threads that start each round together."""

    def __init__(self) -> None:
        self.gate = threading.Barrier(2)
        self.errors: list[BaseException] = []

    def play(self, rounds: int, first: object, second: object) -> None:
        threads = [threading.Thread(target=self._run, args=(actor, rounds)) for actor in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _run(self, actor: object, rounds: int) -> None:
        try:
            for number in range(rounds):
                self.gate.wait(60)
                actor(number)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)
            self.gate.abort()


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ending", ["delete", "delete_user_sessions", "delete_firm_sessions"])
def test_no_update_that_races_with_an_end_brings_a_session_back(sessions: SessionManager, ending: str) -> None:
    rounds = PAIRS // 3
    chance = random.Random(5)
    made = [
        sessions.create({"userId": number % 50, "firmId": "f"}).id
        if ending == "delete"
        else sessions.create({"userId": number, "firmId": f"f{number}"}).id
        for number in range(rounds)
    ]
    kinds = [chance.choice(["update", "refresh", "rotate", "save"]) for _ in made]
    heirs: list[str | None] = [None] * rounds

    def write(number: int) -> None:
        with suppress(SessionGoneError, SessionConflictError):
            if kinds[number] == "refresh":
                sessions.refresh(made[number])
            elif kinds[number] == "rotate":
                heirs[number] = sessions.rotate(made[number], grace=5).id
            elif kinds[number] == "update":
                sessions.update(made[number], {"n": number})
            elif (read := sessions.get(made[number])) is not None:
                sessions.save(read)

    def end(number: int) -> None:
        if ending == "delete":
            sessions.delete(made[number])
        elif ending == "delete_user_sessions":
            sessions.delete_user_sessions(number)
        else:
            sessions.delete_firm_sessions(f"f{number}")

    Rivals().play(rounds, write, end)
    for number, session_id in enumerate(made):
        assert sessions.get(session_id) is None, (number, kinds[number])
        heir = heirs[number]
        assert heir is None or sessions.get(heir) is None, (number, kinds[number])


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_no_login_whose_password_was_checked_before_a_revocation_survives_it(sessions: SessionManager) -> None:
    rounds = PAIRS // 3
    made: list[str | None] = [None] * rounds
    tickets = [sessions.ticket(user_id=number, firm_id="f") for number in range(rounds)]

    def login(number: int) -> None:
        with suppress(SessionGoneError):
            made[number] = sessions.create({}, user_id=number, firm_id="f", ticket=tickets[number]).id

    chance = random.Random(6)

    def revoke(number: int) -> None:
        time.sleep(chance.random() * 0.003)
        sessions.delete_user_sessions(number)

    Rivals().play(rounds, login, revoke)
    assert [session_id for session_id in made if session_id and sessions.get(session_id)] == []
    assert any(made), "no login ever came first: the race was none"


def test_random_eviction_of_keys_only_logs_out(sessions: SessionManager, raw: redis.Redis) -> None:
    chance = random.Random(2)
    ended: set[str] = set()
    living: dict[str, int] = {}
    for turn in range(2500):
        action = chance.randrange(7)
        if action <= 1 or not living:
            user = chance.randrange(4)
            living[sessions.create({"userId": user, "firmId": "f"}).id] = user
        elif action == 2:
            session_id = chance.choice(sorted(living))
            sessions.delete(session_id)
            ended.add(session_id)
            del living[session_id]
        elif action == 3:
            user = chance.randrange(4)
            sessions.delete_user_sessions(user)
            gone = {session_id for session_id, owner in living.items() if owner == user}
            ended |= gone
            living = {session_id: owner for session_id, owner in living.items() if owner != user}
        elif action == 4:
            names = raw.keys("*")
            if names:
                raw.unlink(chance.choice(names))
        else:
            with suppress(SessionGoneError):
                session_id = chance.choice(sorted(living))
                assert sessions.update(session_id, {"n": turn})["userId"] == living[session_id]
        for session_id in chance.sample(sorted(ended), min(3, len(ended))):
            assert sessions.get(session_id) is None
        for session_id in chance.sample(sorted(living), min(3, len(living))):
            found = sessions.get(session_id)
            assert found is None or found["userId"] == living[session_id]
    assert not any(sessions.exists(session_id) for session_id in ended)
