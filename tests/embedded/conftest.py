"""Homes for embedded servers in temporary folders; whatever runs in them is stopped afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
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
def spoil(home: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Overwrites a file of the home; after the test its servers are stopped and the file is as it was."""
    originals: dict[Path, bytes | None] = {}

    def overwrite(name: str, content: bytes) -> None:
        path = home / name
        originals[path] = path.read_bytes() if path.exists() else None
        path.write_bytes(content)

    yield overwrite
    embedded.down(home)
    for path, content in originals.items():
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)


@pytest.fixture(scope="module")
def running_servers(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    """Servers that the tests of a module share, for tests that do not stop or change them."""
    home = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("shared") / "home"))
    yield embedded.up(home)
    embedded.down(home)
