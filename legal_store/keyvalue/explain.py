"""Turns what redis-py says into one paragraph: what failed, with which values, what to do."""

from __future__ import annotations

from legal_store.errors import ServerUnavailableError

_FULL = "The server is full: raise its maxmemory, or choose a volatile-* eviction policy."
_REMEDIES = (
    ("AuthenticationError", "Check user and password in REDIS_URL; special characters must be percent-encoded."),
    ("NoPermissionError", "Give the ACL user the rights that docs/cache-and-sessions.md lists."),
    ("TimeoutError", "Check that the server runs and is not overloaded, the host and port in REDIS_URL, firewall."),
    ("BusyLoadingError", "The server is loading its data: wait a moment and try again."),
    ("ReadOnlyError", "This is a replica: point REDIS_URL at the primary."),
    ("OutOfMemoryError", _FULL),
    ("OOM command not allowed", _FULL),
    ("DB index is out of range", "The server has fewer databases: lower the number at the end of REDIS_URL."),
    ("ConnectionError", "Check that Redis runs (`invoke up` starts the embedded one), and REDIS_URL."),
)


def server_failure(error: Exception, doing: str, server: str) -> ServerUnavailableError:
    """Return the error that says that `doing` failed at `server`, a description without secrets."""
    signs = " ".join((*(kind.__name__ for kind in type(error).__mro__), str(error)))
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in signs), "Look into the server's log.")
    text = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return ServerUnavailableError(f"{doing} failed: Redis at {server}: {text}.", remedy=remedy)
