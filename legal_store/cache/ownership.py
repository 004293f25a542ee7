"""Whose values a call is about: those of the firm that it names, of the firm in scope, or of no firm."""

from __future__ import annotations

import uuid
from typing import Any

from legal_store.cache.keys import Space
from legal_store.database.scope import current_firm
from legal_store.errors import FirmScopeError, WrongUseError


def space_of(prefix: str, firm: Any, shared: bool) -> Space:
    """Return the keys that a call may touch. Raises FirmScopeError when it names no firm and none is in scope."""
    if shared:
        if firm is not None:
            raise WrongUseError("A key is either a firm's or shared.", remedy="Give firm= or shared=True.")
        return Space(prefix, None)
    owner = current_firm() if firm is None else firm_id_of(firm)
    if owner is None:
        raise FirmScopeError(
            "A cached value belongs to a firm, and no firm was named.",
            remedy="Use `with legal_store.firm(firm_id): ...`, give firm=, or, for what belongs to no firm "
            "(skills), shared=True.",
        )
    return Space(prefix, owner)


def firm_id_of(firm: Any) -> uuid.UUID:
    """Return the id of a firm given as UUID, text or Firm. Raises FirmScopeError."""
    given = getattr(firm, "id", firm)
    try:
        return given if isinstance(given, uuid.UUID) else uuid.UUID(str(given))
    except ValueError:
        raise FirmScopeError(f"{given!r} is no firm's id.", remedy="Give a UUID, its text, or a Firm.") from None
