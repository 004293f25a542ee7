"""Render's exports, against a server that answers as its API is documented to."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup.clients import child_environment, clients
from legal_store.backup.comparing import differences
from legal_store.backup.hosts.render import RenderExports
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import BackupError, ConfigurationError
from legal_store.restore import RestorePlan, find_source, restore
from tests.backup.conftest import contents, execute

KEY = "rnd_secret"


class Api:
    """What the server holds, and what it was asked."""

    def __init__(self) -> None:
        self.exports: list[dict[str, Any]] = []
        self.archive = b""
        self.status = 0
        self.downloads: list[dict[str, str]] = []
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    api: Api

    def do_GET(self) -> None:
        if self.path.startswith("/download"):
            self.api.downloads.append(dict(self.headers))
            self._answer(200, self.api.archive)
        else:
            self._authorized(200, json.dumps(self.api.exports).encode())

    def do_POST(self) -> None:
        self.api.exports.append({"id": "new", "createdAt": "2025-01-21T02:00:00Z"})
        self._authorized(202, b"")

    def _authorized(self, status: int, content: bytes) -> None:
        right = self.path == "/v1/postgres/dpg-1/export" and self.headers["Authorization"] == f"Bearer {KEY}"
        self._answer(self.api.status or (status if right else 401), content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"api": found}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def render(api: Api) -> RenderExports:
    api.exports = [
        {"id": "old", "createdAt": "2025-01-19T02:00:00Z", "url": f"{api.url}/download/old?signature=s3cret"},
        {"id": "ready", "createdAt": "2025-01-20T02:00:00Z", "url": f"{api.url}/download/ready?signature=s3cret"},
    ]
    environ = {"RENDER_API_KEY": KEY, "RENDER_POSTGRES_ID": "dpg-1", "RENDER_API_URL": f"{api.url}/v1"}
    return RenderExports.from_environ(environ)


def test_exports_are_listed_newest_first_and_asked_for(render: RenderExports) -> None:
    assert [export.id for export in render.exports()] == ["ready", "old"]
    render.trigger()
    newest = render.exports()[0]
    assert (newest.id, newest.ready) == ("new", False)


def test_a_fetched_export_is_restored_like_any_archive(
    render: RenderExports, api: Api, live: dict[str, Any], store: LocalStore, tmp_path: Path
) -> None:
    before = contents(live)
    dumped = tmp_path / "2025-01-20T02_00Z" / "firm"
    dumped.parent.mkdir()
    program = clients("pg_dump")[0].path
    subprocess.run([program, "--format=directory", f"--file={dumped}"], env=child_environment(live), check=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(dumped.parent, arcname=dumped.parent.name)
    api.archive = packed.getvalue()
    path = render.fetch("ready", tmp_path / "fetched")
    assert "Authorization" not in api.downloads[0]
    execute(live, "TRUNCATE events")
    source = find_source(str(path), store, None)
    restore(RestorePlan(source=source, parameters=live, environment="test", typed=live["dbname"]))
    assert differences(before, contents(live)) == []


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(
    render: RenderExports, api: Api, tmp_path: Path, name: str
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    api.archive = packed.getvalue()
    with pytest.raises(BackupError):
        render.fetch("ready", tmp_path / "fetched")
    assert list((tmp_path / "fetched").iterdir()) == []


@pytest.mark.parametrize("archive", [b"", b"no archive", b"\x1f\x8b\x08\x00cut"])
def test_a_broken_download_leaves_nothing(render: RenderExports, api: Api, tmp_path: Path, archive: bytes) -> None:
    api.archive = archive
    with pytest.raises(BackupError):
        render.fetch("ready", tmp_path / "fetched")
    assert list((tmp_path / "fetched").iterdir()) == []


@pytest.mark.parametrize(("status", "meaning"), [(401, "not accepted"), (404, "no such database"), (409, "at work")])
def test_a_refusal_is_explained_without_the_key(render: RenderExports, api: Api, status: int, meaning: str) -> None:
    api.status = status
    with pytest.raises(BackupError, match=meaning) as raised:
        render.exports()
    assert KEY not in f"{raised.value} {render!r}"


def test_what_is_missing_in_the_environment_is_named() -> None:
    with pytest.raises(ConfigurationError, match="Not set: RENDER_API_KEY, RENDER_POSTGRES_ID"):
        RenderExports.from_environ({})
