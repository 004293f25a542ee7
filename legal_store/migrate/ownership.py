"""Whose is what the models do not declare? Only what was theirs before may be dropped; the rest stays. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from legal_store.schema.snapshot import Key, Snapshot


def may_go(current: Snapshot, wanted: Snapshot, declared: set[str] | None, drop: Sequence[str]) -> set[Key]:
    """The objects that may be dropped: those that the models declared before, and what a person named."""
    named = (declared or set()) | set(drop)
    direct = {key for key in current.catalog if " ".join(key) in named}
    tables = {name for kind, name in direct if kind == "table" and ("table", name) not in wanted.catalog}
    return direct | {key for key in current.catalog if _table_of(key[1]) in tables}


def goal_beside_unknown(wanted: Snapshot, current: Snapshot, unknown: set[Key]) -> Snapshot:
    """The goal: what the models say, and beside it what is not ours, as it is."""
    catalog = {**wanted.catalog, **{key: current.catalog[key] for key in unknown}, **_grants_to_others(wanted, current)}
    tables = {name for kind, name in unknown if kind == "table"}
    columns = {tuple(name.split(".", 1)) for kind, name in unknown if kind == "column"}
    views = {name for kind, name in unknown if kind in ("view", "materialized view")}
    policies = {name for kind, name in unknown if kind == "policy"}
    sequences = {name for kind, name in unknown if kind == "sequence"}
    text_search = {name for kind, name in unknown if kind == "text search configuration"}
    return wanted._replace(
        catalog=catalog,
        tables={**wanted.tables, **{name: current.tables[name] for name in tables}},
        columns={**wanted.columns, **{key: c for key, c in current.columns.items() if key in columns}},
        views={**wanted.views, **{name: current.views[name] for name in views}},
        policies={**wanted.policies, **{name: current.policies[name] for name in policies}},
        uses_columns={**wanted.uses_columns, **{k: v for k, v in current.uses_columns.items() if k in unknown}},
        uses_objects={**wanted.uses_objects, **{k: v for k, v in current.uses_objects.items() if k in unknown}},
        owned_sequences={
            **wanted.owned_sequences,
            **{name: owner for name, owner in current.owned_sequences.items() if name in sequences},
        },
        identity_sequences=wanted.identity_sequences | (current.identity_sequences & sequences),
        text_search={**wanted.text_search, **{name: current.text_search[name] for name in text_search}},
    )


def _grants_to_others(wanted: Snapshot, current: Snapshot) -> dict[Key, str]:
    """Rights of roles that the models say nothing about: they stay."""
    known = {
        item.partition("=")[0] for name in wanted.names("grant") for item in wanted.catalog["grant", name].split(", ")
    }
    merged = {}
    for key in current.catalog.keys() & wanted.catalog.keys():
        if key[0] == "grant":
            others = [item for item in current.catalog[key].split(", ") if item.partition("=")[0] not in known]
            if others:
                items = [*wanted.catalog[key].split(", "), *others]
                merged[key] = ", ".join(sorted(items, key=lambda item: tuple(item.split("=", 1))))
    return merged


def goes_with_its_table(kind: str, name: str, unknown: set[Key]) -> bool:
    """Whether the object is part of a table that is reported itself."""
    return kind != "table" and ("table", _table_of(name)) in unknown


def _table_of(name: str) -> str:
    return name.rpartition(" ")[2].partition(".")[0]
