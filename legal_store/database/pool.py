"""A pool of connections that never makes one thread wait for another one's network.

Who asks gets an idle connection, or else stands in a queue that is served strictly in order, by whichever comes
first: a connection that somebody returns, or one that a helper thread opens. So a connection attempt that hangs delays
nobody who can be served otherwise.

Taking an idle connection and giving one back need no lock: each is one atomic step on a deque and one on a set. The
lock guards the queue and which connections there are; it is never held over input or output. Nobody is overlooked,
because who queues looks for an idle connection after standing in the queue, and who returns one looks at the queue
after putting it down.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic, sleep
from types import FrameType

from legal_store.database.borrower import call_stack, describe_loan
from legal_store.database.keeper import Keeper
from legal_store.database.metrics import PoolCounters, PoolStats
from legal_store.database.options import Backoff, PoolOptions
from legal_store.database.pooled import PooledConnection
from legal_store.errors import PoolClosedError, PoolExhaustedError, ServerUnavailableError

_NAMED_HOLDERS = 5
_UNWATCHED_S = 0.01  # looking at the socket costs more than all the rest: not for one that was used just now
_LONGEST_WAIT = 1e6  # seconds; what a timeout of 0 (none) means to the lock


class _Waiter:
    """A thread in the queue. `ready` opens when it has been served, with a connection or with an error."""

    __slots__ = ("connection", "error", "ready")

    def __init__(self) -> None:
        self.ready = threading.Lock()
        self.ready.acquire()
        self.connection: PooledConnection | None = None
        self.error: BaseException | None = None

    def serve(self, connection: PooledConnection | None = None, error: BaseException | None = None) -> None:
        self.connection = connection
        self.error = error
        self.ready.release()


def _taken(place: set[PooledConnection] | deque[PooledConnection], connection: PooledConnection) -> bool:
    """Take the connection out of where it is, in one step; false if another thread was quicker."""
    try:
        place.remove(connection)
    except (KeyError, ValueError):
        return False
    return True


class Pool:
    """Lends connections made by `connect`, at most `options.size` at once. Any thread may call any method.

    `target` describes the server in messages, without secrets. Opens nothing before the first `acquire`.
    """

    def __init__(self, connect: Callable[[], PooledConnection], options: PoolOptions, target: str = "the server"):
        self.options = options
        self.target = target
        self._unwatched = min(_UNWATCHED_S, options.trusted_for) or -inf
        self.counters = PoolCounters()
        self.backoff = Backoff()
        self.lock = threading.Lock()
        self.connections: set[PooledConnection] = set()  # idle, lent, or on the way from one to the other
        self.idle: deque[PooledConnection] = deque()  # the most recently used at the right
        self.in_use: set[PooledConnection] = set()
        self.closed = False
        self._connect = connect
        self._connecting = 0
        self._waiters: deque[_Waiter] = deque()
        self._epoch = 0  # grows with close_all: connections of an earlier epoch are not taken back
        self._keeper = Keeper(self)

    # Lending

    def acquire(self, timeout: float | None = None, borrower: FrameType | None = None) -> PooledConnection:
        """Lend a connection that is alive and whose session is as good as new; `borrower` is the caller by default.

        Waits at most `timeout` seconds, `options.timeout` by default. Raises PoolExhaustedError when all are in use
        for so long, ServerUnavailableError at once when the server cannot be reached and no connection is open that
        might come back, and PoolClosedError after `drain`.
        """
        began = now = monotonic()
        while True:
            connection = self._idle_one()
            if connection is None:
                with self.lock:
                    waiter = self._queue()
                connection = self._wait(waiter, began, timeout)
                now = monotonic()
            if connection.epoch != self._epoch:
                self.discard(connection)
                continue
            if now - connection.last_used > self._unwatched:
                if not self._is_alive(connection):
                    self._discard_all_idle()  # what else has been idle went through the same fault
                    self.discard(connection)
                    continue
                now = monotonic()
            connection.lent(now, now - began, call_stack(borrower or sys._getframe(1)))
            return connection

    def _idle_one(self) -> PooledConnection | None:
        if self._waiters:
            return None
        try:
            connection = self.idle.pop()
        except IndexError:
            return None
        self.in_use.add(connection)
        return connection

    def release(self, connection: PooledConnection) -> None:
        """Take a connection back, undo what its borrower left in it, and give it to whoever waits longest."""
        reusable = connection.is_as_new() or connection.make_as_new(self.options.reset_timeout)
        now = monotonic()
        if not _taken(self.in_use, connection):  # cut meanwhile, or returned before
            connection.close()
            return
        self.counters.use_time.record(now - connection.borrowed_at)
        self.counters.wait_time.record(connection.waited)
        connection.borrower = None
        if not reusable or now >= connection.expires_at or self.closed:
            self.discard(connection)
            return
        connection.last_used = now
        self.idle.append(connection)
        if self._waiters:
            with self.lock:
                self._serve()
        if connection.epoch != self._epoch and self.take(connection):  # close_all has just been here
            self.discard(connection)

    def discard(self, connection: PooledConnection) -> None:
        """Close a lent connection instead of taking it back."""
        with self.lock:
            self.in_use.discard(connection)
            self.connections.discard(connection)
            connection.borrower = None
            self._open_one_more()
        connection.close()

    def take(self, connection: PooledConnection) -> bool:
        """Take an idle connection out; false if somebody was quicker."""
        return _taken(self.idle, connection)

    def _queue(self) -> _Waiter:
        if self.closed:
            raise PoolClosedError(f"The pool of {self.target} is closed.", remedy="Configure it anew.")
        limit = self.options.max_waiting
        if limit and len(self._waiters) >= limit:
            self.counters.timeouts += 1
            raise self._exhausted(f"{len(self._waiters)} threads wait already, as many as may")
        waiter = _Waiter()
        self._waiters.append(waiter)
        self._serve()
        self._open_one_more()
        if waiter.error is not None:
            raise copy.copy(waiter.error)
        return waiter

    def _wait(self, waiter: _Waiter, began: float, timeout: float | None) -> PooledConnection:
        if timeout is None:
            timeout = self.options.timeout or _LONGEST_WAIT
        try:
            served = waiter.ready.acquire(timeout=max(0.0, began + timeout - monotonic()))
        except BaseException:  # Ctrl-C: nobody is there any more to take what may have been handed over
            with self.lock:
                if waiter.connection is not None:
                    self.in_use.discard(waiter.connection)
                    self.idle.append(waiter.connection)
                    self._serve()
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
            raise
        if not served:
            with self.lock:
                if waiter.connection is None and waiter.error is None:
                    self._waiters.remove(waiter)
                    self.counters.timeouts += 1
                    raise self._timed_out(timeout)
        if waiter.error is not None:
            raise copy.copy(waiter.error)
        assert waiter.connection is not None  # noqa: S101
        return waiter.connection

    def _is_alive(self, connection: PooledConnection) -> bool:
        try:
            if monotonic() - connection.last_used < self.options.trusted_for and not connection.has_news():
                return True
            return connection.answers(within=self.options.ping_timeout)
        except BaseException:  # Ctrl-C
            self.discard(connection)
            raise

    # Below: the lock is held

    def _serve(self) -> None:
        """Give what is idle to those who wait, in their order."""
        while self._waiters and self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:  # taken by one who asked before there was a queue
                return
            self.in_use.add(connection)
            self._waiters.popleft().serve(connection)

    def _open_one_more(self) -> None:
        """Have a connection opened if somebody waits and there is room; tell who waits if none can come any more.

        A server that could not be reached is asked by one thread at a time.
        """
        if not self._waiters or self.closed:
            return
        if self.backoff.forbids(monotonic()):
            self._give_up_if_hopeless()
        elif self.total < self.options.size and not (self.backoff.failures and self._connecting):
            self.open_in_background()

    def _give_up_if_hopeless(self) -> None:
        if self.connections or self._connecting:
            return
        while self._waiters:
            self._waiters.popleft().serve(error=self.backoff.error)

    @property
    def total(self) -> int:
        """Connections that are open or being opened."""
        return len(self.connections) + self._connecting

    @property
    def waiting(self) -> int:
        """Threads in the queue."""
        return len(self._waiters)

    def open_in_background(self) -> None:
        """Start a helper thread that opens one connection."""
        self._connecting += 1
        threading.Thread(target=self._open, args=(self._epoch,), name="legal_store-connect", daemon=True).start()
        self._keeper.ensure()

    # Opening, in a helper thread

    def _open(self, epoch: int) -> None:
        began = monotonic()
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
            with self.lock:
                if epoch == self._epoch:
                    self._connecting -= 1
                    self.counters.connect_failures += 1
                    self.backoff.failed(error, monotonic())
                    self._give_up_if_hopeless()
            return
        now = monotonic()
        connection.pool = self
        connection.borrower = None
        connection.expires_at = self.options.expiry(now)
        connection.last_used = now
        with self.lock:
            wanted = epoch == self._epoch
            if wanted:
                self._connecting -= 1
                self.backoff.succeeded()
                self.counters.create_time.record(now - began)
                connection.epoch = epoch
                self.connections.add(connection)
                self.idle.append(connection)
                self._serve()
                while len(self._waiters) > self._connecting and self.total < self.options.size:
                    self.open_in_background()
        if not wanted:
            connection.close()

    # All connections

    def warm_up(self, count: int | None = None) -> int:
        """Open connections until `count` (all, by default) are open, and return how many are.

        Raises what `acquire` raises.
        """
        held: list[PooledConnection] = []
        try:
            while len(held) < min(count or self.options.size, self.options.size):
                held.append(self.acquire())
        finally:
            for connection in held:
                self.release(connection)
        return len(held)

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        self._discard_all_idle()

    def cut_held_since(self, age: float) -> int:
        """Cut the connections that have been lent for longer than `age` seconds; their borrowers get an error."""
        before = monotonic() - age
        with self.lock:
            return sum(map(self._forget_lent, [c for c in self.in_use.copy() if c.borrowed_at < before]))

    def close_all(self) -> None:
        """Close every connection. Borrowers get an error at their next statement; the pool can be used again."""
        with self.lock:
            self._epoch += 1
            self._connecting = 0
            self.backoff.succeeded()
            for connection in self.in_use.copy():
                self._forget_lent(connection)
            self.connections.clear()  # what is on the way is closed by whoever has it
        self._discard_all_idle()

    def drain(self, timeout: float) -> int:
        """Lend no more, wait until all connections are back, close them. Returns how many had to be cut.

        After `timeout` seconds those still lent are cut. For the end of a service; the pool stays closed.
        """
        with self.lock:
            self.closed = True
            self._epoch += 1
            self._connecting = 0
            error = PoolClosedError(f"The pool of {self.target} is closed.", remedy="The service is stopping.")
            while self._waiters:
                self._waiters.popleft().serve(error=error)
        self._discard_all_idle()
        until = monotonic() + timeout
        while self.in_use and monotonic() < until:
            sleep(0.01)
        return self.cut_held_since(0)

    def abandon(self) -> None:
        """Forget everything, in a child process: the connections are the parent's."""
        for connection in self.connections:
            connection.abandon()
        self.lock = threading.Lock()
        self.connections.clear()
        self.idle.clear()
        self.in_use.clear()
        self._waiters.clear()
        self._connecting = 0
        self._epoch += 1
        self.counters = PoolCounters()
        self._keeper = Keeper(self)

    def stats(self) -> PoolStats:
        """Return how the pool stands."""
        with self.lock:
            counters = self.counters
            return PoolStats(
                size=self.options.size,
                used=len(self.in_use),
                idle=len(self.idle),
                connecting=self._connecting,
                waiting=len(self._waiters),
                timeouts=counters.timeouts,
                connect_failures=counters.connect_failures,
                cut=counters.cut,
                reclaimed=counters.reclaimed,
            )

    def _discard_all_idle(self) -> None:
        closing = [connection for connection in self.idle.copy() if self.take(connection)]
        with self.lock:
            self.connections.difference_update(closing)
        for connection in closing:
            connection.close()

    def _forget_lent(self, connection: PooledConnection) -> bool:
        """Cut a connection that is in use and give up its place; its borrower closes it. False if just returned."""
        if not _taken(self.in_use, connection):
            return False
        connection.cut()
        self.connections.discard(connection)
        self._open_one_more()
        return True

    # What is said when there is none

    def _timed_out(self, timeout: float) -> Exception:
        waited = f"after {timeout:g} s"
        if self.in_use:
            return self._exhausted(f"No connection became free {waited}")
        if self.backoff.error is not None:
            return ServerUnavailableError(
                f"Cannot connect to {self.target} {waited}: {self.backoff.error}", remedy="Is it up?"
            )
        return ServerUnavailableError(
            f"Cannot connect to {self.target}: no answer {waited}.",
            remedy="Check the network between here and the server (firewall, VPN), or raise "
            "DATABASE_CONNECTION_TIMEOUT.",
        )

    def _exhausted(self, what: str) -> PoolExhaustedError:
        now = monotonic()
        holders = sorted(self.in_use.copy(), key=lambda connection: connection.borrowed_at)
        named = [describe_loan(connection, now) for connection in holders[:_NAMED_HOLDERS]]
        if len(holders) > _NAMED_HOLDERS:
            named.append(f"and {len(holders) - _NAMED_HOLDERS} more")
        return PoolExhaustedError(
            f"{what}: {len(self.in_use)} of the pool's {self.options.size} connections are in use and "
            f"{len(self._waiters)} other threads wait. Held by {'; '.join(named)}.",
            remedy="Hold connections for shorter (`with db:` around database work only), or raise "
            f"DATABASE_POOL_SIZE, now {self.options.size} (`invoke db.pool-plan` says how far).",
        )
