"""What PostgreSQL's catalog says about tables, policies, keys, views, functions, rights and roles.

Everything of a user's schemas is read, whoever made it; what belongs to an extension is left out. Names carry their
schema unless that is `public`.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Table(NamedTuple):
    name: str
    owner: str
    row_security: bool
    columns: dict[str, bool]
    """Whether each column is NOT NULL."""
    rewritten_by: list[str]


class Policy(NamedTuple):
    table: str
    name: str
    permissive: bool
    command: str
    """As in pg_policy: "*" for all."""
    roles: list[str]
    using: str | None
    check: str | None


class Key(NamedTuple):
    """An index; `columns` has None for an expression."""

    table: str
    name: str
    columns: list[str | None]
    unique: bool
    excluding: bool
    """An EXCLUDE constraint; then `columns` has None also for what is compared by another operator than `=`."""
    whole: bool
    """Valid, and over all rows."""


class Reference(NamedTuple):
    table: str
    name: str
    columns: list[str]
    target: str
    target_columns: list[str]
    clears: list[str]
    """The columns that ON DELETE or ON UPDATE would set to NULL or their default."""


class View(NamedTuple):
    name: str
    materialized: bool
    as_invoker: bool
    reads: list[str]


class Definition(NamedTuple):
    """All that says what a function does. `options`: what differs from the default, as in "SECURITY DEFINER"."""

    returns: str
    language: str
    options: frozenset[str]
    settings: frozenset[str]
    """As in pg_proc.proconfig: "search_path=public, pg_temp"."""
    body: str


class Routine(NamedTuple):
    name: str
    quoted: str
    """As statements name it."""
    owner: str
    public: bool
    """Whether everybody may call it."""
    comment: str
    definition: Definition

    @property
    def definer(self) -> bool:
        return "SECURITY DEFINER" in self.definition.options


class Right(NamedTuple):
    """A privilege on a table, view or schema; `role` is "public" for everybody."""

    name: str
    role: str
    privilege: str


class Role(NamedTuple):
    name: str
    powers: list[str]
    member_of: list[str]
    owns: list[str]


class Catalog(NamedTuple):
    tables: list[Table]
    policies: list[Policy]
    keys: list[Key]
    references: list[Reference]
    views: list[View]
    routines: list[Routine]
    rights: list[Right]
    role: Role | None
    """The role of services."""


class Session(NamedTuple):
    """In which role a connection works, and what that role may do."""

    role: str
    login: str
    powers: list[str]
    owns: int
    row_security: bool
    firm: str


def read_catalog(connection: Any, service_role: str) -> Catalog:
    """Return the catalog as a psycopg2 `connection` of the owner sees it. Read-only."""
    with connection.cursor() as cursor:

        def rows(kind: Any, query: str) -> list[Any]:
            cursor.execute(_COMMON + query, {"service": service_role})
            return [kind(*row) for row in cursor.fetchall()]

        return Catalog(
            tables=rows(Table, _TABLES),
            policies=rows(Policy, _POLICIES),
            keys=rows(Key, _KEYS),
            references=rows(Reference, _REFERENCES),
            views=rows(View, _VIEWS),
            routines=rows(_routine, _ROUTINES),
            rights=rows(Right, _RIGHTS),
            role=next(iter(rows(Role, _ROLE.format(powers=_POWERS))), None),
        )


def read_session(connection: Any) -> Session:
    """Return how the connection works, outside any scope of a firm."""
    with connection.cursor() as cursor:
        cursor.execute(_SESSION.format(powers=_POWERS))
        return Session(*cursor.fetchone())


def _routine(
    name: str, quoted: str, owner: str, public: bool, comment: str, returns: str, language: str, *rest: Any
) -> Routine:
    options, settings, body = rest
    definition = Definition(returns, language, frozenset(options), frozenset(settings), body.strip())
    return Routine(name, quoted, owner, public, comment, definition)


_COMMON = """
WITH space AS (
    SELECT oid, CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END AS prefix FROM pg_namespace
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
),
relation AS (
    SELECT c.*, space.prefix || c.relname AS name FROM pg_class c JOIN space ON space.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
),
base AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p')
)
"""

_TABLES = """
SELECT base.name, pg_get_userbyid(relowner)::text, relrowsecurity,
       (SELECT jsonb_object_agg(a.attname, a.attnotnull) FROM pg_attribute a
        WHERE a.attrelid = base.oid AND a.attnum > 0 AND NOT a.attisdropped),
       ARRAY(SELECT r.rulename::text FROM pg_rewrite r WHERE r.ev_class = base.oid ORDER BY 1)
FROM base ORDER BY 1
"""

_POLICIES = """
SELECT base.name, p.polname::text, p.polpermissive, p.polcmd::text,
       ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END FROM unnest(p.polroles) r ORDER BY 1),
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM base JOIN pg_policy p ON p.polrelid = base.oid ORDER BY 1, 2
"""

_KEYS = """
SELECT base.name, i.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, position)
             LEFT JOIN pg_operator o ON o.oid = e.conexclop[k.position]
             LEFT JOIN pg_attribute a ON a.attrelid = base.oid AND a.attnum = k.attnum AND k.attnum > 0
                                     AND (e.oid IS NULL OR o.oprname = '=')
             WHERE k.position <= x.indnkeyatts ORDER BY k.position),
       x.indisunique, x.indisexclusion, x.indisvalid AND x.indpred IS NULL
FROM base JOIN pg_index x ON x.indrelid = base.oid JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint e ON e.conindid = x.indexrelid AND e.contype = 'x' ORDER BY 1, 2
"""

_REFERENCES = """
SELECT base.name, k.conname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY c(attnum, position)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.attnum ORDER BY position),
       target.name,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY c(attnum, position)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.attnum ORDER BY position),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (
           CASE WHEN k.confupdtype IN ('n', 'd') THEN k.conkey
                WHEN k.confdeltype IN ('n', 'd') THEN coalesce(k.confdelsetcols, k.conkey) END) ORDER BY a.attnum)
FROM base JOIN pg_constraint k ON k.conrelid = base.oid AND k.contype = 'f'
JOIN relation target ON target.oid = k.confrelid ORDER BY 1, 2
"""

_VIEWS = """
SELECT v.name, v.relkind = 'm', coalesce(v.reloptions && ARRAY['security_invoker=true', 'security_invoker=on',
                                                               'security_invoker=1', 'security_invoker=yes'], false),
       ARRAY(SELECT DISTINCT r.name FROM pg_rewrite w
             JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
             JOIN relation r ON r.oid = d.refobjid WHERE w.ev_class = v.oid ORDER BY 1)
FROM relation v WHERE v.relkind IN ('v', 'm') ORDER BY 1
"""

_ROUTINES = """
SELECT space.prefix || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text,
       EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0),
       coalesce(obj_description(p.oid, 'pg_proc'), ''),
       coalesce(pg_get_function_result(p.oid), ''), l.lanname::text,
       array_remove(ARRAY[
           CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' END,
           CASE p.proparallel WHEN 'r' THEN 'PARALLEL RESTRICTED' WHEN 's' THEN 'PARALLEL SAFE' END,
           CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END, CASE WHEN p.proisstrict THEN 'STRICT' END,
           CASE WHEN p.proleakproof THEN 'LEAKPROOF' END, 'SUPPORT ' || nullif(p.prosupport, 0)::regproc], NULL),
       coalesce(p.proconfig, '{}'), coalesce(nullif(p.prosrc, ''), pg_get_function_sqlbody(p.oid), '')
FROM pg_proc p JOIN space ON space.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND p.prokind IN ('f', 'p', 'w') ORDER BY 1
"""

_RIGHTS = """
SELECT r.name, CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type
FROM relation r, aclexplode(r.relacl) a WHERE a.grantee <> r.relowner AND r.relkind IN ('r', 'p', 'v', 'm')
UNION
SELECT r.name, CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type
FROM relation r JOIN pg_attribute t ON t.attrelid = r.oid, aclexplode(t.attacl) a WHERE a.grantee <> r.relowner
UNION
SELECT 'schema ' || n.nspname, r.rolname::text, 'CREATE' FROM pg_namespace n JOIN space USING (oid)
JOIN pg_roles r ON r.rolname = %(service)s AND has_schema_privilege(r.oid, n.oid, 'CREATE')
ORDER BY 1, 2, 3
"""

_ROLE = """
SELECT r.rolname::text, {powers},
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1),
       ARRAY(SELECT name FROM relation WHERE relowner = r.oid
             UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspowner = r.oid AND nspname !~ '^pg_'
             UNION ALL SELECT proname || '()' FROM pg_proc WHERE proowner = r.oid ORDER BY 1)
FROM pg_roles r WHERE r.rolname = %(service)s
"""

_SESSION = """
SELECT current_user::text, session_user::text, {powers},
       (SELECT count(*) FROM pg_class c WHERE pg_has_role(c.relowner, 'USAGE') AND c.relkind IN ('r', 'p', 'v', 'm')
        AND c.relnamespace = 'public'::regnamespace AND c.relpersistence <> 't'),
       current_setting('row_security')::boolean, coalesce(current_setting('legal_store.firm_id', true), '')
FROM pg_roles r WHERE r.rolname = current_user
"""

_POWERS = """array_remove(ARRAY[
    CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
    CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
    CASE WHEN r.rolreplication THEN 'REPLICATION' END
], NULL)"""
