"""Audit logs: who changed what, append only."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from peewee import TextField

from legal_store.models.cases import Case
from legal_store.models.firms import FirmRecord
from legal_store.models.users import User
from legal_store.schema.fields import NOW, EnumField, FirmReferenceField, TimestampField
from legal_store.schema.objects import Default, Function, Index, Trigger

# A foreign key's own action (a deleted case takes its log along, a deleted user is cleared from it) runs
# inside the key's trigger, one level deeper than a statement that somebody wrote.
REFUSE_CHANGE = Function(
    signature="refuse_change_of_append_only_table()",
    returns="trigger",
    body="""
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% is append only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Write a new row that states the correction.';
END
""",
)


def append_only(table: str) -> tuple[Trigger, Trigger]:
    """Return the triggers that refuse UPDATE, DELETE and TRUNCATE of `table`."""
    function = REFUSE_CHANGE.signature
    return (
        Trigger(f"{table}_append_only", "BEFORE UPDATE OR DELETE", function),
        Trigger(f"{table}_no_truncate", "BEFORE TRUNCATE", function, each="STATEMENT"),
    )


class UserAuditAction(StrEnum):
    ACTIVATED = "Activated"
    DEACTIVATED = "Deactivated"
    ROLE_CHANGED = "RoleChanged"


class UserAuditLog(FirmRecord):
    """What an administrator changed about a user."""

    service_rights: ClassVar[str] = "SELECT, INSERT"

    user = FirmReferenceField(User, backref="audit_logs", null=True, on_delete="SET NULL")
    admin_user = FirmReferenceField(User, backref="administered_logs", null=True, on_delete="SET NULL")
    action = EnumField(UserAuditAction)
    old_value = TextField(null=True)
    new_value = TextField(null=True)
    timestamp = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "user_audit_logs"
        declared = (
            *append_only("user_audit_logs"),
            Index("user_audit_logs_firm_id_user_idx", ("firm_id", "user_id", "timestamp DESC")),
            Index("user_audit_logs_firm_id_admin_idx", ("firm_id", "admin_user_id")),
            Index("user_audit_logs_firm_id_timestamp_idx", ("firm_id", "timestamp DESC")),
        )


class CaseAuditLog(FirmRecord):
    """What a user changed about a case."""

    service_rights: ClassVar[str] = "SELECT, INSERT"

    case = FirmReferenceField(Case, backref="audit_logs", on_delete="CASCADE")
    user = FirmReferenceField(User, backref="case_audit_logs", null=True, on_delete="SET NULL")
    action = TextField()
    field_name = TextField(null=True)
    old_value = TextField(null=True)
    new_value = TextField(null=True)
    timestamp = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "case_audit_logs"
        declared = (
            *append_only("case_audit_logs"),
            Index("case_audit_logs_firm_id_case_idx", ("firm_id", "case_id", "timestamp DESC")),
            Index("case_audit_logs_firm_id_user_idx", ("firm_id", "user_id")),
            Index("case_audit_logs_firm_id_timestamp_idx", ("firm_id", "timestamp DESC")),
        )
