"""Everything that the models declare, gathered for the operations that compare, create or check a schema."""

from importlib.metadata import entry_points
from typing import Any

from legal_store import models
from legal_store.database.scope import SERVICE_ROLE
from legal_store.errors import ConfigurationError
from legal_store.models.audit import REFUSE_CHANGE
from legal_store.models.base import CURRENT_FIRM, TOUCH_UPDATED_AT
from legal_store.models.discovery import TEMPLATE_STATISTICS, VIEWS
from legal_store.models.outbox import RECORD_CACHE_EVENTS, RECORD_ROLE_CHANGE, CacheEvent
from legal_store.models.search_functions import SEARCH_FUNCTIONS
from legal_store.models.searching import (
    ENGLISH,
    ROMANIAN,
    SEARCH_TEXT,
    SEARCH_WORDS,
    SearchCalibration,
)
from legal_store.models.skills import SKILL_STATISTICS
from legal_store.schema.objects import Schema

ENTRY_POINT_GROUP = "legal_store.models"


def models_of_packages() -> list[Any]:
    """Return the models that packages bring by entry points, whose values are tuples of models.

    Of one tuple, a model that others refer to comes first. Raises ConfigurationError for an entry point that cannot
    be loaded.
    """
    found: list[Any] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            found += entry.load()
        except Exception as error:
            raise ConfigurationError(
                f"The entry point {entry.name} = {entry.value} of {ENTRY_POINT_GROUP} brings no models: "
                f"{type(error).__name__}: {error}.",
                remedy="Its value is a tuple of models. Correct the package, or uninstall it.",
            ) from error
    return found


SCHEMA = Schema(
    extensions=("uuid-ossp", "vector", "pg_trgm", "unaccent", "btree_gin"),
    service_role=SERVICE_ROLE,
    text_search=(ROMANIAN, ENGLISH),
    functions=(
        TOUCH_UPDATED_AT,
        CURRENT_FIRM,
        SKILL_STATISTICS,
        TEMPLATE_STATISTICS,
        REFUSE_CHANGE,
        RECORD_CACHE_EVENTS,
        RECORD_ROLE_CHANGE,
        SEARCH_WORDS,
        SEARCH_TEXT,
        *SEARCH_FUNCTIONS,
    ),
    models=(
        models.Skill,
        models.SkillVersion,
        models.SkillUsageLog,
        models.DocumentType,
        models.DocumentTypeInstance,
        models.RomanianTemplate,
        models.DocumentPattern,
        models.TemplateUsageLog,
        models.Firm,
        models.User,
        models.Client,
        models.Case,
        models.CaseTeamMember,
        models.CaseActor,
        models.Document,
        models.Task,
        models.UserAuditLog,
        models.CaseAuditLog,
        CacheEvent,
        SearchCalibration,
        *models_of_packages(),
    ),
    views=VIEWS,
)
