"""Names: what a session id is, and what it is called in Redis. Pure.

An id that we make is `v1.{user tag}.{firm tag}.{secret}`: the tags lead to the epochs of the user and of the firm
in one round trip, the secret has 256 bits. Tags and keys are keyed hashes: who reads Redis learns no id, no user and
no firm from names, and cannot make an id from them. In a cluster, all that belongs to a user is one slot.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b32encode
from typing import NamedTuple

from legal_store.errors import WrongUseError

_OURS = re.compile(r"v1\.([a-z2-7]{16})\.([a-z2-7]{16})\.[A-Za-z0-9_-]{43}")


class Tags(NamedTuple):
    """Opaque names of a user and of a firm."""

    user: str
    firm: str


class Place(NamedTuple):
    """Where the record of an id lies, and the epochs that it has to carry."""

    tags: Tags
    hashed: str
    record: str
    user_epoch: str
    firm_epoch: str

    @property
    def path(self) -> str:
        """The place as text, to be noted in other records."""
        return f"{self.tags.user}.{self.tags.firm}.{self.hashed}"

    @property
    def member(self) -> str:
        """The entry in the firm's list."""
        return f"{self.tags.user}.{self.hashed}"


class Names:
    """Makes ids and the names of keys under one prefix and one secret."""

    def __init__(self, prefix: str, secret: bytes) -> None:
        self._prefix = prefix
        self._secret = secret

    def tags(self, user_id: str, firm_id: str) -> Tags:
        return Tags(self._tag("user", user_id), self._tag("firm", firm_id))

    def new_id(self, tags: Tags) -> str:
        """Return a new id with 256 random bits."""
        return f"v1.{tags.user}.{tags.firm}.{secrets.token_urlsafe(32)}"

    def tags_of(self, session_id: str) -> Tags | None:
        """Return the tags that an id of ours carries; None for an id that somebody else chose."""
        found = _OURS.fullmatch(session_id)
        return Tags(found[1], found[2]) if found else None

    def hash(self, session_id: str) -> str:
        """Return the keyed hash of an id: all that Redis ever sees of it."""
        if not isinstance(session_id, str) or not 0 < len(session_id) <= 512:
            raise WrongUseError("A session id is a text of 1 to 512 characters.")
        return self._digest("session", session_id).hex()

    def place(self, tags: Tags, hashed: str) -> Place:
        record = self.record(tags.user, hashed)
        return Place(tags, hashed, record, self.user_epoch(tags.user), self.firm_epoch(tags.firm))

    def place_of(self, path: str) -> Place:
        """Return the place that Place.path wrote down."""
        user_tag, firm_tag, hashed = path.split(".")
        return self.place(Tags(user_tag, firm_tag), hashed)

    def record(self, user_tag: str, hashed: str) -> str:
        return f"{self._prefix}{{{user_tag}}}:{hashed}"

    def user_epoch(self, user_tag: str) -> str:
        return f"{self._prefix}{{{user_tag}}}@epoch"

    def user_index(self, user_tag: str) -> str:
        return f"{self._prefix}{{{user_tag}}}@index"

    def firm_epoch(self, firm_tag: str) -> str:
        return f"{self._prefix}{{{firm_tag}}}@epoch"

    def firm_index(self, firm_tag: str) -> str:
        return f"{self._prefix}{{{firm_tag}}}@index"

    def pointer(self, hashed: str) -> str:
        """The key that leads from an id of somebody else's making to its tags."""
        return f"{self._prefix}{{{hashed}}}@tags"

    def is_record(self, key: bytes) -> bool:
        return b"}:" in key

    def is_index(self, key: bytes) -> bool:
        return key.endswith(b"}@index")

    def owner_and_hash(self, record: bytes) -> tuple[str, str]:
        """Return user tag and hash of the name of a record."""
        tag, _, hashed = record.decode().rpartition("}:")
        return tag.rpartition("{")[2], hashed

    def listed(self, index: bytes, member: bytes) -> tuple[str, str]:
        """Return user tag and hash of the record that an entry of an index stands for: a firm's holds both."""
        user_tag, _, hashed = member.decode().rpartition(".")
        return user_tag or index.decode().rpartition("}")[0].rpartition("{")[2], hashed

    def _tag(self, kind: str, identity: str) -> str:
        return b32encode(self._digest(kind, identity)[:10]).decode().lower()

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._secret, f"{kind}:{text}".encode(), hashlib.sha256)
