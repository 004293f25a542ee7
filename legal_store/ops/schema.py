"""The schema itself, to look at."""

from __future__ import annotations

from invoke import Context

from legal_store.cli.task import task


@task(
    "schema.diagram",
    help={
        "output": "the file to write: .md (a page), .mmd (Mermaid alone) or .svg; without it docs/schema.md and .svg",
        "json": "print what was written as JSON",
    },
)
def diagram(context: Context, output: str = "", json: bool = False) -> None:
    """Draw the tables and references of the models, as Mermaid and SVG."""
    from pathlib import Path

    from legal_store.cli.render import print_json
    from legal_store.errors import WrongUseError
    from legal_store.files import write_whole
    from legal_store.models.declared import SCHEMA
    from legal_store.schema import diagram as draw

    makers = {".md": draw.markdown, ".mmd": draw.mermaid, ".svg": draw.svg}
    paths = [Path(output)] if output else [Path("docs/schema.md"), Path("docs/schema.svg")]
    if unknown := [path for path in paths if path.suffix not in makers]:
        raise WrongUseError(f"{unknown[0]}: nothing can be drawn into such a file.", remedy="Use .md, .mmd or .svg.")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, makers[path.suffix](SCHEMA))
    if json:
        print_json({"written": paths, "tables": len(SCHEMA.models), "references": len(draw.lines(SCHEMA))})
    else:
        print(f"Wrote {', '.join(map(str, paths))}: {len(SCHEMA.models)} tables, {len(draw.lines(SCHEMA))} references.")
