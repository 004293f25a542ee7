"""Making a backup: pg_dump into one pipe, the facts of the same snapshot beside it, the manifest last."""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, NamedTuple

from legal_store.backup import manifest as facts
from legal_store.backup.catalog import base_name, leftover_of
from legal_store.backup.clients import Client, ProgramFailedError, Running, child_environment, client, reachable
from legal_store.backup.encryption import DataKey
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import Contents, Encryption, Export, Manifest, Proof, Source
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
        run = _Run(parameters, list(stores), codec, master, progress, seen)
        source = seen.source(environment, _host(parameters))
        kind = facts.EXPORT if export else facts.BACKUP
        name, created = run.claim_name(claims, source, kind, safety=safety)
        manifest = run.make(name, created, source, pinned, export, began)
    return BackupReport(manifest, [store.url for store in stores], cleaned_up)


class _Run:
    """The making of one backup."""

    def __init__(
        self,
        parameters: dict[str, Any],
        stores: list[Store],
        codec: str,
        master: MasterKey | None,
        progress: Progress,
        seen: Snapshot,
    ) -> None:
        self.parameters = parameters
        self.stores = stores
        self.codec = codec
        self.master = master
        self.progress = progress
        self.seen = seen
        self.data_key = DataKey.new() if master else None
        self.id = uuid.uuid4().hex
        self.without_manifest: list[Store] = []
        """Where our data lies already."""

    def claim_name(self, held: ExitStack, source: Source, kind: str, *, safety: bool) -> tuple[str, datetime]:
        """Return a name that nobody else has, or takes as long as `held` is open, and the moment in it.

        That is this second or, where others were as quick, one of the next.
        """
        moment = datetime.now(UTC).replace(microsecond=0)
        while True:
            name = facts.backup_name(source.environment, source.database, moment, kind=kind, safety=safety)
            with ExitStack() as claims:
                ours = all(claims.enter_context(store.claim(name)) for store in self.stores)
                if ours and name not in {base_name(file) for store in self.stores for file in store.objects()}:
                    held.enter_context(claims.pop_all())
                    return name, moment
            moment += timedelta(seconds=1)

    def make(
        self, name: str, created: datetime, source: Source, pinned: str | None, export: Export | None, began: float
    ) -> Manifest:
        file_name = facts.data_file_name(name, self.codec, encrypted=self.master is not None)
        bound_to = facts.binding(self.id, name, source.database, self.codec)
        pg_dump = client("pg_dump", self.seen.server_version)
        try:
            dumped = self._dump(pg_dump, file_name, bound_to, source)
            self.progress.step("manifest")
            manifest = Manifest(
                format=facts.FORMAT,
                id=self.id,
                name=name,
                created_at=created.isoformat(timespec="seconds"),
                source=source,
                contents=dumped.contents,
                codec=self.codec,
                data_file=file_name,
                size=dumped.size,
                raw_size=dumped.raw_size,
                sha256=dumped.sha256,
                tools=_tools(pg_dump),
                seconds={"dump": round(dumped.at - began, 2), "all": round(time.monotonic() - began, 2)},
                encryption=self._encryption(bound_to),
                proof=Proof(level=facts.MADE, at=facts.now_text()),
                pinned=pinned,
                export=export,
            )
            self._publish(manifest)
        except BaseException:
            self._withdraw(file_name)
            raise
        return manifest

    def _dump(self, pg_dump: Client, file_name: str, bound_to: bytes, source: Source) -> _Dumped:
        """Write the data into all stores, and look at what is in the database meanwhile."""
        self.progress.step("dump")
        with ExitStack() as open_writers:
            writers = [open_writers.enter_context(self._writer(store, file_name, source)) for store in self.stores]
            target = HashingWriter(_to_all(writers))
            encoder = Encoder(target, self.codec, self.data_key, bound_to)
            with _Looking(self.seen, self.data_key.hash_seed() if self.data_key else 0) as looking:
                self._pump(pg_dump, encoder, source, looking)
                dumped_at = time.monotonic()
                contents = looking.result()
            self.progress.step("store")
        return _Dumped(contents, target.size, encoder.raw_size, target.hexdigest(), dumped_at)

    @contextmanager
    def _writer(self, store: Store, file_name: str, source: Source) -> Iterator[StoreWriter]:
        with written(store.writer(file_name, estimate=source.database_size)) as target:
            yield target
        self.without_manifest.append(store)

    def _publish(self, manifest: Manifest) -> None:
        for store in self.stores:
            store.create(manifest.file_name, facts.write_manifest(manifest, self.data_key))
            self.without_manifest.remove(store)
            self.progress.step("listed")

    def _withdraw(self, file_name: str) -> None:
        """Remove our data where no manifest came to it. Best effort: what stays, a later run removes."""
        for store in self.without_manifest:
            with suppress(LegalStoreError, OSError):
                if leftover_of(file_name, store.objects()):
                    store.delete(file_name)

    def _encryption(self, bound_to: bytes) -> Encryption | None:
        return facts.wrapped(self.data_key, self.master, bound_to) if self.data_key and self.master else None

    def _pump(self, pg_dump: Client, encoder: Encoder, source: Source, looking: _Looking) -> None:
        try:
            with (
                reachable(self.parameters) as parameters,
                Running(
                    pg_dump, self._arguments(source), child_environment(parameters), stdout=subprocess.PIPE
                ) as running,
            ):
                output = running.process.stdout
                assert output is not None  # noqa: S101
                while chunk := output.read(CHUNK):
                    encoder.write(chunk)
                    looking.raise_failure()
                    self.progress.advance(encoder.raw_size, source.database_size)
                running.finish()
            encoder.finish()
        except BaseException as error:
            encoder.abandon()
            if isinstance(error, ProgramFailedError):
                looking.raise_failure()  # the snapshot ended with it, and pg_dump only says so
                raise BackupError(f"{error}.", remedy="No backup was made.") from None
            raise

    def _arguments(self, source: Source) -> list[str]:
        return [
            "--format=custom",
            f"--snapshot={self.seen.exported}",
            "--no-password",
            f"--lock-wait-timeout={LOCK_SECONDS}s",
            *([] if self.codec == facts.PG_DUMP else ["--compress=0"]),
            # what says of itself that it has no encoding is taken as it is
            *([f"--encoding={source.encoding}"] if source.encoding == "SQL_ASCII" else []),
        ]


class _Dumped(NamedTuple):
    """What was written, and what the database held. `at`: when it was, by the clock that only goes on."""

    contents: Contents
    size: int
    raw_size: int
    sha256: str
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
