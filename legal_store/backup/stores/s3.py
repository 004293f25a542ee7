"""Backups in an S3-compatible object store: AWS, Cloudflare R2, MinIO and others.

The URL is `s3://bucket/prefix`, with `?endpoint=https://...&region=...` where it is not AWS; credentials come from
where boto3 looks for them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profiles, roles), never from the URL.

What only AWS has is not used: no checksum headers of newer SDKs, which R2 and others refuse, but Content-MD5, which
all check; and parts of equal size, which R2 demands. The backup's own SHA-256 covers the whole.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from legal_store.backup.stores import LEFT_AFTER, LeftoverOf, Store, StoreWriter
from legal_store.errors import BackupError, ConfigurationError

PART_BYTES = 16 << 20
_MOST_PARTS = 9_000  # S3 allows 10,000
_UPLOADS = 2
_ATTEMPTS = 5


class _ConditionError(BackupError):
    """The object is not as the request demanded."""


class S3Store(Store):
    """A prefix in a bucket. Leftovers younger than `left_after` are taken for the work of a living writer."""

    def __init__(self, url: str, *, left_after: timedelta = LEFT_AFTER, part_bytes: int = PART_BYTES) -> None:
        parts = urlsplit(url)
        if not parts.netloc or "@" in parts.netloc:
            raise ConfigurationError(
                "A store in S3 is s3://bucket/prefix, without credentials.",
                remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.",
            )
        self._options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if unknown := self._options.keys() - {"endpoint", "region"}:
            raise ConfigurationError(f"Unknown options in {url}: {', '.join(sorted(unknown))}.")
        self.url = url
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self._left_after = left_after
        self._part_bytes = part_bytes
        self._made: Any = None

    def objects(self) -> dict[str, int]:
        return {name: size for name, (size, _) in self._listed().items()}

    def writer(self, name: str, *, estimate: int | None = None) -> StoreWriter:
        if self._exists(name):
            raise self._taken(name)
        part_bytes = max(self._part_bytes, math.ceil((estimate or 0) / _MOST_PARTS))
        return _Upload(self, name, part_bytes)

    @contextmanager
    def reader(self, name: str) -> Iterator[BinaryIO]:
        body = _Body(self, name)
        try:
            yield cast(BinaryIO, body)
        finally:
            body.close()

    def exchange(self, name: str, old: bytes, new: bytes) -> bool:
        with self.calling(f"reading {name}"):
            found = self.client.get_object(Bucket=self._bucket, Key=self.key(name))
            if found["Body"].read() != old:
                return False
        try:
            self.put(name, new, IfMatch=found["ETag"])
        except NotImplementedError:  # a service without the condition: what it holds was seen just now
            self.put(name, new)
        except _ConditionError:
            return False
        return True

    def delete(self, name: str) -> None:
        with self.calling(f"deleting {name}"):
            self.client.delete_object(Bucket=self._bucket, Key=self.key(name))

    def claim(self, name: str) -> AbstractContextManager[bool]:
        return nullcontext(True)  # nobody can see whether the run that made an object still lives: its age has to do

    def clean_up(self, leftover_of: LeftoverOf) -> list[str]:
        before = datetime.now(UTC) - self._left_after
        listed = self._listed()
        sizes = {name: size for name, (size, _) in listed.items()}
        left = [name for name, (_, at) in listed.items() if at <= before and leftover_of(name, sizes)]
        for name in left:
            self.delete(name)
        return [*left, *self._abort_uploads(before, leftover_of)]

    @property
    def client(self) -> Any:
        """The connection to the service, made when it is first needed."""
        if self._made is None:
            self._made = self._connect()
        return self._made

    def key(self, name: str) -> str:
        return self._prefix + name

    def put(self, name: str, content: bytes, **conditions: str) -> None:
        """Write an object in one request."""
        with self.calling(f"writing {name}"):
            self.client.put_object(
                Bucket=self._bucket, Key=self.key(name), Body=content, ContentMD5=_md5(content), **conditions
            )

    def call(self, operation: str, name: str, **arguments: Any) -> Any:
        """Call an operation of S3 about one object."""
        with self.calling(f"{operation.partition('_')[0]} {name}"):
            return getattr(self.client, operation)(Bucket=self._bucket, Key=self.key(name), **arguments)

    @contextmanager
    def calling(self, doing: str) -> Iterator[None]:
        """Turn the SDK's errors into ours, without credentials."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
                raise self._taken(doing.partition(" ")[2]) from None
            if code == "NotImplemented":
                raise NotImplementedError(doing) from error
            raise self._failed(doing, str(error)) from error
        except (BotoCoreError, HTTPError) as error:
            raise self._failed(doing, str(error)) from error

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
            connect_timeout=10,
            read_timeout=60,
        )
        endpoint = self._options.get("endpoint")
        region = self._options.get("region") or ("auto" if endpoint else None)
        try:
            return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)
        except (BotoCoreError, ValueError) as error:
            raise self._failed("connecting", str(error)) from None

    def _listed(self) -> dict[str, tuple[int, datetime]]:
        found: dict[str, tuple[int, datetime]] = {}
        with self.calling("listing"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    found[entry["Key"].removeprefix(self._prefix)] = (entry["Size"], entry["LastModified"])
        return dict(sorted(found.items()))

    def _exists(self, name: str) -> bool:
        from botocore.exceptions import ClientError

        with self.calling(f"looking for {name}"):
            try:
                self.client.head_object(Bucket=self._bucket, Key=self.key(name))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return False
                raise
        return True

    def _abort_uploads(self, before: datetime, leftover_of: LeftoverOf) -> list[str]:
        with self.calling("listing uploads"):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            uploads = [upload for page in pages for upload in page.get("Uploads", [])]
            old = [upload for upload in uploads if upload["Initiated"] <= before]
            stale = [upload for upload in old if leftover_of(upload["Key"].removeprefix(self._prefix), {})]
            for upload in stale:
                self.client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return [f"upload of {upload['Key']}" for upload in stale]

    def _taken(self, name: str) -> BackupError:
        return _ConditionError(
            f"{name} exists in {self.url}, and a backup is never overwritten.",
            remedy="Run it again: names hold the second.",
        )

    def _failed(self, doing: str, why: str) -> BackupError:
        return BackupError(
            f"{self.url}: {doing} failed: {why.strip().rstrip('.')}.",
            remedy="Check bucket, endpoint, credentials and network, then run it again.",
        )


class _Upload(StoreWriter):
    """Collects parts and uploads them in the background; one object small enough for it goes in one request."""

    def __init__(self, store: S3Store, name: str, part_bytes: int) -> None:
        self._store = store
        self._name = name
        self._part_bytes = part_bytes
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[Future[dict[str, Any]]] = []
        self._pool = ThreadPoolExecutor(_UPLOADS)

    def write(self, data: bytes) -> object:
        self._buffer += data
        while len(self._buffer) >= self._part_bytes:
            part = bytes(memoryview(self._buffer)[: self._part_bytes])
            del self._buffer[: self._part_bytes]
            self._send(part)
        return len(data)

    def commit(self) -> None:
        if self._upload_id is None:
            self._store.put(self._name, bytes(self._buffer), IfNoneMatch="*")
        else:
            if self._buffer:
                self._send(bytes(self._buffer))
            parts = [part.result() for part in self._parts]
            self._complete(parts)
        self._pool.shutdown()

    def abort(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._upload_id is not None:
            with suppress(BackupError):  # then clean_up of a later run finds it
                self._store.call("abort_multipart_upload", self._name, UploadId=self._upload_id)

    def _complete(self, parts: list[dict[str, Any]]) -> None:
        arguments = {"UploadId": self._upload_id, "MultipartUpload": {"Parts": parts}}
        try:
            self._store.call("complete_multipart_upload", self._name, IfNoneMatch="*", **arguments)
        except NotImplementedError:  # a service without the condition: that the name was free was seen at the start
            self._store.call("complete_multipart_upload", self._name, **arguments)

    def _send(self, content: bytes) -> None:
        if self._upload_id is None:
            self._upload_id = self._store.call("create_multipart_upload", self._name)["UploadId"]
        if len(self._parts) > _UPLOADS:
            self._parts[-_UPLOADS - 1].result()  # memory stays bounded, and a failed part is known early
        self._parts.append(self._pool.submit(self._upload, len(self._parts) + 1, content))

    def _upload(self, number: int, content: bytes) -> dict[str, Any]:
        answer = self._store.call(
            "upload_part",
            self._name,
            PartNumber=number,
            UploadId=self._upload_id,
            Body=content,
            ContentMD5=_md5(content),
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}


class _Body:
    """Reads an object from its beginning to its end. After a broken connection it goes on where it stood."""

    def __init__(self, store: S3Store, name: str) -> None:
        self._store = store
        self._name = name
        self._place = 0
        self._version: str | None = None
        self._body = self._open()

    def read(self, size: int) -> bytes:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._read(size)
            except BackupError:
                if left == 0:
                    raise
                self._body.close()
                self._body = self._open()
        raise AssertionError

    def close(self) -> None:
        self._body.close()

    def _read(self, size: int) -> bytes:
        with self._store.calling(f"reading {self._name}"):
            content: bytes = self._body.read(size)
        self._place += len(content)
        return content

    def _open(self) -> Any:
        """Ask for the rest, of the same object: one that was replaced meanwhile is refused by its ETag."""
        rest = {"Range": f"bytes={self._place}-", "IfMatch": self._version} if self._place else {}
        answer = self._store.call("get_object", self._name, **rest)
        self._version = answer["ETag"]
        return answer["Body"]


def _md5(content: bytes) -> str:
    # a checksum that every S3-compatible service checks; not what integrity rests on
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
