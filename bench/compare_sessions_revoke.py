"""Ending ten thousand sessions of one user among a million keys; and reading one, beside what Flask-Session does."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import redis

from bench.measure import Medians, Result, alternate
from bench.redis_server import fill, redis_server
from legal_store.sessions import SessionManager

GOAL_MS = 2.0
SECRET = "a secret for measuring, of thirty-two characters"
DATA = {"userId": "123", "role": "Partner", "firmId": "firm-456", "lastActivity": "2025-11-20T10:00:00Z"}
WALKS = 3


def run(*, quick: bool) -> list[Result]:
    owned, keys, rounds = (100, 2_000, 5) if quick else (10_000, 1_000_000, 300)
    with redis_server() as url:
        fill(url, keys)
        sessions = SessionManager(url, secret=SECRET, encrypted=False)
        ours = _ours(sessions, url, owned, rounds)
        walked = [_walk(url, owned) for _ in range(1 if quick else WALKS)]
        read = _reading(sessions, url, 3 if quick else 2000)
    p99 = sorted(ours)[len(ours) * 99 // 100]
    times = Medians({"legal_store (p99)": [p99], "legal_store": ours, "SCAN, as the original": walked})
    what = f"ending {owned:,} sessions of a user among {keys:,} keys"
    return [Result(what, times, "ms", p99 / GOAL_MS, "at most 1 (p99 of 2 ms)"), read]


def _ours(sessions: SessionManager, url: str, owned: int, rounds: int) -> list[float]:
    """Each round ends all sessions, which live again once their epoch and their list are put back as they were."""
    made = [sessions.create({"userId": "1", "firmId": "f"}).id for _ in range(owned)]
    tag = sessions._names.tags("1", "f").user
    names, times = (sessions._names.user_epoch(tag), sessions._names.user_index(tag)), []
    with redis.Redis.from_url(url) as client:
        for name in names:
            client.copy(name, f"{name} as it was")
        for _ in range(rounds):
            for name in names:
                client.copy(f"{name} as it was", name, replace=True)
            assert sessions.exists(made[-1])
            began = time.perf_counter()
            ended = sessions.delete_user_sessions("1")
            times.append((time.perf_counter() - began) * 1000)
            assert (ended, sessions.exists(made[-1])) == (owned, False)
    return times


def _walk(url: str, owned: int) -> float:
    """What a session store without an index, such as Flask-Session, has to do: read every session of everybody."""
    import msgspec

    with redis.Redis.from_url(url) as client:
        client.mset({f"plain:{n}": msgspec.json.encode({"userId": "123"}) for n in range(owned)})
        began = time.perf_counter()
        for key in client.scan_iter("plain:*", count=1000):
            if msgspec.json.decode(client.get(key) or b"{}").get("userId") == "123":
                client.delete(key)
        return (time.perf_counter() - began) * 1000


def _reading(sessions: SessionManager, url: str, rounds: int) -> Result:
    created = sessions.create(DATA)
    contestants: dict[str, Any] = {"legal_store": lambda: sessions.get(created.id)}
    with suppress(ImportError):  # pip install 'legal-store[bench]'
        contestants["Flask-Session"] = _flask(url)
    medians = alternate(contestants, rounds, warm_up=2)
    ratio = medians["legal_store"] / medians.get("Flask-Session", medians["legal_store"])
    return Result("reading a session", medians, "ms", ratio, "no goal; Flask-Session checks no revocation")


def _flask(url: str) -> Any:
    from flask import Flask
    from flask_session.redis import RedisSessionInterface

    store = RedisSessionInterface(Flask("bench"), redis.Redis.from_url(url))
    store._upsert_session(timedelta(hours=1), DATA, "flask:1")
    return lambda: store._retrieve_session_data("flask:1")
