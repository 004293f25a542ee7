"""The outbox of cache events: filled by triggers for every write, whoever made it, and drained by a worker.

Each row says which records of a firm changed, by their ids and nothing else. A statement that changed more than a
hundred records of a firm leaves one row without ids: all of that kind.
"""

from __future__ import annotations

from typing import ClassVar

from peewee import TextField, UUIDField

from legal_store.models.base import Record
from legal_store.schema.fields import NOW, JsonField, TimestampField
from legal_store.schema.objects import Default, Function, Trigger

MOST_ROWS = 100

# Whoever may write a case may not read the outbox: the function writes with the rights of its owner.
_AS_OWNER = "SECURITY DEFINER SET search_path = public, pg_temp"

# Arguments of the trigger: the subject, the column of the firm, then the columns that rules may use.
RECORD_CACHE_EVENTS = Function(
    signature="record_cache_events()",
    returns="trigger",
    attributes=_AS_OWNER,
    service_only=True,
    body=f"""
DECLARE
    verb text := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
    tables text[] := CASE TG_OP WHEN 'INSERT' THEN ARRAY['after'] WHEN 'UPDATE' THEN ARRAY['before', 'after']
                     ELSE ARRAY['before'] END;
    keys text := '';
    touched text;
BEGIN
    FOR i IN 2 .. TG_NARGS - 1 LOOP
        keys := keys || CASE WHEN i > 2 THEN ', ' ELSE '' END || format('%L, %I', TG_ARGV[i], TG_ARGV[i]);
    END LOOP;
    SELECT string_agg(format('SELECT %I AS firm_id, jsonb_build_object(%s) AS keys FROM %I',
                             TG_ARGV[1], keys, name), ' UNION ')
    INTO touched FROM unnest(tables) name;
    EXECUTE format($query$
        WITH touched AS (SELECT DISTINCT firm_id, keys FROM (%s) changed),
        firms AS (SELECT firm_id, count(*) > {MOST_ROWS} AS many FROM touched GROUP BY firm_id)
        INSERT INTO cache_outbox (firm_id, event, keys)
        SELECT firm_id, %2$L, touched.keys FROM touched JOIN firms USING (firm_id) WHERE NOT many
        UNION ALL
        SELECT firm_id, %2$L, '{{}}' FROM firms WHERE many
    $query$, touched, TG_ARGV[0] || '.' || verb);
    RETURN NULL;
END
""",
)

RECORD_ROLE_CHANGE = Function(
    signature="record_role_change()",
    returns="trigger",
    attributes=_AS_OWNER,
    service_only=True,
    body="""
BEGIN
    INSERT INTO cache_outbox (firm_id, event, keys)
    VALUES (NEW.firm_id, 'user.role_changed', jsonb_build_object('id', NEW.id));
    RETURN NULL;
END
""",
)


class CacheEvent(Record):
    """A change that the cache has to be told of."""

    service_rights: ClassVar[str] = ""
    operations_only: ClassVar[str] = "triggers fill it with ids of all firms, the operations' worker drains it"

    firm_id = UUIDField()  # no reference: the event of a deleted firm stays until it was told
    event = TextField()
    keys = JsonField(constraints=[Default("'{}'")])
    created_at = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "cache_outbox"


def cache_events(
    table: str, subject: str, columns: tuple[str, ...], *, firm: str = "firm_id", on: tuple[str, ...]
) -> tuple[Trigger, ...]:
    """Return the triggers that record each INSERT, UPDATE or DELETE (`on`) of `table` in the outbox.

    `columns` are those whose values a rule may use: ("id", "case_id").
    """
    arguments = ", ".join(f"'{argument}'" for argument in (subject, firm, *columns))
    return tuple(
        Trigger(
            f"{table}_cache_{event.lower()}",
            f"AFTER {event}",
            f"record_cache_events({arguments})",
            each="STATEMENT",
            referencing=_REFERENCING[event],
        )
        for event in on
    )


_REFERENCING = {
    "INSERT": "NEW TABLE AS after",
    "UPDATE": "OLD TABLE AS before NEW TABLE AS after",
    "DELETE": "OLD TABLE AS before",
}

_RIGHTS = ("role", "status", "can_approve_documents", "can_manage_cases")

ROLE_CHANGES = Trigger(
    "users_cache_role",
    "AFTER UPDATE",
    "record_role_change()",
    when=" OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in _RIGHTS),
)
