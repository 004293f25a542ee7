"""Finds the task modules and builds the collection that Invoke runs.

They come from three places: the package legal_store.ops, the entry-point group of the same name in installed
packages, and a folder `ops/` beside tasks.py. The same name twice is an error that names both places.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from invoke import Collection, Task

from legal_store.errors import ConfigurationError

ENTRY_POINT_GROUP = "legal_store.ops"


def build_collection(folder: Path | None = None) -> Collection:
    """Return all tasks; `folder` is where a project's own `ops/` may lie (the folder of tasks.py).

    Raises ConfigurationError when two places declare the same task, or a plugin cannot be imported.
    """
    tasks: dict[str, tuple[Task[Any], str]] = {}
    for module, origin in _modules(folder):
        for found in _tasks_of(module):
            if found.name in tasks:
                raise ConfigurationError(
                    f"The task {found.name!r} is declared twice: in {tasks[found.name][1]} and in {origin}.",
                    remedy="Rename one of them.",
                )
            tasks[found.name] = (found, origin)
    return collection_of({name: found for name, (found, _) in tasks.items()})


def _modules(folder: Path | None) -> Iterator[tuple[ModuleType, str]]:
    package = importlib.import_module("legal_store.ops")
    for info in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{info.name}"
        yield importlib.import_module(name), name
    yield from _installed_modules()
    if folder is not None:
        for path in sorted((folder / "ops").glob("[!_]*.py")):
            yield _load(path), str(path)


def _installed_modules() -> Iterator[tuple[ModuleType, str]]:
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        origin = f"{entry.value} (installed with {entry.dist.name if entry.dist else 'an unknown package'})"
        try:
            yield entry.load(), origin
        except Exception as error:
            raise ConfigurationError(
                f"The task module {origin} cannot be imported: {error!r}.", remedy="Correct or uninstall it."
            ) from error


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"local_ops_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigurationError(
            f"The task module {path} cannot be imported: {error!r}.", remedy="Correct it or move it away."
        ) from error
    return module


def _tasks_of(module: ModuleType) -> list[Task[Any]]:
    return [item for item in vars(module).values() if isinstance(item, Task)]


def collection_of(tasks: dict[str, Task[Any]]) -> Collection:
    """Return the tasks, by their full names, as Invoke's nested collections."""
    root = Collection()
    groups = {name.partition(".")[0] for name in tasks if "." in name}
    collections = {group: Collection(group) for group in sorted(groups)}
    for name, found in sorted(tasks.items()):
        group, _, rest = name.partition(".")
        if group in collections:
            collections[group].add_task(found, name=rest or group, default=not rest)
        else:
            root.add_task(found, name=name)
    for collection in collections.values():
        root.add_collection(collection)
    return root
