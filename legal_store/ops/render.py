"""Render's own exports of a managed database; needs RENDER_API_KEY and RENDER_POSTGRES_ID."""

from __future__ import annotations

from pathlib import Path

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task


@task("render.list", help={"json": "print JSON"})
def list_(context: Context, json: bool = False) -> None:
    """Show the exports that Render keeps of the database."""
    from legal_store.backup.hosts.render import RenderExports

    found = RenderExports.from_environ().exports()
    if json:
        print_json(found)
    else:
        rows = [(one.id, f"{one.created_at:%Y-%m-%d %H:%M}", "ready" if one.ready else "at work") for one in found]
        print_table("Exports at Render", ("export", "made", "state"), rows)


@task("render.export")
def export(context: Context) -> None:
    """Ask Render for a new export of the database; it takes some minutes."""
    from legal_store.backup.hosts.render import RenderExports

    RenderExports.from_environ().trigger()
    print("Render makes an export. `invoke render.list` shows when it is ready.")


@task(
    "render.fetch",
    help={"name": "id of the export; without it the newest", "to": "folder (default: LEGAL_STORE_BACKUP_DIR)"},
)
def fetch(context: Context, name: str = "", to: str = "") -> None:
    """Fetch an export of Render's, for `invoke restore`. It is not encrypted."""
    from legal_store.backup.hosts.render import RenderExports
    from legal_store.config import settings
    from legal_store.errors import BackupError

    exports = RenderExports.from_environ()
    ready = [export.id for export in exports.exports() if export.ready]
    if not name and not ready:
        raise BackupError("Render has no export that is ready.", remedy="Run `invoke render.export`, and wait.")
    path = exports.fetch(name or ready[0], Path(to) if to else settings().backup_dir)
    print(f"{path}\nRestore it with `invoke restore --source {path}`, then remove it.")
