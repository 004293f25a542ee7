"""How a task ends when it is told to from outside, or by Ctrl-C: in order, and soon."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from invoke.exceptions import Exit

_USUAL = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
_CANCEL_EVERY = 0.5
_PATIENCE = 30.0


class ToldToEndError(KeyboardInterrupt):
    """SIGTERM came, the terminal was closed (SIGHUP), or it was Ctrl-C: whoever cleans up after that, cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def interrupted(error: KeyboardInterrupt, more: str = "") -> Exit:
    """Return how a task ends that was interrupted: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    number = error.number if isinstance(error, ToldToEndError) else signal.SIGINT
    return Exit(f"Interrupted. {more}".strip(), code=128 + number)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM, SIGHUP and Ctrl-C end the block by ToldToEndError. What is ignored (nohup) or handled stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: handler for number, handler in _USUAL.items() if signal.getsignal(number) == handler}
    noticed = threading.Event()

    def end(number: int, frame: Any) -> None:
        if noticed.is_set() and number != signal.SIGINT:  # the cleaning up is disturbed by a person only
            return
        noticed.set()
        raise ToldToEndError(number)

    for number in usual:
        signal.signal(number, end)
    try:
        with _heard_soon(noticed, set(usual)):
            yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def _heard_soon(noticed: threading.Event, numbers: set[signal.Signals]) -> Iterator[None]:
    """Cancel statements when one of the signals comes: Python does not hear of it while it waits for a server."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, noticed, numbers), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _watch(reader: int, noticed: threading.Event, numbers: set[signal.Signals]) -> None:
    while number := os.read(reader, 1):
        if number[0] in numbers:
            _make_heard(noticed)
    os.close(reader)


def _make_heard(noticed: threading.Event) -> None:
    """Cancel until the main thread has noticed. Where that does not help, SIGALRM ends the process, as kill -9 would.

    The kernel counts the time: while a request to cancel waits for a server, psycopg2 lets no thread of Python run.
    """
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    while not noticed.wait(_CANCEL_EVERY):
        _cancel_statements()
    signal.setitimer(signal.ITIMER_REAL, 0)


def _cancel_statements() -> None:
    if driver := sys.modules.get("psycopg2"):
        for each in gc.get_objects():
            if issubclass(type(each), driver.extensions.connection) and not each.closed:
                with suppress(driver.Error):
                    each.cancel()
