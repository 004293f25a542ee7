"""AI skills, their versions and the log of their use."""

from __future__ import annotations

from typing import ClassVar

from peewee import BigIntegerField, BooleanField, DecimalField, IntegerField, TextField, UUIDField

from legal_store.models.base import Record, TimedRecord
from legal_store.models.statistics import on_every_change, running_totals
from legal_store.schema.fields import NOW, JsonField, ReferenceField, TimestampField
from legal_store.schema.objects import Check, Default, Generated, Index, Unique

# https://semver.org, 2.0.0: three numbers without leading zeros, then what may follow them
_NUMBER, _LABELS = r"(0|[1-9]\d*)", r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
SEMANTIC_VERSION = rf"\A{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_LABELS})?(\+{_LABELS})?\Z"

SKILL_STATISTICS = running_totals(
    "update_skill_statistics",
    owner="skills",
    reference="skill_id",
    totals={
        "usage_count": "1",
        "successful_count": "success::int",
        "tokens_saved_total": "CASE WHEN success THEN tokens_saved ELSE 0 END",
    },
)


class Skill(TimedRecord):
    """An AI skill. Its counts are kept by triggers on the usage log, its averages follow from the counts."""

    shared: ClassVar[str] = "skills are the platform's: one catalog for all firms"

    skill_id = TextField()
    display_name = TextField()
    description = TextField(null=True)
    version = TextField(default="1.0.0", constraints=[Default("'1.0.0'")])
    type = TextField(null=True)
    category = TextField(null=True)
    usage_count = BigIntegerField(constraints=[Default("0")])
    successful_count = BigIntegerField(constraints=[Default("0")])
    tokens_saved_total = BigIntegerField(constraints=[Default("0")])
    effectiveness_score = DecimalField(
        max_digits=5,
        decimal_places=2,
        constraints=[Generated("COALESCE(round(100.0 * successful_count / NULLIF(usage_count, 0), 2), 0)")],
    )
    token_savings_avg = DecimalField(
        max_digits=20,
        decimal_places=4,
        constraints=[Generated("COALESCE(tokens_saved_total::numeric / NULLIF(successful_count, 0), 0)")],
    )
    is_active = BooleanField(default=True, constraints=[Default("true")])
    created_by = UUIDField(null=True)
    metadata = JsonField(default=dict, constraints=[Default("'{}'")])

    class Meta:
        table_name = "skills"
        declared = (
            Unique("skills_skill_id_key", ("skill_id",)),
            Check("skills_effectiveness_score_check", "effectiveness_score BETWEEN 0 AND 100"),
            Check("skills_counts_check", "successful_count BETWEEN 0 AND usage_count"),
            Check("skills_version_check", f"version ~ '{SEMANTIC_VERSION}'"),
            Index("skills_type_idx", ("type",)),
            Index("skills_category_idx", ("category",)),
            Index("skills_active_effectiveness_idx", ("is_active", "effectiveness_score DESC")),
            Index("skills_usage_count_idx", ("usage_count DESC",)),
        )


class SkillVersion(TimedRecord):
    """One version of a skill's definition; at most one of a skill is current."""

    shared: ClassVar[str] = "versions of skills that all firms use"

    skill = ReferenceField(Skill, backref="versions", on_delete="CASCADE")
    version = TextField()
    content = TextField()
    changelog = TextField(null=True)
    is_current = BooleanField(default=False, constraints=[Default("false")])
    deployed_at = TimestampField(null=True)
    deprecated_at = TimestampField(null=True)
    created_by = UUIDField(null=True)

    class Meta:
        table_name = "skill_versions"
        declared = (
            Unique("skill_versions_skill_id_version_key", ("skill_id", "version")),
            Check("skill_versions_version_check", f"version ~ '{SEMANTIC_VERSION}'"),
            Check("skill_versions_deprecated_check", "deprecated_at >= deployed_at"),
            Index("skill_versions_one_current_idx", ("skill_id",), unique=True, where="is_current"),
            Index("skill_versions_skill_id_deployed_idx", ("skill_id", "deployed_at DESC")),
        )


class SkillUsageLog(Record):
    """One execution of a skill: time in milliseconds, tokens, cost in US dollars."""

    shared: ClassVar[str] = "the statistics of a skill count its use by all firms"
    # what was put in and came out may be a firm's secret, so that services write it and do not read it
    service_rights: ClassVar[str] = (
        "INSERT, SELECT (id, skill_id, user_id, workspace_id, execution_time_ms, tokens_used, tokens_saved, cost_usd,"
        " success, executed_at)"
    )

    skill = ReferenceField(Skill, backref="usage_logs", on_delete="CASCADE")
    user_id = UUIDField(null=True)
    workspace_id = UUIDField(null=True)
    execution_time_ms = IntegerField()
    tokens_used = IntegerField()
    tokens_saved = IntegerField(default=0, constraints=[Default("0")])
    cost_usd = DecimalField(max_digits=10, decimal_places=6, default=0, constraints=[Default("0")])
    success = BooleanField()
    error_message = TextField(null=True)
    input_data = JsonField(null=True)
    output_data = JsonField(null=True)
    metadata = JsonField(default=dict, constraints=[Default("'{}'")])
    executed_at = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "skill_usage_logs"
        declared = (
            Check("skill_usage_logs_execution_time_ms_check", "execution_time_ms >= 0"),
            Check("skill_usage_logs_tokens_used_check", "tokens_used >= 0"),
            Check("skill_usage_logs_cost_usd_check", "cost_usd >= 0 AND cost_usd <> 'NaN'"),
            Index("skill_usage_logs_skill_user_executed_idx", ("skill_id", "user_id", "executed_at")),
            Index("skill_usage_logs_skill_executed_idx", ("skill_id", "executed_at DESC")),
            Index("skill_usage_logs_workspace_executed_idx", ("workspace_id", "executed_at DESC")),
            Index("skill_usage_logs_executed_at_idx", ("executed_at DESC",)),
            Index("skill_usage_logs_failed_idx", ("executed_at DESC",), where="NOT success"),
            *on_every_change("update_skill_stats_on_usage", SKILL_STATISTICS),
        )
