"""Whose values a call is about: those of the firm that it names, of the firm in scope, or of no firm."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from legal_store.cache.keys import Space
from legal_store.database.scope import as_firm_id, current_firm
from legal_store.errors import FirmScopeError, WrongUseError


def space_of(prefix: str, firm: Any, shared: bool) -> Space:
    """Return the keys that a call may touch. Raises FirmScopeError when it names no firm and none is in scope, or
    another one than the scope's."""
    if shared:
        if firm is not None:
            raise WrongUseError("A key is either a firm's or shared.", remedy="Give firm= or shared=True.")
        return Space(prefix, None)
    owner = current_firm()
    if firm is not None:
        owner = _named(firm, owner)
    if owner is None:
        raise FirmScopeError(
            "A cached value belongs to a firm, and no firm was named.",
            remedy="Use `with legal_store.firm(firm_id): ...`, give firm=, or, for what belongs to no firm "
            "(skills), shared=True.",
        )
    return Space(prefix, owner)


def _named(firm: Any, in_scope: uuid.UUID | None) -> uuid.UUID:
    firm_id = as_firm_id(firm)
    if in_scope not in (None, firm_id):
        raise FirmScopeError(
            f"The cache was asked for firm {firm_id} in the scope of firm {in_scope}.",
            remedy="Leave that scope first; work that spans firms goes into all_firms(reason=...).",
        )
    return firm_id


def only_rows_of(owner: uuid.UUID | None) -> Callable[[Any], None]:
    """Return what looks at each row that is to be kept among the values of `owner`, or, for None, of all firms.

    It raises FirmScopeError for a row of a firm whose values others read there. A row that was read without its firm
    is taken for the owner's.
    """

    def check(row: Any) -> None:
        column = getattr(row, "firm_column", None)
        if column is None:
            return
        firm = row.__data__.get(column)
        if owner is None:
            raise FirmScopeError(
                f"A row of {type(row).__name__} belongs to a firm, and what is kept with shared=True all firms read.",
                remedy="Keep it in the scope of its firm, without shared=True.",
            )
        if firm is not None and as_firm_id(firm) != owner:
            raise FirmScopeError(
                f"A row of {type(row).__name__} of firm {firm} was to be kept where firm {owner} reads.",
                remedy="Keep it in the scope of its firm.",
            )

    return check
