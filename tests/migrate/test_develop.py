"""From a change of models to a migration in the folder: proven, counted, asked about, applied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store.config import Url
from legal_store.database.scope import SERVICE_ROLE
from legal_store.errors import MigrationError, RefusedError, WrongUseError
from legal_store.migrate import deploy
from legal_store.migrate.corrections import undo
from legal_store.migrate.declared_file import read_declared
from legal_store.migrate.develop import check, generate, keep
from legal_store.migrate.files import read_migrations
from legal_store.migrate.plan import plan
from legal_store.migrate.proof import refuse_other_schema
from legal_store.models.declared import SCHEMA
from legal_store.schema.ddl import create_service_role
from legal_store.schema.objects import Function, Schema, TextSearchConfiguration
from legal_store.schema.snapshot import read_snapshot
from tests.conftest import MIGRATIONS, Cluster
from tests.migrate.random_models import Spec, schema_of, tidy
from tests.migrate.support import catalog, parameters, run, write

Fields = dict[str, tuple[str, bool, Any]]


def schema(renamed: tuple[Any, ...] = (), **tables: Fields) -> Schema:
    spec: Spec = {"tables": {}, "views": {}, "functions": {"touch": 1}, "renamed": list(renamed)}
    for name, fields in tables.items():
        spec["tables"][name] = {"fields": fields, "references": {}, "declared": [], "rights": "SELECT"}
    return schema_of(tidy(spec))._replace(extensions=("uuid-ossp", "vector"))


NOTES: Fields = {"title": ("text", False, None), "pages": ("int", True, None)}


@pytest.fixture(scope="module")
def first_day(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A database and a folder that agree with a model of notes, with two rows; to be copied."""
    folder = write(
        tmp_path_factory.mktemp("first_day") / "migrations",
        a000_extensions='CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION vector;' + create_service_role(SERVICE_ROLE),
    )
    with cluster.database() as name:
        deploy(parameters(cluster.url(name)), folder)
        step(cluster.url(name), folder, schema(notes=NOTES), "notes")
        run(cluster.url(name), "INSERT INTO notes (title, pages) VALUES ('a', 1), ('b', NULL)")
        yield name, folder


@pytest.fixture
def folder(first_day: tuple[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(first_day[1], tmp_path / "migrations"))


@pytest.fixture
def developed(cluster: Cluster, first_day: tuple[str, Path]) -> Iterator[Url]:
    with cluster.database(first_day[0]) as name:
        yield cluster.url(name)


def step(url: Url, folder: Path, wanted: Schema, name: str, **options: Any) -> Path:
    """Generate, keep and apply one migration; the next generation finds nothing."""
    path = keep(folder, generate(parameters(url), folder, wanted, **options), name)
    assert deploy(parameters(url), folder).applied == [path.stem]
    assert generate(parameters(url), folder, wanted).empty
    return path


def test_a_changed_model_becomes_an_applied_migration_with_a_way_back(developed: Url, folder: Path) -> None:
    before = catalog(developed)
    path = step(developed, folder, schema(notes={**NOTES, "due": ("date", True, None)}), "add_due")
    assert 'ALTER TABLE "notes" ADD COLUMN "due" date;' in path.read_text()
    assert catalog(developed)["column", "notes.due"] == "date"
    undo(parameters(developed), folder)
    assert catalog(developed) == before


def test_what_would_be_lost_is_counted_and_needs_a_word(developed: Url, folder: Path) -> None:
    smaller = schema(notes={"title": NOTES["title"]})
    with pytest.raises(RefusedError, match=r"dropping column notes.pages loses its values: 1\n.*--allow-data-loss"):
        generate(parameters(developed), folder, smaller)
    step(developed, folder, smaller, "drop_pages", allow_data_loss=True)
    gone = schema()
    with pytest.raises(RefusedError, match="dropping table notes loses its rows: 2"):
        generate(parameters(developed), folder, gone)


def test_a_conversion_that_changes_values_and_a_column_that_cannot_be_filled_are_losses(
    developed: Url, folder: Path
) -> None:
    run(developed, "UPDATE notes SET title = repeat('x', 30)")
    shorter = schema(notes={**NOTES, "title": ("char20", False, None)})
    with pytest.raises(RefusedError, match=r"turning notes.title from text to character varying\(20\) changes.*: 2"):
        generate(parameters(developed), folder, shorter)
    required = schema(notes={**NOTES, "pages": ("int", False, None), "due": ("date", False, None)})
    with pytest.raises(RefusedError, match=r"pages becomes NOT NULL.*: 1\n.*adding notes.due, NOT NULL without.*: 2"):
        generate(parameters(developed), folder, required)


def test_a_rename_is_asked_for_and_never_taken_for_granted(developed: Url, folder: Path) -> None:
    renamed = schema(notes={"heading": NOTES["title"], "pages": NOTES["pages"]})
    with pytest.raises(
        WrongUseError, match=r"may be renames.*notes.title=notes.heading.*--rename .* or --drop 'column"
    ):
        generate(parameters(developed), folder, renamed)
    asked = []
    path = step(developed, folder, renamed, "heading", ask=lambda rename: asked.append(str(rename)) or True)
    assert asked == ["notes.title=notes.heading"]
    assert 'RENAME COLUMN "title" TO "heading"' in path.read_text()
    assert run(developed, "SELECT heading FROM notes ORDER BY 1") == [("a",), ("b",)]


def test_what_a_hint_leaves_over_is_asked_about_too(developed: Url, folder: Path) -> None:
    names = ("court", "judge", "place", "magistrate")
    court, judge, place, magistrate = ({name: ("text", True, None)} for name in names)
    step(developed, folder, schema(notes={**NOTES, **court, **judge}), "court")
    wanted = schema(notes={**NOTES, **place, **magistrate})
    hint = ["notes.judge=notes.magistrate"]
    with pytest.raises(WrongUseError, match=r"1 changes may be renames.*: notes.court=notes.place\. "):
        generate(parameters(developed), folder, wanted, renames=hint)
    asked: list[str] = []
    proposal = generate(parameters(developed), folder, wanted, ask=lambda rename: asked.append(str(rename)) or False)
    assert sorted(asked) == sorted(f"notes.{was}=notes.{now}" for was in names[:2] for now in names[2:])
    assert {losing.what.split()[2] for losing in proposal.losing} == {"notes.court", "notes.judge"}


@pytest.mark.parametrize("how", ["flag", "model"])
def test_a_rename_can_be_declared(how: str, developed: Url, folder: Path) -> None:
    fields = {"heading": NOTES["title"], "pages": NOTES["pages"]}
    if how == "flag":
        step(developed, folder, schema(notes=fields), "heading", renames=["notes.title=notes.heading"])
    else:
        step(developed, folder, schema((("notes", "title", "heading"),), notes=fields), "heading")
    step(developed, folder, schema((("papers", "notes"),), papers=fields), "papers")
    assert run(developed, "SELECT heading FROM papers ORDER BY 1") == [("a",), ("b",)]


def test_a_hint_or_a_name_that_fits_nothing_is_an_error(developed: Url, folder: Path) -> None:
    renamed = schema(notes={"heading": NOTES["title"], "pages": NOTES["pages"]})
    for options, message in (
        ({"renames": ["notes.typo=notes.heading"]}, "--rename notes.typo=notes.heading fits nothing"),
        ({"renames": ["notes.title=notes.typo"]}, "--rename notes.title=notes.typo fits nothing"),
        ({"renames": ["papers=sheets"]}, "--rename papers=sheets fits nothing"),
        ({"renames": ["notes.title=notes.heading", "notes.id=notes.heading"]}, "--rename notes.id=.* fits nothing"),
        ({"renames": ["notes.title"]}, "'notes.title' is no rename. Write OLD=NEW"),
        ({"renames": ["notes.title=heading"]}, "'notes.title=heading' is no rename"),
        ({"drop": ["column notes.typo"]}, "--drop 'column notes.typo' names nothing that the migrations make"),
        ({"drop": ["column notes.pages"]}, "--drop 'column notes.pages': a model declares it"),
    ):
        with pytest.raises(WrongUseError, match=message):
            generate(parameters(developed), folder, renamed, ask=lambda rename: True, **options)


def test_a_name_that_no_file_can_have_is_refused(developed: Url, folder: Path) -> None:
    proposal = generate(parameters(developed), folder, schema(notes={**NOTES, "due": ("date", True, None)}))
    for name in ("Add due", "x" * 49, "../due", ""):
        with pytest.raises(WrongUseError, match="is no name for a migration"):
            keep(folder, proposal, name)
    assert len(read_migrations(folder)) == 2


def test_where_the_way_back_does_not_lead_back_the_file_says_why(developed: Url, folder: Path) -> None:
    trigrams = schema(notes=NOTES)._replace(extensions=("uuid-ossp", "vector", "pg_trgm"))
    path = step(developed, folder, trigrams, "trigrams")
    assert "irreversible = 'The way back does not lead back; 1 objects differ:" in path.read_text()
    assert "extension pg_trgm is not expected" in path.read_text()
    with pytest.raises(MigrationError, match=r"trigrams.py cannot be undone: The way back does not lead back"):
        undo(parameters(developed), folder)


def test_a_change_that_postgresql_does_not_let_through_is_shown_and_nothing_written(
    developed: Url, folder: Path
) -> None:
    write(folder, a20990101000000_rule="CREATE RULE r AS ON UPDATE TO notes WHERE new.pages > 9 DO INSTEAD NOTHING;")
    deploy(parameters(developed), folder)
    retyped = schema(notes={**NOTES, "pages": ("big", True, None)})
    with pytest.raises(MigrationError, match=r"does not run: cannot alter type of a column used by a .*ALTER TABLE"):
        generate(parameters(developed), folder, retyped)


def test_a_schema_that_is_not_the_goal_fails_the_proof(developed: Url) -> None:
    with closing(psycopg2.connect(developed)) as connection, connection.cursor() as cursor:
        goal = read_snapshot(connection)
        refuse_other_schema(connection, goal, "It is something else")
        cursor.execute("CREATE TABLE extra ()")
        with pytest.raises(MigrationError, match=r"It is something else; 1 objects differ:\n  - table extra is not"):
            refuse_other_schema(connection, goal, "It is something else")


def test_text_search_configurations_come_change_and_go(developed: Url, folder: Path) -> None:
    before = catalog(developed)
    plain = schema(notes=NOTES)
    english = plain._replace(text_search=(TextSearchConfiguration("words", "english", "simple"),))
    step(developed, folder, english, "words")
    stemmed = plain._replace(text_search=(TextSearchConfiguration("words", "simple", "romanian_stem, simple"),))
    step(developed, folder, stemmed, "stems")
    assert generate(parameters(developed), folder, plain).up == ['DROP TEXT SEARCH CONFIGURATION "words"']
    for _ in range(2):
        undo(parameters(developed), folder)
    assert catalog(developed) == before


def test_a_new_function_of_a_trigger_is_taken_from_everybody(developed: Url, folder: Path) -> None:
    plain = schema(notes=NOTES)
    own = Function("note()", "trigger", "BEGIN RETURN NULL; END", attributes="SECURITY DEFINER", service_only=True)
    path = step(developed, folder, plain._replace(functions=(*plain.functions, own)), "note")
    assert "REVOKE EXECUTE ON FUNCTION note() FROM PUBLIC" in path.read_text()


def test_what_no_model_declares_is_reported_and_never_dropped(developed: Url, folder: Path) -> None:
    write(folder, a20990101000000_by_hand="CREATE TABLE outbox (id int); CREATE INDEX own_idx ON notes (title DESC);")
    deploy(parameters(developed), folder)
    wanted = schema(notes={**NOTES, "title": ("char90", False, None)})
    proposal = generate(parameters(developed), folder, wanted)
    assert proposal.unknown == ["index notes.own_idx", "table outbox"]
    step(developed, folder, wanted, "longer")
    assert {("table", "outbox"), ("index", "notes.own_idx")} <= catalog(developed).keys()


def test_models_migrations_and_a_database_of_this_package_agree(database_url: Url) -> None:
    assert check(parameters(database_url), MIGRATIONS, SCHEMA) == []


def test_what_belongs_to_the_models_is_remembered_beside_the_files(developed: Url, folder: Path) -> None:
    assert {"table notes", "column notes.title", "index notes.notes_pkey"} <= (read_declared(folder) or set())
    assert read_declared(MIGRATIONS) is not None


def test_check_finds_what_does_not_agree(developed: Url, folder: Path) -> None:
    run(developed, "CREATE TABLE by_hand ()")
    write(folder, a20990101000000_half="-- migrate:up\nCREATE TABLE half ();\n-- migrate:down\nSELECT 1;")
    found = "\n".join(check(parameters(developed), folder, schema(notes={**NOTES, "due": ("date", True, None)})))
    for problem in (
        'the migrations lack what the models say: ALTER TABLE "notes" ADD COLUMN "due" date',
        "000_extensions: 000_extensions.sql has no way back",
        "the way back of 20990101000000_half leaves: table half is not expected",
        "20990101000000_half is pending in the database",
        "drift: table by_hand is not expected",
    ):
        assert problem in found


def test_plan_shows_the_lock_that_each_statement_was_seen_to_take(developed: Url, folder: Path) -> None:
    run(developed, "INSERT INTO notes (title) SELECT repeat('x', 500) FROM generate_series(1, 5000); ANALYZE notes")
    write(
        folder,
        a20990101000000_forms="ALTER TABLE notes ADD COLUMN a int; CREATE INDEX b ON notes (title);"
        "ALTER TABLE notes ALTER pages TYPE bigint; UPDATE notes SET a = 1;",
        a20990101000001_off="-- transaction: off\nCREATE INDEX CONCURRENTLY c ON notes (pages);",
    )
    before = catalog(developed)
    found = plan(parameters(developed), folder)
    assert [(s.lock, s.blocks, s.rewrites) for s in found.statements] == [
        ("AccessExclusive", "reads and writes wait", False),
        ("Share", "writes wait", False),
        ("AccessExclusive", "reads and writes wait", True),
        ("RowExclusive", "", False),
        ("ShareUpdateExclusive", "", False),
    ]
    assert {s.table for s in found.statements} == {"notes"}
    assert all(s.rows == 5002 and s.bytes > 500_000 for s in found.statements)
    assert found.statements[2].seconds > 0
    assert catalog(developed) == before
