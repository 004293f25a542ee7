"""PostgreSQL refuses to be root: the ways around it, each for real, and the ordinary user's way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from legal_store import embedded
from legal_store.embedded import privileges
from legal_store.embedded.privileges import NOBODY, ROUTES_OF_ROOT, Route
from legal_store.errors import EmbeddedServerError
from tests.embedded.support import KEEP, UP, as_root, python, query

Only = Callable[..., None]

NAMESPACE, PLAIN_NOBODY, PASSING_NOBODY, OPENING_NOBODY = ROUTES_OF_ROOT


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    """Leaves root no other way than the given ones."""
    return lambda *routes: monkeypatch.setattr(privileges, "ROUTES_OF_ROOT", routes)


@pytest.fixture
def closed_home(tmp_path: Path) -> Iterator[Path]:
    """A new home below a folder that only its owner may enter, as `mktemp -d` makes them."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    yield folder / "home"
    embedded.down(folder / "home")


@as_root
@pytest.mark.parametrize("route", [NAMESPACE, PASSING_NOBODY, OPENING_NOBODY], ids=lambda route: route.name)
def test_root_runs_servers_below_a_closed_folder(closed_home: Path, only: Only, route: Route) -> None:
    only(route)
    servers = embedded.up(closed_home)
    assert query(servers.postgres.url, "SELECT 1") == 1
    assert (closed_home / "postgres").stat().st_uid == route.owner
    assert Path(f"/proc/{servers.postgres.pid}").stat().st_uid == route.owner
    embedded.down(closed_home)
    assert query(embedded.up(closed_home).postgres.url, "SELECT 1") == 1


@pytest.fixture
def reachable_home() -> Iterator[Path]:
    """A home that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="ls-") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "home").mkdir()
        yield Path(folder) / "home"
        embedded.down(Path(folder) / "home")


@as_root
def test_user_nobody_needs_no_capability_where_folders_are_reachable(reachable_home: Path, only: Only) -> None:
    for folder in (*reachable_home.parents, *embedded.client_program("postgres").parents):
        if not folder.stat().st_mode & 0o001:
            pytest.skip(f"{folder} is closed to others on this machine")
    only(PLAIN_NOBODY)
    assert query(embedded.up(reachable_home).postgres.url, "SELECT 1") == 1


@as_root
def test_data_follows_when_the_way_changes(home: Path, only: Only) -> None:
    only(PASSING_NOBODY)
    query(embedded.up(home).postgres.url, KEEP)
    embedded.down(home)
    assert (home / "postgres" / "base").stat().st_uid == NOBODY
    only(NAMESPACE)
    assert query(embedded.up(home).postgres.url, "SELECT answer FROM kept") == 42
    assert (home / "postgres" / "base").stat().st_uid == 0


@as_root
def test_no_way_at_all_names_each_that_was_tried(home: Path, only: Only) -> None:
    only(Route("a tool that is missing", ("no-such-tool",), 0), Route("a tool that fails", ("false",), 0))
    with pytest.raises(EmbeddedServerError, match="there is no no-such-tool; a tool that fails") as caught:
        embedded.up(home)
    assert "ordinary user" in caught.value.remedy


@as_root
def test_data_of_another_user_is_not_taken_over(home: Path) -> None:
    os.chown(home / "postgres", 12345, -1)
    with pytest.raises(EmbeddedServerError, match=r"belongs to another user \(id 12345\)"):
        embedded.up(home)
    assert (home / "postgres").stat().st_uid == 12345
    os.chown(home / "postgres", 0, -1)


@as_root
def test_ordinary_user_runs_servers_without_help(tmp_path: Path) -> None:
    """The user nobody, who may only be let through the folders above Python and the checkout."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    for tool in (PLAIN_NOBODY, PASSING_NOBODY):
        with python(UP, home, before=tool.prefix) as caller:
            output, errors = caller.communicate(timeout=60)
        if caller.returncode == 0:
            break
    assert caller.returncode == 0, errors
    postgres, redis = map(int, output.split())
    try:
        for pid in (postgres, redis):
            assert Path(f"/proc/{pid}").stat().st_uid == NOBODY
        assert (home / "postgres").stat().st_uid == NOBODY
    finally:
        embedded.down(home)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EmbeddedServerError, match="cannot be used"):
        embedded.up(tmp_path / "home")
    tmp_path.chmod(0o700)
