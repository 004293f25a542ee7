"""The people of a firm who use the platform."""

from __future__ import annotations

from enum import StrEnum

from peewee import BooleanField, TextField, UUIDField

from legal_store.models.firms import FirmRecord
from legal_store.models.outbox import ROLE_CHANGES, cache_events
from legal_store.schema.fields import EnumField, JsonField, TimestampField
from legal_store.schema.objects import Check, Default, Index, Unique


class UserRole(StrEnum):
    PARTNER = "Partner"
    ASSOCIATE = "Associate"
    PARALEGAL = "Paralegal"


class UserStatus(StrEnum):
    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"


class EmailField(TextField):
    """An e-mail address that identifies somebody: kept in lower case, so that it is found however it is typed."""

    def db_value(self, value: str | None) -> str | None:
        return None if value is None else value.strip().lower()


class User(FirmRecord):
    """A member of a firm. The address is unique over all firms: signing in finds the firm by it."""

    email = EmailField()
    first_name = TextField()
    last_name = TextField()
    role = EnumField(UserRole)
    status = EnumField(UserStatus, default=UserStatus.PENDING)
    azure_ad_id = UUIDField(null=True)
    preferences = JsonField(default=dict, constraints=[Default("'{}'")])
    last_active = TimestampField(null=True)
    can_approve_documents = BooleanField(default=False, constraints=[Default("false")])
    can_manage_cases = BooleanField(default=False, constraints=[Default("false")])

    class Meta:
        table_name = "users"
        declared = (
            Unique("users_email_key", ("email",), across_firms="signing in finds the firm by the address"),
            Unique("users_azure_ad_id_key", ("azure_ad_id",), across_firms="signing in finds the firm by it"),
            Check("users_email_lowercase_check", "email = lower(btrim(email)) AND email <> ''"),
            Index("users_firm_id_role_idx", ("firm_id", "role")),
            Index("users_firm_id_last_active_idx", ("firm_id", "last_active DESC NULLS LAST")),
            *cache_events("users", "user", ("id",), on=("DELETE",)),
            ROLE_CHANGES,
        )

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}"
