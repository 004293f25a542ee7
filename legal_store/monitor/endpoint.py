"""Health over HTTP, for WSGI and ASGI servers, without a framework.

    GET /api/health/database   200 or 503, JSON with healthy, latency, timestamp and more
    GET /api/health/redis      the same for Redis
    GET /api/health/live       200 as long as the process answers; touches no server

`wsgi` and `asgi` answer at these paths alone, and at /database, /redis and /live where they are mounted below a path
of another application. `wsgi_beside(app)` and `asgi_beside(app)` answer at these paths and leave all others to `app`.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from legal_store.database.health import check_database_health, check_redis_health

PREFIX = "/api/health"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Asgi = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[None]]


class Response(NamedTuple):
    """What is sent, whatever the protocol."""

    status: int
    body: bytes
    headers: list[tuple[str, str]]

    @property
    def status_line(self) -> str:
        return f"{self.status} {_PHRASES[self.status]}"


_PHRASES = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def respond(method: str, path: str) -> Response:
    """Return the answer to a request; takes up to a second. The body of HEAD is empty, its headers are GET's."""
    check = _CHECKS.get(path.removeprefix(PREFIX))
    if check is None:
        return _response(404, {"error": "not found"}, method)
    if method not in ("GET", "HEAD"):
        return _response(405, {"error": "method not allowed"}, method, [("Allow", "GET, HEAD")])
    found = check()
    return _response(200 if found["healthy"] else 503, found, method)


def _response(status: int, content: dict[str, Any], method: str, more: list[tuple[str, str]] | None = None) -> Response:
    body = json.dumps(content).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *(more or []),
    ]
    return Response(status, b"" if method == "HEAD" else body, headers)


def _live() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"healthy": True, "timestamp": now, "status": "pass"}


_CHECKS: dict[str, Callable[[], dict[str, Any]]] = {
    "/database": lambda: check_database_health().as_json(),
    "/redis": lambda: check_redis_health().as_json(),
    "/live": _live,
}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application."""
    response = respond(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
    start_response(response.status_line, response.headers)
    return [response.body]


async def asgi(
    scope: dict[str, Any], receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[Any]]
) -> None:
    """The ASGI application. The check runs in a thread, so that the event loop goes on."""
    if scope["type"] == "lifespan":
        await _live_and_die(receive, send)
        return
    if scope["type"] != "http":
        return
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    response = await asyncio.to_thread(respond, scope["method"], path)
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _live_and_die(receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[Any]]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def wsgi_beside(app: Wsgi) -> Wsgi:
    """Return `app` with the health paths added to it."""

    def both(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        ours = environ.get("PATH_INFO", "").startswith(f"{PREFIX}/")
        return (wsgi if ours else app)(environ, start_response)

    return both


def asgi_beside(app: Asgi) -> Asgi:
    """Return `app` with the health paths added to it."""

    async def both(scope: dict[str, Any], receive: Any, send: Any) -> None:
        ours = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        await (asgi if ours else app)(scope, receive, send)

    return both
