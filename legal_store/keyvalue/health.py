"""Whether Redis answers, and whether it is set up so that sessions do not vanish."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from legal_store.database.health import REDIS_IS_FULL, redis_is_full
from legal_store.errors import LegalStoreError
from legal_store.keyvalue.connection import Connection


class Health(NamedTuple):
    """`status`: "pass", "warn" (it works, but) or "fail"; `milliseconds`: what one round trip took."""

    status: str
    detail: str
    milliseconds: float = 0.0


def check(connection: Connection, *, bypassed: bool = False) -> Health:
    """Ask the server once, within the limits of the connection. Never raises."""
    from redis.exceptions import RedisError

    if bypassed:
        return Health("fail", "Redis does not answer: the cache is bypassed until it does")
    began = time.perf_counter()
    try:
        client = connection.client
        began = time.perf_counter()
        client.ping()
        milliseconds = (time.perf_counter() - began) * 1000
        memory: list[dict[str, Any]] = [node.info("memory") for node in connection.nodes()]
    except (RedisError, OSError) as error:
        return Health("fail", str(connection.failure(error, "PING")), (time.perf_counter() - began) * 1000)
    except LegalStoreError as error:
        return Health("fail", str(error))
    if any(map(redis_is_full, memory)):
        return Health("fail", REDIS_IS_FULL, milliseconds)
    warning = _eviction_warning(memory)
    return Health("warn" if warning else "pass", warning or "answers", milliseconds)


def _eviction_warning(memory: list[dict[str, Any]]) -> str:
    for node in memory:
        policy = str(node.get("maxmemory_policy", ""))
        if node.get("maxmemory") and policy.startswith("allkeys"):
            return f"maxmemory-policy is {policy}: under memory pressure users are logged out; use volatile-lru"
    return ""
