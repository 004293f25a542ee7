"""`invoke seed` as people type it: generated markets, sets of plugins, wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from legal_store.config import Url
from legal_store.errors import ConfigurationError, SeedError
from legal_store.seeding.sets import find_set
from tests.conftest import CHECKOUT
from tests.generating.support import SYNTHETIC, query


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
    assert (second.returncode, "Nothing to do" in second.stdout) == (0, True)


def test_the_demo_firm_is_still_what_seed_loads(database_url: Url) -> None:
    done = invoke(database_url, "seed")
    assert done.returncode == 0, done.stderr
    assert query(database_url, "SELECT vat_id FROM firms") == [("RO12345678",)]


def test_demo_and_generated_rows_do_not_meet(database_url: Url) -> None:
    assert invoke(database_url, "seed", "--rows", "1000").returncode == 0
    tables = json.loads(invoke(database_url, "seed", "--json").stdout)["tables"]
    assert sum(table["found"] + table["put_back"] for table in tables) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rows", "many"), "--rows many is not a number of rows. Write it as 250000"),
        (("--rows", "0.5"), "--rows 0.5 is not a number of rows"),
        (("--rows", "-5"), "--rows -5 is not a number of rows"),
        (("--rows", "10"), "10 rows for 1 firm are too few"),
        (("--scale", "-1"), "--scale -1 is too small"),
        (("--scale", "1", "--workers", "-1"), "--workers -1 is too small"),
        (("--set", "synthetic"), "synthetic is a recipe. Say how much"),
        (("--set", "demo", "--scale", "2"), "demo is a seed set with fixed rows"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(database_url: Url, arguments: tuple[str, ...], told: str) -> None:
    done = invoke(database_url, "seed", *arguments)
    assert told in done.stderr
    assert (done.returncode, done.stdout) == (2, "")
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
    with pytest.raises(SeedError, match="demo"):
        find_set(SYNTHETIC.parent, "dmeo")
