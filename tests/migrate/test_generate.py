"""The difference engine: one generated step leads to what the models say, and back."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.config import Url
from legal_store.errors import LegalStoreError
from legal_store.migrate.generate import propose_on
from legal_store.migrate.rename_decision import model_hints
from legal_store.schema.ddl import create_statements
from legal_store.schema.snapshot import read_snapshot
from tests.migrate.random_models import changed, random_spec, schema_of

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
SEEDS = range(400) if FULL else range(0, 400, 25)


@pytest.fixture
def scratch(empty_database: Url) -> Iterator[Any]:
    with closing(psycopg2.connect(empty_database)) as connection:
        with connection, connection.cursor() as cursor:
            for extension in ("uuid-ossp", "vector", "pg_trgm"):
                cursor.execute(f'CREATE EXTENSION "{extension}"')
        yield connection


def create(connection: Any, schema: Any) -> None:
    with connection.cursor() as cursor:
        for statement in create_statements(schema):
            cursor.execute(statement)


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_random_model_changes_converge_in_one_step_and_lead_back(scratch: Any) -> None:
    failures = []
    for seed in SEEDS:
        rng = random.Random(seed)
        before = random_spec(rng)
        after = changed(rng, before)
        old, new = schema_of(before), schema_of(after)
        create(scratch, new)
        wanted = read_snapshot(scratch)
        scratch.rollback()
        create(scratch, old)
        declared = {" ".join(key) for key in read_snapshot(scratch).catalog}
        try:
            proposal = propose_on(
                scratch,
                wanted,
                declared_before=declared,
                hints=model_hints(new),
                ask=lambda rename, yes=seed % 2 == 0: yes,
            )
            if proposal.irreversible:
                failures.append((seed, "irreversible", proposal.irreversible))
        except (LegalStoreError, psycopg2.Error) as error:
            failures.append((seed, type(error).__name__, str(error)[:400]))
        scratch.rollback()
    report = "\n".join(f"seed {seed}: {kind}: {why}" for seed, kind, why in failures)
    assert not failures, f"{len(failures)} of {len(SEEDS)}:\n{report}"
