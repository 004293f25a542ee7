"""Backups in an S3-compatible store, over HTTP, with a server that also fails."""

from __future__ import annotations

import dataclasses
import http.client
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from legal_store.backup import MasterKey, Policy, list_backups, make_backup, prune, verify
from legal_store.backup.catalog import leftover_of
from legal_store.backup.comparing import differences
from legal_store.backup.progress import Progress
from legal_store.backup.stores import open_store, written
from legal_store.backup.stores.s3 import S3Store
from legal_store.errors import BackupError, ConfigurationError
from legal_store.restore import RestorePlan, drill, find_source, restore
from tests.backup.conftest import contents, execute

PART = 5 << 20  # the smallest that S3 allows


class Faults:
    """What the proxy does to requests that match, so many times."""

    def __init__(self) -> None:
        self.status: dict[str, int] = {}
        self.cut_after = 0
        self.left = 0
        self.seen: list[tuple[str, str, dict[str, str]]] = []


class Proxy(BaseHTTPRequestHandler):
    """Stands before the S3 server: notes the requests, answers with errors, cuts answers short."""

    protocol_version = "HTTP/1.1"
    backend: tuple[str, int]
    faults: Faults

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.faults.seen.append((self.command, self.path, dict(self.headers)))
        for method, status in self.faults.status.items():
            if self.command == method and self.faults.left:
                self.faults.left -= 1
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        connection = http.client.HTTPConnection(*self.backend)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if (
            self.command == "GET"
            and self.faults.cut_after
            and self.faults.left
            and len(content) > self.faults.cut_after
        ):
            self.faults.left -= 1
            content = content[: self.faults.cut_after]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, int]]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def faults(moto: tuple[str, int]) -> Iterator[tuple[Faults, str]]:
    found = Faults()
    handler = type("Handler", (Proxy,), {"backend": moto, "faults": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(moto: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    resource = boto3.resource("s3", endpoint_url=f"http://{moto[0]}:{moto[1]}", region_name="us-east-1")
    made = resource.create_bucket(Bucket="backups")
    yield "backups"
    made.objects.all().delete()
    for upload in made.multipart_uploads.all():
        upload.abort()
    made.delete()


@pytest.fixture
def remote(faults: tuple[Faults, str], bucket: str) -> S3Store:
    return S3Store(f"s3://{bucket}/firm/nightly?endpoint={faults[1]}", part_bytes=PART)


def _uploads(remote: S3Store) -> list[Any]:
    return remote.client.list_multipart_uploads(Bucket="backups").get("Uploads", [])


def test_a_backup_goes_there_and_comes_back(live: dict[str, Any], remote: S3Store, key: MasterKey) -> None:
    before = contents(live)
    made = make_backup(live, [remote], environment="test", codec="zstd", master=key).manifest
    assert verify(remote, made.name, key).proof.level == "verified"
    assert drill(remote, made.name, live, master=key).manifest.proof.level == "proven"
    (listed,) = list_backups(remote, key)
    assert listed.good
    execute(live, "DELETE FROM remarks; TRUNCATE events")
    source = find_source(made.name, remote, key)
    restore(RestorePlan(source=source, parameters=live, environment="test", typed=live["dbname"]))
    assert differences(before, contents(live)) == []


def test_large_objects_go_in_parts_of_equal_size_with_a_checksum_that_r2_accepts(
    remote: S3Store, faults: tuple[Faults, str]
) -> None:
    content = bytes(range(256)) * (PART // 256) * 2 + b"the rest"
    with written(remote.writer("large")) as target:
        for start in range(0, len(content), 700_001):
            target.write(content[start : start + 700_001])
    assert remote.read("large") == content
    parts = [headers for method, path, headers in faults[0].seen if method == "PUT" and "partNumber" in path]
    assert sorted(int(headers["Content-Length"]) for headers in parts) == [8, PART, PART]
    for _, _, headers in faults[0].seen:
        assert not [name for name in headers if name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum"))]
    assert all("Content-MD5" in headers for headers in parts)


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_nothing_is_overwritten(remote: S3Store, size: int) -> None:
    first, second = remote.writer("name"), remote.writer("name")
    for writer in (first, second):
        writer.write(b"x" * size)
    first.commit()
    with pytest.raises(BackupError, match="never overwritten"), written(second):
        pass
    with pytest.raises(BackupError, match="never overwritten"):
        remote.writer("name")
    assert remote.objects() == {"name": size}
    assert _uploads(remote) == []


def test_an_upload_that_fails_is_aborted(remote: S3Store) -> None:
    with pytest.raises(ZeroDivisionError), written(remote.writer("large")) as target:
        target.write(b"x" * (2 * PART))
        raise ZeroDivisionError
    assert remote.objects() == {}
    assert _uploads(remote) == []


def test_uploads_of_killed_runs_are_aborted_once_they_are_old(remote: S3Store) -> None:
    ours = "export-test-db-20250120-143000.dump.zst.enc"
    for name in (ours, "large"):
        left = remote.writer(name)
        left.write(b"x" * (2 * PART))
        left._pool.shutdown()
    # moto dates all uploads in 2010
    young = S3Store(remote.url, left_after=timedelta(days=365 * 1000))
    assert young.clean_up(leftover_of) == []
    later = S3Store(remote.url)
    assert later.clean_up(leftover_of) == [f"upload of firm/nightly/{ours}"]
    assert [upload["Key"] for upload in _uploads(remote)] == ["firm/nightly/large"], "somebody else's"


def test_a_change_is_written_over_what_was_read_only(remote: S3Store, faults: tuple[Faults, str]) -> None:
    remote.put("name", b"old")
    assert remote.exchange("name", b"old", b"new")
    assert not remote.exchange("name", b"old", b"newer")
    assert remote.read("name") == b"new"
    (written_over,) = [headers for _, _, headers in faults[0].seen if "If-Match" in headers]
    with pytest.raises(BackupError, match="exists"):
        remote.put("name", b"newest", IfMatch=written_over["If-Match"])
    remote.delete("name")
    with pytest.raises(BackupError):
        remote.exchange("name", b"new", b"newest")
    assert remote.objects() == {}


def test_a_store_that_may_only_be_read_is_verified_all_the_same(
    live: dict[str, Any], remote: S3Store, faults: tuple[Faults, str]
) -> None:
    made = make_backup(live, [remote], environment="test").manifest
    noted: list[str] = []
    progress = Progress()
    progress.note = noted.append  # type: ignore[method-assign]
    faults[0].status, faults[0].left = {"PUT": 403}, 1
    assert verify(remote, made.name, progress=progress).proof.level == "verified"
    assert "could not be noted" in noted[0]


def test_passing_errors_of_the_service_are_overcome(remote: S3Store, faults: tuple[Faults, str]) -> None:
    faults[0].status, faults[0].left = {"PUT": 503}, 2
    with written(remote.writer("large")) as target:
        target.write(b"x" * (2 * PART))
    assert remote.objects() == {"large": 2 * PART}


def test_lasting_errors_end_with_ours_and_nothing_is_left(
    live: dict[str, Any], remote: S3Store, faults: tuple[Faults, str]
) -> None:
    faults[0].status, faults[0].left = {"PUT": 500}, 1000
    with pytest.raises(BackupError) as raised:
        make_backup(live, [remote], environment="test")
    assert "very secret" not in str(raised.value)
    faults[0].left = 0
    assert list_backups(remote) == []
    assert _uploads(remote) == []


def test_a_broken_download_goes_on_where_it_stood(remote: S3Store, faults: tuple[Faults, str]) -> None:
    content = bytes(range(256)) * 40_000
    remote.create("object", content)
    faults[0].cut_after, faults[0].left = 1_000_000, 3
    with remote.reader("object") as source:
        read = b"".join(iter(lambda: source.read(300_000), b""))
    assert read == content
    assert len([path for method, path, headers in faults[0].seen if "Range" in headers]) == 3


def test_prune_works_there_as_well(live: dict[str, Any], remote: S3Store) -> None:
    names = [make_backup(live, [remote], environment="test").manifest.name for _ in range(2)]
    report = prune(remote, Policy(days=0), delete=True)
    assert report.deleted == [min(names)]
    assert [listed.name for listed in list_backups(remote)] == [max(names)]
    assert len(remote.objects()) == 2


@pytest.mark.parametrize("url", ["s3://", "s3://key:secret@bucket/x", "s3://bucket/x?acl=public"])
def test_urls_that_are_none_are_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_store(url)
    assert "secret@" not in str(raised.value)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="gopher"):
        open_store("gopher://somewhere")


def test_a_missing_bucket_is_named(remote: S3Store, faults: tuple[Faults, str]) -> None:
    other = open_store(f"s3://nowhere/x?endpoint={faults[1]}")
    with pytest.raises(BackupError, match="nowhere"):
        other.objects()


def test_the_manifest_is_found_by_any_name_of_the_backup(live: dict[str, Any], remote: S3Store) -> None:
    made = make_backup(live, [remote], environment="test", codec="zstd").manifest
    for name in (made.name, made.data_file, made.file_name):
        assert dataclasses.asdict(verify(remote, name))["id"] == made.id
