"""Master keys: where they come from, and how they wrap the data key that each backup has for itself.

A master key is exactly 32 bytes (raw, or as 64 hex digits, or as base64), or a Tink keyset of the Aead kind. It is
never padded, cut or derived from a passphrase.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legal_store.errors import ConfigurationError, DamagedBackupError, RefusedError

if TYPE_CHECKING:
    from legal_store.backup.stores import Store

KEY_BYTES = 32
KEY_FILE = "LEGAL_STORE_BACKUP_KEY_FILE"
KEY_COMMAND = "LEGAL_STORE_BACKUP_KEY_COMMAND"
KEY = "LEGAL_STORE_BACKUP_KEY"

_HOW = f"Make one with `invoke backup.keygen --file PATH` and set {KEY_FILE}; {KEY_COMMAND} and {KEY} work too."
KEY_SOURCES = f"--key-file, {KEY_FILE}, {KEY_COMMAND} or {KEY}"
_AES_GCM = "type.googleapis.com/google.crypto.tink.AesGcmKey"
_KEY_ID_LABEL = b"legal_store backup key id"
_COMMAND_SECONDS = 60


class MasterKey:
    """Wraps and unwraps data keys. `key_id` names it without giving anything away."""

    def __init__(self, key_id: str, aead: Any) -> None:
        self.key_id = key_id
        self._aead = aead

    def __repr__(self) -> str:
        return f"MasterKey({self.key_id!r})"

    def wrap(self, data_key: bytes, bound_to: bytes) -> bytes:
        """Return `data_key` encrypted; it unwraps only together with the same `bound_to`."""
        wrapped: bytes = self._aead.encrypt(data_key, bound_to)
        return wrapped

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return the data key. Raises DamagedBackupError when this is not the key, or a byte was changed."""
        from tink import TinkError

        try:
            data_key: bytes = self._aead.decrypt(wrapped, bound_to)
        except TinkError:
            raise DamagedBackupError(
                f"The key {self.key_id} does not open this backup: it is not its key, or the manifest was changed.",
                remedy="Use the key that the manifest names as encryption.key_id.",
            ) from None
        return data_key


def master_key(environ: Mapping[str, str] = os.environ, *, file: Path | None = None) -> MasterKey | None:
    """Return the master key of `file`, else that of the environment's file, command or variable; None without one.

    Runs LEGAL_STORE_BACKUP_KEY_COMMAND in a shell where that is the source. Raises ConfigurationError for
    anything that is not a key, for two sources at once, and for a key file that others may read; no message
    holds a part of a key.
    """
    sources = {name: environ[name] for name in (KEY_FILE, KEY_COMMAND, KEY) if environ.get(name)}
    if file is not None:
        return _parse(_read_file(file), str(file))
    if not sources:
        return None
    if len(sources) > 1:
        raise ConfigurationError(f"{' and '.join(sources)} are both set.", remedy="Keep one of them.")
    ((name, value),) = sources.items()
    if name == KEY_FILE:
        return _parse(_read_file(Path(value).expanduser()), name)
    return _parse(_run(value) if name == KEY_COMMAND else value.encode(), name)


def required_master_key(environ: Mapping[str, str] = os.environ, *, file: Path | None = None) -> MasterKey:
    """Return the master key. Raises ConfigurationError also where none is set."""
    key = master_key(environ, file=file)
    if key is None:
        raise ConfigurationError("There is no key for encrypted backups.", remedy=_HOW)
    return key


def generate_key(path: Path, *, keyset: bool = False) -> MasterKey:
    """Write a new key to `path` (hex digits, or a Tink keyset in JSON), readable by its owner only, and return it.

    Its folder is made, for the owner only, where there is none. Raises RefusedError where a file is there already: a
    lost key is a lost backup.
    """
    content = _new_keyset() if keyset else os.urandom(KEY_BYTES).hex().encode() + b"\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RefusedError(
            f"{path} exists; a key is never overwritten, backups may depend on it.", remedy="Choose another name."
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return _parse(content, str(path))


def refuse_key_beside_backups(
    folder: Path, environ: Mapping[str, str] = os.environ, *, file: Path | None = None
) -> None:
    """Raise RefusedError when the key file lies in the folder of the backups: whoever takes one takes both."""
    named = file or (Path(environ[KEY_FILE]).expanduser() if environ.get(KEY_FILE) else None)
    if named is not None and named.resolve().is_relative_to(folder.resolve()):
        raise RefusedError(
            f"The key {named} lies in the folder of the backups, {folder}: whoever gets one gets both.",
            remedy="Move the key elsewhere, best to another machine or a secret store.",
        )


def writing_key(stores: Sequence[Store], *, file: Path | None = None) -> MasterKey:
    """Return the master key for writing into `stores`.

    Raises ConfigurationError where none is set, RefusedError where it lies in the folder of one of them.
    """
    for store in stores:
        if "://" not in store.url:
            refuse_key_beside_backups(Path(store.url), file=file)
    return required_master_key(file=file)


def _read_file(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be read: {error.strerror}.", remedy=_HOW) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"The key file {path} can be read by others (mode {stat.S_IMODE(mode):04o}).",
            remedy=f"Run `chmod 600 {path}`, and consider whether the key is still a secret.",
        )
    return content


def _run(command: str) -> bytes:
    # a shell, as it is a command line of the user's own; its output and errors may hold the key: never shown
    try:
        done = subprocess.run(command, shell=True, capture_output=True, timeout=_COMMAND_SECONDS)  # noqa: S602
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"{KEY_COMMAND} has not ended after {_COMMAND_SECONDS} s.") from None
    if done.returncode:
        raise ConfigurationError(
            f"{KEY_COMMAND} ended with exit code {done.returncode}.",
            remedy="Run it by hand; its output is not shown here because it may hold the key.",
        )
    return done.stdout


def _parse(content: bytes, source: str) -> MasterKey:
    if content.lstrip().startswith(b"{"):
        return _keyset_key(content, source)
    raw = _exact_bytes(content)
    if raw is None:
        raise ConfigurationError(
            f"{source} does not hold a key: {KEY_BYTES} bytes are needed, raw, as {2 * KEY_BYTES} hex digits or as "
            f"base64, or a Tink keyset; it holds {len(content)} bytes of something else. Nothing is padded or cut.",
            remedy=_HOW,
        )
    return MasterKey(_key_id(raw), _raw_aead(raw))


def _exact_bytes(content: bytes) -> bytes | None:
    if len(content) == KEY_BYTES:
        return content
    text = content.strip()
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.decode())
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return decoded if len(decoded) == KEY_BYTES else None


def _key_id(raw: bytes) -> str:
    return hashlib.blake2b(_KEY_ID_LABEL, key=raw, digest_size=8).hexdigest()


def _raw_aead(raw: bytes) -> Any:
    from tink import aead, cleartext_keyset_handle
    from tink.proto import aes_gcm_pb2, tink_pb2

    aead.register()
    key = aes_gcm_pb2.AesGcmKey(version=0, key_value=raw)
    keyset = one_key_keyset(tink_pb2, _AES_GCM, key.SerializeToString())
    return cleartext_keyset_handle.from_keyset(keyset).primitive(aead.Aead)


def one_key_keyset(tink_pb2: Any, type_url: str, value: bytes) -> Any:
    """Return a Tink keyset with one symmetric key that adds nothing to what it encrypts."""
    data = tink_pb2.KeyData(type_url=type_url, value=value, key_material_type=tink_pb2.KeyData.SYMMETRIC)
    key = tink_pb2.Keyset.Key(key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    return tink_pb2.Keyset(primary_key_id=1, key=[key])


def _new_keyset() -> bytes:
    import io

    import tink
    from tink import aead, cleartext_keyset_handle

    aead.register()
    text = io.StringIO()
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    cleartext_keyset_handle.write(tink.JsonKeysetWriter(text), handle)
    return text.getvalue().encode()


def _keyset_key(content: bytes, source: str) -> MasterKey:
    import tink
    from tink import aead, cleartext_keyset_handle

    aead.register()
    try:
        handle = cleartext_keyset_handle.read(tink.JsonKeysetReader(content.decode()))
        primitive = handle.primitive(aead.Aead)
        key_id = f"tink-{handle.keyset_info().primary_key_id}"
    except (tink.TinkError, UnicodeDecodeError):
        raise ConfigurationError(
            f"{source} looks like a Tink keyset but is none of the Aead kind, or it is encrypted.", remedy=_HOW
        ) from None
    return MasterKey(key_id, primitive)
