"""The encryption of one backup: a fresh data key, streaming AES-256-GCM, and the seal of the manifest.

The data is Tink's AES256_GCM_HKDF_1MB: segments of 1 MB, each with its own tag, numbered, the last one marked. So a
segment that is changed, moved, repeated or missing is noticed when it is read. Google Tink, "Streaming AEAD wire
format"; any Tink can read it.
"""

from __future__ import annotations

import hmac
import os
from typing import Any, BinaryIO

from legal_store.backup.keys import KEY_BYTES, one_key_keyset

CIPHER = "AES256_GCM_HKDF_1MB"

_SEGMENT = 1 << 20
_TYPE = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
_STREAM_LABEL = b"legal_store backup stream 1"
_HASH_LABEL = b"legal_store backup content hash 1"
_SEAL_LABEL = b"legal_store backup manifest 1"


class DataKey:
    """The key of one backup. From its 32 random bytes come the others: for the data, for the manifest's seal."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return "DataKey(...)"

    @classmethod
    def new(cls) -> DataKey:
        return cls(os.urandom(KEY_BYTES))

    def encrypting(self, target: BinaryIO, bound_to: bytes) -> BinaryIO:
        """Return a stream that writes to `target` encrypted; closing it writes the end and closes `target`."""
        stream: BinaryIO = self._streaming_aead().new_encrypting_stream(target, bound_to)
        return stream

    def decrypting(self, source: BinaryIO, bound_to: bytes) -> BinaryIO:
        """Return a stream that reads `source` decrypted, and closes it.

        It raises TinkError where a byte is not right, before it gives out any of that segment.
        """
        stream: BinaryIO = self._streaming_aead().new_decrypting_stream(source, bound_to)
        return stream

    def seal(self, content: bytes) -> str:
        """Return the authentication code of `content` (HMAC-SHA-256) as hex digits."""
        return hmac.digest(self._derived(_SEAL_LABEL), content, "sha256").hex()

    def hash_seed(self) -> int:
        """Return the seed of the content hashes: a signed number of 64 bits."""
        return int.from_bytes(self._derived(_HASH_LABEL)[:8], signed=True)

    def _derived(self, label: bytes) -> bytes:
        return hmac.digest(self.secret, label, "sha256")

    def _streaming_aead(self) -> Any:
        from tink import cleartext_keyset_handle, streaming_aead
        from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

        streaming_aead.register()
        parameters = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=_SEGMENT, derived_key_size=KEY_BYTES, hkdf_hash_type=common_pb2.SHA256
        )
        key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
            version=0, params=parameters, key_value=self._derived(_STREAM_LABEL)
        )
        keyset = one_key_keyset(tink_pb2, _TYPE, key.SerializeToString())
        return cleartext_keyset_handle.from_keyset(keyset).primitive(streaming_aead.StreamingAead)
