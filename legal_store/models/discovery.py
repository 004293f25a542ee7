"""Discovery of document types: which kinds of document an archive holds, and the templates made from them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from peewee import (
    BigIntegerField,
    BooleanField,
    DecimalField,
    IntegerField,
    TextField,
    UUIDField,
)

from legal_store.models.base import Record, TimedRecord
from legal_store.models.skills import Skill
from legal_store.models.statistics import on_every_change, running_totals
from legal_store.schema.fields import NOW, EnumField, JsonField, ListField, ReferenceField, TimestampField
from legal_store.schema.objects import Check, Default, Generated, Index, Unique, View

TEMPLATE_STATISTICS = running_totals(
    "update_template_statistics",
    owner="romanian_templates",
    reference="template_id",
    totals={
        "usage_count": "1",
        "rated_count": "(user_satisfaction_score IS NOT NULL)::int",
        "satisfaction_total": "COALESCE(user_satisfaction_score, 0)",
    },
)


class PrimaryLanguage(StrEnum):
    ROMANIAN = "ro"
    ENGLISH = "en"
    MIXED = "mixed"


class DocumentCategory(StrEnum):
    CONTRACT = "contract"
    NOTICE = "notice"
    FILING = "filing"
    CORRESPONDENCE = "correspondence"


class MappingStatus(StrEnum):
    PENDING = "pending"
    AUTO_MAPPED = "auto_mapped"
    MANUAL_MAPPED = "manual_mapped"
    TEMPLATE_CREATED = "template_created"
    QUEUE_REVIEW = "queue_review"


class PatternType(StrEnum):
    CLAUSE = "clause"
    PHRASE = "phrase"
    STRUCTURE = "structure"
    HEADER = "header"


class PatternCategory(StrEnum):
    STANDARD_CLAUSE = "standard_clause"
    LEGAL_REFERENCE = "legal_reference"
    FORMULAIC_PHRASE = "formulaic_phrase"


def _score() -> Any:
    return DecimalField(max_digits=5, decimal_places=4, null=True)


def _between(table: str, column: str, lowest: int, highest: int) -> Check:
    return Check(f"{table}_{column}_check", f"{column} BETWEEN {lowest} AND {highest}")


class DocumentType(TimedRecord):
    """A kind of document found in an archive, and what it is mapped to."""

    shared: ClassVar[str] = "kinds of document, learned from all archives"

    discovered_type_original = TextField()
    discovered_type_normalized = TextField()
    discovered_type_english = TextField(null=True)
    primary_language = EnumField(PrimaryLanguage, default=PrimaryLanguage.ROMANIAN)
    document_category = EnumField(DocumentCategory, null=True)
    mapped_skill = ReferenceField(Skill, backref="document_types", null=True, on_delete="SET NULL")
    mapping_confidence = _score()
    mapping_status = EnumField(MappingStatus, default=MappingStatus.PENDING)
    first_seen_date = TimestampField(constraints=[Default(NOW)])
    last_seen_date = TimestampField(constraints=[Default(NOW)])
    total_occurrences = IntegerField(default=1, constraints=[Default("1")])
    unique_variations = IntegerField(default=1, constraints=[Default("1")])
    avg_document_length = IntegerField(null=True)
    frequency_score = _score()
    complexity_score = _score()
    business_value_score = _score()
    priority_score = _score()
    sample_document_ids = ListField(UUIDField)
    common_clauses = JsonField(default=list, constraints=[Default("'[]'")])
    typical_structure = JsonField(default=dict, constraints=[Default("'{}'")])
    reviewed_by = UUIDField(null=True)
    reviewed_at = TimestampField(null=True)

    class Meta:
        table_name = "document_type_registry"
        declared = (
            Unique(
                "document_type_registry_normalized_language_key",
                ("discovered_type_normalized", "primary_language"),
            ),
            *(
                _between("document_type_registry", column, 0, 1)
                for column in (
                    "mapping_confidence",
                    "frequency_score",
                    "complexity_score",
                    "business_value_score",
                    "priority_score",
                )
            ),
            Check("document_type_registry_counts_check", "total_occurrences >= 0 AND unique_variations >= 0"),
            Check("document_type_registry_seen_check", "last_seen_date >= first_seen_date"),
            Index("document_type_registry_status_priority_idx", ("mapping_status", "priority_score DESC")),
            Index("document_type_registry_category_idx", ("document_category",)),
            Index("document_type_registry_occurrences_idx", ("total_occurrences DESC",)),
            Index("document_type_registry_first_seen_idx", ("first_seen_date DESC",)),
            Index("document_type_registry_mapped_skill_idx", ("mapped_skill_id",)),
            Index("document_type_registry_mapped_template_idx", ("mapped_template_id",)),
            Index(
                "document_type_registry_name_trgm_idx",
                ("discovered_type_normalized gin_trgm_ops",),
                using="gin",
            ),
        )


class DocumentTypeInstance(Record):
    """A document that was recognised as one of the discovered types."""

    shared: ClassVar[str] = "counts how often a kind occurs in all archives; names documents by id only"

    document_id = UUIDField()
    registry = ReferenceField(DocumentType, backref="instances", on_delete="CASCADE")
    confidence_score = _score()
    detected_at = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "document_type_instances"
        declared = (
            _between("document_type_instances", "confidence_score", 0, 1),
            Index("document_type_instances_registry_detected_idx", ("registry_id", "detected_at DESC")),
            Index("document_type_instances_document_id_idx", ("document_id",)),
        )


class RomanianTemplate(TimedRecord):
    """A template for Romanian documents. Its counts are kept by triggers on the usage log."""

    shared: ClassVar[str] = "templates are the platform's: one catalog for all firms"

    template_name_ro = TextField()
    template_name_en = TextField(null=True)
    template_slug = TextField()
    legal_category = TextField(null=True)
    document_type = ReferenceField(DocumentType, backref="templates", null=True, on_delete="SET NULL")
    civil_code_references = ListField(TextField)
    jurisdiction = TextField(default="RO", constraints=[Default("'RO'")])
    template_structure = JsonField()
    standard_clauses = JsonField(default=list, constraints=[Default("'[]'")])
    variable_mappings = JsonField(default=dict, constraints=[Default("'{}'")])
    created_from_pattern = BooleanField(default=False, constraints=[Default("false")])
    source_document_ids = ListField(UUIDField)
    usage_count = BigIntegerField(constraints=[Default("0")])
    rated_count = BigIntegerField(constraints=[Default("0")])
    satisfaction_total = BigIntegerField(constraints=[Default("0")])
    effectiveness_score = DecimalField(
        max_digits=5,
        decimal_places=2,
        constraints=[Generated("COALESCE(round(100.0 * satisfaction_total / NULLIF(rated_count, 0) / 5, 2), 0)")],
    )
    version = TextField(default="1.0.0", constraints=[Default("'1.0.0'")])
    is_active = BooleanField(default=True, constraints=[Default("true")])
    created_by = UUIDField(null=True)
    last_modified_by = UUIDField(null=True)

    class Meta:
        table_name = "romanian_templates"
        declared = (
            Unique("romanian_templates_template_slug_key", ("template_slug",)),
            _between("romanian_templates", "effectiveness_score", 0, 100),
            Check("romanian_templates_counts_check", "rated_count BETWEEN 0 AND usage_count"),
            Index("romanian_templates_document_type_idx", ("document_type_id",)),
            Index("romanian_templates_category_active_idx", ("legal_category", "is_active")),
            Index("romanian_templates_effectiveness_idx", ("effectiveness_score DESC",)),
        )


# added here because the two tables refer to each other
DocumentType._meta.add_field(
    "mapped_template",
    ReferenceField(RomanianTemplate, backref="mapped_types", null=True, on_delete="SET NULL"),
)


class DocumentPattern(TimedRecord):
    """A wording or structure that recurs in documents of a type."""

    shared: ClassVar[str] = "wordings that recur in documents of a kind, in all archives"

    pattern_type = EnumField(PatternType)
    pattern_text_ro = TextField()
    pattern_text_en = TextField(null=True)
    document_type = ReferenceField(DocumentType, backref="patterns", null=True, on_delete="SET NULL")
    occurrence_count = IntegerField(default=1, constraints=[Default("1")])
    document_sources = ListField(UUIDField)
    category = EnumField(PatternCategory, null=True)
    confidence_score = _score()
    used_in_templates = ListField(UUIDField)
    first_seen_at = TimestampField(constraints=[Default(NOW)])
    last_seen_at = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "document_patterns"
        declared = (
            Check("document_patterns_occurrence_count_check", "occurrence_count >= 0"),
            _between("document_patterns", "confidence_score", 0, 1),
            Check("document_patterns_seen_check", "last_seen_at >= first_seen_at"),
            Index("document_patterns_type_occurrences_idx", ("document_type_id", "occurrence_count DESC")),
            Index("document_patterns_pattern_type_idx", ("pattern_type", "category")),
            Index("document_patterns_text_ro_trgm_idx", ("pattern_text_ro gin_trgm_ops",), using="gin"),
        )


class TemplateUsageLog(Record):
    """One document made from a template: times, edits and how content the user was (1 to 5)."""

    shared: ClassVar[str] = "the statistics of a template count its use by all firms"
    # what it was used for may be a firm's secret, so that services write it and do not read it
    service_rights: ClassVar[str] = (
        "INSERT, SELECT (id, template_id, user_id, generation_time_ms, variables_filled, manual_edits_count,"
        " user_satisfaction_score, time_saved_minutes, used_at),"
        " UPDATE (manual_edits_count, user_satisfaction_score, time_saved_minutes)"
    )

    template = ReferenceField(RomanianTemplate, backref="usage_logs", on_delete="CASCADE")
    user_id = UUIDField(null=True)
    generation_time_ms = IntegerField()
    variables_filled = IntegerField(default=0, constraints=[Default("0")])
    manual_edits_count = IntegerField(default=0, constraints=[Default("0")])
    user_satisfaction_score = IntegerField(null=True)
    time_saved_minutes = IntegerField(null=True)
    use_case = TextField(null=True)
    metadata = JsonField(default=dict, constraints=[Default("'{}'")])
    used_at = TimestampField(constraints=[Default(NOW)])

    class Meta:
        table_name = "template_usage_logs"
        declared = (
            Check("template_usage_logs_generation_time_ms_check", "generation_time_ms >= 0"),
            _between("template_usage_logs", "user_satisfaction_score", 1, 5),
            Check("template_usage_logs_counts_check", "variables_filled >= 0 AND manual_edits_count >= 0"),
            Index("template_usage_logs_template_used_idx", ("template_id", "used_at DESC")),
            Index("template_usage_logs_user_used_idx", ("user_id", "used_at DESC")),
            Index("template_usage_logs_used_at_idx", ("used_at DESC",)),
            *on_every_change("update_template_stats_on_usage", TEMPLATE_STATISTICS),
        )


VIEWS = (
    View(
        "weekly_discovery_metrics",
        """
SELECT date_trunc('week', r.first_seen_date) AS week,
       count(*) AS discovered_types,
       sum(r.total_occurrences) AS total_occurrences,
       count(*) FILTER (WHERE r.mapping_status IN ('auto_mapped', 'manual_mapped', 'template_created'))
           AS mapped_types,
       count(*) FILTER (WHERE r.mapping_status IN ('pending', 'queue_review')) AS open_types,
       round(avg(r.mapping_confidence), 4) AS avg_mapping_confidence,
       round(avg(r.priority_score), 4) AS avg_priority_score
FROM document_type_registry AS r
GROUP BY date_trunc('week', r.first_seen_date)
""",
    ),
    View(
        "template_effectiveness_report",
        """
SELECT t.id AS template_id,
       t.template_slug,
       t.template_name_ro,
       t.legal_category,
       t.usage_count,
       t.effectiveness_score,
       count(l.id) FILTER (WHERE l.used_at >= now() - interval '30 days') AS used_last_30_days,
       round(avg(l.generation_time_ms)) AS avg_generation_time_ms,
       round(avg(l.manual_edits_count), 2) AS avg_manual_edits,
       round(avg(l.user_satisfaction_score), 2) AS avg_satisfaction,
       coalesce(sum(l.time_saved_minutes), 0) AS total_time_saved_minutes,
       max(l.used_at) AS last_used_at
FROM romanian_templates AS t
LEFT JOIN template_usage_logs AS l ON l.template_id = t.id
GROUP BY t.id
""",
    ),
    View(
        "template_candidates",
        """
SELECT r.id AS document_type_id,
       r.discovered_type_original,
       r.discovered_type_normalized,
       r.primary_language,
       r.document_category,
       r.mapping_status,
       r.total_occurrences,
       r.frequency_score,
       r.complexity_score,
       r.business_value_score,
       r.priority_score
FROM document_type_registry AS r
WHERE r.mapping_status IN ('pending', 'queue_review') AND r.total_occurrences >= 20
ORDER BY r.priority_score DESC NULLS LAST, r.total_occurrences DESC
""",
    ),
)
