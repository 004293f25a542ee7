"""The health paths over WSGI and ASGI, alone and mounted in the frameworks that services use."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from legal_store.monitor.endpoint import asgi, asgi_beside, respond, wsgi, wsgi_beside
from legal_store.monitor.server import health_server

pytestmark = pytest.mark.usefixtures("configured")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/health/database", 200),
        ("GET", "/api/health/redis", 200),
        ("GET", "/api/health/live", 200),
        ("HEAD", "/api/health/database", 200),
        ("POST", "/api/health/database", 405),
        ("DELETE", "/api/health/live", 405),
        ("GET", "/api/health", 404),
        ("GET", "/api/health/database/secrets", 404),
        ("POST", "/", 404),
    ],
)
def test_answers_by_method_and_path(method: str, path: str, status: int) -> None:
    response = respond(method, path)
    headers = dict(response.headers)
    assert response.status == status and headers["Content-Type"] == "application/json"
    assert (response.body == b"") == (method == "HEAD") and int(headers["Content-Length"]) > 0
    assert ("Allow" in headers) == (status == 405) and headers["Cache-Control"] == "no-store"


def test_the_body_has_the_fields_of_old_and_more() -> None:
    body = json.loads(respond("GET", "/api/health/database").body)
    assert list(body)[:3] == ["healthy", "latency", "timestamp"]
    assert body["healthy"] is True and body["status"] == "pass" and body["checks"]["query_ms"] > 0


def test_an_unhealthy_database_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    from legal_store.config import Settings
    from legal_store.database import db

    db.configure(Settings.from_environ({"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x?sslmode=disable"}))
    response = respond("GET", "/api/health/database")
    assert response.status == 503 and json.loads(response.body)["healthy"] is False


def test_the_server_of_its_own_answers() -> None:
    with health_server("127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api/health"
        with urllib.request.urlopen(f"{url}/database") as answer:
            assert answer.status == 200 and json.load(answer)["healthy"] is True
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(f"{url}/nothing")
        caught.value.close()
        server.shutdown()


def test_probes_that_send_nothing_are_no_errors(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with health_server("127.0.0.1", 0) as server:
        monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.2)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for begin in (b"", b"GET /api/health/live"):
            with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as probe:
                probe.sendall(begin)
                assert probe.recv(1) == b"", "the server hangs up"
        server.shutdown()
    assert capfd.readouterr().err == ""


def test_in_flask() -> None:
    from flask import Flask

    app = Flask("service")
    app.add_url_rule("/", "home", lambda: "home")
    app.wsgi_app = wsgi_beside(app.wsgi_app)  # type: ignore[method-assign,assignment]
    client = app.test_client()
    assert client.get("/").data == b"home"
    assert client.get("/api/health/database").json["healthy"] is True
    assert client.head("/api/health/database").data == b""
    assert client.post("/api/health/database").status_code == 405


def test_in_fastapi() -> None:
    import httpx
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/")(lambda: "home")
    app.mount("/api/health", asgi)

    async def ask(path: str) -> Any:
        transport = httpx.ASGITransport(app=asgi_beside(app))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get(path)

    async def ask_mounted(path: str) -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
            return await client.get(path)

    import asyncio

    for way in (ask, ask_mounted):
        assert asyncio.run(way("/")).json() == "home"
        assert asyncio.run(way("/api/health/database")).json()["healthy"] is True
        assert asyncio.run(way("/api/health/nothing")).status_code == 404


def test_in_django() -> None:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    if not settings.configured:
        settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test")
        django.setup()
    globals()["urlpatterns"] = [path("", lambda request: HttpResponse("home"))]
    application = wsgi_beside(WSGIHandler())
    assert _ask_wsgi(application, "/") == (200, b"home")
    status, body = _ask_wsgi(application, "/api/health/database")
    assert status == 200 and json.loads(body)["healthy"] is True


def test_alone_in_wsgi() -> None:
    assert _ask_wsgi(wsgi, "/database")[0] == 200


def _ask_wsgi(application: Any, path: str) -> tuple[int, bytes]:
    from wsgiref.util import setup_testing_defaults

    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    answer = application(environ, lambda status, headers: statuses.append(status))
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return int(statuses[0].split()[0]), body
