"""A circuit breaker: after two failures in a row nobody waits for the server, until a thread has seen it answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

FAILURES_TO_OPEN = 2
PROBE_SECONDS = 0.5

_logger = logging.getLogger("legal_store.cache")


class Breaker:
    """Closed: calls pass. Open: they do not, and a thread of its own calls `probe` until it succeeds.

    `probe` raises while the server is away; what has to happen before calls pass again belongs into it. So no caller
    ever pays for finding out.
    """

    def __init__(self, probe: Callable[[], None], probe_seconds: float = PROBE_SECONDS) -> None:
        self._probe = probe
        self._probe_seconds = probe_seconds
        self._lock = threading.Lock()
        self._failures = 0
        self._open = False
        self._prober: threading.Thread | None = None
        self._wake = threading.Event()

    @property
    def is_open(self) -> bool:
        return self._open

    def allows(self) -> bool:
        """Whether a call may be made now."""
        if not self._open:
            return True
        self._ensure_prober()
        return False

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        """Count a failure of the server; the second in a row opens."""
        with self._lock:
            self._failures += 1
            if self._failures < FAILURES_TO_OPEN or self._open:
                return
            self._open = True
        _logger.warning("Redis does not answer: the cache is bypassed until it does")
        self._ensure_prober()

    def stop(self) -> None:
        """End the thread, if there is one."""
        with self._lock:
            prober, self._prober = self._prober, None
            self._open, self._failures = False, 0
        self._wake.set()
        if prober is not None and prober.is_alive():
            prober.join()

    def _ensure_prober(self) -> None:
        if self._prober is not None and self._prober.is_alive():  # in a forked child it is not
            return
        with self._lock:
            if self._open and not (self._prober is not None and self._prober.is_alive()):
                self._wake.clear()
                self._prober = threading.Thread(target=self._probe_until_closed, name="cache-breaker", daemon=True)
                self._prober.start()

    def _probe_until_closed(self) -> None:
        while self._open and not self._wake.wait(self._probe_seconds):
            try:
                self._probe()
            except Exception as error:  # noqa: BLE001  (whatever it is, the server is not back)
                _logger.debug("Redis is still away: %s", error)
                continue
            with self._lock:
                self._open, self._failures = False, 0
            _logger.warning("Redis answers again: the cache is in use")
