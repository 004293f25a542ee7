"""Names: from a caller's key to the names in Redis, and from a pattern to what invalidates it. Pure.

A key is `{service}:{entity}:{id}`, or shorter: `case:123`, `settings`. Each value depends on a few *generations*:
random marks under names of their own. Whoever removes a generation makes every value that carries it invalid, at
once and however many there are.

    billing:case:123   depends on   *  billing  case  billing:case  case:123  billing:case:123
    case:123           depends on   *  case  case:123

so `case:*` reaches the cases of every service, and `case:123` one case in every service.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from legal_store.errors import WrongUseError
from legal_store.keyvalue.globs import escape, is_glob

ALL = "*"
SHARED = "shared"
MOST_PARTS = 6  # each part is a generation to read


class Place(NamedTuple):
    """Where a value lies in Redis: itself, the lock of its loader, its generations; and what to count it as."""

    value: str
    lock: str
    generations: tuple[str, ...]
    entity: str


class Space:
    """The keys of one firm, or those that belong to no firm. In a cluster, one space is one slot."""

    def __init__(self, prefix: str, owner: uuid.UUID | None) -> None:
        self.owner = owner
        self._base = f"{prefix}{{{owner or SHARED}}}"

    def place(self, key: str) -> Place:
        """Return where `key` lies. Raises WrongUseError for a key that is empty, too long or holds wildcards."""
        return _place(self._base, key)

    def generation(self, name: str) -> str:
        return f"{self._base}@{name}"

    def generations_of(self, pattern: str) -> list[str] | None:
        """Return the generations whose removal invalidates `pattern`; None when only a scan can find its keys."""
        name = generation_of(pattern)
        return None if name is None else [self.generation(name)]

    def glob(self, pattern: str) -> str:
        """Return the glob of the values and the generations that `pattern` matches."""
        return f"{escape(self._base)}[:@]{pattern}"

    @property
    def value_start(self) -> bytes:
        """What the names of values begin with, those of generations do not."""
        return f"{self._base}:".encode()

    @property
    def anchor(self) -> str:
        """Any key of this space: it finds the space's node in a cluster."""
        return self.generation(ALL)


def split(key: str) -> tuple[str, ...]:
    """Return the parts of `key`."""
    return tuple(key.split(":"))


def dependencies(key: str) -> tuple[str, ...]:
    """Return the names of the generations that a value under `key` depends on."""
    parts = split(key)
    words = parts[:-1]
    pairs = tuple(":".join(pair) for pair in pairwise(parts))
    return tuple(dict.fromkeys((ALL, *words, *pairs, key)))


def entity_of(key: str) -> str:
    """Return the entity that `key` is counted as: the second of three parts and more, else the first."""
    parts = split(key)
    return parts[1] if len(parts) >= 3 else parts[0]


def generation_of(pattern: str) -> str | None:
    """Return the name of the generation that `pattern` means; None for a glob that no single one covers.

    `*` is everything, `case:*` and `*:case:*` an entity or a service, `case:123`, `*:case:123` and `user:123:*` one
    record, `billing:case:*` an entity of a service.
    """
    if pattern == ALL:
        return ALL
    parts = pattern.split(":")
    if parts[0] == ALL and len(parts) > 2:
        parts = parts[1:]
        if parts[-1] != ALL and len(parts) != 2:
            return None
    if parts[-1] == ALL:
        parts = parts[:-1]
        return ":".join(parts) if len(parts) <= 2 and not any(map(is_glob, parts)) else None
    return None if is_glob(pattern) else pattern


@lru_cache(maxsize=8192)
def _place(base: str, key: str) -> Place:
    _check(key)
    generations = tuple(f"{base}@{name}" for name in dependencies(key))
    return Place(f"{base}:{key}", f"{base}!{key}", generations, entity_of(key))


def _check(key: str) -> None:
    if not key or len(key) > 512:
        raise WrongUseError(f"A cache key has 1 to 512 characters, this one {len(key)}.", remedy="Shorten or hash it.")
    if any(character in "*?[]\\{}" or character.isspace() for character in key):
        raise WrongUseError(
            f"The cache key {key!r} holds a space or one of * ? [ ] \\ {{ }}, which mean something to Redis.",
            remedy="Quote the id first, for instance with urllib.parse.quote().",
        )
    parts = split(key)
    if not all(parts) or len(parts) > MOST_PARTS:
        raise WrongUseError(
            f"The cache key {key!r} has an empty part, or more than {MOST_PARTS}.",
            remedy="Write {service}:{entity}:{id}.",
        )
