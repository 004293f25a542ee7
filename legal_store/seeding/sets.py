"""Where seed sets are: folders in the seeds folder, and folders that installed packages name."""

from __future__ import annotations

from pathlib import Path

from legal_store.errors import ConfigurationError
from legal_store.seeding.files import set_folder

ENTRY_POINT_GROUP = "legal_store.seeds"


def find_set(folder: Path, name: str) -> Path:
    """Return the folder of the seed set or recipe `name`, in `folder` or in a plugin.

    A plugin is an entry point in the group `legal_store.seeds` whose value is a Path. Raises SeedError when there is
    no such set, listing those of `folder`; ConfigurationError when two places have it or a plugin is broken.
    """
    from importlib.metadata import entry_points

    own = folder / name
    plugins = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    places = [str(own)] * any(own.glob("*.toml")) + [plugin.value for plugin in plugins]
    if len(places) > 1:
        raise ConfigurationError(
            f"The seed set {name!r} is in {' and in '.join(places)}.", remedy="Rename one of them."
        )
    if not plugins:
        return set_folder(folder, name)
    try:
        found = plugins[0].load()
    except Exception as error:
        raise ConfigurationError(
            f"The seed set {name!r} of {plugins[0].value} cannot be imported: {error!r}.",
            remedy="Correct or uninstall the plugin.",
        ) from error
    if not isinstance(found, Path) or not found.is_dir():
        raise ConfigurationError(
            f"The seed set {name!r} of {plugins[0].value} is {found!r}.", remedy="A plugin names a Path to a folder."
        )
    return found
