"""How a pool behaves, and its arithmetic of time. Nothing here touches a server or a clock of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

from legal_store.config import Settings

LIFETIME_JITTER = 0.1  # a connection lives 90 to 100 % of its maximum, so that they do not all reconnect at once
STUCK_GRACE_S = 1.0  # how long after statement_timeout the server's answer may still be on its way


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """Limits of one pool. Times are in seconds; 0 means no limit, except where it says otherwise."""

    size: int = 10  # connections open at once, those being opened included
    min_size: int = 0  # connections that stay open even when idle
    timeout: float = 30.0  # longest checkout, whether it waits for a connection or for the server
    idle_timeout: float = 10.0  # close what nobody has used for so long
    max_lifetime: float = 1800.0  # close what is older, when nobody uses it
    max_waiting: int = 0  # threads that may wait for a connection; further ones are turned away at once
    statement_timeout: float = 60.0  # cut the connection of a statement that has no answer long after it
    trusted_for: float = 0.5  # a connection that was used so recently need not answer before it is lent (0: always)
    ping_timeout: float = 1.0  # a connection that is asked must answer within this
    reset_timeout: float = 5.0  # undoing what a borrower left behind must be done within this
    leak_warning: float = 60.0  # log the borrower's stack when a connection is held for longer

    @classmethod
    def from_settings(cls, settings: Settings) -> PoolOptions:
        """Return what the DATABASE_* variables say."""
        return cls(
            size=settings.pool_size,
            min_size=min(settings.pool_min_size, settings.pool_size),
            timeout=settings.connection_timeout_ms / 1000,
            idle_timeout=settings.idle_timeout_ms / 1000,
            max_lifetime=settings.max_lifetime_ms / 1000,
            max_waiting=settings.pool_max_waiting,
            statement_timeout=settings.statement_timeout_ms / 1000,
        )

    def expiry(self, now: float) -> float:
        """Return until when a connection that is opened `now` may live, jittered."""
        if not self.max_lifetime:
            return float("inf")
        return now + self.max_lifetime * (1 - LIFETIME_JITTER * random.random())  # noqa: S311  (no secret)

    @property
    def stuck_after(self) -> float:
        """After how many seconds a statement without an answer means that the network is gone."""
        return self.statement_timeout + STUCK_GRACE_S if self.statement_timeout else float("inf")


class Backoff:
    """How long to leave a server alone that cannot be reached: 0.1 s at first, doubled up to 5 s, jittered by 20 %."""

    def __init__(self, first: float = 0.1, longest: float = 5.0) -> None:
        self.first = first
        self.longest = longest
        self.failures = 0
        self.until = 0.0
        self.error: BaseException | None = None

    def failed(self, error: BaseException, now: float) -> None:
        """Note a failed attempt; `error` is what callers are told until the next one."""
        pause = min(self.longest, self.first * 2 ** min(self.failures, 16))
        self.failures += 1
        self.until = now + pause * random.uniform(0.8, 1.2)  # noqa: S311  (no secret)
        self.error = error

    def succeeded(self) -> None:
        """Note that the server is there."""
        self.failures = 0
        self.until = 0.0
        self.error = None

    def forbids(self, now: float) -> bool:
        """Say whether it is too early for another attempt."""
        return now < self.until
