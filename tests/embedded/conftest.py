"""Homes for embedded servers in temporary folders; whatever runs in them is stopped afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from legal_store import embedded


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Path]:
    """A home that does not exist yet."""
    home = tmp_path / "home"
    yield home
    embedded.down(home)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with data folders, whose servers are stopped; to be copied."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    embedded.up(home)
    embedded.down(home)
    return home


@pytest.fixture
def home(prepared: Path) -> Iterator[Path]:
    """A home with data, whose servers do not run. It is the same one for all tests: they leave it in order."""
    yield prepared
    embedded.down(prepared)


@pytest.fixture
def spare_home(prepared: Path, new_home: Path) -> Path:
    """A home of its own for a test that damages it."""
    return Path(shutil.copytree(prepared, new_home))


@pytest.fixture(scope="module")
def running_servers(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    """Servers that the tests of a module share, for tests that do not stop or change them."""
    home = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("shared") / "home"))
    yield embedded.up(home)
    embedded.down(home)
