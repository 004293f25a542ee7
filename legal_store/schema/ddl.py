"""From declared models and objects to the statements that create them. Pure: no server is asked."""

from __future__ import annotations

from typing import Any

from peewee import Context, ForeignKeyField
from peewee import PostgresqlDatabase as _Dialect

from legal_store.schema.fields import ReferenceField
from legal_store.schema.objects import Comment, Schema


def create_statements(schema: Schema) -> list[str]:
    """Return the statements that create `schema` in an empty database, in an order that works.

    References come after all tables, so that tables may refer to each other in circles.
    """
    return [
        *(f'CREATE EXTENSION IF NOT EXISTS "{name}"' for name in schema.extensions),
        create_service_role(schema.service_role),
        *(configuration.create() for configuration in schema.text_search),
        *(function.create() for function in schema.functions),
        *(create_table(model) for model in schema.models),
        *(statement for model in schema.models for statement in add_references(model)),
        *(statement for model in schema.models for statement in create_indexes(model)),
        *(statement for model in schema.models for statement in create_triggers(model)),
        *(statement for model in schema.models for statement in isolate(model)),
        *(statement for model in schema.models for statement in create_comments(model)),
        *(view.create() for view in schema.views),
        *(
            grant(model._meta.table_name, model.service_rights, schema.service_role)
            for model in schema.models
            if model.service_rights
        ),
        *(grant(view.name, "SELECT", schema.service_role) for view in schema.views),
        *(function.limit_to(schema.service_role) for function in schema.functions if function.service_only),
    ]


def create_table(model: Any) -> str:
    """Return CREATE TABLE with columns, key, unique keys and checks, one to a line."""
    lines = [_render(field.ddl(_context())) for field in model._meta.sorted_fields]
    lines += [constraint.sql for constraint in model._meta.constraints]
    return f'CREATE TABLE "{model._meta.table_name}" (\n    ' + ",\n    ".join(lines) + "\n)"


def add_references(model: Any) -> list[str]:
    """Return one ALTER TABLE for each foreign key of the model."""
    return [
        f'ALTER TABLE "{model._meta.table_name}" ADD {_render(field.foreign_key_constraint())}'
        for field in model._meta.sorted_fields
        if isinstance(field, ForeignKeyField)
    ]


def create_indexes(model: Any) -> list[str]:
    """Return one CREATE INDEX for each declared index of the model."""
    return [index.sql for index in model._meta.indexes]


def create_triggers(model: Any) -> list[str]:
    """Return one CREATE TRIGGER for each trigger of the model."""
    return [trigger.create(model._meta.table_name) for trigger in model._meta.triggers]


def create_comments(model: Any) -> list[str]:
    """Return one COMMENT ON for each comment of the model."""
    return [item.create(model._meta.table_name) for item in model._meta.declared if isinstance(item, Comment)]


def isolate(model: Any) -> list[str]:
    """Return what puts the model's table under row-level security; nothing where it has no policy."""
    table, policies = model._meta.table_name, model._meta.policies
    enable = [f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY'] if policies else []
    return enable + [policy.create(table) for policy in policies]


def grant(relation: str, rights: str, role: str) -> str:
    """Return the statement that gives `role` these rights on a table or view."""
    return f'GRANT {rights} ON "{relation}" TO "{role}"'


def create_service_role(role: str) -> str:
    """Return a block that makes `role`, which owns nothing, and lets the current user take it.

    Roles belong to the whole server, so that another database may have made it already.
    """
    return f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        BEGIN
            CREATE ROLE "{role}" NOLOGIN NOSUPERUSER NOBYPASSRLS;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, '{role}', 'SET') THEN
        GRANT "{role}" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the login % may not make the role {role}, or take it', current_user
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Have an administrator run: CREATE ROLE {role} NOLOGIN; GRANT {role} TO '
                     || quote_ident(current_user) || ' WITH INHERIT FALSE, SET TRUE;';
END
$$""".strip()


def referenced_tables(model: Any) -> set[str]:
    """Return the names of the other tables that the model's references point to."""
    references = (field for field in model._meta.sorted_fields if isinstance(field, ReferenceField))
    return {field.rel_model._meta.table_name for field in references} - {model._meta.table_name}


def _context() -> Context:
    return _Dialect(None).get_sql_context()


def _render(node: Any) -> str:
    sql, parameters = _context().sql(node).query()
    if parameters:
        raise ValueError(f"DDL cannot take parameters: {sql} {parameters}")
    return str(sql)
