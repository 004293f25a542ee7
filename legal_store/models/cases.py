"""Cases, the people who work on them and the parties in them."""

from __future__ import annotations

from enum import StrEnum

from peewee import DateField, DecimalField, TextField

from legal_store.models.clients import Client
from legal_store.models.firms import FirmRecord
from legal_store.models.outbox import cache_events
from legal_store.models.searching import words_index, words_of
from legal_store.models.users import User
from legal_store.schema.fields import NOW, EnumField, FirmReferenceField, JsonField, TimestampField
from legal_store.schema.objects import Check, Default, Index, Unique


class CaseStatus(StrEnum):
    ACTIVE = "Active"
    ON_HOLD = "OnHold"
    CLOSED = "Closed"
    ARCHIVED = "Archived"


class CaseType(StrEnum):
    CIVIL = "Civil"
    CRIMINAL = "Criminal"
    CORPORATE = "Corporate"
    INTELLECTUAL_PROPERTY = "IntellectualProperty"
    FAMILY = "Family"
    LABOR = "Labor"


class Priority(StrEnum):
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"


class CaseActorRole(StrEnum):
    CLIENT = "Client"
    OPPOSING_PARTY = "OpposingParty"
    OPPOSING_COUNSEL = "OpposingCounsel"
    WITNESS = "Witness"
    EXPERT = "Expert"


class Case(FirmRecord):
    """A matter that a firm handles for a client. Deleting it takes all that belongs to it along."""

    case_number = TextField()
    title = TextField()
    client = FirmReferenceField(Client, backref="cases")
    status = EnumField(CaseStatus, default=CaseStatus.ACTIVE)
    type = EnumField(CaseType)
    priority = EnumField(Priority, default=Priority.MEDIUM)
    description = TextField(null=True)
    opened_date = DateField()
    closed_date = DateField(null=True)
    value = DecimalField(max_digits=15, decimal_places=2, null=True)
    court_name = TextField(null=True)
    judge_name = TextField(null=True)
    next_hearing_date = TimestampField(null=True)
    metadata = JsonField(default=dict, constraints=[Default("'{}'")])
    search_words = words_of("title")

    class Meta:
        table_name = "cases"
        declared = (
            Unique("cases_firm_id_case_number_key", ("firm_id", "case_number")),
            Check("cases_value_check", "value <> 'NaN'"),
            Check("cases_closed_after_opened_check", "closed_date >= opened_date"),
            Check(
                "cases_closed_has_date_check",
                "status NOT IN ('Closed', 'Archived') OR closed_date IS NOT NULL",
            ),
            words_index("cases"),
            Index("cases_firm_id_client_id_idx", ("firm_id", "client_id")),
            Index("cases_firm_id_status_opened_idx", ("firm_id", "status", "opened_date DESC")),
            Index("cases_firm_id_type_idx", ("firm_id", "type")),
            Index(
                "cases_firm_id_next_hearing_idx",
                ("firm_id", "next_hearing_date"),
                where="next_hearing_date IS NOT NULL",
            ),
            *cache_events("cases", "case", ("id",), on=("UPDATE", "DELETE")),
        )


class CaseTeamMember(FirmRecord):
    """A user's place in the team of a case."""

    case = FirmReferenceField(Case, backref="team", on_delete="CASCADE")
    user = FirmReferenceField(User, backref="case_memberships", on_delete="CASCADE")
    role = TextField(null=True)
    assigned_at = TimestampField(constraints=[Default(NOW)])
    assigned_by = FirmReferenceField(User, backref="case_assignments", null=True, on_delete="SET NULL")

    class Meta:
        table_name = "case_team"
        declared = (
            Unique("case_team_case_id_user_id_key", ("firm_id", "case_id", "user_id")),
            Index("case_team_firm_id_user_id_idx", ("firm_id", "user_id")),
            Index("case_team_firm_id_assigned_by_idx", ("firm_id", "assigned_by_id")),
        )


class CaseActor(FirmRecord):
    """A party of a case: client, opponent, counsel, witness or expert."""

    case = FirmReferenceField(Case, backref="actors", on_delete="CASCADE")
    role = EnumField(CaseActorRole)
    name = TextField()
    organization = TextField(null=True)
    email = TextField(null=True)
    phone = TextField(null=True)
    address = TextField(null=True)
    notes = TextField(null=True)
    search_words = words_of("name")

    class Meta:
        table_name = "case_actors"
        declared = (
            Index("case_actors_firm_id_case_id_role_idx", ("firm_id", "case_id", "role")),
            words_index("case_actors"),
        )
