"""The work to be done on a case."""

from __future__ import annotations

from enum import StrEnum

from peewee import DateField, DecimalField, TextField

from legal_store.models.cases import Case, Priority
from legal_store.models.firms import FirmRecord
from legal_store.models.users import User
from legal_store.schema.fields import EnumField, FirmReferenceField, TimestampField
from legal_store.schema.objects import Check, Index


class TaskType(StrEnum):
    RESEARCH = "Research"
    DOCUMENT_CREATION = "DocumentCreation"
    DOCUMENT_REVIEW = "DocumentReview"
    CLIENT_COMMUNICATION = "ClientCommunication"
    COURT_FILING = "CourtFiling"
    CASE_PREPARATION = "CasePreparation"


class TaskStatus(StrEnum):
    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"


class Task(FirmRecord):
    """A piece of work on a case; it has a completion time exactly when it is Completed."""

    case = FirmReferenceField(Case, backref="tasks", on_delete="CASCADE")
    title = TextField()
    description = TextField(null=True)
    task_type = EnumField(TaskType)
    status = EnumField(TaskStatus, default=TaskStatus.PENDING)
    priority = EnumField(Priority, default=Priority.MEDIUM)
    assigned_to = FirmReferenceField(User, backref="assigned_tasks", null=True, on_delete="SET NULL")
    created_by = FirmReferenceField(User, backref="created_tasks", null=True, on_delete="SET NULL")
    due_date = DateField(null=True)
    estimated_hours = DecimalField(max_digits=7, decimal_places=2, null=True)
    actual_hours = DecimalField(max_digits=7, decimal_places=2, null=True)
    completed_at = TimestampField(null=True)

    class Meta:
        table_name = "tasks"
        declared = (
            Check("tasks_completed_at_check", "(status = 'Completed') = (completed_at IS NOT NULL)"),
            Check("tasks_estimated_hours_check", "estimated_hours >= 0 AND estimated_hours <> 'NaN'"),
            Check("tasks_actual_hours_check", "actual_hours >= 0 AND actual_hours <> 'NaN'"),
            Index("tasks_firm_id_case_id_idx", ("firm_id", "case_id")),
            Index("tasks_firm_id_assigned_to_idx", ("firm_id", "assigned_to_id", "status", "due_date")),
            Index("tasks_firm_id_created_by_idx", ("firm_id", "created_by_id")),
            Index("tasks_firm_id_open_due_idx", ("firm_id", "due_date"), where="status <> 'Completed'"),
        )
