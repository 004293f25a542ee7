"""Loading a market into PostgreSQL: every constraint true, the schema as before, the same content each time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store.config import Url
from legal_store.errors import RefusedError, ServerUnavailableError, WrongUseError
from legal_store.generating import GenerateReport, generate, indexes, ledger
from legal_store.generating.loading import is_worth_rebuilding
from legal_store.generating.locks import Patience
from legal_store.generating.tables import CATALOGUE, COLUMNS
from legal_store.models.declared import SCHEMA
from legal_store.schema.catalog import differences, read_catalog
from legal_store.schema.fields import EnumField
from tests.conftest import Cluster
from tests.generating.support import SYNTHETIC, copied_recipe, fingerprint, query, settings_for

ROWS = 24_000  # enough for indexes to be taken away


@pytest.fixture(scope="module")
def loaded(cluster: Cluster, template: str) -> Any:
    """A database with a market of ROWS rows, and the report of its making. Nobody changes it."""
    with cluster.database(template) as name:
        url = cluster.url(name)
        yield url, generate(settings_for(url), SYNTHETIC, rows=ROWS)


@pytest.fixture
def url(loaded: Any) -> Url:
    return loaded[0]


def test_every_table_has_the_reported_rows(loaded: Any) -> None:
    url, report = loaded
    counts = {table: count for table, (count, _) in fingerprint(url).items()}
    assert counts | dict(report.tables) == counts
    assert sum(counts[table] for table in COLUMNS) == report.rows == ROWS
    assert all(counts.values())


def test_every_value_of_every_enumeration_occurs(url: Url) -> None:
    for model in SCHEMA.models:
        for field in model._meta.sorted_fields:
            if isinstance(field, EnumField):
                found = query(url, f'SELECT DISTINCT "{field.column_name}" FROM "{model._meta.table_name}"')
                assert {value for (value,) in found} >= {member.value for member in field.members}, field.name


def test_the_schema_is_exactly_as_before(url: Url, cluster: Cluster, template: str) -> None:
    with closing(cluster.connect(template)) as before, closing(psycopg2.connect(url)) as after:
        assert differences(read_catalog(before), read_catalog(after)) == []


def test_every_constraint_has_been_checked_by_postgresql(url: Url) -> None:
    assert query(url, "SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert query(url, "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid OR NOT indisready") == []


def test_references_without_a_foreign_key_are_true(url: Url) -> None:
    for column, table in (
        ("skill_usage_logs.user_id", "users"),
        ("template_usage_logs.user_id", "users"),
        ("document_type_instances.document_id", "documents"),
    ):
        source, name = column.split(".")
        assert query(url, f"SELECT {name} FROM {source} EXCEPT SELECT id FROM {table}") == []
    samples = "SELECT unnest(sample_document_ids) FROM document_type_registry"
    assert query(url, f"SELECT count(*) > 0 FROM ({samples}) AS s") == [(True,)]
    assert query(url, f"{samples} EXCEPT SELECT id FROM documents") == []


def test_statistics_of_skills_and_templates_are_those_of_their_logs(url: Url) -> None:
    for owner, log, key in (
        ("skills", "skill_usage_logs", "skill_id"),
        ("romanian_templates", "template_usage_logs", "template_id"),
    ):
        wrong = f"SELECT 1 FROM {owner} o WHERE usage_count <> (SELECT count(*) FROM {log} l WHERE l.{key} = o.id)"
        assert query(url, wrong) == []
        assert query(url, f"SELECT sum(usage_count) > 0 FROM {owner}") == [(True,)]


def test_postgresql_knows_how_large_the_tables_are(url: Url) -> None:
    estimates = dict(query(url, "SELECT relname, reltuples::int FROM pg_class WHERE relkind = 'r'"))
    for table, (count, _) in fingerprint(url).items():
        assert estimates[table] == pytest.approx(count, rel=0.05)


def test_sizes_have_long_tails(url: Url) -> None:
    ((shortest, median, longest),) = query(
        url,
        "SELECT min(octet_length(content)), percentile_disc(0.5) WITHIN GROUP (ORDER BY octet_length(content)), "
        "max(octet_length(content)) FROM documents",
    )
    assert 200 <= shortest < 400
    assert 1000 < median < 2000
    assert 8 * median < longest <= 50_000


def test_embeddings_cluster_by_case_and_type(url: Url) -> None:
    similarity = """
        SELECT a.case_id = b.case_id, a.document_type = b.document_type,
               avg(1 - (a.content_embedding <=> b.content_embedding))::float
        FROM documents a JOIN documents b ON a.id < b.id
        WHERE a.content_embedding IS NOT NULL AND b.content_embedding IS NOT NULL GROUP BY 1, 2
    """
    mean = {(same_case, same_type): value for same_case, same_type, value in query(url, similarity)}
    assert mean[True, True] == pytest.approx(0.75, abs=0.1)
    assert mean[True, False] == pytest.approx(0.5, abs=0.1)
    assert mean[False, True] == pytest.approx(0.25, abs=0.1)
    assert mean[False, False] == pytest.approx(0, abs=0.1)


def test_nothing_of_the_load_is_left_over(url: Url) -> None:
    assert query(url, "SELECT nspname FROM pg_namespace WHERE nspname = %s", (ledger.SCHEMA,)) == []


def test_running_again_does_nothing(loaded: Any) -> None:
    url, _ = loaded
    before = fingerprint(url)
    again = generate(settings_for(url), SYNTHETIC, rows=ROWS)
    assert again.already_there
    assert fingerprint(url) == before


def test_another_size_of_the_same_seed_is_refused(url: Url) -> None:
    before = fingerprint(url)
    with pytest.raises(WrongUseError, match=r"firms of seed 1, but not .*firm \w+ has [\d,]+ rows instead of [\d,]+"):
        generate(settings_for(url), SYNTHETIC, rows=ROWS + 1)
    with pytest.raises(WrongUseError, match="made by another recipe or size"):
        generate(settings_for(url), SYNTHETIC, rows=ROWS - 6000)
    assert fingerprint(url) == before


def test_another_recipe_of_the_same_seed_is_refused(database_url: Url, tmp_path: Path) -> None:
    generate(settings_for(database_url), SYNTHETIC, rows=1000)
    folder = copied_recipe(tmp_path)
    recipe = folder / "recipe.toml"
    for old, new in (("history_years = 6", "history_years = 7"), ("usage_log_share = 0.", "usage_log_share = 0.1")):
        assert old in recipe.read_text()
        recipe.write_text(recipe.read_text().replace(old, new))
        with pytest.raises(WrongUseError, match="made by another recipe or size"):
            generate(settings_for(database_url), folder, rows=1000)
    assert query(database_url, "SELECT count(*) FROM firms") == [(1,)]


def test_what_others_added_to_the_firms_does_not_matter_and_what_they_deleted_does(database_url: Url) -> None:
    def again() -> GenerateReport:
        return generate(settings_for(database_url), SYNTHETIC, rows=3000, firms=3)

    made = again()
    query(database_url, "INSERT INTO clients (firm_id, name) SELECT id, 'C' FROM firms RETURNING id; COMMIT; SELECT 1")
    found = again()
    assert (found.already_there, found.added, found.content_hash) == (True, 3, None)
    assert dict(found.tables) == {**dict(made.tables), "clients": dict(made.tables)["clients"] + 3}
    middle = "(SELECT id FROM firms ORDER BY (SELECT count(*) FROM users u WHERE u.firm_id = firms.id), id LIMIT 1)"
    query(database_url, f"DELETE FROM tasks WHERE firm_id = {middle} RETURNING id; COMMIT; SELECT 1")
    with pytest.raises(WrongUseError, match=r"firm \w{32} has [\d,]+ rows instead of"):
        again()


def test_another_seed_adds_its_firms_without_touching_the_indexes(database_url: Url) -> None:
    first = generate(settings_for(database_url), SYNTHETIC, rows=1500)
    made = query(database_url, "SELECT indexrelid FROM pg_index ORDER BY 1")
    second = generate(settings_for(database_url), SYNTHETIC, rows=1000, firms=1, seed=2)
    assert first.content_hash != second.content_hash
    assert query(database_url, "SELECT count(*) FROM firms") == [(first.firms + 1,)]
    assert query(database_url, "SELECT indexrelid FROM pg_index ORDER BY 1") == made
    assert query(database_url, "SELECT count(*) FROM skills") == [(10,)]


def test_progress_is_told_for_every_stage(database_url: Url) -> None:
    told: list[tuple[str, int, int]] = []
    generate(settings_for(database_url), SYNTHETIC, rows=1000, progress=lambda *step: told.append(step))
    assert [step for step in told if step[0] == "rows"][-1] == ("rows", 1000, 1000)
    assert [stage for stage, done, total in told if done == total] == ["rows", "indexes", "statistics"]


@pytest.mark.parametrize(
    ("present", "planned", "expected"), [(0, 20_000, True), (0, 19_999, False), (50_001, 50_000, False)]
)
def test_indexes_are_made_anew_only_where_that_pays(present: int, planned: int, expected: bool) -> None:
    assert is_worth_rebuilding(present, planned) is expected


def test_indexes_taken_away_are_put_back_exactly(database_url: Url) -> None:
    with closing(psycopg2.connect(database_url)) as connection:
        before = read_catalog(connection)
        with connection, connection.cursor() as cursor:
            ledger.create(cursor, ledger.Run("any", "", 1, 1, 1))
            assert indexes.take_away(cursor, tuple(COLUMNS)) > 50
        with connection, connection.cursor() as cursor:
            removed = ledger.read_removed(cursor)
            assert len(read_catalog(connection)) < len(before) - 50
        patience = Patience(5, print)
        indexes.put_back(psycopg2.extensions.parse_dsn(database_url), removed, patience, lambda item: None)
        assert differences(before, read_catalog(connection)) == []
        with connection, connection.cursor() as cursor:
            assert ledger.read_removed(cursor) == []


@pytest.mark.parametrize("sign", ["setting", "url", "marker"])
def test_a_production_database_with_rows_is_refused(cluster: Cluster, template: str, sign: str) -> None:
    with cluster.database(template) as name:
        url = cluster.url(name)
        query(url, "INSERT INTO skills (skill_id, display_name) VALUES ('a', 'A') RETURNING id; COMMIT; SELECT 1")
        if sign == "marker":
            query(url, f"ALTER DATABASE {name} SET legal_store.environment = 'production'; COMMIT; SELECT 1")
        marked = Url(f"{url}&application_name=production") if sign == "url" else url
        settings = settings_for(marked, LEGAL_STORE_ENV="production" if sign == "setting" else "development")
        with pytest.raises(RefusedError, match=r"holds rows \(in skills\) is refused, this is production: .+"):
            generate(settings, SYNTHETIC, rows=1000)
        assert query(url, "SELECT count(*) FROM firms") == [(0,)]


def test_an_empty_production_database_can_be_filled(database_url: Url) -> None:
    settings = settings_for(database_url, LEGAL_STORE_ENV="production")
    assert generate(settings, SYNTHETIC, rows=1000).rows == 1000


def test_a_second_load_at_the_same_time_is_refused(database_url: Url) -> None:
    inner: list[Exception] = []

    def start_another(stage: str, done: int, total: int) -> None:
        if stage == "rows" and not inner:
            try:
                generate(settings_for(database_url), SYNTHETIC, rows=1000, seed=9)
            except WrongUseError as error:
                inner.append(error)

    generate(settings_for(database_url), SYNTHETIC, rows=1000, progress=start_another)
    assert "Another load is at work" in str(inner[0])
    assert query(database_url, "SELECT count(*) FROM firms") == [(1,)]


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ServerUnavailableError, match="cannot be reached"):
        generate(settings_for(Url("postgresql://x@/y?host=/nowhere")), SYNTHETIC, rows=1000)


def test_a_catalogue_with_a_fault_writes_nothing(database_url: Url, tmp_path: Any) -> None:
    folder = copied_recipe(tmp_path)
    (folder / "catalogue" / "skills.toml").write_text('[[skills]]\nskill_id = "x"\n')
    with pytest.raises(Exception, match="display_name is missing"):
        generate(settings_for(database_url), folder, rows=1000)
    for table in (*COLUMNS, *CATALOGUE):
        assert query(database_url, f"SELECT count(*) FROM {table}") == [(0,)]
