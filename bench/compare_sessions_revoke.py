"""Ending ten thousand sessions of one user among a million keys; and reading one, beside what Flask-Session does."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import redis

from bench.measure import Result, alternate
from bench.redis_server import fill, redis_server
from legal_store.sessions import SessionManager

GOAL_MS = 2.0
SECRET = "a secret for measuring, of thirty-two characters"
DATA = {"userId": "123", "role": "Partner", "firmId": "firm-456", "lastActivity": "2025-11-20T10:00:00Z"}


def run(*, quick: bool) -> list[Result]:
    owned, keys, rounds = (100, 2_000, 5) if quick else (10_000, 1_000_000, 100)
    with redis_server() as url:
        fill(url, keys)
        sessions = SessionManager(url, secret=SECRET, encrypted=False)
        ours = [_revoke(sessions, str(turn), owned if turn < 3 else 20) for turn in range(rounds)]
        walked = _walk(url, owned)
        read = _reading(sessions, url, 3 if quick else 2000)
    ours.sort()
    p99 = ours[min(len(ours) - 1, len(ours) * 99 // 100)]
    times = {"legal_store (p99)": p99, "walking through the sessions": walked}
    what = f"ending {owned:,} sessions of a user among {keys:,} keys"
    return [Result(what, times, "ms", p99 / GOAL_MS, f"p99 at most {GOAL_MS} ms (ratio 1)"), read]


def _revoke(sessions: SessionManager, user: str, owned: int) -> float:
    made = [sessions.create({"userId": user, "firmId": "f"}).id for _ in range(owned)]
    began = time.perf_counter()
    ended = sessions.delete_user_sessions(user)
    taken = (time.perf_counter() - began) * 1000
    assert ended == owned
    assert sessions.get(made[-1]) is None
    return taken


def _walk(url: str, owned: int) -> float:
    """What a session store without an index has to do: read every session, delete the user's."""
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
