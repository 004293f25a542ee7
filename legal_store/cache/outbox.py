"""Draining the outbox: what triggers recorded, told to the cache, in batches and by as many workers as there are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from legal_store.cache.rules import Event

if TYPE_CHECKING:
    from legal_store.cache.manager import CacheManager

BATCH = 1000
POLL_SECONDS = 1.0
LONGEST_WAIT = 30.0


class Drained(NamedTuple):
    """How many events were told to the cache, and of how many firms."""

    events: int
    firms: int


def drain(cache: CacheManager, database: Any = None, *, batch: int = BATCH) -> Drained:
    """Tell the cache everything in the outbox and empty it; workers side by side take different rows.

    Needs a login that owns the schema. Raises ServerUnavailableError when Redis is away: the batch stays, nothing is
    lost; a batch may be told twice, which costs a few misses.
    """
    from legal_store.database import all_firms, db

    events, firms = 0, set[Any]()
    database = database or db
    with all_firms(reason="cache outbox"), database.connection_context() if database.is_closed() else nullcontext():
        while True:
            with database.atomic():
                taken = _take(batch)
                cache.apply(taken, strict=True)
            events += len(taken)
            firms.update(event.firm_id for event in taken)
            if len(taken) < batch:
                return Drained(events, len(firms))


def follow(
    cache: CacheManager,
    stop: threading.Event,
    *,
    poll_seconds: float = POLL_SECONDS,
    told: Callable[[Drained], None] = lambda drained: None,
    failed: Callable[[Exception], None] = lambda error: None,
) -> None:
    """Drain again and again until `stop` is set; after a failure wait longer, up to half a minute."""
    from legal_store.errors import LegalStoreError

    wait = poll_seconds
    while not stop.wait(wait):
        try:
            drained = drain(cache)
        except LegalStoreError as error:
            failed(error)
            wait = min(2 * wait, LONGEST_WAIT)
            continue
        wait = poll_seconds
        if drained.events:
            told(drained)


def _take(batch: int) -> list[Event]:
    from legal_store.models.outbox import CacheEvent

    oldest = (
        CacheEvent.select(CacheEvent.id)
        .order_by(CacheEvent.created_at)
        .limit(batch)
        .for_update("FOR UPDATE SKIP LOCKED")
    )
    rows = CacheEvent.delete().where(CacheEvent.id.in_(oldest)).returning(CacheEvent)
    return [Event(row.event, row.firm_id, row.keys) for row in rows.execute()]
