"""Which asyncio task runs in this thread: tasks take turns in one thread, and so do not have a connection each."""

from __future__ import annotations

import sys
from typing import Any

from legal_store.errors import NotConnectedError


def current_task() -> Any:
    """Return the asyncio task that runs in this thread; None outside an event loop, and between tasks."""
    events = sys.modules.get("asyncio.events")  # whoever has not imported asyncio runs no task
    if events is None or events._get_running_loop() is None:
        return None
    return sys.modules["asyncio.tasks"].current_task()


def other_task(borrower: Any) -> NotConnectedError:
    """Return the error for the use of a connection that `borrower`, another task or none, has taken."""
    holder = (
        "code outside of this asyncio task" if borrower is None else f"another asyncio task ({borrower.get_name()})"
    )
    return NotConnectedError(
        f"The connection of this thread was borrowed by {holder}, whose transaction this would be part of.",
        remedy="Give each task a thread, which has a connection of its own: put `with db:` and what is in it into a "
        "function, and `await asyncio.to_thread(function)`. Never await inside `with db:`.",
    )
