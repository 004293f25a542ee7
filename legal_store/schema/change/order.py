"""The statements of a change in an order that PostgreSQL accepts: what hangs on something goes before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from legal_store.schema.change.comments import set_comments
from legal_store.schema.change.functions import (
    create_extensions,
    create_types,
    drop_functions,
    drop_types,
    make_functions,
)
from legal_store.schema.change.grants import grant_rights
from legal_store.schema.change.impact import Impact
from legal_store.schema.change.objects import drop_objects, make_objects, make_views, rename_objects
from legal_store.schema.change.tables import (
    alter_columns,
    create_tables,
    drop_columns,
    drop_tables,
    own_sequences,
    set_attributes,
)
from legal_store.schema.change.text_search import drop_text_search, make_text_search
from legal_store.schema.snapshot import Snapshot

_ORDER: tuple[Callable[[Impact], Iterator[str]], ...] = (
    create_extensions,
    drop_objects,
    rename_objects,
    make_text_search,
    make_functions,
    create_types,
    drop_columns,
    drop_tables,
    create_tables,
    alter_columns,
    own_sequences,
    make_objects,
    set_attributes,
    make_views,
    grant_rights,
    set_comments,
    drop_functions,
    drop_text_search,
    drop_types,
)


def change_statements(
    current: Snapshot, target: Snapshot, castable: Callable[[str, str], bool] = lambda old, new: True
) -> list[str]:
    """Return the statements that turn `current` into `target`; empty when they are the same.

    `castable(old, new)` says whether PostgreSQL can turn a column of one type into the other; where it cannot, the
    column is dropped and made anew.
    """
    change = Impact(current, target, castable)
    return list(dict.fromkeys(statement for part in _ORDER for statement in part(change)))
