"""The clients of a firm."""

from __future__ import annotations

from peewee import TextField

from legal_store.models.firms import FirmRecord
from legal_store.models.searching import words_index, words_of
from legal_store.schema.fields import JsonField
from legal_store.schema.objects import Default, Unique


class Client(FirmRecord):
    """A person or company that a firm works for. It cannot be deleted while it has cases."""

    name = TextField()
    contact_info = JsonField(default=dict, constraints=[Default("'{}'")])
    address = TextField(null=True)
    email = TextField(null=True)
    phone = TextField(null=True)
    search_words = words_of("name")

    class Meta:
        table_name = "clients"
        declared = (
            Unique("clients_firm_id_name_key", ("firm_id", "name")),
            words_index("clients"),
        )
