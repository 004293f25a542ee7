"""Which tables a seed set may fill, in the order of loading, and what identifies a row of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from peewee import ForeignKeyField

from legal_store import models
from legal_store.schema.fields import TimestampField

# id comes from the key of the row, the time of its last change from PostgreSQL
_NEVER_IN_FILES = ("id", "updated_at")


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedTable:
    """A table and its key: the columns by which a row of a file is found again in the database."""

    model: Any
    key: tuple[str, ...]
    named_by: str = ""
    """The column by which rows of other tables refer to a row of this one."""
    refers: Mapping[str, Any] = field(default_factory=dict)
    """Columns that hold ids of another model without a foreign key: a uuid or a list of them."""
    kept_elsewhere: tuple[str, ...] = ()
    """Columns that triggers or services fill, never a file."""
    append_only: bool = False

    @property
    def name(self) -> str:
        return str(self.model._meta.table_name)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Columns that a file may give, by field name."""
        hidden = {*_NEVER_IN_FILES, *self.kept_elsewhere}
        return {name: column for name, column in self.model._meta.fields.items() if name not in hidden}

    @cached_property
    def foreign_keys(self) -> dict[str, Any]:
        """The model that each foreign key points to, by field name."""
        return {name: column.rel_model for name, column in self.fields.items() if isinstance(column, ForeignKeyField)}

    @cached_property
    def references(self) -> dict[str, Any]:
        """The model that each reference points to, with or without a foreign key."""
        return {**self.foreign_keys, **self.refers}

    @property
    def firm_owned(self) -> bool:
        return "firm" in self.fields

    @cached_property
    def found_by_key(self) -> bool:
        """Whether the key can be looked up in the database. A moment relative to the day of seeding cannot: such
        rows are found by their id alone, which is made from the key as it is written in the file."""
        return not any(isinstance(self.fields[column], TimestampField) for column in self.key)


_SKILL_STATISTICS = (
    "usage_count",
    "successful_count",
    "tokens_saved_total",
    "effectiveness_score",
    "token_savings_avg",
)
_TEMPLATE_STATISTICS = ("usage_count", "rated_count", "satisfaction_total", "effectiveness_score")

TABLES = (
    SeedTable(model=models.Firm, key=("vat_id",), named_by="vat_id"),
    SeedTable(model=models.User, key=("email",), named_by="email"),
    SeedTable(model=models.Client, key=("firm", "name"), named_by="name"),
    SeedTable(model=models.Case, key=("firm", "case_number"), named_by="case_number"),
    SeedTable(model=models.CaseTeamMember, key=("case", "user")),
    SeedTable(model=models.CaseActor, key=("case", "role", "name")),
    SeedTable(
        model=models.Document,
        key=("case", "title", "version"),
        named_by="file_name",
        kept_elsewhere=("content_embedding",),
    ),
    SeedTable(model=models.Task, key=("case", "title")),
    SeedTable(model=models.UserAuditLog, key=("user", "action", "timestamp"), append_only=True),
    SeedTable(model=models.CaseAuditLog, key=("case", "action", "timestamp"), append_only=True),
    SeedTable(
        model=models.Skill,
        key=("skill_id",),
        named_by="skill_id",
        refers={"created_by": models.User},
        kept_elsewhere=_SKILL_STATISTICS,
    ),
    SeedTable(model=models.SkillVersion, key=("skill", "version"), refers={"created_by": models.User}),
    SeedTable(model=models.SkillUsageLog, key=("skill", "user_id", "executed_at"), refers={"user_id": models.User}),
    SeedTable(
        model=models.DocumentType,
        key=("discovered_type_normalized", "primary_language"),
        named_by="discovered_type_normalized",
        refers={"sample_document_ids": models.Document, "reviewed_by": models.User},
    ),
    SeedTable(
        model=models.DocumentTypeInstance,
        key=("registry", "document_id"),
        refers={"document_id": models.Document},
    ),
    SeedTable(
        model=models.RomanianTemplate,
        key=("template_slug",),
        named_by="template_slug",
        refers={
            "source_document_ids": models.Document,
            "created_by": models.User,
            "last_modified_by": models.User,
        },
        kept_elsewhere=_TEMPLATE_STATISTICS,
    ),
    SeedTable(
        model=models.DocumentPattern,
        key=("pattern_type", "pattern_text_ro"),
        refers={"document_sources": models.Document, "used_in_templates": models.RomanianTemplate},
    ),
    SeedTable(model=models.TemplateUsageLog, key=("template", "user_id", "used_at"), refers={"user_id": models.User}),
)
