"""How many keys of which kind, and how much memory, without walking through them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from legal_store.keyvalue.connection import Connection

COUNT_UP_TO = 2_000
SAMPLE = 400


class Statistics(NamedTuple):
    """Keys of all kinds, the sessions and the cached values among them, and bytes of memory.

    `margin`: the parts were estimated from a sample and are, in 95 of 100 cases, off by at most so many keys;
    0 when they were counted.
    """

    total_keys: int
    session_keys: int
    cache_keys: int
    memory_used: int
    margin: int = 0


def read_statistics(
    connection: Connection, *, cache_prefix: str = "cache:", session_prefix: str = "session:"
) -> Statistics:
    """Read the statistics; in a cluster, the sums over its primaries. Raises ServerUnavailableError."""
    from redis.exceptions import RedisError

    prefixes = (session_prefix.encode(), cache_prefix.encode())
    try:
        return _sum([_of_node(node, prefixes) for node in connection.nodes()])
    except (RedisError, OSError) as error:
        raise connection.failure(error, "Reading the statistics") from None


def _of_node(node: Any, prefixes: tuple[bytes, bytes]) -> Statistics:
    total = node.dbsize()
    memory = node.info("memory")["used_memory"]
    if total <= COUNT_UP_TO:
        keys = list(set(node.scan_iter(count=COUNT_UP_TO)))
        sessions, cached = _counts(keys, prefixes)
        return Statistics(total, sessions, cached, memory)
    pipeline = node.pipeline(transaction=False)
    for _ in range(SAMPLE):
        pipeline.randomkey()
    sampled = [key for key in pipeline.execute() if key is not None]
    sessions, cached = _counts(sampled, prefixes)
    return estimate(total, len(sampled), sessions, cached, memory)


def estimate(total: int, sampled: int, sessions: int, cached: int, memory: int) -> Statistics:
    """Return the statistics of `total` keys of which a random sample held so many of each kind. Pure.

    The margin is the normal one of a proportion; where a sample holds all or none of a kind, the rule of three
    (Hanley and Lippman-Hand, 1983).
    """
    if not sampled:
        return Statistics(total, 0, 0, memory)
    shares = (sessions / sampled, cached / sampled)
    widest = max(1.96 * math.sqrt(share * (1 - share) / sampled) for share in shares)
    margin = math.ceil(max(widest, 3 / sampled) * total)
    return Statistics(total, round(total * shares[0]), round(total * shares[1]), memory, margin)


def _counts(keys: Sequence[bytes], prefixes: tuple[bytes, bytes]) -> tuple[int, int]:
    sessions, cached = (sum(key.startswith(prefix) and b"}:" in key for key in keys) for prefix in prefixes)
    return sessions, cached


def _sum(parts: Sequence[Statistics]) -> Statistics:
    return Statistics(*(sum(values) for values in zip(*parts, strict=True)))
