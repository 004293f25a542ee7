"""Making a backup: pg_dump into one pipe, the facts of the same snapshot beside it, the manifest last."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, NamedTuple

from legal_store.backup import manifest as facts
from legal_store.backup.catalog import base_name, belongs
from legal_store.backup.clients import Client, ProgramFailedError, Running, child_environment, client, reachable
from legal_store.backup.encryption import DataKey
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import Contents, Export, Manifest, Proof
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.snapshot import Snapshot, snapshot
from legal_store.backup.stores import Store, StoreWriter, written
from legal_store.backup.streams import CHUNK, Encoder, HashingWriter
from legal_store.errors import BackupError, ServerUnavailableError, WrongUseError


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
    name: str | None = None,
    pinned: str | None = None,
    export: Export | None = None,
    progress: Progress = SILENT,
) -> BackupReport:
    """Back up the database that psycopg2 `parameters` name, into every one of `stores` at once, and return the report.

    `codec`: PG_DUMP (its own compression), ZSTD or GZIP. With `master` the data is encrypted under a fresh key.
    `export` marks it as one (see exporting.py). A `name` begins with what it is: backup- or export-.
    The dump and the facts in the manifest are of one snapshot. Memory use does not depend on the size; nothing
    is stored unencrypted in between. Raises BackupError, WrongUseError, ServerUnavailableError; then no store
    lists anything new.
    """
    if not stores or codec not in facts.CODEC_SUFFIXES:
        raise WrongUseError("A backup needs a place to go to, and a known way to be compressed.")
    kind = facts.EXPORT if export else facts.BACKUP
    if name is not None and not name.startswith(f"{kind}-"):
        raise WrongUseError(
            f"A backup cannot be called {name}: by another name no clean-up knows what a killed run left of it.",
            remedy=f"Let it begin with {kind}-, or leave it out.",
        )
    progress.step("prepare")
    cleaned_up = [left for store in stores for left in store.clean_up(belongs=belongs)]
    began = time.monotonic()
    with ExitStack() as open_things:
        for store in stores:
            open_things.enter_context(store.in_use())
        seen = open_things.enter_context(snapshot(parameters))
        run = _Run(parameters, list(stores), codec, master, progress, seen)
        manifest = run.dump(environment, name, pinned, export, began)
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

    def dump(
        self, environment: str, name: str | None, pinned: str | None, export: Export | None, began: float
    ) -> Manifest:
        pg_dump = client("pg_dump", self.seen.server_version)
        source = self.seen.source(environment, _host(self.parameters))
        created = datetime.now(UTC)
        name = name or self._free_name(facts.EXPORT if export else facts.BACKUP, environment, source.database, created)
        backup_id = uuid.uuid4().hex
        bound_to = facts.binding(backup_id, name, source.database, self.codec)
        file_name = facts.data_file_name(name, self.codec, encrypted=self.master is not None)
        exported = self.seen.export()
        with ExitStack() as open_writers:
            self.progress.step("dump")
            writers = [
                open_writers.enter_context(written(store.writer(file_name, estimate=source.database_size)))
                for store in self.stores
            ]
            target = HashingWriter(_to_all(writers))
            encoder = Encoder(target, self.codec, self.data_key, bound_to)
            looking = _Looking(self.seen, self.data_key.hash_seed() if self.data_key else 0)
            self._pump(pg_dump, exported, encoder, source.database_size)
            dumped = time.monotonic()
            contents = looking.result()
            self.progress.step("store")
        self.progress.step("manifest")
        manifest = Manifest(
            format=facts.FORMAT,
            id=backup_id,
            name=name,
            created_at=created.isoformat(timespec="seconds"),
            source=source,
            contents=contents,
            codec=self.codec,
            data_file=file_name,
            size=target.size,
            raw_size=encoder.raw_size,
            sha256=target.hexdigest(),
            tools=_tools(pg_dump),
            seconds={"dump": round(dumped - began, 2), "all": round(time.monotonic() - began, 2)},
            encryption=facts.wrapped(self.data_key, self.master, bound_to) if self.data_key and self.master else None,
            proof=Proof(level=facts.MADE, at=facts.now_text()),
            pinned=pinned,
            export=export,
        )
        for store in self.stores:
            self._publish(store, manifest)
            self.progress.step("listed")
        return manifest

    def _free_name(self, kind: str, environment: str, database: str, moment: datetime) -> str:
        """Return the name of this second, or of the next one that no store knows."""
        taken = {base_name(file) for store in self.stores for file in store.objects()}
        while (name := facts.backup_name(environment, database, moment, kind=kind)) in taken:
            moment += timedelta(seconds=1)
        return name

    def _publish(self, store: Store, manifest: Manifest) -> None:
        try:
            store.create(manifest.file_name, facts.write_manifest(manifest, self.data_key))
        except BaseException:
            store.delete(manifest.data_file)
            raise

    def _pump(self, pg_dump: Client, exported: str, encoder: Encoder, estimate: int) -> None:
        import subprocess

        compression = [] if self.codec == facts.PG_DUMP else ["--compress=0"]
        arguments = [
            "--format=custom",
            f"--snapshot={exported}",
            "--no-password",
            "--lock-wait-timeout=60s",
            *compression,
        ]
        try:
            with (
                reachable(self.parameters) as parameters,
                Running(pg_dump, arguments, child_environment(parameters), stdout=subprocess.PIPE) as running,
            ):
                output = running.process.stdout
                assert output is not None  # noqa: S101
                while chunk := output.read(CHUNK):
                    encoder.write(chunk)
                    self.progress.advance(encoder.raw_size, estimate)
                running.finish()
            encoder.finish()
        except BaseException as error:
            encoder.abandon()
            if isinstance(error, ProgramFailedError):
                raise BackupError(f"{error}.", remedy="No backup was made.") from None
            raise


class _Looking:
    """Reads the facts in a thread of its own, while pg_dump reads the same snapshot."""

    def __init__(self, seen: Snapshot, seed: int) -> None:
        self._found: Contents | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._look, args=(seen, seed), daemon=True)
        self._thread.start()

    def _look(self, seen: Snapshot, seed: int) -> None:
        try:
            self._found = seen.contents(seed)
        except Exception as error:  # noqa: BLE001  (raised again where the result is asked for)
            self._error = error

    def result(self) -> Contents:
        import psycopg2

        self._thread.join()
        if self._found is not None:
            return self._found
        if isinstance(self._error, psycopg2.Error):
            from legal_store.database.explain import statement_failure

            raise statement_failure(self._error, "Reading the facts for the manifest") from self._error
        raise self._error or ServerUnavailableError("The facts for the manifest could not be read.")


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
