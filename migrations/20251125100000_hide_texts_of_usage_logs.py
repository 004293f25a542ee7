"""Services write the texts of usage logs, and read the figures only: the logs belong to no firm, the texts may."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
REVOKE SELECT, UPDATE, DELETE ON "skill_usage_logs" FROM "legal_store_service";
GRANT SELECT (
    id, skill_id, user_id, workspace_id, execution_time_ms, tokens_used, tokens_saved, cost_usd, success, executed_at
) ON "skill_usage_logs" TO "legal_store_service";

REVOKE SELECT, UPDATE, DELETE ON "template_usage_logs" FROM "legal_store_service";
GRANT SELECT (
    id, template_id, user_id, generation_time_ms, variables_filled, manual_edits_count, user_satisfaction_score,
    time_saved_minutes, used_at
), UPDATE (manual_edits_count, user_satisfaction_score, time_saved_minutes)
ON "template_usage_logs" TO "legal_store_service";
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
REVOKE ALL ON "skill_usage_logs", "template_usage_logs" FROM "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "skill_usage_logs", "template_usage_logs" TO "legal_store_service";
"""
    )
