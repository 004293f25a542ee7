"""Whether Redis answers, and whether it is set up so that sessions do not vanish."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

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
        full, warning = _memory(connection)
    except (RedisError, OSError) as error:
        return Health("fail", str(connection.failure(error, "PING")), (time.perf_counter() - began) * 1000)
    except LegalStoreError as error:
        return Health("fail", str(error))
    if full:
        return Health("fail", "the memory is full: writes are refused (maxmemory, noeviction)", milliseconds)
    return Health("warn" if warning else "pass", warning or "answers", milliseconds)


def _memory(connection: Connection) -> tuple[bool, str]:
    """Say whether the memory of a server is full, and what to warn of."""
    from legal_store.database.health import memory_is_full

    for node in connection.nodes():
        memory: dict[str, Any] = node.info("memory")
        if memory_is_full(memory):
            return True, ""
        policy = str(memory.get("maxmemory_policy", ""))
        if memory.get("maxmemory") and policy.startswith("allkeys"):
            return False, f"maxmemory-policy is {policy}: under memory pressure users are logged out; use volatile-lru"
    return False, ""
