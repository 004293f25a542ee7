"""The domain, one file per part of it.

The models of a firm are imported together, so that all relationships (`firm.cases`, `case.documents`, ...) are there
whichever model a service asks for. Skills and discovery, which none of them refers to, are imported when asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from legal_store.models.documents import Document, DocumentKind, DocumentStatus
from legal_store.models.firms import Firm
from legal_store.models.tasks import Task, TaskStatus, TaskType
from legal_store.models.users import User, UserRole, UserStatus

if TYPE_CHECKING:
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
    from legal_store.models.skills import Skill, SkillUsageLog, SkillVersion

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

_APART = ("legal_store.models.skills", "legal_store.models.discovery")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _APART:
            module = import_module(home)
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"legal_store.models has no {name!r}")
