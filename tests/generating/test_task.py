"""`invoke seed` as people type it: generated markets, sets of plugins, wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke import Context
from invoke.exceptions import Exit

from legal_store import Firm, Task
from legal_store.config import Url
from legal_store.errors import ConfigurationError, SeedError, WrongUseError
from legal_store.generating import generate
from legal_store.ops.seed import seed
from legal_store.seeding import seed as load_set
from legal_store.seeding.sets import find_set
from tests.conftest import CHECKOUT, set_variables
from tests.generating.support import SYNTHETIC, CutError, copied_recipe, query, settings_for


def invoke(url: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": "redis://localhost", **variables}
    return subprocess.run(
        [sys.executable, "-m", "invoke", *arguments],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_rows_are_generated_and_reported_as_json(database_url: Url) -> None:
    done = invoke(database_url, "seed", "--rows", "1.5e3", "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["seed"]) == (1500, 7)
    assert "1500/1500" in done.stderr
    assert query(database_url, "SELECT count(*) FROM firms") == [(report["firms"],)]


def test_a_table_says_what_was_made_and_a_second_run_that_nothing_is_to_do(database_url: Url) -> None:
    first = invoke(database_url, "seed", "--scale", "1", "--rows", "1000")
    assert "1 firm, 1,000 rows, in" in first.stdout
    second = invoke(database_url, "seed", "--scale", "1", "--rows", "1000")
    assert (second.returncode, "Nothing to do" in second.stdout, second.stderr) == (0, True, "")


def test_the_demo_firm_is_still_what_seed_loads(database_url: Url) -> None:
    done = invoke(database_url, "seed")
    assert done.returncode == 0, done.stderr
    assert query(database_url, "SELECT vat_id FROM firms") == [("RO12345678",)]


def test_demo_and_generated_rows_do_not_meet(database_url: Url) -> None:
    assert invoke(database_url, "seed", "--rows", "1000").returncode == 0
    tables = json.loads(invoke(database_url, "seed", "--json").stdout)["tables"]
    assert sum(table["found"] + table["put_back"] for table in tables) == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"rows": "many"}, "--rows 'many' is not a whole number from 1 to 1,000,000,000. Write it as 250000"),
        ({"rows": "0.5"}, "--rows '0.5' is not"),
        ({"rows": "-5"}, "--rows '-5' is not"),
        ({"rows": ""}, "--rows '' is not"),
        ({"rows": "10"}, "10 rows for 1 firm are too few"),
        ({"scale": "-1"}, "--scale '-1' is not"),
        ({"scale": "0"}, "--scale '0' is not a whole number from 1 to 200,000"),
        ({"scale": "100000000"}, "--scale '100000000' is not"),
        ({"scale": "1", "workers": "-1"}, "--workers '-1' is not"),
        ({"seed": "3", "workers": "3"}, "demo is a seed set with fixed rows: --seed and --workers do not apply"),
        ({"set_": "demo", "scale": "2"}, "demo is a seed set with fixed rows: --scale does not apply"),
        ({"set_": "demo", "name": "other"}, "--set and --name are two words for the same"),
        ({"set_": ""}, "The name of the seed set is empty"),
        ({"set_": "nope"}, 'no seed set "nope"'),
        ({"set_": "synthetic"}, "synthetic is a recipe. Say how much"),
        ({"rows": "1000", "add_to_production": True}, "invented data is never added to a production database"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(
    database_url: Url, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], flags: Any, told: str
) -> None:
    set_variables(monkeypatch, DATABASE_URL=database_url, REDIS_URL="redis://localhost")
    with pytest.raises(Exit) as caught:
        seed(Context(), **flags)
    assert told in str(caught.value.message)
    assert caught.value.code == 2
    assert capfd.readouterr() == ("", "")
    assert query(database_url, "SELECT count(*) FROM firms") == [(0,)]


def plugin(folder: Path, name: str, value: str) -> None:
    info = folder / "their_seeds-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-seeds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[legal_store.seeds]\n{name} = {value}\n")
    (folder / "their_seeds.py").write_text("from pathlib import Path\nSET = Path(__file__).parent / 'acme'\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_seeds", raising=False)
    return tmp_path


def test_a_plugin_brings_a_set(site: Path) -> None:
    plugin(site, "acme", "their_seeds:SET")
    (site / "acme").mkdir()
    assert find_set(SYNTHETIC.parent, "acme") == site / "acme"


def test_a_set_of_a_plugin_goes_by_the_name_of_the_plugin(site: Path, database: Any) -> None:
    plugin(site, "theirs", "their_seeds:SET")
    (site / "acme").mkdir()
    (site / "acme" / "all.toml").write_text('[[firms]]\nname = "A"\nvat_id = "RO1"\n')
    report = load_set(database, SYNTHETIC.parent, name="theirs")
    assert (report.name, report.created) == ("theirs", 1)
    (site / "acme" / "all.toml").write_text('[[firms]]\nname = "A"\n')
    with pytest.raises(SeedError, match='The seed set "theirs" has 1 problem'):
        load_set(database, SYNTHETIC.parent, name="theirs")


def test_a_recipe_of_a_plugin_is_gone_on_with_by_its_name(database_url: Url, tmp_path: Path) -> None:
    def cut(stage: str, done: int, total: int) -> None:
        raise CutError

    folder = copied_recipe(tmp_path)
    with pytest.raises(CutError):
        generate(settings_for(database_url), folder, name="theirs", rows=1000, progress=cut)
    with pytest.raises(WrongUseError, match="`invoke seed --set theirs --seed 1 --scale 1 --rows 1000`"):
        generate(settings_for(database_url), folder, name="theirs", rows=2000)
    assert generate(settings_for(database_url), folder, name="theirs", rows=1000).recipe == "theirs"


def test_a_plugin_that_does_not_name_a_folder_is_told(site: Path) -> None:
    plugin(site, "acme", "their_seeds:SET")
    with pytest.raises(ConfigurationError, match="A plugin names a Path to a folder"):
        find_set(SYNTHETIC.parent, "acme")


def test_a_plugin_that_cannot_be_imported_is_told(site: Path) -> None:
    plugin(site, "acme", "no_such_module:SET")
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        find_set(SYNTHETIC.parent, "acme")


def test_a_name_in_two_places_is_told_with_both(site: Path) -> None:
    plugin(site, "demo", "their_seeds:SET")
    with pytest.raises(ConfigurationError, match=r"'demo' is in .*seeds/demo and in their_seeds:SET"):
        find_set(SYNTHETIC.parent, "demo")


def test_an_unknown_set_is_told_with_those_there_are() -> None:
    with pytest.raises(WrongUseError, match="There are: demo, synthetic"):
        find_set(SYNTHETIC.parent, "dmeo")


@pytest.mark.parametrize("task", ["seed", "demo"])
def test_a_production_database_with_other_rows_is_refused_unless_that_is_meant(
    database_url: Url, database: Any, task: str
) -> None:
    production = {"LEGAL_STORE_ENV": "production", "LEGAL_STORE_SESSION_SECRET": "s" * 32}
    Firm.create(name="Theirs", vat_id="RO7")
    done = invoke(database_url, task, **production)
    assert done.returncode == 2
    assert 'Adding the seed set "demo" to a database that holds other rows (in firms) is refused' in done.stderr
    assert "invoke seed --set demo --add-to-production" in done.stderr
    assert query(database_url, "SELECT count(*) FROM firms") == [(1,)]
    if task == "seed":
        meant = invoke(database_url, "seed", "--add-to-production", **production)
        assert (meant.returncode, query(database_url, "SELECT count(*) FROM firms")) == (0, [(2,)]), meant.stderr


def test_a_set_can_be_completed_in_production_where_nobody_else_has_rows(database: Any, database_url: Url) -> None:
    guard = settings_for(database_url, LEGAL_STORE_ENV="production", LEGAL_STORE_SESSION_SECRET="s" * 32)
    load_set(database, SYNTHETIC.parent, guarded_by=guard)
    Task.delete().where(Task.id == Task.select(Task.id).limit(1)).execute()
    assert load_set(database, SYNTHETIC.parent, guarded_by=guard).put_back == 1
