"""How to run PostgreSQL, which refuses to be root, when we are root.

Two ways are tried, the first that works is taken:

- a user namespace in which root's id is shown as another one: files stay root's;
- a change to the user nobody, who then owns the data. Below a folder that only root may enter it keeps one
  capability: to pass through folders.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from legal_store.embedded.processes import server_environment
from legal_store.errors import EmbeddedServerError

NOBODY = 65534

# Succeeds where the program can be executed, is not root, and may work in the folder.
_TRIAL = '[ "$(id -u)" != 0 ] && "$1" --version >/dev/null && cd "$2" && [ -w . ] && [ -x . ]'


class Route(NamedTuple):
    """A way to run a program: what stands before its command, and who owns the files it writes."""

    name: str
    prefix: tuple[str, ...]
    owner: int

    def command(self, program: Path, *arguments: str | Path) -> list[str | Path]:
        """Return the command that runs `program` this way."""
        return [*self.prefix, program, *arguments]

    def give(self, path: Path) -> None:
        """Make the owner of this route the owner of `path` and of all below it; free when that is so already."""
        found = path.lstat().st_uid
        if found == self.owner:
            return
        if os.geteuid() != 0 or found not in (0, NOBODY):
            raise EmbeddedServerError(
                f"{path} belongs to another user (id {found}).",
                remedy="Run the command as that user, or give the folder to yourself with chown.",
            )
        for folder, _, files in os.walk(path):
            for name in (".", *files):
                os.chown(Path(folder) / name, self.owner, -1, follow_symlinks=False)
        os.chown(path, self.owner, -1, follow_symlinks=False)


def _become_nobody(name: str, *flags: str) -> Route:
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return Route(name, ("setpriv", *user, *flags), NOBODY)


def _keeping(capability: str) -> tuple[str, ...]:
    return (f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}", "--securebits=+no_setuid_fixup")


ROUTES_OF_ROOT = (
    Route("a user namespace", ("unshare", "--user", f"--map-user={NOBODY}"), 0),
    _become_nobody("the user nobody"),
    _become_nobody("the user nobody, who may pass through folders", *_keeping("dac_read_search")),
    # containers often lack the capability above and have this one
    _become_nobody("the user nobody, who may open what root may", *_keeping("dac_override")),
)


def choose_route(program: Path, folder: Path) -> Route:
    """Return the way to run `program`, which has to write in `folder`; an ordinary user simply runs it.

    As root each way is tried for real. May change the owner of `folder`. Raises EmbeddedServerError when none
    works.
    """
    if os.geteuid() != 0:
        return Route("an ordinary user", (), os.geteuid())
    failures = []
    for route in ROUTES_OF_ROOT:
        route.give(folder)
        failure = _try(route, program, folder)
        if failure is None:
            return route
        failures.append(f"{route.name}: {failure}")
    raise EmbeddedServerError(
        f"PostgreSQL does not run as root, and it could not be run as anybody else from {folder}: "
        f"{'; '.join(failures)}.",
        remedy="Run the command as an ordinary user, install util-linux (unshare, setpriv), "
        "or set LEGAL_STORE_HOME to a folder that every user can reach.",
    )


def _try(route: Route, program: Path, folder: Path) -> str | None:
    """Return why the route does not work here, None if it does."""
    import subprocess

    tool = route.prefix[0]
    if shutil.which(tool) is None:
        return f"there is no {tool}"
    trial = subprocess.run(
        [*route.prefix, "/bin/sh", "-c", _TRIAL, "sh", program, folder],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=server_environment(),
        cwd="/",
    )
    return None if trial.returncode == 0 else trial.stderr.strip() or "the folder cannot be written to"
