"""Checks what a search is given before the server hears of it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from legal_store.database.scope import required_scope
from legal_store.errors import FirmScopeError, SearchInputError
from legal_store.models.documents import DocumentKind, DocumentStatus
from legal_store.models.searching import EMBEDDING_DIMENSIONS

MAX_CHARACTERS = 1_000
MAX_LIMIT = 200


class Filters(NamedTuple):
    """Which documents may be found; None is no restriction. `case` and the rest may be one value or several.

    `created_before` is exclusive. A date counts from its midnight in the zone of the session.
    """

    case: Any = None
    document_type: Any = None
    status: Any = None
    created_from: date | datetime | None = None
    created_before: date | datetime | None = None

    def arguments(self) -> tuple[str, list[Any]]:
        """Return the last arguments of a search function and their values: none where nothing is restricted.

        Raises SearchInputError.
        """
        values = [
            _ids(self.case),
            _members(self.document_type, DocumentKind, "document_type"),
            _members(self.status, DocumentStatus, "status"),
            _moment(self.created_from, "created_from"),
            _moment(self.created_before, "created_before"),
        ]
        return ("", []) if values == [None] * len(values) else (_ARGUMENTS, values)


_ARGUMENTS = ", %s::uuid[], %s::text[], %s::text[], %s::timestamptz, %s::timestamptz"


def firm_of_scope() -> uuid.UUID:
    """Return the firm that is searched. Raises FirmScopeError outside the scope of one firm."""
    scope = required_scope("A search")
    if scope.firm_id is None:
        raise FirmScopeError(
            "A search was started inside all_firms().", remedy="Search one firm: `with legal_store.firm(firm_id): ...`."
        )
    return scope.firm_id


def checked_text(given: Any) -> str:
    """Return the query without surrounding space. Raises SearchInputError when it is empty or too long."""
    if not isinstance(given, str):
        raise SearchInputError(f"A search needs text, not {type(given).__name__}.", remedy="Give a str.")
    text = given.strip()
    if not text:
        raise SearchInputError("The query is empty.", remedy="Give at least one letter or digit.")
    if len(text) > MAX_CHARACTERS:
        raise SearchInputError(
            f"The query has {len(text):,} characters; {MAX_CHARACTERS:,} are allowed.",
            remedy="Search for the words that matter; to compare whole texts, embed them and use search.semantic().",
        )
    if "\0" in text:
        raise SearchInputError("The query holds a NUL character.", remedy="Remove it.")
    return text.encode("utf-8", "ignore").decode()  # lone surrogates cannot be sent


def checked_limit(given: Any) -> int:
    """Return how many hits are wanted. Raises SearchInputError unless it is between 1 and 200."""
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MAX_LIMIT:
        raise SearchInputError(
            f"limit={given!r} is not possible.", remedy=f"Give a whole number from 1 to {MAX_LIMIT}."
        )
    return given


def checked_vector(given: Any, dimensions: int = EMBEDDING_DIMENSIONS) -> str:
    """Return the vector in pgvector's notation. Raises SearchInputError for wrong lengths, NaN, infinity and zero."""
    numbers = _numbers(given)
    if len(numbers) != dimensions:
        raise SearchInputError(
            f"The vector has {len(numbers)} dimensions; embeddings here have {dimensions}.",
            remedy="Embed the query with the model that the documents were embedded with.",
        )
    largest = max(map(abs, numbers))
    if not (math.isfinite(sum(numbers)) and largest < _FLOAT4_SAFE):
        raise SearchInputError(
            "The vector holds NaN, infinity or a number too large.", remedy="Check what made the embedding."
        )
    if largest < 1 / _FLOAT4_SAFE:
        raise SearchInputError("The vector is zero: it has no direction.", remedy="Check what made the embedding.")
    return "[" + ",".join(["%.9g"] * dimensions) % tuple(numbers) + "]"


_FLOAT4_SAFE = 1e15  # squares of such numbers, added up, are still a float4


def _numbers(given: Any) -> list[float]:
    values = given.tolist() if hasattr(given, "tolist") else given
    try:
        return list(map(float, values))
    except (TypeError, ValueError):
        raise SearchInputError("The vector is no sequence of numbers.", remedy="Give a list of floats.") from None


def _several(given: Any) -> list[Any] | None:
    if given is None:
        return None
    if isinstance(given, Sequence | set | frozenset) and not isinstance(given, str | StrEnum):
        return list(given)
    return [given]


def _ids(given: Any) -> list[str] | None:
    values = _several(given)
    if values is None:
        return None
    try:
        return [str(uuid.UUID(str(getattr(value, "id", value)))) for value in values]
    except ValueError:
        raise SearchInputError(f"case={given!r} is no case's id.", remedy="Give a UUID, its text, or a Case.") from None


def _members(given: Any, members: type[StrEnum], name: str) -> list[str] | None:
    values = _several(given)
    if values is None:
        return None
    try:
        return [members(value).value for value in values]
    except ValueError:
        raise SearchInputError(f"{name}={given!r} is unknown.", remedy=f"Known are {_listed(members)}.") from None


def _listed(members: Iterable[StrEnum]) -> str:
    return ", ".join(member.value for member in members)


def _moment(given: Any, name: str) -> date | datetime | None:
    if given is not None and not isinstance(given, date):
        raise SearchInputError(f"{name}={given!r} is no date.", remedy="Give a date or a datetime.")
    return given  # a datetime is a date too
