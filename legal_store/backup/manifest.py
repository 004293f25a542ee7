"""The manifest: what a backup holds, how it was made, what is known about it, and a seal over all that.

It is a JSON file beside the data and is written last: without it there is no backup. Its text is canonical, so that
any changed byte is noticed. The seal is an HMAC under the backup's own data key where it is encrypted, else a plain
SHA-256, which finds damage but not malice.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from legal_store.backup.encryption import CIPHER, DataKey
from legal_store.backup.keys import KEY_SOURCES, MasterKey
from legal_store.errors import ConfigurationError, DamagedBackupError

FORMAT = 2
FORMATS = (1, FORMAT)  # 1: contents are hashed as its snapshot.py did
_BINDING = 1
_SAFETY = "-before-restore"
SUFFIX = ".manifest.json"

PG_DUMP, ZSTD, GZIP = "pg_dump", "zstd", "gzip"
CODEC_SUFFIXES = {PG_DUMP: ".dump", ZSTD: ".dump.zst", GZIP: ".dump.gz"}
ENCRYPTED_SUFFIX = ".enc"

BACKUP, EXPORT = "backup", "export"
_NAME = re.compile(
    rf"(?P<kind>{BACKUP}|{EXPORT})-(?P<environment>[A-Za-z0-9_.]+)-(?P<database>[A-Za-z0-9_.]+)"
    rf"-[0-9]{{8}}-[0-9]{{6}}({_SAFETY})?"
)

MADE, VERIFIED, PROVEN = "made", "verified", "proven"
PROOF_LEVELS = (MADE, VERIFIED, PROVEN)


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """One table as the backup's snapshot saw it.

    `content` is an order-independent hash of all its rows; in an encrypted backup it depends on the backup's key,
    so that nobody without it can try guesses.
    """

    name: str
    rows: int
    content: str
    size: int
    """Bytes on the server without indexes, for estimates."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the snapshot held: by this a restored database is compared."""

    tables: tuple[TableFacts, ...]
    sequences: dict[str, str]
    large_objects: str
    extensions: dict[str, str]
    foreign_keys: int
    roles: tuple[str, ...]
    migration_head: str | None
    ledger_schema: str | None = None
    """Where the migrations are written down. Settings of the database, search_path too, are restored later."""

    @property
    def largest_table(self) -> int:
        """The bytes of the largest table with its long values, without indexes."""
        return max((table.size for table in self.tables), default=0)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The database that was backed up, and how to make one like it."""

    database: str
    environment: str
    host: str
    server_version: str
    system_identifier: str | None
    database_size: int
    encoding: str
    locale: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """How the data is encrypted, and its data key, wrapped by the master key `key_id`."""

    cipher: str
    key_id: str
    wrapped_key: str


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How sure we are, and since when: made, verified (read to the end), proven (restored and compared)."""

    level: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The last try to reach a level of proof that showed damage; a good one of that level or a higher takes it away."""

    level: str
    at: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Export:
    """Marks an export: what is in it, who may read it (`import-anonymized` alone), and until when."""

    personal_data: bool
    expires_at: str

    def expired(self, now: datetime) -> bool:
        return now >= datetime.fromisoformat(self.expires_at)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything known about one backup. Times are UTC in ISO 8601; sizes are bytes."""

    format: int
    id: str
    name: str
    created_at: str
    source: Source
    contents: Contents
    codec: str
    data_file: str
    size: int
    raw_size: int
    sha256: str
    tools: dict[str, str]
    seconds: dict[str, float]
    encryption: Encryption | None
    proof: Proof
    pinned: str | None = None
    """Why `backup.prune` must keep it, if it must."""
    export: Export | None = None
    failure: Failure | None = None

    @property
    def created(self) -> datetime:
        return datetime.fromisoformat(self.created_at)

    @property
    def file_name(self) -> str:
        return self.name + SUFFIX

    def bound_to(self) -> bytes:
        """Return what ties data and wrapped key to this backup: neither works with another's manifest."""
        return binding(self.id, self.name, self.source.database, self.codec)

    def data_key(self, master: MasterKey) -> DataKey:
        """Return the data key. Raises DamagedBackupError, and ConfigurationError for another key than it names."""
        assert self.encryption is not None  # noqa: S101  (callers look first)
        try:
            return DataKey(master.unwrap(base64.b64decode(self.encryption.wrapped_key), self.bound_to()))
        except DamagedBackupError:
            if self.encryption.key_id == master.key_id:
                raise
            raise ConfigurationError(
                f"{self.name} is encrypted by the key {self.encryption.key_id}; {master.key_id} does not open it.",
                remedy=f"Set that key: {KEY_SOURCES}.",
            ) from None

    def with_proof(self, level: str) -> Manifest:
        """Return this manifest with `level` and the present time; a higher level that it had stays.

        A failure at that level, or a lower one, is taken back.
        """
        failure = self.failure if self.failure and _is_above(self.failure.level, level) else None
        proof = self.proof if _is_above(self.proof.level, level) else Proof(level=level, at=now_text())
        return dataclasses.replace(self, proof=proof, failure=failure)

    def with_failure(self, level: str, why: str) -> Manifest:
        """Return this manifest with the note that it failed at `level` just now; a failure at a higher one stays."""
        if self.failure and _is_above(self.failure.level, level):
            return self
        return dataclasses.replace(self, failure=Failure(level=level, at=now_text(), why=why))


def _is_above(level: str, other: str) -> bool:
    return PROOF_LEVELS.index(level) > PROOF_LEVELS.index(other)


def binding(backup_id: str, name: str, database: str, codec: str) -> bytes:
    """Return the associated data of everything encrypted for one backup."""
    return json.dumps(["legal_store backup", _BINDING, backup_id, name, database, codec]).encode()


def wrapped(data_key: DataKey, master: MasterKey, bound_to: bytes) -> Encryption:
    """Return the data key as the manifest keeps it."""
    text = base64.b64encode(master.wrap(data_key.secret, bound_to)).decode()
    return Encryption(cipher=CIPHER, key_id=master.key_id, wrapped_key=text)


def data_file_name(name: str, codec: str, *, encrypted: bool) -> str:
    return name + CODEC_SUFFIXES[codec] + (ENCRYPTED_SUFFIX if encrypted else "")


def backup_name(environment: str, database: str, moment: datetime, *, kind: str = BACKUP, safety: bool = False) -> str:
    """Return {kind}-{env}-{database}-{YYYYmmdd-HHMMSS} in UTC; letters unfit for file names become `_`.

    `safety`: of what a restore is about to replace.
    """
    made_for, of = _fit(environment), _fit(database)
    return f"{kind}-{made_for}-{of}-{moment.astimezone(UTC):%Y%m%d-%H%M%S}{_SAFETY if safety else ''}"


def is_named_for(name: str, environment: str | None, database: str | None) -> bool:
    """Say whether `name` is one that backup_name() may have made for them, for a backup; None is any."""
    parts = _NAME.fullmatch(name)
    wanted = ((parts["environment"], environment), (parts["database"], database)) if parts else ()
    return (
        parts is not None
        and parts["kind"] == BACKUP
        and all(asked is None or named == _fit(asked) for named, asked in wanted)
    )


def _fit(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", text)


def is_our_name(name: str) -> bool:
    """Say whether `name` is one that backup_name() makes."""
    return _NAME.fullmatch(name) is not None


def is_safety(name: str) -> bool:
    return name.endswith(_SAFETY)


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_manifest(manifest: Manifest, data_key: DataKey | None) -> bytes:
    """Return the manifest's file, sealed by `data_key`, or by a plain digest where the backup is not encrypted."""
    document = dataclasses.asdict(manifest)
    return _text({**document, "seal": _seal(_text(document), data_key)})


def read_manifest(content: bytes, file_name: str) -> Manifest:
    """Parse a manifest and check its canonical form, and its seal where that needs no key.

    Raises DamagedBackupError; for a manifest of an encrypted backup call `check_seal` with its key as well.
    """
    try:
        document = json.loads(content)
        if _text(document) != content:
            raise ValueError("its text is not canonical")
        if document["format"] not in FORMATS:
            raise ValueError(f"its format is {document['format']}, and this version reads {FORMAT} and older ones")
        seal = str(document.pop("seal"))
        manifest = _checked(_built(Manifest, document))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(file_name, f"it cannot be read ({_first_words(error)})") from None
    if manifest.file_name != file_name:
        raise _damaged(file_name, f"it is that of {manifest.name}")
    if manifest.encryption is None and not _same(seal, _seal(_text(document), None)):
        raise _damaged(file_name, "its digest is wrong")
    return manifest


def check_seal(content: bytes, manifest: Manifest, data_key: DataKey) -> None:
    """Raise DamagedBackupError unless the manifest of an encrypted backup was sealed by its data key."""
    document = json.loads(content)
    seal = str(document.pop("seal"))
    if not _same(seal, _seal(_text(document), data_key)):
        raise _damaged(manifest.file_name, "its seal is wrong")


def _seal(text: bytes, data_key: DataKey | None) -> str:
    return "hmac-sha256:" + data_key.seal(text) if data_key else "sha256:" + hashlib.sha256(text).hexdigest()


def _same(seal: str, other: str) -> bool:
    return hmac.compare_digest(seal.encode(errors="replace"), other.encode())


def _text(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode()


def _built(kind: Any, value: Any) -> Any:
    """Return `value`, as JSON gives it, as the `kind` of an annotation. Raises ValueError where it is another."""
    inner = get_args(kind)
    if dataclasses.is_dataclass(kind):
        kinds: dict[str, Any] = _kinds(kind)  # type: ignore[arg-type]
        return kind(**{name: _built(kinds[name], item) for name, item in value.items()})  # type: ignore[operator]
    if get_origin(kind) is UnionType:
        return None if value is None else _built(inner[0], value)
    if get_origin(kind) is tuple:
        return tuple(_built(inner[0], item) for item in _instance(list, value))
    if get_origin(kind) is dict:
        return {name: _built(inner[1], item) for name, item in _instance(dict, value).items()}
    return _instance(float | int if kind is float else kind, value)


@lru_cache(maxsize=16)
def _kinds(record: Any) -> dict[str, Any]:
    return get_type_hints(record)


def _instance(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{str(value)[:40]!r} is not of the kind {getattr(kind, '__name__', kind)}")
    return value


def _checked(manifest: Manifest) -> Manifest:
    """Return `manifest`. Raises ValueError where a value is none of those that we write."""
    failed = [manifest.failure.level] if manifest.failure else []
    if manifest.codec not in CODEC_SUFFIXES or not {manifest.proof.level, *failed} <= set(PROOF_LEVELS):
        raise ValueError("unknown codec or level of proof")
    own_data = data_file_name(manifest.name, manifest.codec, encrypted=manifest.encryption is not None)
    if manifest.data_file != own_data:
        raise ValueError("its data file is not its own")
    moments = [manifest.created_at, *([manifest.export.expires_at] if manifest.export else [])]
    if any(datetime.fromisoformat(moment).tzinfo is None for moment in moments):
        raise ValueError("a time without a zone")
    if manifest.encryption:
        base64.b64decode(manifest.encryption.wrapped_key, validate=True)
    return manifest


def _damaged(file_name: str, why: str) -> DamagedBackupError:
    return DamagedBackupError(
        f"The manifest {file_name} was changed or damaged: {why}.",
        remedy="Use another backup, or another copy of this one.",
    )


def _first_words(error: Exception) -> str:
    return str(error).partition("\n")[0][:120] or type(error).__name__
