"""Where seed sets are: folders in the seeds folder, and folders that installed packages name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from legal_store.errors import ConfigurationError, WrongUseError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "legal_store.seeds"


def find_set(folder: Path, name: str) -> Path:
    """Return the folder of the seed set or recipe `name`, in `folder` or in a plugin.

    A plugin is an entry point in the group `legal_store.seeds` whose value is a Path. Raises WrongUseError when there
    is no such set, listing those there are; ConfigurationError when two places have it or a plugin is broken.
    """
    from importlib.metadata import entry_points

    known = entry_points(group=ENTRY_POINT_GROUP)
    own = _sets_in(folder)
    plugins = [plugin for plugin in known if plugin.name == name]
    places = [str(folder / name)] * (name in own) + [plugin.value for plugin in plugins]
    if len(places) > 1:
        raise ConfigurationError(
            f"The seed set {name!r} is in {' and in '.join(places)}.", remedy="Rename one of them."
        )
    if not places:
        raise _unknown(folder, name, sorted({*own, *known.names}))
    return _folder_of(plugins[0], name) if plugins else folder / name


def _sets_in(folder: Path) -> set[str]:
    """Return the names of the sub-folders that hold TOML files."""
    return {file.parent.name for file in folder.glob("*/*.toml")}


def _unknown(folder: Path, name: str, known: list[str]) -> WrongUseError:
    there = f"There are: {', '.join(known)}." if known else "There is none."
    return WrongUseError(
        f'There is no seed set "{name}" in {folder}.',
        remedy=f"{there} A seed set is a sub-folder with TOML files; LEGAL_STORE_SEEDS_DIR names the folder.",
    )


def _folder_of(plugin: EntryPoint, name: str) -> Path:
    try:
        found = plugin.load()
    except Exception as error:
        raise ConfigurationError(
            f"The seed set {name!r} of {plugin.value} cannot be imported: {error!r}.",
            remedy="Correct or uninstall the plugin.",
        ) from error
    if not isinstance(found, Path) or not found.is_dir():
        raise ConfigurationError(
            f"The seed set {name!r} of {plugin.value} is {found!r}.", remedy="A plugin names a Path to a folder."
        )
    return found
