"""The tables that are generated, in the order of their references, and the columns that generated rows give."""

from __future__ import annotations

_TIMED = ("id", "created_at", "updated_at")
_OF_FIRM = (*_TIMED, "firm_id")

COLUMNS: dict[str, tuple[str, ...]] = {
    "firms": (*_TIMED, "name", "vat_id", "email", "phone", "address", "website"),
    "users": (
        *_OF_FIRM, "email", "first_name", "last_name", "role", "status", "azure_ad_id", "preferences", "last_active",
        "can_approve_documents", "can_manage_cases"),
    "user_audit_logs": (*_OF_FIRM, "user_id", "admin_user_id", "action", "old_value", "new_value", "timestamp"),
    "clients": (*_OF_FIRM, "name", "contact_info", "address", "email", "phone"),
    "cases": (
        *_OF_FIRM, "case_number", "title", "client_id", "status", "type", "priority", "description", "opened_date",
        "closed_date", "value", "court_name", "judge_name", "next_hearing_date", "metadata"),
    "case_team": (*_OF_FIRM, "case_id", "user_id", "role", "assigned_at", "assigned_by_id"),
    "case_actors": (*_OF_FIRM, "case_id", "role", "name", "organization", "email", "phone", "address", "notes"),
    "documents": (
        *_OF_FIRM, "case_id", "title", "document_type", "status", "content", "file_name", "file_size_bytes",
        "mime_type", "storage_url", "version", "ai_generated", "created_by_id", "content_embedding", "metadata"),
    "tasks": (
        *_OF_FIRM, "case_id", "title", "description", "task_type", "status", "priority", "assigned_to_id",
        "created_by_id", "due_date", "estimated_hours", "actual_hours", "completed_at"),
    "case_audit_logs": (
        *_OF_FIRM, "case_id", "user_id", "action", "field_name", "old_value", "new_value", "timestamp"),
    "document_type_instances": ("id", "document_id", "registry_id", "confidence_score", "detected_at"),
    # the last two add to totals of a few rows that all processes share: they hold those rows only briefly
    "skill_usage_logs": (
        "id", "skill_id", "user_id", "workspace_id", "execution_time_ms", "tokens_used", "tokens_saved", "cost_usd",
        "success", "error_message", "input_data", "output_data", "metadata", "executed_at"),
    "template_usage_logs": (
        "id", "template_id", "user_id", "generation_time_ms", "variables_filled", "manual_edits_count",
        "user_satisfaction_score", "time_saved_minutes", "use_case", "metadata", "used_at"),
}  # fmt: skip

CATALOGUE = ("skills", "skill_versions", "document_type_registry", "romanian_templates", "document_patterns")
"""Tables filled from the recipe's folder catalogue/, a seed set."""

Rows = dict[str, list[str]]
"""Generated rows by table, each a line of COPY's text format without its line break."""


def no_rows() -> Rows:
    """Return an empty list for each table."""
    return {table: [] for table in COLUMNS}


def count(rows: Rows) -> int:
    return sum(map(len, rows.values()))
