"""Checks a database, and the way in which services are connected to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from legal_store.isolation.catalog import Definition, read_catalog, read_session
from legal_store.isolation.rules import Expected, Finding, findings, session_findings

if TYPE_CHECKING:
    from legal_store.schema.objects import Function


def check_isolation(connection: Any) -> list[Finding]:
    """Return every mistake by which firms could reach each other in a database; empty when there is none.

    `connection` is a psycopg2 connection of an operation (the owner's or any that may read the catalog). Read-only.
    """
    expected = declared()
    return findings(read_catalog(connection, expected.service_role), expected)


def check_service(connection: Any) -> list[Finding]:
    """Return why the policies would not hold on `connection`, a service's own; empty when they do. Read-only."""
    return session_findings(read_session(connection), declared())


def declared() -> Expected:
    """Return what the models say about firms, and which exceptions they declare."""
    from legal_store.models.base import CURRENT_FIRM
    from legal_store.models.declared import SCHEMA
    from legal_store.schema.objects import Unique

    uniques = [item for model in SCHEMA.models for item in model._meta.declared if isinstance(item, Unique)]
    return Expected(
        service_role=SCHEMA.service_role,
        firm_function=CURRENT_FIRM.signature.partition("(")[0],
        functions={function.signature: definition_of(function) for function in SCHEMA.functions},
        keys_across_firms={item.name: item.across_firms for item in uniques if item.across_firms},
        operations_tables={m._meta.table_name: m.operations_only for m in SCHEMA.models if m.operations_only},
        shared_tables={model._meta.table_name: model.shared for model in SCHEMA.models if model.shared},
    )


def definition_of(function: Function) -> Definition:
    """Return what PostgreSQL's catalog says of a declared function."""
    options, *settings = re.split(r"\s*\bSET\s+", function.attributes)
    return Definition(
        returns=re.sub(r"\s+\(", "(", function.returns),
        language=function.language,
        options=frozenset(_OPTIONS.findall(options)),
        settings=frozenset(re.sub(r"\s*=\s*", "=", setting.strip()) for setting in settings),
        body=function.body.strip(),
    )


_OPTIONS = re.compile(r"IMMUTABLE|STABLE|STRICT|LEAKPROOF|SECURITY DEFINER|PARALLEL \w+")
