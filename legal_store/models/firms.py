"""Law firms, and what it means that a row belongs to one."""

from __future__ import annotations

from typing import Any, ClassVar

from peewee import TextField

from legal_store.database.scope import current_firm
from legal_store.models.base import TimedRecord
from legal_store.models.outbox import cache_events
from legal_store.models.scoped import refuse_other_firm
from legal_store.schema.fields import ReferenceField
from legal_store.schema.objects import Unique


class Firm(TimedRecord):
    """A law firm: the tenant that everything confidential belongs to. In its own scope it sees and edits itself."""

    firm_column: ClassVar[str | None] = "id"
    service_rights: ClassVar[str] = "SELECT, UPDATE"

    name = TextField()
    vat_id = TextField()
    email = TextField(null=True)
    phone = TextField(null=True)
    address = TextField(null=True)
    website = TextField(null=True)

    class Meta:
        table_name = "firms"
        declared = (
            Unique("firms_vat_id_key", ("vat_id",), across_firms="two firms never share a VAT id"),
            *cache_events("firms", "firm", ("id",), firm="id", on=("UPDATE", "DELETE")),
        )


class OwnerField(ReferenceField):
    """The firm that a row belongs to. In the scope of one firm no other may be written or asked for."""

    def db_value(self, value: Any) -> Any:
        owner = super().db_value(value)
        refuse_other_firm(self.model.__name__, owner)
        return owner


def _backref(field: Any) -> str:
    return "+" if field.model.__dict__.get("abstract") else str(field.model._meta.table_name)


class FirmRecord(TimedRecord):
    """A row of one firm. Its key is (id, firm_id), so that references between rows cannot leave the firm."""

    abstract: ClassVar[bool] = True
    key_columns: ClassVar[tuple[str, ...]] = ("id", "firm_id")
    firm_column: ClassVar[str | None] = "firm"

    firm = OwnerField(Firm, backref=_backref, default=current_firm)
