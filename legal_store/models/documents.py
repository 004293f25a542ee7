"""The documents of a case, with the embedding that finds them by meaning."""

from __future__ import annotations

import os
from enum import StrEnum

from peewee import BigIntegerField, BooleanField, IntegerField, TextField

from legal_store.models.cases import Case
from legal_store.models.firms import FirmRecord
from legal_store.models.outbox import cache_events
from legal_store.models.searching import (
    CONTENT_HASH,
    EMBEDDING_DIMENSIONS,
    SHORT_PENDING_LIST,
    words_index,
    words_of,
)
from legal_store.models.users import User
from legal_store.schema.fields import EmbeddingField, EnumField, FirmReferenceField, JsonField, SearchField
from legal_store.schema.objects import Check, Default, Index

# docs/search.md says what each is good for. The variable is read here alone, because models are light to import; the
# settings judge it.
VECTOR_INDEXES = {
    "vector": Index("documents_content_embedding_idx", ("content_embedding vector_cosine_ops",), using="hnsw"),
    "halfvec": Index(
        "documents_content_embedding_idx",
        (f"(content_embedding::halfvec({EMBEDDING_DIMENSIONS})) halfvec_cosine_ops",),
        using="hnsw",
    ),
    "dense": Index(
        "documents_content_embedding_idx",
        ("content_embedding vector_cosine_ops",),
        using="hnsw",
        options="m = 24, ef_construction = 128",
    ),
}


class DocumentKind(StrEnum):
    CONTRACT = "Contract"
    PLEADING = "Pleading"
    MOTION = "Motion"
    BRIEF = "Brief"
    EVIDENCE = "Evidence"
    CORRESPONDENCE = "Correspondence"
    OTHER = "Other"


class DocumentStatus(StrEnum):
    DRAFT = "Draft"
    REVIEW = "Review"
    APPROVED = "Approved"
    FILED = "Filed"


class Document(FirmRecord):
    """A document of a case; its file lies in object storage at `storage_url`."""

    case = FirmReferenceField(Case, backref="documents", on_delete="CASCADE")
    title = TextField()
    document_type = EnumField(DocumentKind)
    status = EnumField(DocumentStatus, default=DocumentStatus.DRAFT)
    content = TextField(null=True)
    file_name = TextField(null=True)
    file_size_bytes = BigIntegerField(null=True)
    mime_type = TextField(null=True)
    storage_url = TextField(null=True)
    version = IntegerField(default=1, constraints=[Default("1")])
    ai_generated = BooleanField(default=False, constraints=[Default("false")])
    created_by = FirmReferenceField(User, backref="created_documents", null=True, on_delete="SET NULL")
    content_embedding = EmbeddingField(EMBEDDING_DIMENSIONS, null=True)
    # "provider:content_hash" of an embedding that `search.embed` made; empty for one that a service brought
    embedded_with = TextField(null=True)
    metadata = JsonField(default=dict, constraints=[Default("'{}'")])
    search_words = words_of("title")
    search_text = SearchField("TSVECTOR", "search_text(title, content)")
    content_hash = SearchField("TEXT", CONTENT_HASH)

    class Meta:
        table_name = "documents"
        declared = (
            Check("documents_version_check", "version >= 1"),
            Check("documents_file_size_bytes_check", "file_size_bytes >= 0"),
            words_index("documents"),
            Index("documents_search_text_idx", ("firm_id", "search_text"), using="gin", options=SHORT_PENDING_LIST),
            Index(
                "documents_embedded_idx",
                ("firm_id", "document_type", "status", "case_id", "created_at"),
                where="content_embedding IS NOT NULL",
            ),
            VECTOR_INDEXES.get(os.environ.get("LEGAL_STORE_VECTOR_INDEX", "").strip(), VECTOR_INDEXES["vector"]),
            Index("documents_firm_id_case_id_idx", ("firm_id", "case_id", "created_at DESC")),
            Index("documents_firm_id_type_status_idx", ("firm_id", "document_type", "status")),
            Index("documents_firm_id_created_by_idx", ("firm_id", "created_by_id")),
            *cache_events("documents", "document", ("case_id",), on=("INSERT", "DELETE")),
            *cache_events("documents", "document", ("id", "case_id"), on=("UPDATE",)),
        )
