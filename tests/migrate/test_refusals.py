"""What a deploy refuses, with its message, and that nothing was changed then."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from legal_store.config import Settings, Url
from legal_store.errors import MigrationError, OperationFailedError, RefusedError, WrongUseError
from legal_store.migrate import deploy, history, status
from legal_store.migrate.apply import Event
from legal_store.migrate.budget import LockBudget
from legal_store.migrate.corrections import baseline, plan_undo, reset, resolve, undo
from legal_store.migrate.files import read_migrations
from legal_store.migrate.plan import plan
from legal_store.migrate.replay import catalog_of
from tests.migrate.support import catalog, parameters, run, write

OFF = "-- transaction: off\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    up = "-- migrate:up\nCREATE TABLE {0} (id int);\n-- migrate:down\nDROP TABLE {0};\n"
    return write(tmp_path / "migrations", a001_first=up.format("first"), a002_second=up.format("second"))


@pytest.fixture
def deployed(empty_database: Url, folder: Path) -> Url:
    deploy(parameters(empty_database), folder)
    return empty_database


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_an_edited_file_is_refused_by_name(deployed: Url, folder: Path) -> None:
    edit(folder / "001_first.sql", "id int", "id bigint")
    write(folder, a003_third="CREATE TABLE third ();")
    with pytest.raises(RefusedError, match=r"001_first was edited after it was applied.*Restore the file") as caught:
        deploy(parameters(deployed), folder)
    assert caught.value.exit_code == 2
    assert ("table", "third") not in catalog(deployed)
    assert status(parameters(deployed), folder).edited == ["001_first"]
    assert not status(parameters(deployed), folder).clean


def test_a_change_of_comments_and_white_space_is_a_warning(deployed: Url, folder: Path) -> None:
    edit(folder / "001_first.sql", "(id int);", "(\n    id int  -- the key\n);")
    report = deploy(parameters(deployed), folder)
    assert report.warnings == ["001_first was reformatted since it was applied; its statements are the same"]
    assert status(parameters(deployed), folder).clean


def test_white_space_inside_a_string_is_an_edit(empty_database: Url, tmp_path: Path) -> None:
    folder = write(tmp_path, a001_first="CREATE TABLE t (a text DEFAULT 'x y');")
    deploy(parameters(empty_database), folder)
    edit(folder / "001_first.sql", "x y", "x  y")
    with pytest.raises(RefusedError, match=r"was edited"):
        deploy(parameters(empty_database), folder)


def test_a_missing_applied_file_is_refused(deployed: Url, folder: Path) -> None:
    (folder / "001_first.sql").unlink()
    with pytest.raises(RefusedError, match=r"001_first is applied but its file is missing"):
        deploy(parameters(deployed), folder)
    assert not status(parameters(deployed), folder).clean


def test_an_out_of_order_file_is_refused_unless_allowed(deployed: Url, folder: Path) -> None:
    (folder / "000_late.sql").write_text("CREATE TABLE late ();")
    with pytest.raises(RefusedError, match=r"000_late comes before migrations that are already applied"):
        deploy(parameters(deployed), folder)
    assert deploy(parameters(deployed), folder, allow_out_of_order=True).applied == ["000_late"]


def test_an_extension_that_an_administrator_added_is_no_drift(deployed: Url, folder: Path) -> None:
    run(deployed, "CREATE EXTENSION amcheck")
    assert deploy(parameters(deployed), folder).warnings == []


def test_drift_is_refused_with_what_differs_unless_allowed(deployed: Url, folder: Path) -> None:
    run(deployed, "ALTER TABLE first ADD COLUMN hotfix text")
    with pytest.raises(RefusedError, match=r"1 objects differ:\n  - column first.hotfix is not expected: text"):
        deploy(parameters(deployed), folder)
    assert "column first.hotfix" in deploy(parameters(deployed), folder, allow_drift=True).warnings[0]
    assert deploy(parameters(deployed), folder).warnings == []


def test_a_database_with_tables_and_no_ledger_is_refused(empty_database: Url, folder: Path) -> None:
    run(empty_database, "CREATE TABLE older (id int)")
    with pytest.raises(RefusedError, match=r"no ledger of migrations but 1 tables \(older\).*migrate.baseline"):
        deploy(parameters(empty_database), folder)


def test_the_holder_is_named_when_the_wait_for_the_lock_ends(deployed: Url, folder: Path) -> None:
    with closing(psycopg2.connect(deployed)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('legal_store migrations'))")
        with pytest.raises(
            OperationFailedError, match=f"Another deploy holds the lock.*session {holder.info.backend_pid}"
        ):
            deploy(parameters(deployed), folder, lock_wait_seconds=0.3)


def test_who_blocks_is_listed_when_the_lock_budget_is_spent(deployed: Url, folder: Path) -> None:
    write(folder, a003_third="ALTER TABLE first ADD COLUMN more int;")
    with closing(psycopg2.connect(deployed, application_name="a report")) as busy, busy.cursor() as cursor:
        cursor.execute("SELECT * FROM first")
        with pytest.raises(
            OperationFailedError, match=rf"blocked by session {busy.info.backend_pid} .*a report, idle in"
        ):
            deploy(parameters(deployed), folder, budget=LockBudget(lock_timeout=0.5, total=1.0))
    assert deploy(parameters(deployed), folder).applied == ["003_third"]


def test_a_rolled_back_migration_needs_no_resolve(deployed: Url, folder: Path) -> None:
    write(folder, a003_third="CREATE TABLE third (); SELECT 1 / 0;")
    with pytest.raises(MigrationError, match=r"division by zero"):
        deploy(parameters(deployed), folder)
    assert status(parameters(deployed), folder).pending == ["003_third"]
    write(folder, a003_third="CREATE TABLE third ();")
    assert deploy(parameters(deployed), folder).applied == ["003_third"]
    assert [attempt.state for attempt in history(parameters(deployed))][-2:] == ["rolled back", "applied"]


STEPWISE = (
    "-- transaction: off\nCREATE TABLE third (id int);\n{0}\nCREATE INDEX CONCURRENTLY third_idx ON third (id);\n"
)


def test_a_failed_stepwise_migration_waits_for_a_decision_and_goes_on_after_retry(deployed: Url, folder: Path) -> None:
    write(folder, a003_third=STEPWISE.format("SELECT 1 / 0;"))
    with pytest.raises(
        MigrationError, match=r"statement 2, line 3\) failed: division by zero.*migrate.resolve 003_third"
    ):
        deploy(parameters(deployed), folder)
    with pytest.raises(RefusedError, match=r"003_third failed and nobody has said what is true"):
        deploy(parameters(deployed), folder)
    assert status(parameters(deployed), folder).failed == ["003_third"]
    assert not status(parameters(deployed), folder).clean
    write(folder, a003_third=STEPWISE.format("SELECT 1;"))
    assert resolve(parameters(deployed), folder, "003", "retry") == "003_third"
    assert deploy(parameters(deployed), folder).applied == ["003_third"]
    assert ("index", "third.third_idx") in catalog(deployed)
    assert status(parameters(deployed), folder).clean


def test_finished_statements_may_not_change_before_the_rest_runs(deployed: Url, folder: Path) -> None:
    write(folder, a003_third=STEPWISE.format("SELECT 1 / 0;"))
    with pytest.raises(MigrationError):
        deploy(parameters(deployed), folder)
    write(folder, a003_third=STEPWISE.format("SELECT 1;").replace("id int", "id bigint"))
    resolve(parameters(deployed), folder, "003_third", "retry")
    with pytest.raises(
        MigrationError, match=r"Statement 1 of 003_third ran before the migration died, and was changed"
    ):
        deploy(parameters(deployed), folder)


def test_resolving_as_applied_or_rolled_back(deployed: Url, folder: Path) -> None:
    write(folder, a003_third=STEPWISE.format("SELECT 1 / 0;"))
    with pytest.raises(MigrationError):
        deploy(parameters(deployed), folder)
    run(deployed, "DROP TABLE third")
    resolve(parameters(deployed), folder, "003_third", "rolled-back")
    assert status(parameters(deployed), folder).pending == ["003_third"]
    resolve(parameters(deployed), folder, "003_third", "applied")
    assert status(parameters(deployed), folder).clean
    with pytest.raises(WrongUseError, match=r"003_third is applied: it cannot be resolved as retry"):
        resolve(parameters(deployed), folder, "003_third", "retry")


def test_an_unknown_name_is_an_error_and_not_everything(deployed: Url, folder: Path) -> None:
    for call in (
        lambda: undo(parameters(deployed), folder, "typo"),
        lambda: resolve(parameters(deployed), folder, "typo", "applied"),
        lambda: baseline(parameters(deployed), folder, "typo"),
    ):
        with pytest.raises(WrongUseError, match=r"'typo' is not the name of a migration"):
            call()
    with pytest.raises(WrongUseError, match=r"'00' could be any of 001_first, 002_second"):
        undo(parameters(deployed), folder, "00")


def test_undo_runs_the_way_back_of_the_last_one_only(deployed: Url, folder: Path) -> None:
    with pytest.raises(RefusedError, match=r"001_first cannot be undone: 002_second was applied after it"):
        undo(parameters(deployed), folder, "001_first")
    assert plan_undo(parameters(deployed), folder).statements == ["DROP TABLE second"]
    assert ("table", "second") in catalog(deployed)
    undo(parameters(deployed), folder)
    assert ("table", "second") not in catalog(deployed)
    assert status(parameters(deployed), folder).pending == ["002_second"]
    assert deploy(parameters(deployed), folder).applied == ["002_second"]


def test_a_missing_way_back_is_an_error(deployed: Url, folder: Path) -> None:
    write(
        folder, a003_third="CREATE TABLE third ();", a20250101000000_fourth_py="def migrate(m, d, *, fake=False): pass"
    )
    deploy(parameters(deployed), folder)
    with pytest.raises(MigrationError, match=r"20250101000000_fourth.py has no way back: it lacks a function rollback"):
        undo(parameters(deployed), folder)
    run(deployed, "UPDATE _migrations SET rolled_back_at = now() WHERE migration_name LIKE '%fourth'")
    with pytest.raises(MigrationError, match=r"003_third.sql has no way back: it lacks a part after `-- migrate:down`"):
        undo(parameters(deployed), folder)
    assert ("table", "third") in catalog(deployed)


def test_a_failing_way_back_changes_nothing(deployed: Url, folder: Path) -> None:
    up = "-- migrate:up\nCREATE TABLE third ();\n-- migrate:down\nDROP TABLE third; SELECT 1 / 0;"
    write(folder, a003_third=up)
    deploy(parameters(deployed), folder)
    with pytest.raises(MigrationError, match=r"Undoing 003_third failed at `SELECT 1 / 0`: division by zero"):
        undo(parameters(deployed), folder)
    assert ("table", "third") in catalog(deployed)
    assert status(parameters(deployed), folder).clean


def test_baseline_adopts_a_database_and_prismas_history(empty_database: Url, folder: Path) -> None:
    run(
        empty_database,
        "CREATE TABLE first (id int);"
        "CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,"
        " finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,"
        " started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0);"
        "INSERT INTO _prisma_migrations"
        " VALUES (gen_random_uuid(), 'abc', now(), '20240101000000_init', NULL, NULL, now(), 1)",
    )
    report = baseline(parameters(empty_database), folder, "001_first")
    assert report == (["001_first"], ["20240101000000_init"])
    assert [attempt.name for attempt in history(parameters(empty_database))] == ["20240101000000_init", "001_first"]
    assert deploy(parameters(empty_database), folder).applied == ["002_second"]
    with pytest.raises(RefusedError, match=r"has a ledger with applied migrations"):
        baseline(parameters(empty_database), folder, "002_second")


def test_baseline_refuses_a_database_that_is_something_else(empty_database: Url, folder: Path) -> None:
    run(empty_database, "CREATE TABLE first (id bigint)")
    expected = {("table", "first"): "", ("column", "first.id"): "integer"}
    with pytest.raises(RefusedError, match=r"1 objects differ:\n  - column first.id differs"):
        baseline(parameters(empty_database), folder, "001_first", expected=expected)
    assert history(parameters(empty_database)) == []


def test_a_migration_that_needs_rows_is_not_told_as_one_of_the_database(deployed: Url, folder: Path) -> None:
    (folder / "004_rows.sql").write_text("DO $$ BEGIN ASSERT EXISTS (SELECT FROM first), 'no rows'; END $$;\n")
    with pytest.raises(MigrationError, match=r"004_rows.*no rows.*\nThat was in a scratch database") as caught:
        catalog_of(parameters(deployed), read_migrations(folder))
    assert "--allow-drift" in str(caught.value) and "resolve" not in str(caught.value)
    run(deployed, "INSERT INTO first VALUES (1)")
    assert deploy(parameters(deployed), folder).applied == ["004_rows"]
    with pytest.raises(MigrationError, match=r"scratch database, which has no rows; yours was not touched\. Correct"):
        plan(parameters(deployed), folder)


def test_reset_starts_over_and_refuses_production(deployed: Url, folder: Path) -> None:
    run(deployed, "INSERT INTO first VALUES (1)")
    with pytest.raises(RefusedError, match=r"Resetting the database is refused.*LEGAL_STORE_ENV is 'production'"):
        reset(parameters(deployed), folder, Settings(database_url=deployed, environment="production"))
    assert run(deployed, "SELECT * FROM first") == [(1,)]
    before = catalog(deployed)
    report = reset(parameters(deployed), folder, Settings(database_url=deployed))
    assert report.applied == ["001_first", "002_second"]
    assert catalog(deployed) == before
    assert run(deployed, "SELECT * FROM first") == []


def test_deploying_in_production_marks_the_database_which_then_refuses_to_be_reset(deployed: Url, folder: Path) -> None:
    deploy(parameters(deployed), folder, production=True)
    with pytest.raises(RefusedError, match=r"the database itself is marked: legal_store.environment = 'production'"):
        reset(parameters(deployed), folder, Settings(database_url=deployed))


def test_a_deploy_stops_before_the_next_file_when_its_lock_is_lost(empty_database: Url, folder: Path) -> None:
    end_lock = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
        " AND (classid::bigint << 32 | objid::bigint) = hashtext('legal_store migrations')"
    )

    def cut(event: Event) -> None:
        if (event.moment, event.migration) == ("committed", "001_first"):
            run(empty_database, end_lock)

    with pytest.raises(OperationFailedError, match=r"lock between deployers was lost before 002_second.*are applied"):
        deploy(parameters(empty_database), folder, observe=cut)
    assert status(parameters(empty_database), folder).applied == ["001_first"]
    assert deploy(parameters(empty_database), folder).applied == ["002_second"]


def test_what_another_login_left_running_is_named(deployed: Url, folder: Path) -> None:
    write(folder, a003_third="CREATE TABLE third ();")
    run(deployed, "CREATE ROLE deployer LOGIN; GRANT ALL ON _migrations, _migrations_catalog TO deployer")
    try:
        with closing(psycopg2.connect(deployed)) as left, left.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('legal_store migration worker'))")
            with pytest.raises(
                OperationFailedError, match=f"may not end: session {left.info.backend_pid} .*Deploy as that login"
            ):
                deploy({**parameters(deployed), "user": "deployer"}, folder)
    finally:
        run(deployed, "DROP OWNED BY deployer; DROP ROLE deployer")
    assert ("table", "third") not in catalog(deployed)


def test_undo_refuses_what_is_not_there_missing_or_edited(deployed: Url, folder: Path) -> None:
    edit(folder / "002_second.sql", "DROP TABLE second", "DROP TABLE first")
    with pytest.raises(RefusedError, match=r"002_second was edited after it was applied, so that its way back may not"):
        undo(parameters(deployed), folder)
    (folder / "002_second.sql").unlink()
    with pytest.raises(RefusedError, match=r"The file of 002_second is missing. Restore it from version control"):
        undo(parameters(deployed), folder)
    assert ("table", "second") in catalog(deployed)
    run(deployed, "UPDATE _migrations SET rolled_back_at = now()")
    with pytest.raises(WrongUseError, match="No migration is applied, so there is none to undo"):
        undo(parameters(deployed), folder)


def test_an_irreversible_migration_says_why_it_cannot_be_undone(deployed: Url, folder: Path) -> None:
    text = 'irreversible = "the old values are gone"\n\n\ndef migrate(m, d, *, fake=False): pass\n\n\n'
    write(folder, a20250101000000_last_py=text + "def rollback(m, d, *, fake=False): pass\n")
    deploy(parameters(deployed), folder)
    with pytest.raises(MigrationError, match=r"_last.py cannot be undone: the old values are gone\. Restore a backup"):
        undo(parameters(deployed), folder)
    write(folder, a20250101000001_sql="-- irreversible: so is this.\nCREATE TABLE third ();")
    deploy(parameters(deployed), folder)
    with pytest.raises(MigrationError, match=r"_sql.sql cannot be undone: so is this\. Restore a backup"):
        undo(parameters(deployed), folder)
    assert status(parameters(deployed), folder).clean


def test_a_decision_that_does_not_fit_is_refused(deployed: Url, folder: Path) -> None:
    write(folder, a003_third="CREATE TABLE third ();")
    for name, decision, message in (
        ("003_third", "rolled-back", "003_third is pending: it cannot be resolved as rolled-back"),
        ("003_third", "retry", "003_third is pending: it cannot be resolved as retry"),
        ("002_second", "applied", "002_second is applied: it cannot be resolved as applied"),
    ):
        with pytest.raises(WrongUseError, match=message):
            resolve(parameters(deployed), folder, name, decision)
    (folder / "002_second.sql").unlink()
    with pytest.raises(WrongUseError, match="002_second is applied, and its file is missing: it cannot be resolved as"):
        resolve(parameters(deployed), folder, "002_second", "applied")
    assert resolve(parameters(deployed), folder, "002_second", "rolled-back") == "002_second"


def test_reset_that_cannot_have_the_tables_drops_nothing(deployed: Url, folder: Path) -> None:
    with closing(psycopg2.connect(deployed)) as busy, busy.cursor() as cursor:
        cursor.execute("SELECT * FROM first")
        with pytest.raises(OperationFailedError, match=r"could not be dropped: .*lock timeout.*Nothing was dropped"):
            reset(parameters(deployed), folder, Settings(database_url=deployed), lock_timeout_ms=100)
    assert ("table", "first") in catalog(deployed)


def test_plan_refuses_what_deploy_would_and_shows_the_rest_of_an_interrupted_one(deployed: Url, folder: Path) -> None:
    write(folder, a003_third=STEPWISE.format("SELECT 1 / 0;"))
    with pytest.raises(MigrationError):
        deploy(parameters(deployed), folder)
    with pytest.raises(RefusedError, match="003_third failed and nobody has said what is true"):
        plan(parameters(deployed), folder)
    write(folder, a003_third=STEPWISE.format("SELECT 1;"))
    resolve(parameters(deployed), folder, "003_third", "retry")
    assert [statement.line for statement in plan(parameters(deployed), folder).statements] == [3, 4]


@pytest.mark.parametrize("head", ["", STEPWISE.format("")])
def test_plan_says_where_a_pending_migration_would_fail(deployed: Url, folder: Path, head: str) -> None:
    write(folder, a003_third=f"{head}SELECT 1;\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationError, match=r"003_third \(statement \d, line \d\) failed: division by zero") as caught:
        plan(parameters(deployed), folder)
    assert "in a scratch database" in str(caught.value)
    assert [attempt.name for attempt in history(parameters(deployed))][-1] == "002_second"


def test_transaction_control_psql_commands_and_copy_data_are_refused(empty_database: Url, tmp_path: Path) -> None:
    for number, (text, message) in enumerate(
        (
            ("CREATE TABLE a ();\nCOMMIT;", "line 2: COMMIT in a migration would break its transaction"),
            ("\\set x 1\nSELECT 1", r"line 1: a psql command \(\\set\) is not SQL"),
            ("COPY t FROM STDIN;\n1\n\\.\n", "line 1: COPY FROM STDIN"),
            ("SELECT 'open", "001_bad.sql: The quote that begins on line 1 never ends"),
            ("-- migrate:up\n-- migrate:up\n", "001_bad.sql: The marker `-- migrate:up` stands twice"),
            ("CREATE TABLE a ();\n--migrate:down\nDROP TABLE a;", "001_bad.sql: '--migrate:down' is no marker"),
            (OFF + "CREATE INDEX CONCURRENTLY ON t (id)", "An index without a name cannot be found again"),
        )
    ):
        folder = write(tmp_path / str(number), a001_bad=text)
        with pytest.raises(MigrationError, match=message):
            deploy(parameters(empty_database), folder)
        assert catalog(empty_database) == {}
