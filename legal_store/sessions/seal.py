"""The bytes that a session's data become: coded, and encrypted where the settings say so."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

from legal_store.errors import ConfigurationError
from legal_store.keyvalue import codec

PLAIN, AES_256_GCM = b"\x00", b"\x01"
_NONCE = 12


class Seal:
    """Codes values; with `encrypted`, under AES-256-GCM with a key of its own, bound to the record they belong to."""

    def __init__(self, secret: bytes, *, encrypted: bool) -> None:
        self._key = hmac.digest(secret, b"legal_store session values", hashlib.sha256)
        self._encrypted = encrypted

    def close(self, value: Any, bound_to: str) -> bytes:
        """Return `value` as bytes that only open for the same `bound_to`."""
        coded = codec.encode(value)
        if not self._encrypted:
            return PLAIN + coded
        nonce = os.urandom(_NONCE)
        return b"".join((AES_256_GCM, nonce, self._cipher().encrypt(nonce, coded, bound_to.encode())))

    def open(self, data: bytes, bound_to: str) -> Any:
        """Return the value. Raises codec.UnreadableError for bytes that are not ours, or were changed, or moved."""
        if data[:1] == AES_256_GCM:
            return codec.decode(self._decrypted(data[1:], bound_to))
        if data[:1] == PLAIN and not self._encrypted:
            return codec.decode(memoryview(data)[1:])
        raise codec.UnreadableError("not sealed as the settings demand")

    def _decrypted(self, data: bytes, bound_to: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return bytes(self._cipher().decrypt(data[:_NONCE], data[_NONCE:], bound_to.encode()))
        except (InvalidTag, ValueError):
            raise codec.UnreadableError("wrong key, or not the bytes that were written") from None

    def _cipher(self) -> Any:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ConfigurationError(
                "Encrypted sessions need the package cryptography.", remedy="pip install 'legal-store[encryption]'"
            ) from None
        return AESGCM(self._key)
