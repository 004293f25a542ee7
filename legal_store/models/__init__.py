"""The domain, one file per part of it. Importing this package imports every model, so that all relationships
(`firm.cases`, `case.documents`, ...) are there whichever model a service asks for."""

from legal_store.models.audit import CaseAuditLog, UserAuditAction, UserAuditLog
from legal_store.models.cases import (
    Case,
    CaseActor,
    CaseActorRole,
    CaseStatus,
    CaseTeamMember,
    CaseType,
    Priority,
)
from legal_store.models.clients import Client
from legal_store.models.discovery import (
    DocumentCategory,
    DocumentPattern,
    DocumentType,
    DocumentTypeInstance,
    MappingStatus,
    PatternCategory,
    PatternType,
    PrimaryLanguage,
    RomanianTemplate,
    TemplateUsageLog,
)
from legal_store.models.documents import Document, DocumentKind, DocumentStatus
from legal_store.models.firms import Firm
from legal_store.models.skills import Skill, SkillUsageLog, SkillVersion
from legal_store.models.tasks import Task, TaskStatus, TaskType
from legal_store.models.users import User, UserRole, UserStatus

__all__ = [
    "Case",
    "CaseActor",
    "CaseActorRole",
    "CaseAuditLog",
    "CaseStatus",
    "CaseTeamMember",
    "CaseType",
    "Client",
    "Document",
    "DocumentCategory",
    "DocumentKind",
    "DocumentPattern",
    "DocumentStatus",
    "DocumentType",
    "DocumentTypeInstance",
    "Firm",
    "MappingStatus",
    "PatternCategory",
    "PatternType",
    "PrimaryLanguage",
    "Priority",
    "RomanianTemplate",
    "Skill",
    "SkillUsageLog",
    "SkillVersion",
    "Task",
    "TaskStatus",
    "TaskType",
    "TemplateUsageLog",
    "User",
    "UserAuditAction",
    "UserAuditLog",
    "UserRole",
    "UserStatus",
]
