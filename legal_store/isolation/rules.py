"""What must hold in a database for firms to be kept apart. Pure: rules over rows of the catalog.

A table belongs to firms when it has a column `firm_id`; `firms` itself does, by its `id`. What may differ says so
where it is declared: `Unique(..., across_firms="why")`, and `shared = "why"` on a model without a firm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from legal_store.database.scope import FIRM_SETTING
from legal_store.isolation.catalog import Catalog, Definition, Policy, Routine, Session, Table

FIRMS = "firms"
FIRM_COLUMN = "firm_id"
NEEDED = {"SELECT", "INSERT", "UPDATE", "DELETE"}  # all that a service may ever need on a table


class Finding(NamedTuple):
    """One mistake: which rule, which object, what is wrong and what to do."""

    rule: str
    object: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.object}: {self.problem} {self.remedy} ({self.rule})"


class Expected(NamedTuple):
    """What the models declare: the service's role, the firm's function, and what may differ, with the reason."""

    service_role: str
    firm_function: str
    functions: dict[str, Definition]
    keys_across_firms: dict[str, str]
    shared_tables: dict[str, str]
    operations_tables: dict[str, str]


Rule = Callable[[Catalog, Expected], Iterator[Finding]]


def findings(catalog: Catalog, expected: Expected) -> list[Finding]:
    """Return every mistake in `catalog`, ordered by object and rule; empty when firms are kept apart."""
    catalog = _reached_by_services(catalog, expected)
    return sorted({finding for rule in RULES for finding in rule(catalog, expected)}, key=lambda f: (f.object, f.rule))


def _reached_by_services(catalog: Catalog, expected: Expected) -> Catalog:
    """Leave out the tables declared for operations only, as long as services really have no right on them."""
    reachable = {right.name for right in catalog.rights if right.role in ("public", expected.service_role)}
    kept = [t for t in catalog.tables if t.name in reachable or t.name not in expected.operations_tables]
    return catalog._replace(tables=kept)


def firm_column(table: Table) -> str | None:
    """Return the column that says whose a row is; None where rows belong to no firm."""
    if table.name == FIRMS:
        return "id"
    return FIRM_COLUMN if FIRM_COLUMN in table.columns else None


def _firm_tables(catalog: Catalog) -> dict[str, str]:
    return {table.name: column for table in catalog.tables if (column := firm_column(table))}


# Tables and their policies


def row_security(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    protected = {policy.table for policy in catalog.policies}
    for table in catalog.tables:
        if firm_column(table) is None:
            continue
        if not table.row_security:
            remedy = f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY."
            yield Finding("row-security-off", table.name, "row-level security is off.", remedy)
        if table.name not in protected:
            yield Finding("no-policy", table.name, "it has no policy.", "Derive its model from FirmRecord.")
        for rule in table.rewritten_by:
            problem = f"the rule {rule} rewrites its statements."
            yield Finding("rewrite-rule", table.name, problem, "Use a trigger instead.")


def policies(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    columns = _firm_tables(catalog)
    for policy in catalog.policies:
        if policy.table in columns:
            yield from _policy(policy, columns[policy.table], expected)


def _policy(policy: Policy, column: str, expected: Expected) -> Iterator[Finding]:
    name = f"{policy.table}.{policy.name}"
    function = expected.firm_function
    wanted = f"({column} = ( SELECT {function}() AS {function}))"
    if policy.command != "*" or not {"public", expected.service_role} & set(policy.roles) or not policy.permissive:
        problem = "it does not hold for all commands of the service."
        yield Finding("policy-partial", name, problem, "Make it PERMISSIVE FOR ALL, for everybody.")
    if policy.check is None:
        yield Finding("policy-without-check", name, "it has no WITH CHECK.", "State what may be written.")
    for part in filter(None, (policy.using, policy.check)):
        if part == f"({column} = {function}())":
            problem = "the firm is asked for once per row."
            yield Finding("policy-per-row", name, problem, f"Write (SELECT {function}()).")
        elif part != wanted:
            problem = f"its condition is {part}."
            yield Finding("policy-condition", name, problem, f"It must be {column} = (SELECT {function}()).")
    if policy.using is None:
        yield Finding("policy-condition", name, "it has no USING.", f"Write {column} = (SELECT {function}()).")


def firm_columns(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    owned = {(r.table, tuple(r.columns)) for r in catalog.references if r.target == FIRMS}
    for table in catalog.tables:
        column = firm_column(table)
        if column is None or table.name == FIRMS:
            continue
        if not table.columns[column]:
            yield Finding("firm-optional", table.name, f"{column} may be NULL.", "Make it NOT NULL.")
        if (table.name, (column,)) not in owned:
            yield Finding("firm-unknown", table.name, f"{column} refers to no firm.", "Add a foreign key to firms.")


def unowned_tables(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    """A table of a firm without a firm is the mistake that no other rule would see."""
    columns = _firm_tables(catalog)
    reachable = {right.name for right in catalog.rights if right.role in ("public", expected.service_role)}
    for table in catalog.tables:
        if table.name in reachable and table.name not in columns and table.name not in expected.shared_tables:
            problem = "services reach it, and its rows belong to no firm."
            remedy = "Derive its model from FirmRecord, or say on the model why all firms share it: shared = ..."
            yield Finding("no-firm", table.name, problem, remedy)


# Keys and references


def keys(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    columns = _firm_tables(catalog)
    led = {key.table for key in catalog.keys if key.whole and key.columns[0] in ("id", columns.get(key.table))}
    for table in columns:
        if table not in led:
            problem = "no index leads with the firm or the id."
            yield Finding("no-firm-index", table, problem, "Row-level security would read the whole table: add one.")
    for key in catalog.keys:
        column, name = columns.get(key.table), f"{key.table}.{key.name}"
        if not column or column in key.columns:
            continue
        if key.excluding:
            problem = "it excludes rows because of rows of other firms, which shows that there are such."
            yield Finding("key-ignores-firm", name, problem, f"Put `{column} WITH =` into it.")
        elif key.unique and key.name not in expected.keys_across_firms:
            problem = f"it is unique over all firms: {', '.join(c or 'an expression' for c in key.columns)}."
            remedy = f"Put {column} into it, or say why not: Unique(..., across_firms=...)."
            yield Finding("key-ignores-firm", name, problem, remedy)


def references(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    columns = _firm_tables(catalog)
    for reference in catalog.references:
        name, target = f"{reference.table}.{reference.name}", columns.get(reference.target)
        if target is None:
            continue
        column = columns.get(reference.table)
        if column is None:
            problem = f"it refers to {reference.target}, and its own rows belong to no firm."
            yield Finding("reference-from-outside", name, problem, "Derive the model from FirmRecord.")
        elif (column, target) not in zip(reference.columns, reference.target_columns, strict=True):
            problem = f"a row may refer to a row of {reference.target} of another firm."
            yield Finding("reference-ignores-firm", name, problem, "Use FirmReferenceField.")
        if column in reference.clears:
            problem = "deleting the other row would clear the firm."
            yield Finding("reference-clears-firm", name, problem, "Use ON DELETE SET NULL (the one column).")


# Ways around the policies


def views(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    exposed = set(_firm_tables(catalog))
    by_name = {view.name: view for view in catalog.views}

    def reads_firms(name: str, seen: frozenset[str] = frozenset()) -> bool:
        if name in exposed:
            return True
        view = by_name.get(name)
        return view is not None and name not in seen and any(reads_firms(r, seen | {name}) for r in view.reads)

    reachable = {right.name for right in catalog.rights if right.role in ("public", expected.service_role)}
    for view in catalog.views:
        if not reads_firms(view.name):
            continue
        if view.materialized and view.name in reachable:
            problem = "no policy holds for a materialized view, and services reach it."
            yield Finding("materialized-view", view.name, problem, "Revoke it, or use a view.")
        elif not view.materialized and not view.as_invoker:
            problem = "it reads firms' tables with its owner's rights."
            yield Finding("view-as-owner", view.name, problem, "Create it WITH (security_invoker = true).")


def functions_around(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    """A function that the policies do not bind is accepted as it was declared or reviewed, and in no other words.

    No pattern in a body proves that it keeps firms apart; see docs/isolation.md.
    """
    owner = _owner_of_tables(catalog)
    for routine in catalog.routines:
        if routine.definer:
            yield from _definer(routine, owner)
        way = _way_around(routine)
        if way and expected.functions.get(routine.name) != routine.definition and not is_reviewed(routine):
            yield _unknown(routine, way, declared=routine.name in expected.functions)


def _way_around(routine: Routine) -> str:
    """Return how a function gets around the policies; "" where they hold for it as for any statement."""
    if routine.definer:
        return "it runs with its owner's rights, above the policies"
    if "LEAKPROOF" in routine.definition.options:
        return "it is LEAKPROOF, so it is shown rows before the policies are asked"
    for setting in sorted(routine.definition.settings):
        if setting.partition("=")[0].lower() in _DECISIVE_SETTINGS:
            return f"it sets {setting.partition('=')[0]}, by which the policies decide"
    return ""


_DECISIVE_SETTINGS = {"role", "session_authorization", "row_security", FIRM_SETTING}


def _unknown(routine: Routine, way: str, *, declared: bool) -> Finding:
    if declared:
        problem = f"{way}, and it is not the function that the models declare."
        return Finding("function-changed", routine.name, problem, "Put it back: run `invoke migrate.check`.")
    problem = f"{way}, and nobody has said that it keeps firms apart."
    statement = f"COMMENT ON ROUTINE {routine.quoted} IS '{review_mark(routine)}'"
    return Finding("function-unreviewed", routine.name, problem, f"Read it; if it does, say so: {statement}.")


def is_reviewed(routine: Routine) -> bool:
    """Whether a function's comment says that somebody has read it, in the words that it has now."""
    return review_mark(routine) in routine.comment


def review_mark(routine: Routine) -> str:
    """Return what the comment on a function says once it was reviewed; another definition needs another."""
    definition = routine.definition
    words = (
        routine.name,
        definition.returns,
        definition.language,
        ", ".join(sorted(definition.options)),
        "; ".join(sorted(definition.settings)),
        definition.body,
    )
    return f"legal_store: reviewed {hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:32]}"


def _definer(routine: Routine, owner: str | None) -> Iterator[Finding]:
    """What no function with its owner's rights may lack, whoever has read it."""
    setting = next((s for s in routine.definition.settings if s.startswith("search_path=")), "search_path=")
    search_path = setting.partition("=")[2]
    path = [name.strip().strip('"') for name in search_path.split(",")]
    if path[-1] != "pg_temp" or "$user" in path:
        problem = f"it runs with its owner's rights and search_path is {search_path or 'not set'}."
        yield Finding("definer-search-path", routine.name, problem, "Add SET search_path = public, pg_temp.")
    if routine.public:
        problem = "it runs with its owner's rights, and everybody may call it."
        remedy = f"REVOKE EXECUTE ON ROUTINE {routine.quoted} FROM PUBLIC."
        yield Finding("definer-for-everybody", routine.name, problem, remedy)
    if routine.owner != owner:
        problem = f"it runs with the rights of {routine.owner}, who does not own the tables."
        yield Finding("definer-owner", routine.name, problem, f"ALTER ROUTINE {routine.quoted} OWNER TO {owner}.")


def _owner_of_tables(catalog: Catalog) -> str | None:
    return next((table.owner for table in catalog.tables if table.name == FIRMS), None)


def firm_function(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    """All policies rest on this one function, and on nothing else: their conditions are compared word by word."""
    name = f"{expected.firm_function}()"
    found = next((routine for routine in catalog.routines if routine.name == name), None)
    if found is None:
        yield Finding("firm-function", name, "it is missing.", "Run `invoke migrate.deploy`.")
        return
    if found.definition != expected.functions[name]:
        problem = "it is not the function that the models declare, which refuses when no firm is named."
        yield Finding("firm-function", name, problem, "Put it back: run `invoke migrate.check`.")
    if found.owner != (owner := _owner_of_tables(catalog)):
        problem = f"it belongs to {found.owner}, who does not own the tables and could change it."
        yield Finding("firm-function", name, problem, f"ALTER FUNCTION {name} OWNER TO {owner}.")


# The role of services


def service_role(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    role = catalog.role
    if role is None:
        yield Finding("no-role", expected.service_role, "it does not exist.", "Run `invoke migrate.deploy`.")
        return
    if role.powers:
        remedy = f"ALTER ROLE {role.name} {' '.join('NO' + power for power in role.powers)}."
        yield Finding("role-powers", role.name, f"it has {', '.join(role.powers)}.", remedy)
    for parent in role.member_of:
        yield Finding("role-member", role.name, f"it is a member of {parent}.", f"REVOKE {parent} FROM {role.name}.")
    for name in role.owns:
        remedy = "Give it to the owner of the schema: an owner is above its policies."
        yield Finding("role-owns", name, f"{role.name} owns it.", remedy)


def rights(catalog: Catalog, expected: Expected) -> Iterator[Finding]:
    columns = _firm_tables(catalog)
    for right in catalog.rights:
        if right.role == expected.service_role and right.privilege not in NEEDED:
            problem = f"services may {right.privilege} it, which no policy limits."
            remedy = f"REVOKE {right.privilege} ON {right.name} FROM {right.role}."
            yield Finding("right-beyond-policies", right.name, problem, remedy)
        if right.role == "public" and right.name in columns:
            problem = f"everybody who may connect has {right.privilege} on it."
            yield Finding("right-of-everybody", right.name, problem, f"REVOKE ALL ON {right.name} FROM PUBLIC.")


RULES: tuple[Rule, ...] = (
    row_security,
    policies,
    firm_columns,
    unowned_tables,
    keys,
    references,
    views,
    functions_around,
    firm_function,
    service_role,
    rights,
)


def session_findings(session: Session, expected: Expected) -> list[Finding]:
    """Return what is wrong with the way in which a service is connected; empty when the policies hold for it."""
    name = f"role {session.role}"
    found = []
    if session.role != expected.service_role:
        problem = f"a service works as this role instead of {expected.service_role}."
        found.append(Finding("service-role", name, problem, "Connect through legal_store.db."))
    if above := [power for power in session.powers if power in ("SUPERUSER", "BYPASSRLS")]:
        problem = f"a service works with {' and '.join(above)}, above all policies."
        found.append(Finding("service-bypasses", name, problem, "Connect through legal_store.db."))
    if session.owns:
        problem = f"a service owns {session.owns} tables, and an owner is above their policies."
        found.append(Finding("service-owns", name, problem, "Connect through legal_store.db."))
    if not session.row_security:
        found.append(Finding("service-row-security", name, "row_security is off.", "Leave it on."))
    if session.firm:
        problem = "a firm is set before any scope is open."
        found.append(Finding("service-firm", name, problem, "Remove it from the settings of role and database."))
    return found
