"""A TCP proxy that misbehaves on request: the network of the fault tests, for PostgreSQL, Redis or anything else.

    with TcpProxy(upstream) as proxy:            # upstream: (host, port), or the path of a Unix socket
        connect_to(proxy.host, proxy.port)
        proxy.blackhole()                        # from now on nothing passes, and nobody is told
        proxy.heal()                             # everything passes again, held-back bytes included

What it cannot play is a peer whose kernel is gone: its own kernel goes on acknowledging what clients send.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import suppress

_CHUNK = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Listens on 127.0.0.1 and passes bytes between each client and `upstream`. All faults may change at any time."""

    host = "127.0.0.1"

    def __init__(self, upstream: tuple[str, int] | str | os.PathLike[str]) -> None:
        self.upstream = upstream
        self.port = 0
        self.delay = 0.0  # seconds by which every chunk is late, in both directions
        self.accepted = 0  # connections of clients so far
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._unheld = threading.Event()
        self._hold_next = 0
        self._quota: int | None = None
        self._links: set[_Link] = set()
        self._listener: socket.socket | None = None
        self._closed = False

    def __enter__(self) -> TcpProxy:
        self.accept()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def open_links(self) -> int:
        """How many clients are connected through the proxy at this moment."""
        return len(self._links)

    def accept(self) -> None:
        """Listen (again, on the same port)."""
        if self._listener is not None:
            return
        self._listener = socket.create_server((self.host, self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse new connections, as a port does that nobody listens on; those that are open stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept()
            listener.close()

    def drop(self) -> None:
        """Cut every open connection with a reset, on both sides."""
        for link in self._all_links():
            link.reset()

    def blackhole(self) -> None:
        """Swallow everything, on open connections and on new ones, and tell nobody."""
        self._flowing.clear()

    def blackhole_next(self, count: int = 1) -> None:
        """Accept the next `count` connections and never answer them until `heal`; all others work."""
        with self._lock:
            self._unheld.clear()
            self._hold_next = count

    def half_open(self) -> None:
        """Let the server's side of every open connection be gone while the client's side knows nothing of it."""
        for link in self._all_links():
            link.half_open()

    def cut_after(self, count: int) -> None:
        """Reset the connection over which the next `count` bytes from the server have passed, within an answer."""
        with self._lock:
            self._quota = count

    def heal(self) -> None:
        """End every fault: listen, let held-back bytes pass, no delay."""
        self.delay = 0.0
        with self._lock:
            self._hold_next = 0
            self._quota = None
        self._flowing.set()
        self._unheld.set()
        self.accept()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._closed = True
        self.refuse()
        self.drop()
        self._flowing.set()
        self._unheld.set()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.accepted += 1
                held = self._hold_next > 0
                self._hold_next -= held
            link = _Link(self, client)
            self._links.add(link)
            threading.Thread(target=link.run, args=(held,), daemon=True).start()

    def _all_links(self) -> list[_Link]:
        with self._lock:
            return list(self._links)

    def _forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)

    def _pass_allowed(self) -> bool:
        """Wait out the faults that hold bytes back. False when the proxy is closing."""
        if self.delay:
            time.sleep(self.delay)
        self._flowing.wait()
        return not self._closed

    def _spend(self, count: int) -> int | None:
        """Return how many of `count` bytes may still pass before the cut; None when all may."""
        with self._lock:
            if self._quota is None:
                return None
            allowed = min(count, self._quota)
            self._quota = None if allowed < count else self._quota - allowed
            return allowed if allowed < count else None


class _Link:
    """One client, its connection to the server, and the two threads that pass bytes between them."""

    def __init__(self, proxy: TcpProxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server: socket.socket | None = None
        self.severed = False

    def run(self, held: bool) -> None:
        try:
            if held:
                self.proxy._unheld.wait()
            if not self.proxy._pass_allowed():
                return
            self.server = _connect(self.proxy.upstream)
            backward = threading.Thread(target=self._pump, args=(self.server, self.client, True), daemon=True)
            backward.start()
            self._pump(self.client, self.server, False)
            backward.join()
        except OSError:
            pass
        finally:
            self._end()

    def half_open(self) -> None:
        self.severed = True
        if self.server is not None:
            _shut(self.server)

    def reset(self) -> None:
        for side in (self.client, self.server):
            if side is not None:
                with suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                _shut(side)

    def _pump(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if not self.proxy._pass_allowed():
                    break
                if self.severed:
                    continue  # swallowed
                allowed = self.proxy._spend(len(data)) if from_server else None
                target.sendall(data if allowed is None else data[:allowed])
                if allowed is not None:
                    self.reset()
        if self.severed and from_server:
            return  # the client is not told
        self.proxy._pass_allowed()  # an end of the stream is held back like bytes
        _shut(target)
        if self.severed or not from_server:
            _shut(source)

    def _end(self) -> None:
        self.proxy._forget(self)
        self.client.close()
        if self.server is not None:
            self.server.close()


def _connect(upstream: tuple[str, int] | str | os.PathLike[str]) -> socket.socket:
    if isinstance(upstream, tuple):
        opened = socket.create_connection(upstream, timeout=10)
        opened.settimeout(None)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.connect(os.fspath(upstream))
    except OSError:
        opened.close()
        raise
    return opened


def _shut(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
