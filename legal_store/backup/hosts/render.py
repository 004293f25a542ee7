"""Logical exports of Render's managed PostgreSQL: list them, ask for one, fetch one to restore it.

Render's API (https://api-docs.render.com): GET and POST /postgres/{id}/export; an export is the directory format of
pg_dump in a `.dir.tar.gz`, kept for seven days. Its daily backups for point-in-time recovery cannot be fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from legal_store.errors import BackupError, ConfigurationError

API_KEY, DATABASE_ID, API_URL = "RENDER_API_KEY", "RENDER_POSTGRES_ID", "RENDER_API_URL"
_DEFAULT_URL = "https://api.render.com/v1"
_SECONDS = 60.0

_MEANINGS = {
    401: "the API key was not accepted",
    403: "the API key may not do this",
    404: "there is no such database",
    409: "an export is at work already",
    429: "too many requests; wait a minute",
}


class Export(NamedTuple):
    """One export; `ready` when it can be fetched. Its URL is a secret, and is not part of this."""

    id: str
    created_at: datetime
    ready: bool


class RenderExports:
    """The exports of one database. All failures are BackupError."""

    def __init__(self, api_key: str, database_id: str, url: str = _DEFAULT_URL) -> None:
        self._api_key = api_key
        self._url = f"{url.rstrip('/')}/postgres/{database_id}/export"

    def __repr__(self) -> str:
        return f"RenderExports({self._url!r})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> RenderExports:
        """Read RENDER_API_KEY and RENDER_POSTGRES_ID. Raises ConfigurationError where one is missing."""
        missing = [name for name in (API_KEY, DATABASE_ID) if not environ.get(name)]
        if missing:
            raise ConfigurationError(
                f"Not set: {', '.join(missing)}.",
                remedy="The key is made in Render's account settings; the id (dpg-...) is in the database's URL there.",
            )
        return cls(environ[API_KEY], environ[DATABASE_ID], environ.get(API_URL) or _DEFAULT_URL)

    def exports(self) -> list[Export]:
        """Return the exports that Render keeps, newest first."""
        found = [
            Export(entry["id"], datetime.fromisoformat(entry["createdAt"]), bool(entry.get("url")))
            for entry in self._entries()
        ]
        return sorted(found, key=lambda export: export.created_at, reverse=True)

    def trigger(self) -> None:
        """Ask for a new export. It takes minutes, and appears in the list when it is ready."""
        with self._request("POST", self._url, authorized=True):
            pass

    def fetch(self, export_id: str, folder: Path) -> Path:
        """Download and unpack an export into a new directory under `folder`, for its owner only; return that path.

        The directory appears when it is complete. What it holds is not encrypted. Raises BackupError.
        """
        entries = [entry for entry in self._entries() if entry["id"] == export_id]
        if not entries or not entries[0].get("url"):
            raise BackupError(f"There is no export {export_id} that is ready.", remedy="See `invoke render.list`.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / f"render-{export_id}"
        if target.exists():
            raise BackupError(f"{target} exists.", remedy="It was fetched before; restore it, or remove it.")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".render-") as unfinished:
            # the URL carries its own authorization; ours is not for that server
            with self._request("GET", entries[0]["url"], authorized=False) as answer:
                _unpack(answer, Path(unfinished))
            shutil.move(_archive_in(Path(unfinished)), target)
        return target

    def _entries(self) -> list[dict[str, Any]]:
        with self._request("GET", self._url, authorized=True) as answer:
            try:
                return cast("list[dict[str, Any]]", json.loads(answer.read()))
            except ValueError:
                raise BackupError(f"{self._url} answered with something that is no JSON.") from None

    @contextmanager
    def _request(self, method: str, url: str, *, authorized: bool) -> Iterator[Any]:
        import urllib3

        headers = {"Authorization": f"Bearer {self._api_key}", "Accept": "application/json"} if authorized else {}
        shown = url.partition("?")[0]
        with urllib3.PoolManager(timeout=_SECONDS, retries=urllib3.Retry(3, redirect=3)) as pool:
            answer = None
            try:
                answer = pool.request(method, url, headers=headers, preload_content=False)
                if answer.status >= 400:
                    meaning = _MEANINGS.get(answer.status, answer.reason or "")
                    raise BackupError(f"{method} {shown} failed with {answer.status}: {meaning}.", remedy="Try again.")
                yield answer
            except urllib3.exceptions.HTTPError as error:
                raise BackupError(f"{method} {shown} failed: {type(error).__name__}.", remedy="Try again.") from None
            finally:
                if answer is not None:
                    answer.close()


def _unpack(answer: Any, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=answer, mode="r|gz") as archive:
            archive.extractall(folder, filter="data")  # refuses names that lead out of the folder
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BackupError(f"The export could not be unpacked: {error}.", remedy="Fetch it again.") from None


def _archive_in(folder: Path) -> Path:
    found = sorted(folder.rglob("toc.dat"))
    if not found:
        raise BackupError("The export holds no archive of pg_dump (a directory with toc.dat).")
    return found[0].parent
