"""Who holds a connection, and where in the code it was borrowed."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from legal_store.database.pooled import PooledConnection

Stack = list[tuple[CodeType, int]]

_DEPTH = range(5)
_NOT_THE_BORROWER = ("/legal_store/database/", "/peewee.py", "/playhouse/pool.py")


def call_stack(innermost: FrameType) -> Stack:
    """Return the top of a stack, innermost first.

    At little cost, since it is done at every checkout: lines are worked out when somebody reads them.
    """
    frame: FrameType | None = innermost
    frames = []
    for _ in _DEPTH:
        if frame is None:
            break
        frames.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return frames


def describe_loan(connection: PooledConnection, now: float) -> str:
    """Return who holds a connection, for how long, and from which line of code."""
    borrower = connection.borrower  # which its return may take away at any time
    thread = borrower.name if borrower else "a thread"
    return f"{thread} for {now - connection.borrowed_at:.1f} s ({_borrowing_line(connection.stack)})"


def describe_stack(stack: Stack) -> str:
    """Return a stack as lines, innermost last."""
    return "\n".join(f"  {_place(code, at)}" for code, at in reversed(stack))


def _borrowing_line(stack: Stack) -> str:
    for code, at in stack:
        if not any(part in code.co_filename for part in _NOT_THE_BORROWER):
            return _place(code, at)
    return "unknown place"


def _place(code: CodeType, at: int) -> str:
    line = next((line for start, end, line in code.co_lines() if start <= at < end), None)
    return f"{code.co_filename}:{line} in {code.co_name}"
