"""Making a backup: pg_dump into one pipe, the facts of the same snapshot beside it, the manifest last."""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, NamedTuple

from legal_store.backup import manifest as facts
from legal_store.backup.catalog import base_name, leftover_of
from legal_store.backup.clients import Client, ProgramFailedError, Running, child_environment, client, reachable
from legal_store.backup.encryption import DataKey
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import Contents, Export, Manifest, Proof, Source
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.snapshot import LOCK_SECONDS, Snapshot, snapshot
from legal_store.backup.stores import Store, StoreWriter, written
from legal_store.backup.streams import CHUNK, Encoder, HashingWriter
from legal_store.errors import BackupError, LegalStoreError, WrongUseError


class BackupReport(NamedTuple):
    """A backup that was made, where it lies, and what interrupted runs had left there."""

    manifest: Manifest
    stores: list[str]
    cleaned_up: list[str]


def make_backup(
    parameters: dict[str, Any],
    stores: Sequence[Store],
    *,
    environment: str,
    codec: str = facts.PG_DUMP,
    master: MasterKey | None = None,
    safety: bool = False,
    pinned: str | None = None,
    export: Export | None = None,
    progress: Progress = SILENT,
) -> BackupReport:
    """Back up the database that psycopg2 `parameters` name, into every one of `stores` at once, and return the report.

    `codec`: PG_DUMP (its own compression), ZSTD or GZIP. With `master` the data is encrypted under a fresh key.
    `export` marks it as one (see exporting.py), `safety` as what a restore makes of what it is about to replace.
    The dump and the facts in the manifest are of one snapshot. Memory use does not depend on the size; nothing
    is stored unencrypted in between. Raises BackupError, WrongUseError, ServerUnavailableError; a store that failed
    then lists nothing new.
    """
    if not stores or codec not in facts.CODEC_SUFFIXES:
        raise WrongUseError("A backup needs a place to go to, and a known way to be compressed.")
    if len({store.url for store in stores}) < len(stores):
        raise WrongUseError(f"A backup goes to {stores[0].url} once.", remedy="Name another place to upload it to.")
    progress.step("prepare")
    cleaned_up = [left for store in stores for left in store.clean_up(leftover_of)]
    began = time.monotonic()
    with snapshot(parameters) as seen, ExitStack() as claims:
        source = seen.source(environment, _host(parameters))
        run = _Run(parameters, list(stores), codec, DataKey.new() if master else None, master, progress, seen, source)
        run.claim_name(claims, facts.EXPORT if export else facts.BACKUP, safety=safety)
        manifest = run.make(pinned, export, began)
    return BackupReport(manifest, [store.url for store in stores], cleaned_up)


@dataclass(repr=False)  # the parameters hold a password
class _Run:
    """The making of one backup."""

    parameters: dict[str, Any]
    stores: list[Store]
    codec: str
    data_key: DataKey | None
    master: MasterKey | None
    progress: Progress
    seen: Snapshot
    source: Source
    name: str = field(init=False)
    created: datetime = field(init=False)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    without_manifest: list[Store] = field(default_factory=list)
    """Where our data lies already."""

    def claim_name(self, held: ExitStack, kind: str, *, safety: bool) -> None:
        """Take a name that nobody else has, or takes as long as `held` is open: this second's or, where others were as
        quick, that of one of the next.
        """
        moment = datetime.now(UTC).replace(microsecond=0)
        while True:
            name = facts.backup_name(self.source.environment, self.source.database, moment, kind=kind, safety=safety)
            with ExitStack() as claims:
                ours = all(claims.enter_context(store.claim(name)) for store in self.stores)
                if ours and name not in {base_name(file) for store in self.stores for file in store.objects()}:
                    held.enter_context(claims.pop_all())
                    self.name, self.created = name, moment
                    return
            moment += timedelta(seconds=1)

    def make(self, pinned: str | None, export: Export | None, began: float) -> Manifest:
        """Write the data, then the manifest."""
        try:
            dumped = self._dump()
            self.progress.step("manifest")
            manifest = self._manifest(dumped, pinned, export, began)
            self._publish(manifest)
        except BaseException:
            self._withdraw()
            raise
        return manifest

    @property
    def _file_name(self) -> str:
        return facts.data_file_name(self.name, self.codec, encrypted=self.data_key is not None)

    @property
    def _bound_to(self) -> bytes:
        return facts.binding(self.id, self.name, self.source.database, self.codec)

    def _manifest(self, dumped: _Dumped, pinned: str | None, export: Export | None, began: float) -> Manifest:
        wrapped = facts.wrapped(self.data_key, self.master, self._bound_to) if self.data_key and self.master else None
        return Manifest(
            format=facts.FORMAT,
            id=self.id,
            name=self.name,
            created_at=self.created.isoformat(timespec="seconds"),
            source=self.source,
            contents=dumped.contents,
            codec=self.codec,
            data_file=self._file_name,
            size=dumped.size,
            raw_size=dumped.raw_size,
            sha256=dumped.sha256,
            tools=_tools(dumped.by),
            seconds={"dump": round(dumped.at - began, 2), "all": round(time.monotonic() - began, 2)},
            encryption=wrapped,
            proof=Proof(level=facts.MADE, at=facts.now_text()),
            pinned=pinned,
            export=export,
        )

    def _dump(self) -> _Dumped:
        """Write the data into all stores, and look at what is in the database meanwhile."""
        pg_dump, arguments = client("pg_dump", self.seen.server_version), self._arguments()
        self.progress.step("dump")
        with ExitStack() as open_writers:
            writers = [open_writers.enter_context(self._writer(store)) for store in self.stores]
            target = HashingWriter(_to_all(writers))
            encoder = Encoder(target, self.codec, self.data_key, self._bound_to)
            with _Looking(self.seen, self.data_key.hash_seed() if self.data_key else 0) as looking:
                self._pump(pg_dump, arguments, encoder, looking)
                dumped_at = time.monotonic()
                contents = looking.result()
            self.progress.step("store")
        return _Dumped(contents, target.size, encoder.raw_size, target.hexdigest(), pg_dump, dumped_at)

    @contextmanager
    def _writer(self, store: Store) -> Iterator[StoreWriter]:
        with written(store.writer(self._file_name, estimate=self.source.database_size)) as target:
            yield target
        self.without_manifest.append(store)

    def _publish(self, manifest: Manifest) -> None:
        for store in self.stores:
            store.create(manifest.file_name, facts.write_manifest(manifest, self.data_key))
            self.without_manifest.remove(store)
            self.progress.step("listed")

    def _withdraw(self) -> None:
        """Remove our data where no manifest came to it. Best effort: what stays, a later run removes."""
        for store in self.without_manifest:
            with suppress(LegalStoreError, OSError):
                if leftover_of(self._file_name, store.objects()):
                    store.delete(self._file_name)

    def _arguments(self) -> list[str]:
        compression = [] if self.codec == facts.PG_DUMP else ["--compress=0"]
        # what says of itself that it has no encoding is taken as it is
        encoding = ["--encoding=SQL_ASCII"] if self.source.encoding == "SQL_ASCII" else []
        return [
            "--format=custom",
            f"--snapshot={self.seen.export()}",
            "--no-password",
            f"--lock-wait-timeout={LOCK_SECONDS}s",
            *compression,
            *encoding,
        ]

    def _pump(self, pg_dump: Client, arguments: list[str], encoder: Encoder, looking: _Looking) -> None:
        try:
            with (
                reachable(self.parameters) as parameters,
                Running(pg_dump, arguments, child_environment(parameters), stdout=subprocess.PIPE) as running,
            ):
                output = running.process.stdout
                assert output is not None  # noqa: S101
                while chunk := output.read(CHUNK):
                    encoder.write(chunk)
                    looking.raise_failure()
                    self.progress.advance(encoder.raw_size, self.source.database_size)
                running.finish()
            encoder.finish()
        except BaseException as error:
            encoder.abandon()
            if isinstance(error, ProgramFailedError):
                looking.raise_failure()  # the snapshot ended with it, and pg_dump only says so
                raise BackupError(f"{error}.", remedy="No backup was made.") from None
            raise


class _Dumped(NamedTuple):
    """What was written, what the database held, and by which program and when (`at`: of the monotonic clock)."""

    contents: Contents
    size: int
    raw_size: int
    sha256: str
    by: Client
    at: float


class _Looking:
    """Reads the facts in a thread of its own, while pg_dump reads the same snapshot."""

    def __init__(self, seen: Snapshot, seed: int) -> None:
        self._seen = seen
        self._found: Contents | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._look, args=(seed,), daemon=True)
        self._thread.start()

    def __enter__(self) -> _Looking:
        return self

    def __exit__(self, *_: object) -> None:
        while self._thread.is_alive():
            self._seen.cancel()
            self._thread.join(0.1)

    def _look(self, seed: int) -> None:
        try:
            self._found = self._seen.contents(seed)
        except Exception as error:  # noqa: BLE001  (raised again where the result is asked for)
            self._error = error

    def raise_failure(self) -> None:
        """Raise what ended the looking, if something did."""
        import psycopg2

        if isinstance(self._error, psycopg2.Error):
            from legal_store.database.explain import statement_failure

            raise statement_failure(self._error, "Reading the facts for the manifest") from self._error
        if self._error is not None:
            raise self._error

    def result(self) -> Contents:
        self._thread.join()
        self.raise_failure()
        assert self._found is not None  # noqa: S101  (the thread ends with one of them)
        return self._found


def _to_all(writers: list[StoreWriter]) -> Any:
    def write(data: bytes) -> None:
        for writer in writers:
            writer.write(data)

    return write


def _tools(pg_dump: Client) -> dict[str, str]:
    tools = {"legal_store": version("legal-store"), "pg_dump": ".".join(map(str, pg_dump.version))}
    return tools | {package: version(package) for package in ("zstandard", "tink")}


def _host(parameters: dict[str, Any]) -> str:
    from legal_store.database.target import describe_target

    return describe_target({name: parameters[name] for name in ("host", "port", "dbname") if name in parameters})
